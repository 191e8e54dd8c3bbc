"""The models of a directory: listed, verified, compared; which is in force is `current.py`'s to say and to change."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fraudstream.errors import ModelCorrupt, ModelError, ModelNotFound
from fraudstream.model.artifact import MANIFEST_FILE, MOST_MANIFEST_BYTES, TRAIN_REMEDY, is_artifact, load_artifact
from fraudstream.model.current import CURRENT_FILE, InForce, read_current
from fraudstream.model.manifest import Manifest, manifest_from_json
from fraudstream.runtime.files import read_regular


@dataclass(frozen=True)
class KnownModel:
    """An artifact of the directory; its manifest is None where that cannot be read."""

    model_id: str
    written_at: datetime
    manifest: Manifest | None
    trouble: str
    is_in_force: bool


@dataclass(frozen=True)
class Verified:
    """Whether every file of an artifact matches its sum; `trouble` is empty where all do."""

    model_id: str
    files: int
    trouble: str


def in_force_or_none(models_dir: Path) -> InForce | None:
    """What is active in a directory, or None; raises ModelCorrupt where `current` cannot be read."""
    return read_current(models_dir / CURRENT_FILE) if (models_dir / CURRENT_FILE).is_file() else None


def list_models(models_dir: Path) -> list[KnownModel]:
    """Every artifact of a directory, the newest first; their files are not verified.

    Raises ModelNotFound where there is no such directory.
    """
    try:
        in_force = in_force_or_none(models_dir)
    except ModelError:  # the list is what one looks at when something is wrong
        in_force = None
    current = None if in_force is None else in_force.model_id
    return sorted(
        (_known(path, current) for path in _artifacts(models_dir)), key=lambda model: -model.written_at.timestamp()
    )


def show_model(models_dir: Path, model_id: str) -> KnownModel:
    """One artifact by its id or a unique beginning of it; raises ModelNotFound where there is none, or several."""
    in_force = in_force_or_none(models_dir)
    return _known(models_dir / find_id(models_dir, model_id), None if in_force is None else in_force.model_id)


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
