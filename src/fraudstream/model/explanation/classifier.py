"""Evaluates a saved classifier without Spark: margin of a vector and feature contributions (SHAP values)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from fraudstream.errors import ModelCorrupt
from fraudstream.model.artifact import TRAIN_REMEDY
from fraudstream.model.explanation.spark_files import Floats, Scaler, Tree, read_linear, read_scaler, read_trees
from fraudstream.model.manifest import Feature, by_component


class _Leaf(NamedTuple):
    """A leaf and its path: the bounds of each component, and by column the share of training rows that stay on it."""

    value: float
    bounds: dict[int, tuple[float, float]]
    share: dict[int, float]


class TreeShap:
    """Trees as arrays over their leaves: L leaves, at most D columns on a path, Q quadrature points.

    Attributes:
        base: The mean prediction over the training rows.
    """

    def __init__(self, trees: Sequence[Tree], values: Sequence[Sequence[float]], column: Sequence[int]) -> None:
        """Build the arrays from trees.

        `values` has by tree and node the prediction of a row that ends there; `column` by component of the vector the
        column that it was derived from: the components of a category, or of a time, are one player of the game.
        """
        leaves = [leaf for tree, value in zip(trees, values, strict=True) for leaf in _leaves(tree, value, column)]
        self._columns = max(column) + 1
        shape = len(leaves), max(1, *(len(leaf.share) for leaf in leaves))
        # By leaf and column on its path (L x D): the share of training rows that stay on it, and the column's index.
        self._share, self._column = np.ones(shape), np.full(shape, self._columns)
        conditions: list[tuple[int, int, float, float]] = []
        for row, leaf in enumerate(leaves):
            for index, (which, rest) in enumerate(leaf.share.items()):
                self._share[row, index], self._column[row, index] = rest, which
                pair = row * shape[1] + index
                conditions += [(pair, at, *ends) for at, ends in leaf.bounds.items() if column[at] == which]
        # By condition: the pair of leaf and column in a flat L x D, the component of the vector, and its bounds.
        bounds = np.array(conditions, dtype=np.float64).reshape(-1, 4).T
        self._pair, self._component = bounds[:2].astype(np.int64)
        self._low, self._high = bounds[2:]
        self._value = np.array([leaf.value for leaf in leaves])
        self.base = float(self._value @ self._share.prod(axis=1))
        # Points and weights on [0, 1]; this many are exact for the polynomials of degree `depth` - 1 that occur.
        points, weight = np.polynomial.legendre.leggauss((shape[1] + 1) // 2)
        self._points, self._weight = (points + 1.0) / 2.0, weight / 2.0
        # The factors of columns that leave the path (L x D x Q).
        self._unknown = self._share[:, :, None] * (1.0 - self._points)

    def explain(self, vector: Floats) -> tuple[float, Floats]:
        """Return the prediction for a scaled vector, and what each column adds to `base` in it."""
        values = vector[self._component]
        holds = (values > self._low) & (values <= self._high)
        stays = np.ones(self._share.shape, dtype=np.bool_)
        stays.ravel()[self._pair[~holds]] = False
        factors = self._unknown + stays[:, :, None] * self._points
        # The product over the other columns: every factor is above 0, as every branch has a training row.
        others = factors.prod(axis=1)[:, None, :] / factors
        added = self._value[:, None] * (stays - self._share) * (others @ self._weight)
        contributions = np.bincount(self._column.ravel(), weights=added.ravel(), minlength=self._columns + 1)
        return float(self._value[stays.all(axis=1)].sum()), contributions[: self._columns].astype(
            np.float64, copy=False
        )


def _leaves(tree: Tree, values: Sequence[float], column: Sequence[int]) -> Iterator[_Leaf]:
    pending: list[tuple[int, dict[int, tuple[float, float]], dict[int, float]]] = [(0, {}, {})]
    while pending:
        index, bounds, share = pending.pop()
        node = tree.nodes[index]
        if node.is_leaf:
            yield _Leaf(values[index], bounds, share)
            continue
        low, high = bounds.get(node.component, (-np.inf, np.inf))
        which = column[node.component]
        for child, ends in (
            (node.right, (max(low, node.threshold), high)),
            (node.left, (low, min(high, node.threshold))),
        ):
            rest = share.get(which, 1.0) * tree.nodes[child].cover / node.cover
            pending.append((child, {**bounds, node.component: ends}, {**share, which: rest}))


class FeatureScale(StrEnum):
    """The unit of margins and contributions."""

    LOG_ODDS = "log_odds"
    PROBABILITY = "probability"

    def probability(self, margin: float) -> float:
        """Convert a margin to the raw probability of fraud; strictly increasing."""
        if self is FeatureScale.PROBABILITY:
            return margin
        # In a form that cannot overflow for either sign.
        tail = math.exp(-abs(margin))
        return 1.0 / (1.0 + tail) if margin >= 0.0 else tail / (1.0 + tail)


class Contributions(NamedTuple):
    """A decomposed margin: the sum of `base` and the `contributions` of the columns, in vector order."""

    margin: float
    base: float
    contributions: Floats


@dataclass(frozen=True)
class LinearClassifier:
    """A scaler and a logistic regression as one linear function, relative to a payment with typical values only.

    The contribution of a column is coefficient x (value - imputation value): the median of a number, the most frequent
    value of a category. It is exact, and 0 for a missing column.
    """

    scaler: Scaler
    coefficients: Floats
    intercept: float
    typical: Floats
    column: Sequence[int]

    scale = FeatureScale.LOG_ODDS
    background = "a payment with every column at its typical value"

    def parts(self, vector: Floats) -> Contributions:
        """Decompose the margin of a vector."""
        own = self.coefficients * self.scaler.scaled(vector)
        typical = self.coefficients * self.scaler.scaled(self.typical)
        contributions = np.bincount(self.column, weights=own - typical).astype(np.float64, copy=False)
        return Contributions(float(own.sum()) + self.intercept, float(typical.sum()) + self.intercept, contributions)


@dataclass(frozen=True)
class TreeEnsemble:
    """A scaler and trees; a boosted margin is in log odds, a forest's in votes (a probability)."""

    scaler: Scaler
    trees: TreeShap
    scale: FeatureScale

    background = "the average over the training rows"

    def parts(self, vector: Floats) -> Contributions:
        """Decompose the margin of a vector."""
        margin, contributions = self.trees.explain(self.scaler.scaled(vector))
        return Contributions(margin, self.trees.base, contributions)


Classifier = LinearClassifier | TreeEnsemble
"""A fitted classifier that can decompose its margin."""

_LOG_ODDS_OF_A_MARGIN: Final = 2.0
"""Spark's boosted trees fit half the log odds: probability = 1 / (1 + exp(-2 margin))."""


def read_classifier(algorithm: str, features: Sequence[Feature], scaler_path: Path, path: Path) -> Classifier:
    """Load the scaler and classifier that Spark saved; ModelCorrupt if the algorithm is unknown."""
    features = by_component(features)
    column = [index for index, feature in enumerate(features) for _ in feature.components]
    scaler = read_scaler(scaler_path)
    match algorithm:
        case "logistic-regression":
            coefficients, intercept = read_linear(path)
            typical = np.array([value for feature in features for value in feature.imputation])
            return LinearClassifier(scaler, coefficients, intercept, typical, column)
        case "gbt" | "random-forest":
            trees = read_trees(path)
            scale = FeatureScale.LOG_ODDS if algorithm == "gbt" else FeatureScale.PROBABILITY
            return TreeEnsemble(scaler, TreeShap(trees, _node_values(algorithm, trees), column), scale)
    raise ModelCorrupt(
        f"the artifact's algorithm {algorithm!r} is unknown to this version",
        where=str(path.parent),
        remedy=TRAIN_REMEDY,
    )


def margins(algorithm: str, scaler_path: Path, path: Path, vectors: Floats) -> Floats:
    """Compute the margins of many vectors by rows, with a scaler and a classifier that Spark saved."""
    scaled = read_scaler(scaler_path).scaled(vectors)
    if algorithm == "logistic-regression":
        coefficients, intercept = read_linear(path)
        return np.asarray(scaled @ coefficients + intercept)
    trees, total = read_trees(path), np.zeros(len(vectors))
    for tree, values in zip(trees, _node_values(algorithm, trees), strict=True):
        total += np.array(values)[tree.leaves(scaled)]
    return total


def _node_values(algorithm: str, trees: Sequence[Tree]) -> list[list[float]]:
    """Return by tree and node what a row that ends there adds to the margin."""
    if algorithm == "gbt":
        return [[_LOG_ODDS_OF_A_MARGIN * tree.weight * node.value for node in tree.nodes] for tree in trees]
    return [[node.value / len(trees) for node in tree.nodes] for tree in trees]
