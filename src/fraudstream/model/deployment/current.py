"""Reads and changes the deployment: the file `models/current`, with each change recorded in the history."""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import TypeAdapter, ValidationError

from fraudstream.errors import ModelCorrupt, ModelError, ModelNamedDirectly, ModelNotFound, SettingsError
from fraudstream.model.artifact import TRAIN_REMEDY, ModelArtifact, is_artifact, load_artifact, read_manifest
from fraudstream.model.manifest import Manifest
from fraudstream.runtime.files import exclusive_lock, read_regular, replace_json, tighten
from fraudstream.times import iso

HISTORY_FILE: Final = "history.jsonl"
MOST_BYTES: Final = 256 * 1024 * 1024

State = Mapping[str, Any]
"""A deployment as stored in `current`: the fields of `Deployment`."""


@dataclass(frozen=True)
class DeploymentChange:
    """One change of the deployment; `restores` is the revision that a rollback restores.

    `before` is None if no model was active, or if it is unknown.
    """

    when: str
    who: str
    why: str
    before: State | None
    after: State
    restores: int | None = None

    @property
    def revision(self) -> int:
        """The revision that the change created."""
        return int(self.after["revision"])


def append_changes(models_dir: Path, changes: Sequence[DeploymentChange]) -> None:
    """Append changes to the history, with fsync; the caller holds the lock of `current`. Raises OSError."""
    path = models_dir / HISTORY_FILE
    with path.open("ab") as file:
        # Terminate a line that a crash cut off, so that it does not corrupt the next one.
        if file.tell() and path.read_bytes()[-1:] != b"\n":
            file.write(b"\n")
        file.write(b"".join(orjson.dumps(asdict(each), option=orjson.OPT_APPEND_NEWLINE) for each in changes))
        file.flush()
        os.fsync(file.fileno())


def read_changes(models_dir: Path, deployment: State | None) -> list[DeploymentChange]:
    """Return every known change, oldest first: the history, and the current state if it is not in the history.

    Lines that are not a change (cut off by a crash) are skipped. Raises OSError if the file exists but cannot be read.
    """
    try:
        lines = read_regular(models_dir / HISTORY_FILE, MOST_BYTES).splitlines()
    except FileNotFoundError:
        lines = []
    written = [change for change in map(_read, lines) if change is not None]
    return written + missing_changes(written, deployment)


def missing_changes(written: Sequence[DeploymentChange], deployment: State | None) -> list[DeploymentChange]:
    """Return the deployment as a change if the history does not end with it, as after a crash or an old version."""
    if deployment is None or (written and written[-1].revision >= deployment["revision"]):
        return []
    before = written[-1].after if written else None
    return [DeploymentChange(deployment["when"], deployment["who"], deployment["why"], before, deployment)]


def _read(line: bytes) -> DeploymentChange | None:
    try:
        change = DeploymentChange(**orjson.loads(line))
        return change if change.revision and isinstance(change.after["model_id"], str) else None
    except (orjson.JSONDecodeError, TypeError, KeyError, ValueError):
        return None


CURRENT_FILE: Final = "current"
MOST_CURRENT_BYTES: Final = 1024 * 1024
_LOCK_FILE: Final = ".current.lock"


@dataclass(frozen=True)
class Deployment:
    """The model that the detector scores with; a score at or above the threshold is an alert.

    Attributes:
        model_id: Name of the artifact's directory, next to the file.
        aliases: New column name to the feature's name, declared by the user.
        revision: Incremented with each change; 0 for an artifact that was named directly.
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

    Raises ModelNotFound if there is none, ModelCorrupt if it is not what `deploy` writes.
    """
    try:
        deployment = _ADAPTER.validate_json(read_regular(path, MOST_CURRENT_BYTES))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as e:
        raise ModelNotFound("no model is active", where=str(path), remedy=TRAIN_REMEDY) from e
    except OSError as e:
        raise ModelError(
            f"the active deployment cannot be read: {e.strerror}",
            where=str(path),
            remedy="grant this user read access; if it is not a file, remove it and deploy a model again",
        ) from e
    except ValidationError as e:
        raise _broken(path) from e
    if Path(deployment.model_id).name != deployment.model_id or not _is_threshold(deployment.threshold):
        raise _broken(path)
    return deployment


def deployment_or_none(models_dir: Path) -> Deployment | None:
    """Return the active deployment of a directory, or None; raises ModelCorrupt if `current` cannot be read."""
    return read_current(models_dir / CURRENT_FILE) if (models_dir / CURRENT_FILE).exists() else None


def deploy(models_dir: Path, model_id: str, threshold: float, *, who: str, why: str, now: datetime) -> Deployment:
    """Deploy a model with the current aliases: replace `models_dir/current` atomically, under a lock.

    Raises ModelNotFound if there is no such artifact, else as `write_deployment` and `deployment_lock`.
    """
    if not is_artifact(models_dir / model_id):
        raise ModelNotFound("there is no such model", where=str(models_dir / model_id), remedy=TRAIN_REMEDY)
    with deployment_lock(models_dir):
        before = deployment_or_none(models_dir)
        after = Deployment(model_id, threshold, before.aliases if before else {})
        return write_deployment(models_dir, after, who=who, why=why, now=now)


def current_file(model: Path) -> Path | None:
    """Return the `current` file of a model path; None for an artifact, which never changes."""
    if is_artifact(model):
        return None
    return model / CURRENT_FILE if model.is_dir() else model


def models_dir_of(model: Path) -> Path:
    """Return the directory of the artifacts of a model path."""
    return (current_file(model) or model.absolute()).parent


def tighten_models(model: Path) -> None:
    """Restrict the models of a model path to their owner."""
    current = current_file(model)
    tighten(model if current is None else current.parent)


def changeable_models_dir(model: Path) -> Path:
    """Return the models directory of a path's `current` file; raises ModelNamedDirectly for another path."""
    current = current_file(model)
    if current is None or current.name != CURRENT_FILE:
        raise ModelNamedDirectly(
            "the model was named directly: the deployment next to it cannot be changed",
            where=str(model),
            remedy="name the file `current` of a models directory: --model models/current",
        )
    return current.parent


@contextmanager
def deployment_lock(models_dir: Path) -> Iterator[None]:
    """Hold the lock for a change of the deployment; raises ModelError if a file cannot be read or written."""
    try:
        with exclusive_lock(models_dir / _LOCK_FILE):
            yield
    except OSError as e:
        what = f"the deployment cannot be written: {e.strerror}"
        raise ModelError(what, where=str(models_dir / CURRENT_FILE), remedy="check the disk and --models") from e


def write_deployment(
    models_dir: Path, after: Deployment, *, who: str, why: str, now: datetime, is_rollback: bool = False
) -> Deployment:
    """Write and record the next revision, with who, when and why, under the caller's lock; returns it.

    `is_rollback`: `after` was active before, under its own revision.
    Raises SettingsError if the threshold is not between 0 and 1, ModelCorrupt if the existing `current` cannot be read,
    OSError if a file cannot be written.
    """
    before = deployment_or_none(models_dir)
    if not _is_threshold(after.threshold):
        raise SettingsError(
            f"the threshold {after.threshold!r} is not between 0 and 1", remedy="give a score from 0 to 1"
        )
    deployment = replace(after, revision=before.revision + 1 if before else 1, who=who, when=iso(now), why=why)
    former, current = None if before is None else asdict(before), asdict(deployment)
    unrecorded = missing_changes(read_changes(models_dir, None), former)
    # `current` is authoritative: a change that a crash kept out of the history is recorded with the next one.
    replace_json(models_dir / CURRENT_FILE, current)
    restores = after.revision if is_rollback else None
    change = DeploymentChange(deployment.when, who, why, former, current, restores)
    append_changes(models_dir, [*unrecorded, change])
    return deployment


def deployment_from(state: State, models_dir: Path) -> Deployment:
    """Parse a state of the history; raises ModelCorrupt if it is not what `write_deployment` writes."""
    try:
        return _ADAPTER.validate_python(state)
    except ValidationError as e:
        raise _broken(models_dir / HISTORY_FILE) from e


def read_model(path: Path, manifest_of: Callable[[Path], Manifest] = read_manifest) -> tuple[Manifest, Deployment]:
    """Return the manifest, read from an artifact by `manifest_of`, and the deployment of a model path, unverified.

    Raises what `manifest_of` and `read_current` raise.
    """
    current = current_file(path)
    if current is None:
        manifest = manifest_of(path)
        return manifest, Deployment(manifest.model_id, manifest.threshold)
    deployment = read_current(current)
    return manifest_of(current.parent / deployment.model_id), deployment


def resolve(path: Path) -> tuple[ModelArtifact, Deployment]:
    """Load the verified artifact of `path`, with the deployment.

    `path` is an artifact's directory (its own threshold, revision 0), a `current` file, or a directory with one.
    Raises ModelNotFound if nothing is there, or the artifact that `current` names is missing, else as `load_artifact`.
    """
    manifest, deployment = read_model(path)
    current = current_file(path)
    artifact = load_artifact(path if current is None else current.parent / deployment.model_id)
    if manifest.model_id != deployment.model_id:
        raise ModelCorrupt(
            f"the artifact calls itself {manifest.model_id}", where=str(artifact.path), remedy=TRAIN_REMEDY
        )
    return artifact, deployment


def artifact_beside(path: Path, model_id: str) -> ModelArtifact:
    """Load the artifact with this id next to `path`, for a model that was active earlier.

    Raises ModelNotFound if it is missing, ModelCorrupt as `load_artifact`.
    """
    return load_artifact(models_dir_of(path) / Path(model_id).name)


def _is_threshold(value: float) -> bool:
    return math.isfinite(value) and 0.0 <= value <= 1.0


def _broken(path: Path) -> ModelCorrupt:
    return ModelCorrupt(
        "the active deployment cannot be read: fraudstream did not write it",
        where=str(path),
        remedy="remove the file and deploy a model again: fraudstream train --data CSV",
    )
