"""The threshold of the model in force, looked at and changed without training, and the costs by which one is chosen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from fraudstream.errors import ChangedMeanwhile, ModelError, SettingsError
from fraudstream.model.deployment.current import Deployment, change_deployment, changeable_models_dir, resolve
from fraudstream.model.evaluation.bootstrap import Floats, Scored
from fraudstream.model.evaluation.record import Evaluation, Operating, ThresholdRow, read_evaluation
from fraudstream.transactions.amounts import is_amount
from fraudstream.transactions.label import CsvProfile

DEFAULT_REVIEW_COST: Final = 2.5
REVIEW_COST_NOTE: Final = (
    "the administrative cost per alert of Correa Bahnsen et al. (2013), about five minutes of an analyst at 30 an hour"
)
UNKNOWN_LOSS: Final = 122.21
"""The mean amount of a fraud in creditcard.csv, for data without a column of amounts."""
MOST_THRESHOLDS: Final = 400


@dataclass(frozen=True)
class Losses:
    """What each row loses if it is a fraud that is missed, in the unit of the amounts.

    `column` is that of the amounts; where there is none, `note` says what stands for them.
    """

    by_row: Floats
    column: str | None
    note: str


def losses(profile: CsvProfile) -> Losses:
    """The amount of each row: of the column named for it; where a row has none, the mean of the frauds."""
    is_fraud = profile.label.is_fraud
    column = next(
        (each for each in profile.columns if is_amount(each.name) and len(each.values) == len(is_fraud)), None
    )
    known = np.abs(column.values) if column is not None else np.full(len(is_fraud), np.nan)
    amounts = known[is_fraud & np.isfinite(known)]
    if column is None or not len(amounts):
        note = f"no column of amounts: each missed fraud counts {UNKNOWN_LOSS:g}, the mean fraud of creditcard.csv"
        return Losses(np.full(len(is_fraud), UNKNOWN_LOSS), None, note)
    mean = float(amounts.mean())
    without = int((is_fraud & ~np.isfinite(known)).sum())
    note = f"{without} frauds without an amount count the mean of the others, {mean:.2f}" if without else ""
    return Losses(np.where(np.isfinite(known), known, mean), column.name, note)


def operating(scored: Scored, loss: Floats, threshold: float, days: float | None) -> Operating:
    """What a threshold catches and costs."""
    is_alert = scored.score >= threshold
    is_caught, is_missed = is_alert & scored.is_fraud, ~is_alert & scored.is_fraud
    return Operating(
        frauds=int(scored.is_fraud.sum()),
        frauds_caught=int(is_caught.sum()),
        false_alarms=float(scored.weight[is_alert & ~scored.is_fraud].sum()),
        amount_caught=float(loss[is_caught].sum()),
        amount_missed=float(loss[is_missed].sum()),
        days=days,
    )


def worth_considering(scored: Scored) -> Floats:
    """Thresholds among which the cheapest is, the highest first: each score of a fraud, and one above them all.

    Between two scores of frauds a lower threshold only adds false alarms. Thinned evenly by rank beyond 400.
    """
    levels = np.unique(scored.score[scored.is_fraud])[::-1]
    if len(levels) > MOST_THRESHOLDS:
        levels = levels[np.unique(np.linspace(0, len(levels) - 1, MOST_THRESHOLDS).round().astype(int))]
    return np.concatenate([[1.0], levels[levels < 1.0]])


def cheapest(rows: Sequence[ThresholdRow], review_cost: float, max_alerts_per_day: float | None = None) -> ThresholdRow:
    """The threshold of least expected cost among those that keep the limit; of several the highest.

    `rows` has the highest threshold first; `review_cost` is that of a false alarm, in the unit of the amounts. Raises
    SettingsError where the limit cannot be kept, or no column says how long a day is.
    """
    allowed = list(rows)
    if max_alerts_per_day is not None:
        if any(row.expected.alerts_per_day is None for row in rows):
            raise SettingsError(
                "alerts a day cannot be counted: no column tells when the payments were made",
                where="--max-alerts-per-day",
                remedy="leave it out, or train on a CSV with a column of times",
            )
        allowed = [row for row in rows if (row.expected.alerts_per_day or 0.0) <= max_alerts_per_day]
    if not allowed:
        raise SettingsError(
            f"no threshold keeps to {max_alerts_per_day:g} alerts a day",
            where="--max-alerts-per-day",
            remedy="allow more",
        )
    return min(allowed, key=lambda row: row.expected.cost(review_cost))


SHOWN: Final = 16
"""Rows of the table that a terminal shows; the whole is in evaluation.json."""


@dataclass(frozen=True)
class ThresholdTable:
    """What may be expected of each threshold; `nearest` is the row for the active one.

    That is the row of the lowest threshold of the table at or above it.
    """

    deployment: Deployment
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
    artifact, deployment = resolve(model)
    evaluation = _evaluation(artifact.path)
    return ThresholdTable(deployment, evaluation, row_at(evaluation.thresholds, deployment.threshold))


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
) -> Deployment:
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

    def change(deployment: Deployment) -> Deployment:
        if revision is not None and deployment.revision != revision:
            raise ChangedMeanwhile(
                f"the deployment was changed meanwhile: {deployment.model_id} at {deployment.threshold:.6g}, "
                f"revision {deployment.revision}, by {deployment.who or 'somebody'}"
                + (f" ({deployment.why})" if deployment.why else ""),
                where=f"asked for revision {revision}",
                remedy="look at what is in force now, and decide again",
            )
        if value is not None:
            return replace(deployment, threshold=value)
        evaluation = _evaluation(models_dir / deployment.model_id)
        cost = evaluation.threshold.review_cost if review_cost is None else review_cost
        cheap = cheapest(evaluation.thresholds, cost, max_alerts_per_day)
        return replace(deployment, threshold=cheap.threshold)

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
