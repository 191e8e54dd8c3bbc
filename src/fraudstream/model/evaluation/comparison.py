"""Compares two models on the same rows, each figure with a paired bootstrap interval, and bounds what is deployed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fraudstream.model.evaluation.bootstrap import (
    ROUNDS,
    Draws,
    Estimate,
    Floats,
    Interval,
    ScoredPeriod,
    average_precision,
    draw_paired,
    estimate,
)
from fraudstream.model.evaluation.curves import RELIABILITY_EDGES, recall_at_rates

MOST_ALERTS: Final = 1.5
"""A model with more than this many times the alerts of the active one is not deployed unless it is forced."""
PRECISION: Final = "average precision"
SAVED: Final = "money saved"
ALERTS: Final = "alerts"
_LEAST_PROBABILITY: Final = 1e-15
_MOST_SINGLE_ROWS: Final = 5_000
_GROUPS_PER_DECADE: Final = 20


@dataclass(frozen=True)
class Measure:
    """A figure of two models on the same rows; `difference` is the new model's less the former's, paired."""

    name: str
    new: Estimate
    former: Estimate
    difference: Estimate

    @property
    def ends(self) -> Interval:
        """The interval of the difference; where there is none, of few frauds, the difference itself counts."""
        return self.difference.interval or Interval(self.difference.value, self.difference.value)


@dataclass(frozen=True)
class Comparison:
    """The new model compared with another one, the active one after a training, on the rows that both could score.

    Attributes:
        average_precision: Of the former model; None if it could not score these rows.
        difference: The new model's less the former's, paired bootstrap; None as above.
        note: Its limitations (the former model may have been trained on some of these rows), or why there is none.
        measures: Every figure of both, each model at its own threshold; empty as above.
    """

    model_id: str
    average_precision: Estimate | None
    difference: Estimate | None
    rows: int
    note: str
    measures: tuple[Measure, ...] = ()

    @property
    def refusal(self) -> str:
        """Why the new model should not replace the former without a decision; empty if it may."""
        if not self.measures:
            return f"it could not be compared with {self.model_id}: {self.note}"
        saved = next(each for each in self.measures if each.name == SAVED)
        alerts = next(each for each in self.measures if each.name.startswith(ALERTS))
        reasons = []
        if saved.ends.high < 0:
            reasons.append(f"it saves {saved.new.value:,.0f} instead of {saved.former.value:,.0f}")
        if alerts.new.value > MOST_ALERTS * alerts.former.value and alerts.ends.low > 0:
            reasons.append(f"it raises {alerts.new.value:,.0f} {alerts.name} instead of {alerts.former.value:,.0f}")
        return " and ".join(reasons)


def compare(
    periods: Sequence[ScoredPeriod],
    thresholds: Sequence[float],
    *,
    review_cost: float,
    model_id: str,
    note: str,
    seed: int,
) -> Comparison:
    """Compare the first model with the second, called `model_id`, on the same rows; both classes are required."""
    is_fraud = periods[0].raw.is_fraud
    columns = [_columns(period, at, review_cost) for period, at in zip(periods, thresholds, strict=True)]
    draws, sums = draw_paired([each.raw for each in periods], seed), paired_sums(columns, is_fraud, seed)
    new, former = (_figures(*each) for each in zip(periods, draws, columns, sums, strict=True))
    measures = {}
    for name, (own, rounds) in new.items():
        other, others = former[name]
        gap = estimate(own.value - other.value, rounds - others, int(is_fraud.sum()))
        measures[name] = Measure(name, own, other, gap)
    precision = measures[PRECISION]
    return Comparison(model_id, precision.former, precision.difference, len(is_fraud), note, tuple(measures.values()))


def paired_sums(models: Sequence[Floats], is_fraud: NDArray[np.bool_], seed: int) -> list[Floats]:
    """Bootstrap the sums of each model's columns, by round and column: the same rows are drawn for every model.

    Each class is resampled separately. Of a class with more than 5,000 rows, those that agree within 12 % in every
    column are drawn as a group with their mean: the sums and nearly all of their variance stay.
    """
    rng = np.random.default_rng(seed)
    stacked = np.hstack(models)
    sums = np.zeros((ROUNDS, stacked.shape[1]))
    for rows in (stacked[is_fraud], stacked[~is_fraud]):
        means, counts = rows, np.ones(len(rows), np.intp)
        if len(rows) > _MOST_SINGLE_ROWS:
            exponents = np.floor(np.log10(np.where(rows == 0, 1.0, np.abs(rows))) * _GROUPS_PER_DECADE)
            keys = np.hstack([exponents, np.sign(rows)]).astype(np.int16)
            _, group, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
            means = np.stack([np.bincount(group.ravel(), column) / counts for column in rows.T], axis=1)
        sums += rng.multinomial(len(rows), counts / len(rows), size=ROUNDS) @ means
    return np.split(sums, len(models), axis=1)


def _columns(period: ScoredPeriod, threshold: float, review_cost: float) -> Floats:
    """Return by row: weight, saving, alerts, log loss, and score less label in the bin of the score."""
    scored, is_alert = period.raw, period.raw.score >= threshold
    probability = np.clip(np.where(scored.is_fraud, scored.score, 1.0 - scored.score), _LEAST_PROBABILITY, 1.0)
    saved = is_alert * np.where(scored.is_fraud, period.loss, -review_cost * scored.weight)
    bins = np.zeros((len(scored.score), len(RELIABILITY_EDGES) + 1))
    excess = scored.weight * (scored.score - scored.is_fraud)
    bins[np.arange(len(bins)), np.searchsorted(RELIABILITY_EDGES, scored.score, side="right")] = excess
    alone = (scored.weight, saved, scored.weight * is_alert, -scored.weight * np.log(probability))
    return np.column_stack([*alone, bins])


def _figures(period: ScoredPeriod, draws: Draws, columns: Floats, sums: Floats) -> dict[str, tuple[Estimate, Floats]]:
    """Return each figure by its name, with its values by round."""
    at_rate, frauds = recall_at_rates(period.raw, draws)[0], int(period.raw.is_fraud.sum())
    days = period.days if period.days is not None and period.days >= 1.0 else None
    both = np.vstack([columns.sum(axis=0), sums])  # the rows as they are, then each round
    by_sums = {
        SAVED: both[:, 1],
        f"{ALERTS} a day" if days else ALERTS: both[:, 2] / (days or 1.0),
        "log loss": both[:, 3] / both[:, 0],
        "calibration error": np.abs(both[:, 4:]).sum(axis=1) / both[:, 0],
    }
    rate = at_rate.false_positive_rate
    precision = estimate(average_precision(period.raw), draws.average_precision, frauds)
    return {
        PRECISION: (precision, draws.average_precision),
        f"recall at {rate:.1%} false alarms": (at_rate.recall, draws.recall_within(rate)),
        **{name: (estimate(float(values[0]), values[1:], frauds), values[1:]) for name, values in by_sums.items()},
    }
