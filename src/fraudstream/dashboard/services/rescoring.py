"""Scores a stored alert again with the model in force, outside Spark, and tells what differs and why.

The scores are those of `model/explanation/`, as of `fraudstream explain`; a test holds them to Spark's own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fraudstream.dashboard.services.reasons import explanation_of
from fraudstream.errors import ModelError
from fraudstream.messages.answers import Contribution, StoredScore
from fraudstream.messages.base import Object
from fraudstream.model.deployment.aliases import read_manifest
from fraudstream.model.deployment.current import Deployment, current_file, read_current
from fraudstream.model.explanation.explainer import ExplainerLibrary, Explanation
from fraudstream.model.explanation.reasons import Reason
from fraudstream.transactions.wire import AlertField, Outcome

SAME: Final = 1e-9
"""Scores that differ by less are the same."""


def rescored(library: ExplainerLibrary, model: Path, alert: Mapping[str, Any]) -> Object:
    """An alert as it was scored, as what is active at the path `model` scores it, and the difference by feature.

    A JSON object, as docs/http.md describes it. Raises ModelError where no model is active, or it cannot be read.
    """
    deployment = deployment_at(model)
    explainer, _ = library.of(deployment.model_id, None)
    now = explainer.explain(alert[AlertField.TRANSACTION], deployment.aliases)
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
    """What is active at a model path, an artifact or a `current` file; raises ModelError where it cannot be read."""
    current = current_file(model)
    if current is not None:
        return read_current(current)
    try:
        manifest = read_manifest(model)
    except OSError as e:
        raise ModelError(f"the model cannot be read: {e.strerror}", where=str(model)) from e
    return Deployment(manifest.model_id, manifest.threshold)


def _by_feature(then: Explanation | None, now: Explanation) -> list[Contribution]:
    """What each feature contributed then and contributes now, the largest difference first."""
    before: dict[str, Reason] = {} if then is None else {step.reason.feature: step.reason for step in then.steps}
    after = {step.reason.feature: step.reason for step in now.steps}
    features = []
    for name, reason in (after | {name: was for name, was in before.items() if name not in after}).items():
        old, new = (each[name].contribution if name in each else None for each in (before, after))
        difference = None if then is None else (new or 0.0) - (old or 0.0)
        features.append(Contribution(name, reason.value, reason.imputed, old, new, difference))
    return sorted(features, key=lambda each: -abs((each.now if then is None else each.difference) or 0.0))


def _sentence(alert: Mapping[str, Any], now: Explanation, deployment: Deployment) -> str:
    stored, outcome = alert.get(AlertField.SCORE), now.outcome(deployment.threshold)
    verdict = {
        Outcome.ALERT: f"an alert again: {now.score:.4g} reaches the threshold {deployment.threshold:.4g}",
        Outcome.CLEAR: f"no alert any more: {now.score:.4g} stays below the threshold {deployment.threshold:.4g}",
        Outcome.UNSCORABLE: f"not judged: {now.missing} of {len(now.steps)} features are missing",
    }[outcome]
    if stored is None:
        verdict = verdict.replace(" again", "").replace(" any more", "")
        return f"It was not judged when it came. Now it is {verdict}."
    if not now.is_scorable:
        return f"Now it is {verdict}."
    if abs(now.score - stored) <= SAME:
        return f"The same score. Now it is {verdict}."
    return (
        f"The score {'rises' if now.score > stored else 'falls'} by {abs(now.score - stored):.4g}. Now it is {verdict}."
    )
