"""Lists, verifies and compares the models of a directory, and rolls back to an earlier revision."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fraudstream.errors import ModelError, ModelNotFound
from fraudstream.model.artifact import (
    MANIFEST_FILE,
    TRAIN_REMEDY,
    ModelArtifact,
    is_artifact,
    load_artifact,
    read_manifest,
)
from fraudstream.model.deployment.current import (
    CURRENT_FILE,
    Deployment,
    DeploymentChange,
    State,
    deployment_from,
    deployment_lock,
    deployment_or_none,
    read_changes,
    read_current,
    write_deployment,
)
from fraudstream.model.deployment.state import require_state
from fraudstream.model.manifest import Manifest


@dataclass(frozen=True)
class KnownModel:
    """An artifact of the directory; its manifest is None if it cannot be read."""

    model_id: str
    written_at: datetime
    manifest: Manifest | None
    trouble: str
    is_active: bool


@dataclass(frozen=True)
class Verified:
    """The verification of an artifact's checksums; `trouble` is empty if every file matches."""

    model_id: str
    files: int
    trouble: str


def list_models(models_dir: Path) -> list[KnownModel]:
    """List the artifacts of a directory, the newest first; raises ModelNotFound. Their files are not verified."""
    try:
        deployment = deployment_or_none(models_dir)
    except ModelError:  # the list must work when something is wrong
        deployment = None
    current = None if deployment is None else deployment.model_id
    return sorted(
        (_known(path, current) for path in _artifacts(models_dir)), key=lambda model: -model.written_at.timestamp()
    )


def show_model(models_dir: Path, model_id: str) -> KnownModel:
    """Return an artifact by its id or a unique prefix of it; raises ModelNotFound if there is none, or several."""
    deployment = deployment_or_none(models_dir)
    return _known(models_dir / find_id(models_dir, model_id), None if deployment is None else deployment.model_id)


def find_id(models_dir: Path, text: str) -> str:
    """Return the model that `text` is the id, else the name, a tag or the beginning of; `current` is the active.

    Raises ModelNotFound if there is none, or several.
    """
    text = read_current(models_dir / CURRENT_FILE).model_id if text == CURRENT_FILE else text
    ids = [path.name for path in _artifacts(models_dir)]
    matches = [text] if text in ids else []
    if text and not matches:
        named = [model for model in list_models(models_dir) if model.manifest is not None]
        matches = [model.model_id for model in named if model.manifest and model.manifest.name == text]
        matches = matches or [model.model_id for model in named if model.manifest and text in model.manifest.tags]
        matches = matches or [model_id for model_id in ids if model_id.startswith(text)]
    if len(matches) != 1:
        raise ModelNotFound(
            f"{len(matches)} models match {text!r}" if matches else f"there is no model {text!r}",
            where=str(models_dir),
            remedy=f"name one of: {', '.join(matches or ids) or 'there are none'}",
        )
    return matches[0]


def model_path(model: Path, models_dir: Path) -> Path:
    """Return the path of a model: itself if it is one, else that of `current`, or of what `find_id` finds.

    The active model's is that of its deployment. Raises ModelNotFound.
    """
    if len(model.parts) > 1 or model.exists():
        return model
    if model.name == CURRENT_FILE:
        return models_dir / CURRENT_FILE
    known = show_model(models_dir, model.name)
    return models_dir / (CURRENT_FILE if known.is_active else known.model_id)


def model_in_use(models_dir: Path, text: str) -> tuple[ModelArtifact, Deployment]:
    """Load and verify the model that `find_id` finds, with its deployment if it is active, else as recommended."""
    artifact, active = load_artifact(models_dir / find_id(models_dir, text)), deployment_or_none(models_dir)
    if active is not None and active.model_id == artifact.manifest.model_id:
        return artifact, active
    return artifact, Deployment(artifact.manifest.model_id, artifact.manifest.threshold)


def verify_models(models_dir: Path, model_id: str | None = None) -> Iterator[Verified]:
    """Verify every file of an artifact, or of all of them, against the checksums in its manifest.

    Raises ModelNotFound if there is no such directory, or no such model.
    """
    paths = _artifacts(models_dir) if model_id is None else [models_dir / find_id(models_dir, model_id)]
    for path in paths:
        try:
            yield Verified(path.name, len(load_artifact(path).manifest.files), "")
        except ModelError as e:
            yield Verified(path.name, 0, f"{e.what}: {e.where}")


def differences(one: Manifest, other: Manifest) -> dict[str, tuple[Any, Any]]:
    """Return the differences between two manifests, the most relevant first."""
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
        "rows of the deployed fit": (fitted_rows(one), fitted_rows(other)),
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
    """Return whether the metrics of two models were measured on the same rows."""
    same_data = one.training_data.fingerprint == other.training_data.fingerprint
    return same_data and one.split.test is not None and one.split.test == other.split.test


def fitted_rows(manifest: Manifest) -> int:
    """Return how many rows the deployed model was fitted on."""
    return manifest.split.train.rows if manifest.refit is None else manifest.refit.rows


def average_precision_text(manifest: Manifest) -> str:
    """Format the average precision with its interval, if there is one."""
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
        raise ModelNotFound("there is no models directory", where=str(models_dir), remedy=TRAIN_REMEDY)
    return sorted(path for path in models_dir.iterdir() if not path.name.startswith(".") and is_artifact(path))


def _known(path: Path, current: str | None) -> KnownModel:
    manifest, trouble = None, ""
    try:
        manifest = read_manifest(path)
    except ModelError as e:
        trouble = e.what
    written_at = datetime.fromtimestamp((path / MANIFEST_FILE).stat().st_mtime, UTC)
    return KnownModel(path.name, written_at, manifest, trouble, path.name == current)


def _only(one: Manifest, other: Manifest) -> list[str]:
    names = {feature.name for feature in other.features}
    return [feature.name for feature in one.features if feature.name not in names]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def roll_back(models_dir: Path, *, history_state: Path | None = None, who: str, why: str, now: datetime) -> Deployment:
    """Roll back to the deployment before the last change, as a new revision: model, threshold and aliases.

    A rollback is skipped together with the change that it undid: two rollbacks undo two changes.
    Raises ModelNotFound if there was no earlier deployment, or its artifact is missing, DeploymentRefused if the
    history's state lacks what its model needs, else as `write_deployment`.
    """
    with deployment_lock(models_dir):
        state = _state_before_last(history(models_dir))
        if state is None:
            raise ModelNotFound(
                "there is no earlier deployment",
                where=str(models_dir / CURRENT_FILE),
                remedy="deploy a model by its id: fraudstream models use ID",
            )
        target = deployment_from(state, models_dir)
        if not is_artifact(models_dir / target.model_id):
            raise ModelNotFound(
                "the previously active model is missing",
                where=str(models_dir / target.model_id),
                remedy="deploy another one: fraudstream models list, then fraudstream models use ID",
            )
        if history_state is not None:
            require_state(history_state, read_manifest(models_dir / target.model_id))
        return write_deployment(models_dir, target, who=who, why=why, now=now, is_rollback=True)


def history(models_dir: Path) -> list[DeploymentChange]:
    """Return every known change of the deployment, oldest first; raises ModelError if a file cannot be read."""
    deployment = deployment_or_none(models_dir)
    try:
        return read_changes(models_dir, None if deployment is None else asdict(deployment))
    except OSError as e:
        raise ModelError(f"the history cannot be read: {e.strerror}", where=str(models_dir)) from e


def aliases_at(models_dir: Path, revision: int) -> Mapping[str, str]:
    """Return the aliases of a revision, the active ones if it is unknown; ModelError if they cannot be read."""
    state = next((change.after for change in reversed(history(models_dir)) if change.revision == revision), None)
    deployment = read_current(models_dir / CURRENT_FILE) if state is None else deployment_from(state, models_dir)
    return deployment.aliases


def _state_before_last(changes: Sequence[DeploymentChange]) -> State | None:
    """Return the state before the last change that no rollback has undone."""
    made = {change.revision: change for change in changes}
    last = changes[-1] if changes else None
    while last is not None and last.restores is not None:
        last = made.get(last.restores)
    return None if last is None else last.before
