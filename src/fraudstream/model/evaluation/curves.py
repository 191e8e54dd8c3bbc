"""Defines and computes the curves and tables of the test period, thinned to what a chart needs."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fraudstream.model.evaluation.bootstrap import (
    Draws,
    Estimate,
    Floats,
    Interval,
    ScoredRows,
    interval,
    weights_by_score,
)
from fraudstream.model.evaluation.intervals import effective_size, wilson

FALSE_POSITIVE_RATES: Final = (0.001, 0.01)
ALERTS_PER_DAY: Final = (10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""What one analyst to a small team can review in a day, at five minutes per alert (about 100 each)."""
RELIABILITY_EDGES: Final = (1e-4, 1e-3, 1e-2, *(tenth / 10 for tenth in range(1, 10)))
"""Ten equal bins, the lowest split again by powers of ten, where most payments are: stricter than equal bins."""
_RECALLS: Final = 100
_ROC_POINTS: Final = 200
_LOWEST_LOG_SCORE: Final = -6
_BINS_PER_DECADE: Final = 8


@dataclass(frozen=True)
class PrecisionRecallPoint:
    """The best precision with at least this share of the frauds caught, with its 95 % interval (all shares, 0 to 1)."""

    recall: float
    precision: float
    low: float
    high: float


@dataclass(frozen=True)
class RocPoint:
    """Share of the legitimate rows that raise a false alarm, and of the frauds that are caught (0 to 1)."""

    false_positive_rate: float
    recall: float


@dataclass(frozen=True)
class RecallAtRate:
    """Share of the frauds caught if at most this share of the legitimate rows raises an alarm (0 to 1)."""

    false_positive_rate: float
    recall: Estimate
    threshold: float


@dataclass(frozen=True)
class AtAlertsPerDay:
    """Results of the lowest threshold with at most this many alerts per day, on average over the test period.

    `precision` is the share of frauds among the alerts, `recall` the share of the frauds caught; both 0 to 1.
    """

    alerts_per_day: float
    threshold: float
    precision: float
    recall: float
    frauds_caught: int


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows with similar scores: predicted and observed fraud share, weighted, with its 95 % Wilson interval."""

    low: float
    high: float
    mean_score: float
    fraud_share: float
    share_low: float
    share_high: float
    rows: float
    frauds: int


@dataclass(frozen=True)
class ScoreHistogram:
    """Distribution of the calibrated scores by class, over bins of equal width in log10 of the score.

    There is one more edge than bins; lower scores are in the first bin. The shares of each class add up to 1.
    """

    edges: tuple[float, ...]
    frauds: tuple[float, ...]
    legitimate: tuple[float, ...]


def precision_recall_curve(scored: ScoredRows, draws: Draws) -> tuple[PrecisionRecallPoint, ...]:
    """Return the best precision at each hundredth of recall, with Wilson's interval or the bootstrap's wider one."""
    recalls = np.arange(1, _RECALLS + 1) / _RECALLS
    frauds, legitimate = weights_by_score(scored)
    caught, alerts = np.cumsum(frauds), np.cumsum(frauds + legitimate)
    own = _best_beyond(caught / caught[-1], caught / alerts, recalls)
    squares = np.cumsum(weights_by_score(replace(scored, weight=scored.weight**2)), axis=1).sum(axis=0)
    # Kish's effective number of alerts where as many frauds are caught.
    sizes = (alerts**2 / squares)[np.searchsorted(caught / caught[-1], recalls - 1e-12, side="left")]
    rounds = [
        _best_beyond(recall, precision, recalls)
        for recall, precision in zip(draws.recall, draws.precision, strict=True)
    ]
    by_recall = np.stack(rounds).T
    return tuple(
        PrecisionRecallPoint(float(recall), float(value), *_hull(interval(values), wilson(float(value), float(size))))
        for recall, value, values, size in zip(recalls, own, by_recall, sizes, strict=True)
    )


def roc_curve(scored: ScoredRows) -> tuple[RocPoint, ...]:
    """Return the ROC curve, thinned to equal steps in the logarithm of the rate, which keeps its steep beginning."""
    frauds, legitimate = weights_by_score(scored)
    recall, rate = np.cumsum(frauds) / frauds.sum(), np.cumsum(legitimate) / legitimate.sum()
    target_rates = np.concatenate([[0.0], np.geomspace(1e-5, 1.0, _ROC_POINTS)])
    at = np.searchsorted(rate, target_rates, side="right") - 1
    points = {(float(rate[i]), float(recall[i])) if i >= 0 else (0.0, 0.0) for i in at} | {(0.0, 0.0), (1.0, 1.0)}
    return tuple(RocPoint(*point) for point in sorted(points))


def recall_at_rates(scored: ScoredRows, draws: Draws) -> tuple[RecallAtRate, ...]:
    """Return the share of the frauds caught at `FALSE_POSITIVE_RATES`, with Wilson's interval or a wider one."""
    frauds, legitimate = weights_by_score(scored)
    scores = np.unique(scored.score)[::-1]
    recall, rate = np.cumsum(frauds) / frauds.sum(), np.cumsum(legitimate) / legitimate.sum()
    rows = []
    for limit in FALSE_POSITIVE_RATES:
        within = int(np.searchsorted(rate, limit, side="right"))
        allowed = draws.alarms <= limit * draws.legitimate[:, None]
        value = float(recall[within - 1]) if within else 0.0
        # The threshold itself varies with the legitimate rows, which only the bootstrap covers.
        drawn = interval(np.where(allowed, draws.recall, 0.0).max(axis=1))
        ends = _hull(drawn, wilson(value, int(scored.is_fraud.sum())))
        rows.append(RecallAtRate(limit, Estimate(value, *ends), float(scores[within - 1]) if within else 1.0))
    return tuple(rows)


def at_alerts_per_day(scored: ScoredRows, days: float | None) -> tuple[AtAlertsPerDay, ...]:
    """Return precision and recall for each of `ALERTS_PER_DAY`, on average over the period; empty without a span."""
    if not days:
        return ()
    frauds, legitimate = weights_by_score(scored)
    scores = np.unique(scored.score)[::-1]
    caught, alerts = np.cumsum(frauds), np.cumsum(frauds + legitimate)
    rows = []
    for limit in ALERTS_PER_DAY:
        within = int(np.searchsorted(alerts, limit * days, side="right"))
        if not within or limit * days > alerts[-1]:
            continue
        at = within - 1
        rows.append(
            AtAlertsPerDay(
                alerts_per_day=limit,
                threshold=float(scores[at]),
                precision=float(caught[at] / alerts[at]),
                recall=float(caught[at] / caught[-1]),
                frauds_caught=int((scored.is_fraud & (scored.score >= scores[at])).sum()),
            )
        )
    return tuple(rows)


def reliability(scored: ScoredRows) -> tuple[ReliabilityBin, ...]:
    """Return predicted and observed fraud shares by bin; empty bins are left out."""
    bin_index = np.searchsorted(RELIABILITY_EDGES, scored.score, side="right")
    edges = (0.0, *RELIABILITY_EDGES, 1.0)
    rows = []
    for number in range(len(edges) - 1):
        inside = bin_index == number
        weight = float(scored.weight[inside].sum())
        if not weight:
            continue
        frauds = float(scored.weight[inside & scored.is_fraud].sum())
        low, high = wilson(frauds / weight, effective_size(scored.weight[inside]))
        rows.append(
            ReliabilityBin(
                low=edges[number],
                high=edges[number + 1],
                mean_score=float(scored.weight[inside] @ scored.score[inside]) / weight,
                fraud_share=frauds / weight,
                share_low=low,
                share_high=high,
                rows=weight,
                frauds=int((inside & scored.is_fraud).sum()),
            )
        )
    return tuple(rows)


def expected_calibration_error(bins: tuple[ReliabilityBin, ...]) -> float:
    """Compute the mean distance of score and fraud share, each bin weighted by its rows."""
    rows = sum(each.rows for each in bins)
    return sum(each.rows * abs(each.mean_score - each.fraud_share) for each in bins) / rows


def histogram(scored: ScoredRows) -> ScoreHistogram:
    """Return the histogram of scores by class over equal steps of their logarithm."""
    edges = 10.0 ** (np.arange(_LOWEST_LOG_SCORE * _BINS_PER_DECADE, 1) / _BINS_PER_DECADE)
    bin_index = np.clip(np.searchsorted(edges, scored.score, side="right") - 1, 0, len(edges) - 2)

    def shares(rows: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[float, ...]:
        counts = np.bincount(bin_index[rows], scored.weight[rows], len(edges) - 1)
        return tuple((counts / counts.sum()).tolist())

    return ScoreHistogram(tuple(edges.tolist()), shares(scored.is_fraud), shares(~scored.is_fraud))


def _hull(one: Interval, other: Interval) -> Interval:
    return Interval(min(one.low, other.low), max(one.high, other.high))


def _best_beyond(recall: Floats, precision: Floats, recalls: Floats) -> Floats:
    """Return the best precision at or beyond each of `recalls`."""
    best = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, recalls - 1e-12, side="left")
    return np.asarray(best[np.minimum(at, len(best) - 1)])
