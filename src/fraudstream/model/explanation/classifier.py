"""A classifier without Spark: its margin for a vector, and what each column contributed; `trees.py` has the trees."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np

from fraudstream.errors import ModelCorrupt
from fraudstream.model.artifact import TRAIN_REMEDY, ModelArtifact
from fraudstream.model.explanation.spark_files import Floats, read_linear, read_scaler, read_trees
from fraudstream.model.explanation.trees import TreeShap
from fraudstream.model.feature import by_slots


class Scale(StrEnum):
    """What margins and contributions are measured in."""

    LOG_ODDS = "log_odds"
    PROBABILITY = "probability"

    def probability(self, margin: float) -> float:
        """The raw probability of fraud that a margin stands for; strictly increasing."""
        if self is Scale.PROBABILITY:
            return margin
        # In the form that cannot overflow, whichever the sign.
        tail = math.exp(-abs(margin))
        return 1.0 / (1.0 + tail) if margin >= 0.0 else tail / (1.0 + tail)


class Parts(NamedTuple):
    """A margin taken apart: it is `base` and all the `contributions` together, one a column, in order of the slots."""

    margin: float
    base: float
    contributions: Floats


@dataclass(frozen=True)
class Linear:
    """A scaler and a logistic regression as one linear function, against the payment that is typical throughout.

    The contribution of a column is coefficient x (value - what stands in where it is missing): the median of a number,
    the most frequent value of a category. It is exact, and 0 for a column that was missing.
    """

    coefficients: Floats
    intercept: float
    mean: Floats
    factor: Floats
    typical: Floats
    column: Sequence[int]

    scale = Scale.LOG_ODDS
    background = "a payment with every column at its typical value"

    def parts(self, vector: Floats) -> Parts:
        """The margin of a vector, taken apart."""
        own = self.coefficients * self.scaled(vector)
        typical = self.coefficients * self.scaled(self.typical)
        contributions = np.bincount(self.column, weights=own - typical).astype(np.float64, copy=False)
        return Parts(float(own.sum()) + self.intercept, float(typical.sum()) + self.intercept, contributions)

    def scaled(self, vector: Floats) -> Floats:
        """The vector as the coefficients see it."""
        return (vector - self.mean) * self.factor


@dataclass(frozen=True)
class TreeEnsemble:
    """A scaler and trees; a boosted margin is in log odds, a forest's in votes (a probability)."""

    trees: TreeShap
    mean: Floats
    factor: Floats
    scale: Scale

    background = "the average over the training rows"

    def parts(self, vector: Floats) -> Parts:
        """The margin of a vector, taken apart."""
        margin, contributions = self.trees.explain(self.scaled(vector))
        return Parts(margin, self.trees.base, contributions)

    def scaled(self, vector: Floats) -> Floats:
        """The vector as the splits see it."""
        return (vector - self.mean) * self.factor


Classifier = Linear | TreeEnsemble
"""A fitted classifier that tells where its margin comes from."""

_LOG_ODDS_OF_A_MARGIN: Final = 2.0
"""Spark's boosted trees fit half the log odds: probability = 1 / (1 + exp(-2 margin))."""


def load_classifier(artifact: ModelArtifact) -> Classifier:
    """The scaler and the classifier of a verified artifact; ModelCorrupt where this version cannot read their kind."""
    features = by_slots(artifact.manifest.features)
    column = [place for place, feature in enumerate(features) for _ in feature.slots]
    scaler = read_scaler(artifact.scaler_path)
    path = artifact.classifier_path
    match artifact.manifest.algorithm:
        case "logistic-regression":
            coefficients, intercept = read_linear(path)
            typical = np.array([value for feature in features for value in feature.stand_in])
            return Linear(coefficients, intercept, scaler.mean, scaler.factor, typical, column)
        case "gbt":
            trees = read_trees(path)
            values = [[_LOG_ODDS_OF_A_MARGIN * tree.weight * node.prediction for node in tree.nodes] for tree in trees]
            return TreeEnsemble(TreeShap.of(trees, values, column), scaler.mean, scaler.factor, Scale.LOG_ODDS)
        case "random-forest":
            trees = read_trees(path)
            values = [[node.fraud_share / len(trees) for node in tree.nodes] for tree in trees]
            return TreeEnsemble(TreeShap.of(trees, values, column), scaler.mean, scaler.factor, Scale.PROBABILITY)
    raise ModelCorrupt(
        f"the artifact's algorithm {artifact.manifest.algorithm!r} is unknown to this version",
        where=str(artifact.path),
        remedy=TRAIN_REMEDY,
    )
