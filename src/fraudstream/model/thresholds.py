"""The threshold of the model in force, looked at and changed without training; how one is chosen is `costs.py`'s."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from fraudstream.errors import ChangedMeanwhile, ModelError, SettingsError
from fraudstream.model.costs import cheapest
from fraudstream.model.current import InForce, change_deployment, changeable_models_dir, resolve
from fraudstream.model.evaluation_record import Evaluation, ThresholdRow, read_evaluation

SHOWN: Final = 16
"""Rows of the table that a terminal shows; the whole is in evaluation.json."""


@dataclass(frozen=True)
class ThresholdTable:
    """What may be expected of each threshold; `nearest` is the row for the active one.

    That is the row of the lowest threshold of the table at or above it.
    """

    in_force: InForce
    evaluation: Evaluation
    nearest: ThresholdRow

    @property
    def shown(self) -> tuple[ThresholdRow, ...]:
        """Some rows, evenly by rank, with that of the threshold in force and the recommended one among them."""
        rows = self.evaluation.thresholds
        picked = set(np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).round().astype(int).tolist())
        recommended = self.evaluation.threshold.threshold
        picked |= {place for place, row in enumerate(rows) if row is self.nearest or row.threshold == recommended}
        return tuple(rows[place] for place in sorted(picked))


def threshold_table(model: Path) -> ThresholdTable:
    """The table of the active model; raises ModelError where none is usable, or it has none (an earlier version's)."""
    artifact, in_force = resolve(model)
    evaluation = _evaluation(artifact.path)
    return ThresholdTable(in_force, evaluation, row_at(evaluation.thresholds, in_force.threshold))


def row_at(rows: Sequence[ThresholdRow], threshold: float) -> ThresholdRow:
    """The row of the lowest threshold at or above one: no fraud of the table lies between them."""
    return min((row for row in rows if row.threshold >= threshold), key=lambda row: row.threshold, default=rows[0])


def set_threshold(
    model: Path,
    *,
    value: float | None = None,
    review_cost: float | None = None,
    max_alerts_per_day: float | None = None,
    revision: int | None = None,
    who: str,
    why: str,
    now: datetime,
) -> InForce:
    """Change the threshold of a revision (None: of any), to a value or to the cheapest by the model's own table.

    Raises:
        ChangedMeanwhile: Another revision is in force.
        SettingsError: Too much or too little is given, or no threshold keeps the limit.
        ModelNamedDirectly: `model` names an artifact.
        ModelError: What is in force cannot be read or written.
    """
    by_cost = review_cost is not None or max_alerts_per_day is not None
    if (value is not None) == by_cost:
        raise SettingsError(
            "what the threshold should be is not clear",
            where="fraudstream threshold",
            remedy="give a value, or --review-cost and --max-alerts-per-day, or one of these",
        )
    models_dir = changeable_models_dir(model)

    def change(in_force: InForce) -> InForce:
        if revision is not None and in_force.revision != revision:
            raise ChangedMeanwhile(
                f"what is in force was changed meanwhile: {in_force.model_id} at {in_force.threshold:.6g}, revision "
                f"{in_force.revision}, by {in_force.who or 'somebody'}"
                + (f" ({in_force.why})" if in_force.why else ""),
                where=f"asked for revision {revision}",
                remedy="look at what is in force now, and decide again",
            )
        if value is not None:
            return replace(in_force, threshold=value)
        evaluation = _evaluation(models_dir / in_force.model_id)
        cost = evaluation.threshold.review_cost if review_cost is None else review_cost
        cheap = cheapest(evaluation.thresholds, cost, max_alerts_per_day)
        return replace(in_force, threshold=cheap.threshold)

    return change_deployment(models_dir, change, who=who, why=why, now=now)


def _evaluation(artifact: Path) -> Evaluation:
    evaluation = read_evaluation(artifact)
    if evaluation is None:
        raise ModelError(
            "the model has no table of thresholds: it was trained by an earlier version",
            where=str(artifact),
            remedy="give the threshold as a value, or train again: fraudstream train --data CSV",
        )
    return evaluation
