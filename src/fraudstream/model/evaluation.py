"""Figures of a model from its scores, weighted, with their uncertainty; which rows may be scored is `split.py`'s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BOOTSTRAP_ROUNDS: Final = 1000
INTERVAL: Final = 0.95


@dataclass(frozen=True)
class Scored:
    """Rows with their verdicts.

    Attributes:
        score: By row, the probability of fraud.
        is_fraud: By row, what it was.
        weight: By row, how many rows of the whole it stands for.
    """

    score: Floats
    is_fraud: NDArray[np.bool_]
    weight: Floats

    @property
    def has_both_classes(self) -> bool:
        """Whether there is a fraud and a legitimate row, without which no figure can be had."""
        return bool(self.is_fraud.any()) and not bool(self.is_fraud.all())


@dataclass(frozen=True)
class AtThreshold:
    """What a threshold catches and costs.

    Attributes:
        recall: Share of the frauds at or above it; 0 where there are none.
        precision: Share of frauds among the alerts, weighted; 0 where there are none.
        f1: Harmonic mean of the two.
        frauds: Frauds.
        frauds_caught: Of these, at or above it.
        false_alarms: Legitimate rows at or above it, weighted.
        false_alarms_per_1000: Of a thousand legitimate rows.
    """

    recall: float
    precision: float
    f1: float
    frauds: int
    frauds_caught: int
    false_alarms: float
    false_alarms_per_1000: float


@dataclass(frozen=True)
class Interval:
    """The ends of an interval of confidence."""

    low: float
    high: float


def average_precision(scored: Scored) -> float:
    """Average precision, step-wise and weighted: the sum of (R_n - R_(n-1)) P_n over the distinct scores.

    As scikit-learn defines `average_precision_score`: rows of one score count at once, nothing is interpolated.
    """
    frauds, legitimate = _weights_by_score(scored)
    caught, alarms = np.cumsum(frauds), np.cumsum(legitimate)
    return float(np.sum(frauds * caught / (caught + alarms)) / caught[-1])


def roc_auc(scored: Scored) -> float:
    """Weighted area under the ROC curve: the chance that a fraud scores above a legitimate row, ties half."""
    frauds, legitimate = _weights_by_score(scored)
    caught = np.cumsum(frauds)
    above = caught - frauds / 2
    return float(np.sum(legitimate * above) / (caught[-1] * legitimate.sum()))


def average_precision_interval(scored: Scored, seed: int, rounds: int = BOOTSTRAP_ROUNDS) -> Interval:
    """95 % percentile bootstrap of the average precision, stratified: each class is drawn from its own rows.

    Rows that stand at the same place among the frauds' scores with the same weight are exchangeable, so how often each
    such group is drawn is multinomial. That is the bootstrap itself and no approximation, and needs no draw per row:
    60,000 rows with 74 frauds take a tenth of a second. Needs a fraud and a legitimate row.
    """
    rng = np.random.default_rng(seed)
    levels = np.unique(scored.score[scored.is_fraud])[::-1]
    # A legitimate row is an alarm from the first level on that its score reaches; below the lowest it never is.
    level = np.searchsorted(-levels, -scored.score, side="left")
    caught = _drawn(level[scored.is_fraud], scored.weight[scored.is_fraud], len(levels), rng, rounds)
    alarms = _drawn(level[~scored.is_fraud], scored.weight[~scored.is_fraud], len(levels), rng, rounds)
    caught_so_far, alarms_so_far = np.cumsum(caught, axis=1), np.cumsum(alarms, axis=1)
    alerts = caught_so_far + alarms_so_far
    precision = np.divide(caught_so_far, alerts, out=np.zeros_like(alerts), where=alerts > 0)
    values = np.sum(caught * precision, axis=1) / caught_so_far[:, -1]
    low, high = np.quantile(values, ((1 - INTERVAL) / 2, (1 + INTERVAL) / 2))
    return Interval(float(low), float(high))


def at_threshold(scored: Scored, threshold: float) -> AtThreshold:
    """What the threshold catches and costs; a score at or above it is an alert."""
    is_alert = scored.score >= threshold
    is_caught = is_alert & scored.is_fraud
    caught = float(scored.weight[is_caught].sum())
    alarms = float(scored.weight[is_alert & ~scored.is_fraud].sum())
    frauds = float(scored.weight[scored.is_fraud].sum())
    legitimate = float(scored.weight[~scored.is_fraud].sum())
    recall = caught / frauds if frauds else 0.0
    precision = caught / (caught + alarms) if caught else 0.0
    return AtThreshold(
        recall=recall,
        precision=precision,
        f1=2 * precision * recall / (precision + recall) if caught else 0.0,
        frauds=int(scored.is_fraud.sum()),
        frauds_caught=int(is_caught.sum()),
        false_alarms=alarms,
        false_alarms_per_1000=1000 * alarms / legitimate if legitimate else 0.0,
    )


def choose_threshold(scored: Scored) -> float:
    """The score that maximises the weighted F1; of several the highest, which alarms least.

    Needs at least one fraud among the rows.
    """
    frauds, legitimate = _weights_by_score(scored)
    caught, alerts = np.cumsum(frauds), np.cumsum(frauds + legitimate)
    f1 = 2 * caught / (alerts + caught[-1])
    return float(np.unique(scored.score)[::-1][int(np.argmax(f1))])


def _weights_by_score(scored: Scored) -> tuple[Floats, Floats]:
    """The weight of the frauds and of the legitimate rows at each distinct score, the highest first."""
    _, position = np.unique(-scored.score, return_inverse=True)
    frauds = np.bincount(position, scored.weight * scored.is_fraud)
    legitimate = np.bincount(position, scored.weight * ~scored.is_fraud)
    return frauds.astype(np.float64), legitimate.astype(np.float64)


def _drawn(level: NDArray[np.intp], weight: Floats, levels: int, rng: np.random.Generator, rounds: int) -> Floats:
    """The weight drawn at each level, round by round, when as many rows as there are are drawn with replacement."""
    groups, counts = np.unique(np.stack([level, weight]), axis=1, return_counts=True)
    times = rng.multinomial(len(level), counts / len(level), size=rounds)
    present, start = np.unique(groups[0].astype(np.intp), return_index=True)
    drawn = np.zeros((rounds, levels + 1))
    drawn[:, present] = np.add.reduceat(times * groups[1], start, axis=1)
    return drawn[:, :levels]
