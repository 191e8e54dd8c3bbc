"""Compares two models on the same rows: paired differences, confusion matrices, disagreements, and a bound."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fraudstream.model.deployment.current import Deployment
from fraudstream.model.evaluation.bootstrap import (
    ROUNDS,
    Draws,
    Estimate,
    Floats,
    Interval,
    ScoredRows,
    average_precision,
    draw_paired,
    estimate,
)
from fraudstream.model.evaluation.curves import RELIABILITY_EDGES, recall_at_rates

MOST_ALERTS: Final = 1.5
"""A model with more than this many times the alerts of the active one is not deployed unless it is forced."""
THRESHOLDS: Final = (0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
PRECISION: Final = "average precision"
SAVED: Final = "money saved"
ALERTS: Final = "alerts"
_MOST_DISAGREEMENTS: Final = 20
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
class Confusion:
    """What a model does with the rows at a threshold: counts of legitimate rows are weighted, `saved` is an amount."""

    threshold: float
    frauds_caught: int
    frauds_missed: int
    false_alarms: float
    cleared: float
    saved: float


@dataclass(frozen=True)
class Disagreement:
    """A row that raises an alert with one model only, by its number in the file; `loss` is its amount."""

    row: int
    is_fraud: bool
    new: float
    former: float
    loss: float


@dataclass(frozen=True)
class Comparison:
    """The new model compared with another one, the active one after a training, on the rows that both could score.

    Attributes:
        average_precision: Of the former model; None if it could not score these rows.
        difference: The new model's less the former's, paired bootstrap; None as above.
        note: Its limitations (the former model may have been trained on some of these rows), or why there is none.
        measures: Every figure of both with its interval; empty as above.
        confusions: Of the new model and of the former, each at its own threshold.
        thresholds: Both at the same thresholds, the highest first.
        disagreed: How many rows raise an alert with one model only; `disagreements` has those with the greatest loss.
    """

    model_id: str
    average_precision: Estimate | None
    difference: Estimate | None
    rows: int
    note: str
    measures: tuple[Measure, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    thresholds: tuple[tuple[Confusion, Confusion], ...] = ()
    disagreed: int = 0
    disagreements: tuple[Disagreement, ...] = ()

    def is_with(self, deployment: Deployment) -> bool:
        """Whether the former model is this deployment, at its threshold."""
        at = [each.threshold for each in self.confusions[1:]]
        return self.model_id == deployment.model_id and at == [deployment.threshold]

    @property
    def refusal(self) -> str:
        """Why the new model should not replace the former without a decision; empty if it may."""
        if not self.measures:
            return f"it could not be compared with {self.model_id}: {self.note}"
        by_name = {measure.name: measure for measure in self.measures}
        saved, alerts = by_name[SAVED], next(each for name, each in by_name.items() if name.startswith(ALERTS))
        reasons = []
        if saved.ends.high < 0:
            reasons.append(f"it saves {saved.new.value:,.0f} instead of {saved.former.value:,.0f}")
        if alerts.new.value > MOST_ALERTS * alerts.former.value and alerts.ends.low > 0:
            reasons.append(f"it raises {alerts.new.value:,.0f} {alerts.name} instead of {alerts.former.value:,.0f}")
        return " and ".join(reasons)


@dataclass(frozen=True)
class Contender:
    """A model's scores of the rows, with the threshold that it is used at."""

    scored: ScoredRows
    threshold: float

    @property
    def is_alert(self) -> NDArray[np.bool_]:
        """Whether each row raises an alert."""
        return self.scored.score >= self.threshold


@dataclass(frozen=True)
class ComparedRows:
    """What the rows have besides scores: numbers in the file, losses if missed, cost of a review, and span in days."""

    numbers: NDArray[np.int64]
    loss: Floats
    review_cost: float
    days: float | None

    def columns(self, model: Contender) -> Floats:
        """Return by row: weight, saving, alerts, log loss, and score less label in the bin of the score."""
        scored, is_alert = model.scored, model.is_alert
        probability = np.clip(np.where(scored.is_fraud, scored.score, 1.0 - scored.score), _LEAST_PROBABILITY, 1.0)
        saved = is_alert * np.where(scored.is_fraud, self.loss, -self.review_cost * scored.weight)
        bins = np.zeros((len(scored.score), len(RELIABILITY_EDGES) + 1))
        excess = scored.weight * (scored.score - scored.is_fraud)
        bins[np.arange(len(bins)), np.searchsorted(RELIABILITY_EDGES, scored.score, side="right")] = excess
        alone = (scored.weight, saved, scored.weight * is_alert, -scored.weight * np.log(probability))
        return np.column_stack([*alone, bins])

    def confusion(self, model: Contender, threshold: float) -> Confusion:
        """Return what a model does with the rows at a threshold."""
        is_alert, is_fraud, weight = model.scored.score >= threshold, model.scored.is_fraud, model.scored.weight
        caught, missed = is_alert & is_fraud, ~is_alert & is_fraud
        alarms, cleared = (float(weight[rows & ~is_fraud].sum()) for rows in (is_alert, ~is_alert))
        saved = float(self.loss[caught].sum()) - self.review_cost * alarms
        return Confusion(threshold, int(caught.sum()), int(missed.sum()), alarms, cleared, saved)


def compare(
    new: Contender, former: Contender, rows: ComparedRows, *, model_id: str, note: str, seed: int
) -> Comparison:
    """Compare two models that scored the same rows in the same order; both classes are required."""
    both, is_fraud = (new, former), new.scored.is_fraud
    draws = draw_paired([each.scored for each in both], seed)
    sums = paired_sums([rows.columns(each) for each in both], is_fraud, seed)
    figures = [_figures(*each, rows) for each in zip(both, draws, sums, strict=True)]
    measures = {
        name: Measure(name, one, other, estimate(one.value - other.value, mine - theirs, int(is_fraud.sum())))
        for name, ((one, mine), (other, theirs)) in ((name, [each[name] for each in figures]) for name in figures[0])
    }
    differing = np.flatnonzero(new.is_alert != former.is_alert)
    costly = differing[np.argsort(-(rows.loss * is_fraud)[differing], kind="stable")][:_MOST_DISAGREEMENTS]
    values = (rows.numbers, is_fraud, new.scored.score, former.scored.score, rows.loss)
    return Comparison(
        model_id,
        measures[PRECISION].former,
        measures[PRECISION].difference,
        len(rows.numbers),
        note,
        tuple(measures.values()),
        tuple(rows.confusion(each, each.threshold) for each in both),
        tuple((rows.confusion(new, at), rows.confusion(former, at)) for at in THRESHOLDS),
        len(differing),
        tuple(Disagreement(*each) for each in zip(*(of[costly].tolist() for of in values), strict=True)),
    )


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


def _figures(model: Contender, draws: Draws, sums: Floats, rows: ComparedRows) -> dict[str, tuple[Estimate, Floats]]:
    """Return each figure by its name, with its values by round."""
    at_rate, frauds = recall_at_rates(model.scored, draws)[0], int(model.scored.is_fraud.sum())
    rate, days = at_rate.false_positive_rate, rows.days if rows.days is not None and rows.days >= 1.0 else None
    both = np.vstack([rows.columns(model).sum(axis=0), sums])  # the rows as they are, then each round
    by_sums = {
        PRECISION: np.concatenate([[average_precision(model.scored)], draws.average_precision]),
        SAVED: both[:, 1],
        f"{ALERTS} a day" if days else ALERTS: both[:, 2] / (days or 1.0),
        "log loss": both[:, 3] / both[:, 0],
        "calibration error": np.abs(both[:, 4:]).sum(axis=1) / both[:, 0],
    }
    figures = {name: (estimate(float(values[0]), values[1:], frauds), values[1:]) for name, values in by_sums.items()}
    recall = {f"recall at {rate:.1%} false alarms": (at_rate.recall, draws.recall_within(rate))}
    return {PRECISION: figures[PRECISION]} | recall | figures
