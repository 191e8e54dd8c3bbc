"""What a threshold costs in money, and the one that costs least; the scores come from `judging.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from fraudstream.errors import SettingsError
from fraudstream.model.bootstrap import Floats, Scored
from fraudstream.model.evaluation_record import Operating, ThresholdRow
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
