"""What is in force: the file `models/current`, its one writer and its readers; each change is a line of the history."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import TypeAdapter, ValidationError

from fraudstream.errors import ModelCorrupt, ModelError, ModelNamedDirectly, ModelNotFound, SettingsError
from fraudstream.model.artifact import TRAIN_REMEDY, ModelArtifact, is_artifact, load_artifact
from fraudstream.runtime.files import exclusive_lock, read_regular, replace_json, tighten
from fraudstream.times import iso

HISTORY_FILE: Final = "history.jsonl"
MOST_BYTES: Final = 256 * 1024 * 1024

State = Mapping[str, Any]
"""What is in force as it stands in `current`: the fields of `current.InForce`."""


@dataclass(frozen=True)
class Change:
    """One change of the deployment; `restores` is the revision that a rollback brings back.

    `before` is None where no model was active, or where it is not known.
    """

    when: str
    who: str
    why: str
    before: State | None
    after: State
    restores: int | None = None

    @property
    def revision(self) -> int:
        """The revision that the change made."""
        return int(self.after["revision"])


def change_between(before: State | None, after: State, restores: int | None = None) -> Change:
    """The change from one state to the next, which carries who made it, when and why."""
    return Change(after["when"], after["who"], after["why"], before, after, restores)


def append_changes(models_dir: Path, changes: Sequence[Change]) -> None:
    """Write changes behind those that are there, on the disk when this returns; under the lock of `current`.

    Raises OSError where the file cannot be written.
    """
    path = models_dir / HISTORY_FILE
    with path.open("ab") as file:
        # What a crash left of a line is ended, so that it does not spoil the next.
        if file.tell() and path.read_bytes()[-1:] != b"\n":
            file.write(b"\n")
        file.write(b"".join(orjson.dumps(asdict(each), option=orjson.OPT_APPEND_NEWLINE) for each in changes))
        file.flush()
        os.fsync(file.fileno())


def read_changes(models_dir: Path, deployment: State | None) -> list[Change]:
    """Every change that is known, oldest first: those that are written, and the present state where they lack it.

    Raises OSError where the file is there and cannot be read.
    """
    written = _written(models_dir)
    return written + missing_changes(written, deployment)


def missing_changes(written: Sequence[Change], deployment: State | None) -> list[Change]:
    """What is in force as a change, where the history does not end with it: a crash, or a time without a history."""
    if deployment is None or (written and written[-1].revision >= deployment["revision"]):
        return []
    return [change_between(written[-1].after if written else None, deployment)]


def _written(models_dir: Path) -> list[Change]:
    """A line that is no change (a crash cut it off) is passed over."""
    try:
        lines = read_regular(models_dir / HISTORY_FILE, MOST_BYTES).splitlines()
    except FileNotFoundError:
        return []
    return [change for change in map(_read, lines) if change is not None]


def _read(line: bytes) -> Change | None:
    try:
        change = Change(**orjson.loads(line))
        return change if change.revision and isinstance(change.after["model_id"], str) else None
    except (orjson.JSONDecodeError, TypeError, KeyError, ValueError):
        return None


CURRENT_FILE: Final = "current"
MOST_CURRENT_BYTES: Final = 1024 * 1024
_LOCK_FILE: Final = ".current.lock"


@dataclass(frozen=True)
class Deployment:
    """What the detector has to score with; a score at or above the threshold is an alert.

    Attributes:
        model_id: Name of the artifact's directory, beside the file.
        aliases: New column name to the feature's name, declared by the user.
        revision: Grows by one with each change; 0 for an artifact that was named directly.
        when: ISO 8601 in UTC; empty for an artifact that was named directly.
    """

    model_id: str
    threshold: float
    aliases: Mapping[str, str] = field(default_factory=dict)
    revision: int = 0
    who: str = ""
    when: str = ""
    why: str = ""


_ADAPTER: Final = TypeAdapter(Deployment)


def read_current(path: Path) -> Deployment:
    """Read a `current` file; cheap enough for once a second.

    Raises ModelNotFound where there is none, ModelCorrupt where it is not what `put_in_force` writes.
    """
    try:
        deployment = _ADAPTER.validate_json(read_regular(path, MOST_CURRENT_BYTES))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as e:
        raise ModelNotFound("no model is in force", where=str(path), remedy=TRAIN_REMEDY) from e
    except OSError as e:
        raise ModelError(
            f"what is in force cannot be read: {e.strerror}",
            where=str(path),
            remedy="give this user the right to read it; where it is no file, remove it and put a model in force again",
        ) from e
    except ValidationError as e:
        raise _broken(path) from e
    if Path(deployment.model_id).name != deployment.model_id or not _is_threshold(deployment.threshold):
        raise _broken(path)
    return deployment


def deploy(
    models_dir: Path,
    model_id: str,
    threshold: float,
    *,
    who: str,
    why: str,
    now: datetime,
    aliases: Mapping[str, str] | None = None,
) -> Deployment:
    """Replace `models_dir/current`, under a lock, so that no reader meets a part of it; None keeps the aliases.

    Raises ModelNotFound where there is no such artifact, else as `replace_in_force`.
    """
    if not is_artifact(models_dir / model_id):
        raise ModelNotFound("there is no such model", where=str(models_dir / model_id), remedy=TRAIN_REMEDY)

    def next_deployment(before: Deployment | None) -> Deployment:
        kept = before.aliases if before else {}
        return Deployment(model_id, threshold, dict(kept if aliases is None else aliases))

    return replace_deployment(models_dir, next_deployment, who=who, why=why, now=now)


def change_deployment(
    models_dir: Path, change: Callable[[Deployment], Deployment], *, who: str, why: str, now: datetime
) -> Deployment:
    """Change the threshold or the aliases of the active deployment: the next revision, read and written under one lock.

    Raises ModelNotFound where no model is active, else as `replace_in_force`.
    """

    def changed(before: Deployment | None) -> Deployment:
        if before is None:
            raise ModelNotFound("no model is in force", where=str(models_dir / CURRENT_FILE), remedy=TRAIN_REMEDY)
        return change(before)

    return replace_deployment(models_dir, changed, who=who, why=why, now=now)


def current_file(model: Path) -> Path | None:
    """The `current` file that a model path names; None where it names an artifact, which never changes."""
    if is_artifact(model):
        return None
    return model / CURRENT_FILE if model.is_dir() else model


def tighten_models(model: Path) -> None:
    """Take the models that a model path names from everybody but their owner."""
    current = current_file(model)
    tighten(model if current is None else current.parent)


def changeable_models_dir(model: Path) -> Path:
    """The directory of the models whose `current` a path names; raises ModelNamedDirectly where it names another."""
    current = current_file(model)
    if current is None or current.name != CURRENT_FILE:
        raise ModelNamedDirectly(
            "the model was named directly: what is in force beside it cannot be changed",
            where=str(model),
            remedy="name the file `current` of a models directory: --model models/current",
        )
    return current.parent


def replace_deployment(
    models_dir: Path,
    make: Callable[[Deployment | None], Deployment],
    *,
    who: str,
    why: str,
    now: datetime,
    is_rollback: bool = False,
) -> Deployment:
    """Make the next revision of the deployment under the lock, stamped with who, when and why, and write it down.

    What `make` raises leaves everything as it is. `is_rollback`: what it gives was active before, under the revision
    that it carries.

    Raises:
        SettingsError: The threshold is not between 0 and 1.
        ModelCorrupt: The `current` that is there cannot be read.
        ModelError: The file cannot be written.
    """
    path = models_dir / CURRENT_FILE
    try:
        with exclusive_lock(models_dir / _LOCK_FILE):
            before = read_current(path) if path.exists() else None
            made = make(before)
            if not _is_threshold(made.threshold):
                raise SettingsError(
                    f"the threshold {made.threshold!r} is not between 0 and 1", remedy="give a score from 0 to 1"
                )
            deployment = replace(made, revision=before.revision + 1 if before else 1, who=who, when=iso(now), why=why)
            was, state = None if before is None else asdict(before), asdict(deployment)
            lacking = missing_changes(read_changes(models_dir, None), was)
            # `current` counts, the history follows: what a crash keeps out of it, the next change enters.
            replace_json(path, state)
            restores = made.revision if is_rollback else None
            append_changes(models_dir, [*lacking, change_between(was, state, restores)])
    except OSError as e:
        raise ModelError(
            f"what is in force cannot be written: {e.strerror}", where=str(path), remedy="check the disk and --models"
        ) from e
    return deployment


def deployment_from(state: State, models_dir: Path) -> Deployment:
    """A state of the history as an `InForce`; raises ModelCorrupt where it is not what `replace_in_force` writes."""
    try:
        return _ADAPTER.validate_python(state)
    except ValidationError as e:
        raise _broken(models_dir / HISTORY_FILE) from e


def resolve(path: Path) -> tuple[ModelArtifact, Deployment]:
    """The verified artifact that `path` names, with the deployment.

    `path` is an artifact's directory (its own threshold, revision 0), a `current` file, or a directory with one.

    Raises:
        ModelNotFound: Nothing is there, or `current` names an artifact that is not.
        ModelCorrupt: As `load_artifact` and `read_current`.
    """
    if is_artifact(path):
        artifact = load_artifact(path)
        manifest = artifact.manifest
        return artifact, Deployment(manifest.model_id, manifest.threshold, why="named directly")
    if path.is_dir() and not (path / CURRENT_FILE).is_file():
        raise ModelNotFound("there is no model artifact and no `current`", where=str(path), remedy=TRAIN_REMEDY)
    current = path / CURRENT_FILE if path.is_dir() else path
    deployment = read_current(current)
    artifact = load_artifact(current.parent / deployment.model_id)
    if artifact.manifest.model_id != deployment.model_id:
        raise ModelCorrupt(
            f"the artifact calls itself {artifact.manifest.model_id}", where=str(artifact.path), remedy=TRAIN_REMEDY
        )
    return artifact, deployment


def artifact_beside(path: Path, model_id: str) -> ModelArtifact:
    """The artifact of this id beside what `path` names: of a model that was active earlier.

    Raises ModelNotFound where it is gone, ModelCorrupt as `load_artifact`.
    """
    models_dir = path.parent if is_artifact(path) or not path.is_dir() else path
    return load_artifact(models_dir / model_id)


def _is_threshold(value: float) -> bool:
    return math.isfinite(value) and 0.0 <= value <= 1.0


def _broken(path: Path) -> ModelCorrupt:
    return ModelCorrupt(
        "what is in force cannot be read: it is not what fraudstream writes",
        where=str(path),
        remedy="remove the file and put a model in force again: fraudstream train --data CSV",
    )
