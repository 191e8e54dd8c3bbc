"""Chooses a threshold by cost, and shows or changes the active model's threshold without training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from fraudstream.errors import ChangedMeanwhile, ModelError, SettingsError
from fraudstream.model.deployment.current import (
    CURRENT_FILE,
    Deployment,
    changeable_models_dir,
    deployment_lock,
    read_current,
    write_deployment,
)
from fraudstream.model.evaluation.bootstrap import Floats, ScoredRows
from fraudstream.model.evaluation.record import Evaluation, Operating, ThresholdRow, read_evaluation
from fraudstream.transactions.amounts import is_amount
from fraudstream.transactions.label import CsvProfile

DEFAULT_REVIEW_COST: Final = 2.5
REVIEW_COST_NOTE: Final = (
    "the administrative cost per alert of Correa Bahnsen et al. (2013), about five minutes of an analyst at 30 an hour"
)
UNKNOWN_LOSS: Final = 122.21
"""The mean amount of a fraud in creditcard.csv, for data without an amount column."""
MOST_THRESHOLDS: Final = 400


@dataclass(frozen=True)
class RowLosses:
    """The loss of each row if it is a missed fraud, in the unit of the amounts.

    `column` is the amount column; `note` says what replaces missing amounts.
    """

    by_row: Floats
    column: str | None
    note: str


def losses(profile: CsvProfile) -> RowLosses:
    """Return the amount of each row from the amount column; if a row has none, the mean of the frauds."""
    is_fraud = profile.label.is_fraud
    column = next(
        (each for each in profile.columns if is_amount(each.name) and len(each.values) == len(is_fraud)), None
    )
    known = np.abs(column.values) if column is not None else np.full(len(is_fraud), np.nan)
    amounts = known[is_fraud & np.isfinite(known)]
    if column is None or not len(amounts):
        note = f"no amount column: each missed fraud counts {UNKNOWN_LOSS:g}, the mean fraud of creditcard.csv"
        return RowLosses(np.full(len(is_fraud), UNKNOWN_LOSS), None, note)
    mean = float(amounts.mean())
    without = int((is_fraud & ~np.isfinite(known)).sum())
    note = f"{without} frauds without an amount count the mean of the others, {mean:.2f}" if without else ""
    return RowLosses(np.where(np.isfinite(known), known, mean), column.name, note)


def operating(scored: ScoredRows, loss: Floats, threshold: float, days: float | None) -> Operating:
    """Compute what a threshold catches and costs."""
    is_alert = scored.score >= threshold
    is_caught, is_missed = is_alert & scored.is_fraud, ~is_alert & scored.is_fraud
    return Operating(
        frauds=int(scored.is_fraud.sum()),
        frauds_caught=int(is_caught.sum()),
        false_alarms=float(scored.weight[is_alert & ~scored.is_fraud].sum()),
        amount_caught=float(loss[is_caught].sum()),
        amount_missed=float(loss[is_missed].sum()),
        days=days,
        rows=float(scored.weight.sum()),
    )


def candidate_thresholds(scored: ScoredRows) -> Floats:
    """Return the thresholds that may be the cheapest, the highest first: the score of each fraud, and one above all.

    Between the scores of two frauds, a lower threshold only adds false alarms. Thinned evenly by rank beyond 400.
    """
    levels = np.unique(scored.score[scored.is_fraud])[::-1]
    if len(levels) > MOST_THRESHOLDS:
        levels = levels[np.unique(np.linspace(0, len(levels) - 1, MOST_THRESHOLDS).round().astype(int))]
    return np.concatenate([[1.0], levels[levels < 1.0]])


def cheapest(
    rows: Sequence[ThresholdRow],
    review_cost: float,
    max_alerts_per_day: float | None = None,
    *,
    least: float | None = None,
) -> ThresholdRow:
    """Return the threshold of lowest expected cost within the limit; of several the highest.

    `rows` has the highest threshold first; `review_cost` is that of a false alarm, in the unit of the amounts. With
    `least` cost does not decide: the lowest threshold from there on is returned. Raises SettingsError if the limit
    cannot be met, or if there is no time column to count days by.
    """
    allowed = list(rows)
    if max_alerts_per_day is not None:
        if any(row.expected.days is None for row in rows):
            raise SettingsError(
                "alerts per day cannot be counted: there is no column with the time of the payments",
                where="--max-alerts-per-day",
                remedy="leave it out, or train on a CSV with a time column",
            )
        # The limit is scaled to the period, and never less than a day to a day.
        allowed = [row for row in rows if row.expected.alerts <= max_alerts_per_day * (row.expected.days or 0.0)]
    if not allowed:
        what = f"no threshold has at most {max_alerts_per_day:g} alerts per day"
        raise SettingsError(what, where="--max-alerts-per-day", remedy="allow more")
    if least is not None:
        return next((row for row in allowed[::-1] if row.threshold >= least), allowed[0])
    return min(allowed, key=lambda row: row.expected.cost(review_cost))


_EXCERPT_ROWS: Final = 16
"""Rows of the table for a terminal; the full table is in evaluation.json."""


def excerpt(rows: Sequence[ThresholdRow], *thresholds: float) -> tuple[ThresholdRow, ...]:
    """Return some rows, evenly by rank, including those of the given thresholds."""
    indexes = set(np.linspace(0, len(rows) - 1, min(_EXCERPT_ROWS, len(rows))).round().astype(int).tolist())
    indexes |= {index for index, row in enumerate(rows) if row.threshold in thresholds}
    return tuple(rows[index] for index in sorted(indexes))


def row_at(rows: Sequence[ThresholdRow], threshold: float) -> ThresholdRow:
    """Return the row of the lowest threshold at or above `threshold`: no fraud of the table lies between them."""
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
    """Change the threshold of a revision (None: of any), to a value or to the cheapest in the model's own table.

    Raises:
        ChangedMeanwhile: Another revision is active.
        SettingsError: Not exactly one of value and costs is set, or no threshold meets the limit.
        ModelNamedDirectly: `model` names an artifact.
        ModelError: The deployment cannot be read or written.
    """
    by_cost = review_cost is not None or max_alerts_per_day is not None
    if (value is not None) == by_cost:
        raise SettingsError(
            "specify the threshold in exactly one way",
            where="fraudstream threshold",
            remedy="give a value, or one or both of --review-cost and --max-alerts-per-day",
        )
    models_dir = changeable_models_dir(model)
    with deployment_lock(models_dir):
        before = read_current(models_dir / CURRENT_FILE)
        if revision is not None and before.revision != revision:
            raise ChangedMeanwhile(
                f"the deployment was changed meanwhile: {before.model_id} at {before.threshold:.6g}, "
                f"revision {before.revision}, by {before.who or 'somebody'}"
                + (f" ({before.why})" if before.why else ""),
                where=f"requested for revision {revision}",
                remedy="review the active deployment, and try again",
            )
        if value is None:
            evaluation = require_evaluation(models_dir / before.model_id)
            cost = evaluation.threshold.review_cost if review_cost is None else review_cost
            value = cheapest(evaluation.thresholds, cost, max_alerts_per_day).threshold
        return write_deployment(models_dir, replace(before, threshold=value), who=who, why=why, now=now)


def require_evaluation(artifact: Path) -> Evaluation:
    """Read the evaluation in an artifact's directory; raises ModelError if there is none, else as `read_evaluation`."""
    evaluation = read_evaluation(artifact)
    if evaluation is None:
        raise ModelError(
            "the model has no threshold table: it was trained by an earlier version",
            where=str(artifact),
            remedy="give the threshold as a value, or train again: fraudstream train --data CSV",
        )
    return evaluation
