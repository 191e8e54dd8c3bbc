"""Explains payments with models on disk: cells, vector, margin, contributions and score."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from fraudstream.errors import ModelError
from fraudstream.messages.base import Object
from fraudstream.model.artifact import ModelArtifact, read_manifest
from fraudstream.model.deployment.current import artifact_beside, models_dir_of
from fraudstream.model.deployment.registry import aliases_at
from fraudstream.model.explanation.cells import ReadCell, plain, read_cells
from fraudstream.model.explanation.classifier import Classifier, FeatureScale, read_classifier
from fraudstream.model.explanation.reasons import Reason, reason_of
from fraudstream.model.manifest import Manifest
from fraudstream.notebook import Displayed
from fraudstream.transactions.entities import UNKNOWN, EntityColumns
from fraudstream.transactions.wire import AlertField, Outcome

TOP_REASONS: Final = 5
REASONS: Final = "reasons"
EXPLANATION: Final = "explanation"


@dataclass(frozen=True)
class Step:
    """One column's way to the score: its cell, scaled components and reason."""

    cell: ReadCell
    scaled: tuple[float, ...]
    reason: Reason


@dataclass(frozen=True, repr=False)
class Explanation(Displayed):
    """How a score results from a payment's raw values.

    Attributes:
        scale: The unit of `base`, `margin` and every contribution.
        background: What `base`, the margin without any information on the payment, refers to.
        steps: By column, in the order of the vector.
        margin: `base` and all the contributions together.
        probability: The classifier's own probability of fraud; `score` is that after the model's calibration.
        is_scorable: Whether the stream would score the payment; with too many columns missing it is unscorable.
    """

    model_id: str
    scale: FeatureScale
    background: str
    base: float
    steps: tuple[Step, ...]
    margin: float
    probability: float
    score: float
    missing: int
    is_scorable: bool

    def outcome(self, threshold: float) -> Outcome:
        """Return the outcome in the stream at a threshold."""
        if not self.is_scorable:
            return Outcome.UNSCORABLE
        return Outcome.ALERT if self.score >= threshold else Outcome.CLEAR

    def top(self, number: int = TOP_REASONS) -> list[Reason]:
        """Return the reasons of largest contribution, of either sign; columns without one are left out."""
        reasons = [step.reason for step in self.steps if step.reason.contribution != 0.0]
        return sorted(reasons, key=lambda reason: -abs(reason.contribution))[:number]

    def _display(self) -> tuple[str, Sequence[Sequence[str]]]:
        rows = [(each.feature, f"{each.contribution:+.3f}", each.text) for each in self.top()]
        return f"of score {self.score:.6g} by {self.model_id}", rows

    def rest(self, reasons: Sequence[Reason]) -> float:
        """Return the total contribution of all columns except those of `reasons`."""
        return self.margin - self.base - sum(reason.contribution for reason in reasons)


class Explainer:
    """Explains payments with one loaded model; thread-safe."""

    def __init__(self, artifact: ModelArtifact) -> None:
        """Read the saved Spark models; raises ModelCorrupt if this version does not know the algorithm."""
        self.manifest: Manifest = artifact.manifest
        manifest, paths = artifact.manifest, (artifact.scaler_path, artifact.classifier_path)
        self._classifier: Classifier = read_classifier(manifest.algorithm, manifest.features, *paths)

    def explain(self, row: Mapping[str, Any], aliases: Mapping[str, str]) -> Explanation:
        """Explain a payment."""
        cells = read_cells(row, self.manifest.features, aliases)
        vector = np.array([value for cell in cells for value in cell.components], dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            parts = self._classifier.parts(vector)
        scaled = iter(self._classifier.scaler.scaled(vector).tolist())
        steps = tuple(
            Step(
                cell,
                tuple(next(scaled) for _ in cell.components),
                reason_of(cell, plain(cell.raw_value), float(contribution)),
            )
            for cell, contribution in zip(cells, parts.contributions, strict=True)
        )
        probability = self._classifier.scale.probability(parts.margin)
        missing = sum(cell.is_imputed for cell in cells)
        score = float(self.manifest.calibration.of(np.array([probability]))[0])
        return Explanation(
            model_id=self.manifest.model_id,
            scale=self._classifier.scale,
            background=self._classifier.background,
            base=parts.base,
            steps=steps,
            margin=parts.margin,
            probability=probability,
            score=score,
            missing=missing,
            is_scorable=missing <= self.manifest.missing_limit and not np.isnan(score),
        )


def scored_row(alert: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an alert's transaction as it was scored: with the values of its history at that time."""
    history = alert.get(AlertField.HISTORY)
    return {**alert[AlertField.TRANSACTION], **(history if isinstance(history, dict) else {})}


def short_form(explanation: Explanation) -> Object:
    """Return what is stored with an alert: `reasons`, and in `explanation` the totals that they are part of."""
    reasons = explanation.top()
    parts = _sum(explanation) | {"rest": explanation.rest(reasons)}
    return {REASONS: [asdict(reason) for reason in reasons], EXPLANATION: parts}


def cause_form(cause: str) -> Object:
    """Return what is stored with an alert that cannot be explained: no reasons, and the cause."""
    return {REASONS: [], EXPLANATION: {"cause": cause}}


def long_form(explanation: Explanation) -> Object:
    """Return every step from raw value to score."""
    steps = [
        {
            "feature": step.cell.feature.name,
            "type": step.cell.feature.type.value,
            "column": step.cell.column,
            "came": plain(step.cell.raw_value),
            "read_as": step.cell.how,
            "slots": dict(zip(step.cell.feature.components, step.cell.components, strict=True)),
            "scaled": list(step.scaled),
            **{name: value for name, value in asdict(step.reason).items() if name not in ("feature", "value")},
        }
        for step in explanation.steps
    ]
    return {
        **_sum(explanation),
        "steps": steps,
        "missing": explanation.missing,
        "judgeable": explanation.is_scorable,
        REASONS: [asdict(reason) for reason in explanation.top()],
    }


def _sum(explanation: Explanation) -> Object:
    names = ("model_id", "base", "margin", "probability", "score")
    members = {name: getattr(explanation, name) for name in names}
    return members | {"scale": explanation.scale.value, "base_is": explanation.background}


MOST_EXPLAINERS: Final = 4
"""Explainers cached at once: a forest takes tens of megabytes, and most alerts come from one model."""

_MOST_ALIASES: Final = 256


class ExplainerLibrary:
    """Loads and caches the explainers of the models in a models directory."""

    def __init__(self, model: Path) -> None:
        """Open a model path: an artifact, a `current` file, or a directory with one."""
        self._model = model
        self._lock = threading.Lock()
        self._explainer = lru_cache(MOST_EXPLAINERS)(lambda model_id: Explainer(artifact_beside(model, model_id)))
        self._entity_columns = lru_cache(_MOST_ALIASES)(self._load_entity_columns)
        self._aliases = lru_cache(_MOST_ALIASES)(lambda revision: aliases_at(self.models_dir, revision))

    @property
    def models_dir(self) -> Path:
        """The directory of the artifacts."""
        return models_dir_of(self._model)

    def of(self, model_id: str, revision: int | None) -> tuple[Explainer, Mapping[str, str]]:
        """Return the explainer of a model, and the aliases of a revision of the deployment.

        Raises ModelError if the artifact is missing, was changed, or has an algorithm unknown to this version.
        """
        with self._lock:
            explainer = self._explainer(model_id)
            try:  # an artifact that was named directly has no aliases
                return explainer, self._aliases(revision) if revision else {}
            except ModelError:
                return explainer, {}

    def entity_columns(self, model_id: str | None) -> EntityColumns:
        """Return the entity columns of a model; they are recognised by name if it cannot be read."""
        try:
            return UNKNOWN if model_id is None else self._entity_columns(model_id)
        except ModelError:
            return UNKNOWN

    def _load_entity_columns(self, model_id: str) -> EntityColumns:
        manifest = read_manifest(self.models_dir / Path(model_id).name)
        if manifest.entities is None:
            return UNKNOWN
        return EntityColumns(manifest.entities, frozenset(manifest.columns).difference(manifest.entities))
