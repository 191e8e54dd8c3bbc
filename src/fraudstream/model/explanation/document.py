"""An explanation as JSON: the short form that goes with an alert, and the long one, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from fraudstream.model.explanation.cells import plain
from fraudstream.model.explanation.explainer import TOP_REASONS, Explanation
from fraudstream.model.explanation.reasons import Reason

REASONS: Final = "reasons"
EXPLANATION: Final = "explanation"


def short_form(explanation: Explanation, number: int = TOP_REASONS) -> dict[str, Any]:
    """What goes with an alert: `reasons`, and in `explanation` what they are parts of."""
    reasons = explanation.top(number)
    return {REASONS: _reasons(reasons), EXPLANATION: _sum(explanation) | {"rest": explanation.rest(reasons)}}


def cause_form(cause: str) -> dict[str, Any]:
    """What goes with an alert that cannot be explained: no reasons, and why."""
    return {REASONS: [], EXPLANATION: {"cause": cause}}


def long_form(explanation: Explanation) -> dict[str, Any]:
    """Every step from raw value to score."""
    steps = [
        {
            "feature": step.cell.feature.name,
            "type": step.cell.feature.type.value,
            "column": step.cell.column,
            "came": plain(step.cell.came),
            "read_as": step.cell.how,
            "slots": dict(zip(step.cell.feature.slots, step.cell.slots, strict=True)),
            "scaled": list(step.scaled),
            **{name: value for name, value in asdict(step.reason).items() if name not in ("feature", "value")},
        }
        for step in explanation.steps
    ]
    return {
        **_sum(explanation),
        "steps": steps,
        "missing": explanation.missing,
        "judgeable": explanation.is_judgeable,
        REASONS: _reasons(explanation.top()),
    }


def _reasons(reasons: Sequence[Reason]) -> list[dict[str, Any]]:
    return [asdict(reason) for reason in reasons]


def _sum(explanation: Explanation) -> dict[str, Any]:
    return {
        "model_id": explanation.model_id,
        "scale": explanation.scale.value,
        "base": explanation.base,
        "base_is": explanation.background,
        "margin": explanation.margin,
        "probability": explanation.probability,
        "score": explanation.score,
    }
