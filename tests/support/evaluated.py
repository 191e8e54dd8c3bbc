"""An active linear model with an evaluation, alerts that it scored, and samples: for pages that need all three."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from columns import NOW, row, sample
from dashboards import alert
from evaluations import small_evaluation
from fraudstream.model.artifact import load_artifact, write_artifact
from fraudstream.model.deployment.current import deploy
from fraudstream.model.evaluation.record import evaluation_to_json
from fraudstream.model.explanation.explainer import Explainer
from fraudstream.model.manifest import Manifest
from saved_models import COEFFICIENTS, LINEAR_ID, linear_manifest, save_linear

THRESHOLD = 0.5


def deployed_evaluated_model(
    models: Path, coefficients: Sequence[float] = COEFFICIENTS, manifest: Manifest | None = None
) -> Path:
    """The model of `saved_models`, with an evaluation beside it; returns its `current` file."""
    manifest = manifest or linear_manifest()

    def save(scaler: Path, classifier: Path) -> None:
        save_linear(manifest.features, coefficients, scaler, classifier)

    write_artifact(models, manifest, save, {"evaluation.json": evaluation_to_json(small_evaluation()[0])})
    deploy(models, LINEAR_ID, THRESHOLD, who="test", why="the first", now=NOW)
    return models / "current"


def scored_alert(
    models: Path, number: int, overrides: Mapping[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """An alert with the score that the model gives its payment."""
    transaction = {
        name: value for name, value in (row(number, V1=4.0) | dict(overrides or {})).items() if value is not None
    }
    score = Explainer(load_artifact(models / LINEAR_ID)).explain(transaction, {}).score
    return alert(number, transaction=transaction, score=score, model_id=LINEAR_ID) | changes


def scored_samples(count: int, start: int = 0) -> list[Any]:
    """Samples of this model, a second and ten rows apart, of which few have high scores."""
    rng = random.Random(start)
    return [
        sample((start + n) * 10, row(n), second=start + n, score=rng.betavariate(0.25, 8), model_id=LINEAR_ID)
        for n in range(count)
    ]
