"""Describes what each feature does to the scores, and how it drifted between training and test period."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fraudstream.model.evaluation.bootstrap import Floats
from fraudstream.model.manifest import Feature
from fraudstream.transactions.label import ColumnProfile

_LEAST_SHARE: Final = 1e-4
"""An empty bin counts as this share, so that the index stays finite."""
SHIFTED, STRONGLY_SHIFTED = 0.1, 0.25
"""The usual limits of the population stability index."""


@dataclass(frozen=True)
class Importance:
    """Importance of a component of the model's vector (a feature, or a feature and its value).

    All add up to 1: the trees' impurity decrease, or the absolute coefficients of the standardised components.
    """

    slot: str
    share: float


@dataclass(frozen=True)
class Influence:
    """What a feature does to the scores of a sample of test rows.

    Attributes:
        permutation: The average precision lost when its values are shuffled; below 0 if the model is better without.
        shapley: Its mean absolute contribution to a score (Shapley value), in log odds or in votes of trees.
        direction: Which of its values speak for fraud.
    """

    feature: str
    permutation: float
    shapley: float
    direction: str


@dataclass(frozen=True)
class FeatureDrift:
    """A feature in the training and in the test period.

    Attributes:
        missing: Shares of the rows without a value, in each.
        typical: The median, or the most frequent value, in each.
        index: The population stability index over tenths of the training period, or over the encoded values.
    """

    feature: str
    kind: str
    missing: tuple[float, float]
    typical: tuple[str, str]
    index: float

    @property
    def level(self) -> str:
        """The usual reading of the index."""
        if self.index < SHIFTED:
            return "stable"
        return "shifted" if self.index < STRONGLY_SHIFTED else "strongly shifted"


def stability_index(before: Floats, after: Floats) -> float:
    """Compute the population stability index of two weights by bin: sum of (q - p) ln(q / p) over their shares."""
    p, q = (np.maximum(weights / weights.sum(), _LEAST_SHARE) for weights in (before, after))
    return float((q - p) @ np.log(q / p))


def drift(
    feature: Feature, column: ColumnProfile, periods: Sequence[NDArray[np.bool_]], weight: Floats
) -> FeatureDrift:
    """Compare a number or a category in two periods, the training period first; rows are selected by masks."""
    if column.categories is not None:
        index = {value: number for number, value in enumerate(feature.values)}
        others, missing = len(index), len(index) + 1
        bin_of = np.array([*(index.get(value, others) for value in column.categories.values), missing])
        bins = bin_of[column.categories.codes]  # the code of a missing value is -1: the last one
        names = [*feature.values, "other"]
    else:
        values = column.values
        edges = np.unique(np.nanquantile(values[periods[0]], np.linspace(0.1, 0.9, 9)))
        missing = len(edges) + 1
        bins = np.where(np.isnan(values), missing, np.searchsorted(edges, values, side="right"))
    counts = [np.bincount(bins[rows], weight[rows], missing + 1).astype(np.float64) for rows in periods]

    def typical(rows: NDArray[np.bool_], weights: Floats) -> str:
        if not weights[:-1].any():
            return ""
        return f"{np.nanmedian(values[rows]):.6g}" if column.categories is None else names[weights[:-1].argmax()]

    shares = [float(weights[-1] / weights.sum()) for weights in counts]
    texts = [typical(rows, weights) for rows, weights in zip(periods, counts, strict=True)]
    return FeatureDrift(
        feature.name, feature.type.value, (shares[0], shares[1]), (texts[0], texts[1]), stability_index(*counts)
    )
