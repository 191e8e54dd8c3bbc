"""Figures of a model from its scores, weighted; their uncertainty is `bootstrap.py`'s, the curves are `curves.py`'s."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """Rows with their verdicts: the probability of fraud, and how many rows of the whole each stands for (`weight`)."""

    score: Floats
    is_fraud: NDArray[np.bool_]
    weight: Floats

    @property
    def has_both_classes(self) -> bool:
        """Whether there is a fraud and a legitimate row, without which no figure can be had."""
        return bool(self.is_fraud.any()) and not bool(self.is_fraud.all())

    def of(self, rows: NDArray[np.intp]) -> Scored:
        """Some of the rows, by position."""
        return Scored(self.score[rows], self.is_fraud[rows], self.weight[rows])


def average_precision(scored: Scored) -> float:
    """Average precision, step-wise and weighted: the sum of (R_n - R_(n-1)) P_n over the distinct scores.

    As scikit-learn defines `average_precision_score`: rows of one score count at once, nothing is interpolated.
    """
    frauds, legitimate = weights_by_score(scored)
    caught, alarms = np.cumsum(frauds), np.cumsum(legitimate)
    return float(np.sum(frauds * caught / (caught + alarms)) / caught[-1])


def roc_auc(scored: Scored) -> float:
    """Weighted area under the ROC curve: the chance that a fraud scores above a legitimate row, ties half."""
    frauds, legitimate = weights_by_score(scored)
    caught = np.cumsum(frauds)
    above = caught - frauds / 2
    return float(np.sum(legitimate * above) / (caught[-1] * legitimate.sum()))


def weights_by_score(scored: Scored) -> tuple[Floats, Floats]:
    """The weight of the frauds and of the legitimate rows at each distinct score, the highest first."""
    _, position = np.unique(-scored.score, return_inverse=True)
    frauds = np.bincount(position, scored.weight * scored.is_fraud)
    legitimate = np.bincount(position, scored.weight * ~scored.is_fraud)
    return frauds.astype(np.float64), legitimate.astype(np.float64)
