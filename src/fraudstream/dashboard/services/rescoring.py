"""Rescores a stored alert with the active model, outside Spark, and explains the difference."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fraudstream.dashboard.services.reasons import explanation_of
from fraudstream.errors import ModelError
from fraudstream.messages.answers import Contribution, StoredScore
from fraudstream.messages.base import Object
from fraudstream.model.artifact import read_manifest
from fraudstream.model.deployment.current import Deployment, current_file, read_current, read_model
from fraudstream.model.explanation.explainer import ExplainerLibrary, Explanation, scored_row
from fraudstream.model.explanation.reasons import Reason
from fraudstream.transactions.wire import AlertField, Outcome

SAME_SCORE: Final = 1e-9
"""Scores that differ by less are equal."""


def rescore_alert(library: ExplainerLibrary, model: Path, alert: Mapping[str, Any]) -> Object:
    """Compare an alert's stored score with that of the active deployment at `model`, by feature.

    Returns the JSON object of docs/http.md. Raises ModelError if no model is active or it cannot be read.
    """
    deployment = deployment_at(model)
    explainer, _ = library.of(deployment.model_id, None)
    now = explainer.explain(scored_row(alert), deployment.aliases)
    then = explanation_of(library, alert)
    stored = alert.get(AlertField.SCORE)
    new_score = now.score if now.is_scorable else None
    return {
        "alert_id": alert[AlertField.ALERT_ID],
        "stored": {name: alert.get(name) for name in StoredScore.model_fields},
        "now": {
            "score": new_score,
            "threshold": deployment.threshold,
            "outcome": now.outcome(deployment.threshold).value,
            "model_id": deployment.model_id,
            "revision": deployment.revision,
            "missing": now.missing,
        },
        "difference": None if stored is None or new_score is None else new_score - stored,
        "same_model": alert.get(AlertField.MODEL_ID) == deployment.model_id,
        "scale": now.scale.value,
        "comparable": isinstance(then, Explanation) and then.scale is now.scale,
        "stored_cause": then if isinstance(then, str) else None,
        "features": _by_feature(None if isinstance(then, str) else then, now),
        "sentence": _sentence(alert, now, deployment),
    }


def deployment_at(model: Path) -> Deployment:
    """Read the deployment at a model path, an artifact or a `current` file; raises ModelError if it cannot be read."""
    current = current_file(model)
    try:
        return read_model(model, read_manifest)[1] if current is None else read_current(current)
    except OSError as e:
        raise ModelError(f"the model cannot be read: {e.strerror}", where=str(model)) from e


def _by_feature(then: Explanation | None, now: Explanation) -> list[Contribution]:
    """Return the contribution of each feature then and now, the largest difference first."""
    before: dict[str, Reason] = {} if then is None else {step.reason.feature: step.reason for step in then.steps}
    after = {step.reason.feature: step.reason for step in now.steps}
    features = []
    for name, reason in (after | {name: old for name, old in before.items() if name not in after}).items():
        old, new = (each[name].contribution if name in each else None for each in (before, after))
        difference = None if then is None else (new or 0.0) - (old or 0.0)
        features.append(Contribution(name, reason.value, reason.imputed, old, new, difference))
    return sorted(features, key=lambda each: -abs((each.now if then is None else each.difference) or 0.0))


def _sentence(alert: Mapping[str, Any], now: Explanation, deployment: Deployment) -> str:
    stored, outcome = alert.get(AlertField.SCORE), now.outcome(deployment.threshold)
    result = {
        Outcome.ALERT: f"an alert again: {now.score:.4g} reaches the threshold {deployment.threshold:.4g}",
        Outcome.CLEAR: f"no longer an alert: {now.score:.4g} is below the threshold {deployment.threshold:.4g}",
        Outcome.UNSCORABLE: f"unscorable: {now.missing} of {len(now.steps)} features are missing",
    }[outcome]
    if stored is None:
        result = result.replace(" again", "").replace("no longer an", "no")
        return f"It was unscorable when it arrived. Now it is {result}."
    if not now.is_scorable:
        return f"Now it is {result}."
    if abs(now.score - stored) <= SAME_SCORE:
        return f"The same score. Now it is {result}."
    change = "rises" if now.score > stored else "falls"
    return f"The score {change} by {abs(now.score - stored):.4g}. Now it is {result}."
