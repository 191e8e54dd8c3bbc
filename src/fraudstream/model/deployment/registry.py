"""The models of a directory: listed, verified, compared; and the roll-back to an earlier revision."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fraudstream.errors import ModelCorrupt, ModelError, ModelNotFound
from fraudstream.model.artifact import MANIFEST_FILE, MOST_MANIFEST_BYTES, TRAIN_REMEDY, is_artifact, load_artifact
from fraudstream.model.deployment.current import (
    CURRENT_FILE,
    Change,
    Deployment,
    State,
    deployment_from,
    read_changes,
    read_current,
    replace_deployment,
)
from fraudstream.model.manifest import Manifest, manifest_from_json
from fraudstream.runtime.files import read_regular


@dataclass(frozen=True)
class KnownModel:
    """An artifact of the directory; its manifest is None where that cannot be read."""

    model_id: str
    written_at: datetime
    manifest: Manifest | None
    trouble: str
    is_active: bool


@dataclass(frozen=True)
class Verified:
    """Whether every file of an artifact matches its sum; `trouble` is empty where all do."""

    model_id: str
    files: int
    trouble: str


def deployment_or_none(models_dir: Path) -> Deployment | None:
    """What is active in a directory, or None; raises ModelCorrupt where `current` cannot be read."""
    return read_current(models_dir / CURRENT_FILE) if (models_dir / CURRENT_FILE).is_file() else None


def list_models(models_dir: Path) -> list[KnownModel]:
    """Every artifact of a directory, the newest first; their files are not verified.

    Raises ModelNotFound where there is no such directory.
    """
    try:
        deployment = deployment_or_none(models_dir)
    except ModelError:  # the list is what one looks at when something is wrong
        deployment = None
    current = None if deployment is None else deployment.model_id
    return sorted(
        (_known(path, current) for path in _artifacts(models_dir)), key=lambda model: -model.written_at.timestamp()
    )


def show_model(models_dir: Path, model_id: str) -> KnownModel:
    """One artifact by its id or a unique beginning of it; raises ModelNotFound where there is none, or several."""
    deployment = deployment_or_none(models_dir)
    return _known(models_dir / find_id(models_dir, model_id), None if deployment is None else deployment.model_id)


def find_id(models_dir: Path, given: str) -> str:
    """The id that `given` is or begins; raises ModelNotFound where no artifact has it, or several begin so."""
    names = [path.name for path in _artifacts(models_dir)]
    found = [given] if given in names else [name for name in names if given and name.startswith(given)]
    if len(found) != 1:
        raise ModelNotFound(
            f"{len(found)} models begin with {given!r}" if found else f"there is no model {given!r}",
            where=str(models_dir),
            remedy=f"name one of: {', '.join(found or names) or 'there are none'}",
        )
    return found[0]


def verify_models(models_dir: Path, model_id: str | None = None) -> Iterator[Verified]:
    """Hold every file of an artifact, or of all of them, against the sum in its manifest.

    Raises ModelNotFound where there is no such directory, or no such model.
    """
    paths = _artifacts(models_dir) if model_id is None else [models_dir / find_id(models_dir, model_id)]
    for path in paths:
        try:
            yield Verified(path.name, len(load_artifact(path).manifest.files), "")
        except ModelError as e:
            yield Verified(path.name, 0, f"{e.what}: {e.where}")


def differences(one: Manifest, other: Manifest) -> dict[str, tuple[Any, Any]]:
    """What two models say of themselves that is not the same, in the order in which one would ask."""
    pairs = {
        "algorithm": (one.algorithm, other.algorithm),
        **{
            f"parameter {name}": (one.parameters.get(name), other.parameters.get(name))
            for name in dict.fromkeys((*one.parameters, *other.parameters))
        },
        "data": (one.training_data.name, other.training_data.name),
        "data fingerprint": (one.training_data.fingerprint[:12], other.training_data.fingerprint[:12]),
        "rows": (one.training_data.rows, other.training_data.rows),
        "frauds": (one.training_data.frauds, other.training_data.frauds),
        "legitimate share": (one.legitimate_share, other.legitimate_share),
        "seed": (one.seed, other.seed),
        "features": (len(one.features), len(other.features)),
        "only features": tuple(", ".join(_only(*pair)) for pair in ((one, other), (other, one))),
        "measured on": (one.metrics.measured_on, other.metrics.measured_on),
        "average precision": (average_precision_text(one), average_precision_text(other)),
        "ROC AUC": (_rounded(one.metrics.roc_auc), _rounded(other.metrics.roc_auc)),
        "recall": (_rounded(one.metrics.recall), _rounded(other.metrics.recall)),
        "precision": (_rounded(one.metrics.precision), _rounded(other.metrics.precision)),
        "recommended threshold": (one.threshold, other.threshold),
        "pyspark": (one.versions.get("pyspark"), other.versions.get("pyspark")),
    }
    return {name: (first, second) for name, (first, second) in pairs.items() if first != second}


def are_comparable(one: Manifest, other: Manifest) -> bool:
    """Whether the figures of two models were measured on the same rows."""
    same_data = one.training_data.fingerprint == other.training_data.fingerprint
    return same_data and one.split.test is not None and one.split.test == other.split.test


def average_precision_text(manifest: Manifest) -> str:
    """The average precision with its interval, as far as there is one."""
    metrics = manifest.metrics
    if metrics.average_precision is None:
        return "n/a"
    if metrics.average_precision_low is None or metrics.average_precision_high is None:
        return f"{metrics.average_precision:.3f}"
    return (
        f"{metrics.average_precision:.3f} ({metrics.average_precision_low:.3f} to {metrics.average_precision_high:.3f})"
    )


def _artifacts(models_dir: Path) -> list[Path]:
    if not models_dir.is_dir():
        raise ModelNotFound("there is no directory of models", where=str(models_dir), remedy=TRAIN_REMEDY)
    return sorted(path for path in models_dir.iterdir() if not path.name.startswith(".") and is_artifact(path))


def _known(path: Path, current: str | None) -> KnownModel:
    file = path / MANIFEST_FILE
    manifest, trouble = None, ""
    try:
        manifest = manifest_from_json(read_regular(file, MOST_MANIFEST_BYTES), file)
    except ModelCorrupt as e:
        trouble = e.what
    except OSError as e:
        trouble = f"the manifest cannot be read: {e.strerror}"
    written_at = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    return KnownModel(path.name, written_at, manifest, trouble, path.name == current)


def _only(one: Manifest, other: Manifest) -> list[str]:
    names = {feature.name for feature in other.features}
    return [feature.name for feature in one.features if feature.name not in names]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def roll_back(models_dir: Path, *, who: str, why: str, now: datetime) -> Deployment:
    """Put in force again what was so before the last change, as the next revision: model, threshold and aliases.

    A rollback is passed over together with what it undid: going back twice goes back two changes.

    Raises:
        ModelNotFound: Nothing was in force before, or its artifact is gone.
        ModelCorrupt: The `current` that is there cannot be read.
        ModelError: The file cannot be written.
    """

    def earlier(before: Deployment | None) -> Deployment:
        found = _before_the_last(read_changes(models_dir, None if before is None else asdict(before)))
        if found is None:
            raise ModelNotFound(
                "nothing was in force before",
                where=str(models_dir / CURRENT_FILE),
                remedy="put a model in force by its id: fraudstream models use ID",
            )
        target = deployment_from(found, models_dir)
        if not is_artifact(models_dir / target.model_id):
            raise ModelNotFound(
                "the model that was in force before is gone",
                where=str(models_dir / target.model_id),
                remedy="put another in force: fraudstream models list, then fraudstream models use ID",
            )
        return target

    return replace_deployment(models_dir, earlier, who=who, why=why, now=now, is_rollback=True)


def history(models_dir: Path) -> list[Change]:
    """Every change of the deployment that is known, oldest first.

    Raises ModelCorrupt or ModelError where `current` or the history cannot be read.
    """
    path = models_dir / CURRENT_FILE
    try:
        return read_changes(models_dir, asdict(read_current(path)) if path.exists() else None)
    except OSError as e:
        raise ModelError(f"the history cannot be read: {e.strerror}", where=str(models_dir)) from e


def aliases_at(models_dir: Path, revision: int) -> Mapping[str, str] | None:
    """The aliases of a revision; None where it is not known, and ModelError where the history cannot be read."""
    state = next((change.after for change in reversed(history(models_dir)) if change.revision == revision), None)
    return None if state is None else deployment_from(state, models_dir).aliases


def _before_the_last(changes: Sequence[Change]) -> State | None:
    """What was in force before the last change that no rollback has undone."""
    made = {change.revision: change for change in changes}
    last = changes[-1] if changes else None
    while last is not None and last.restores is not None:
        last = made.get(last.restores)
    return None if last is None else last.before
