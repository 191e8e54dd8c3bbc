"""The recipe: the algorithms of Spark ML with their parameters, and how one is fitted and asked for scores.

Which of them is taken is `search.py`'s.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray
from pyspark.ml import Estimator
from pyspark.ml.classification import (
    GBTClassifier,
    LogisticRegression,
    RandomForestClassifier,
)
from pyspark.ml.feature import StandardScaler, StandardScalerModel
from pyspark.ml.functions import vector_to_array
from pyspark.ml.util import MLWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from fraudstream.errors import SettingsError
from fraudstream.model.features.reading import Projected, TrainingColumn
from fraudstream.runtime.files import hadoop_path

RECIPE_VERSION: Final = 3
"""Grows whenever the same data, settings and seed would give another model; part of the model's id."""

Parameter = float | int | str | bool
RowScores = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Numbers of rows in rising order, and their raw probabilities of fraud."""


@dataclass(frozen=True)
class Algorithm:
    """A classifier of Spark ML with its parameters; `takes_seed` says whether chance has a part in it.

    A fraud counts `fraud_weight` times its own weight in the fit; the calibration puts the scores right.
    """

    name: str
    estimator: Callable[..., Estimator[Any]]
    parameters: Mapping[str, Parameter]
    takes_seed: bool
    fraud_weight: float = 1.0

    @property
    def described(self) -> dict[str, Parameter]:
        """All that makes it what it is: the parameters and the weight of frauds."""
        return {**self.parameters, "fraudWeight": self.fraud_weight}

    @property
    def shown(self) -> str:
        """Its name with what distinguishes it from others of the name."""
        match self.name:
            case "logistic-regression":
                return f"{self.name}, penalty {self.parameters['regParam']}"
            case "random-forest":
                return f"{self.name}, {self.parameters['numTrees']} trees of depth {self.parameters['maxDepth']}"
            case _:
                return f"{self.name}, {self.parameters['maxIter']} trees of depth {self.parameters['maxDepth']}"

    def predictions(self, slots: int) -> int:
        """Multiplications or comparisons that a score takes at the most, for so many slots of the vector."""
        match self.name:
            case "logistic-regression":
                return slots
            case "random-forest":
                return int(self.parameters["numTrees"]) * int(self.parameters["maxDepth"])
            case _:
                return int(self.parameters["maxIter"]) * int(self.parameters["maxDepth"])


def logistic_regression(penalty: float) -> Algorithm:
    """The linear model with a ridge penalty."""
    parameters = {"maxIter": 100, "regParam": penalty, "tol": 1e-6}
    return Algorithm("logistic-regression", LogisticRegression, parameters, takes_seed=False)


def random_forest(trees: int, depth: int) -> Algorithm:
    """Trees on bootstrap samples, averaged."""
    parameters: dict[str, Parameter] = {
        "numTrees": trees,
        "maxDepth": depth,
        "featureSubsetStrategy": "sqrt",
        "maxMemoryInMB": 512,
    }
    return Algorithm("random-forest", RandomForestClassifier, parameters, takes_seed=True, fraud_weight=5.0)


def boosted_trees(trees: int, depth: int) -> Algorithm:
    """Trees that each learn from what the ones before them left."""
    parameters: dict[str, Parameter] = {
        "maxIter": trees,
        "maxDepth": depth,
        "stepSize": 0.1,
        "subsamplingRate": 0.8,
        "featureSubsetStrategy": "0.6",
        "maxMemoryInMB": 512,
    }
    return Algorithm("gbt", GBTClassifier, parameters, takes_seed=True)


AUTO: Final = "auto"
SEARCH: Final[tuple[Algorithm, ...]] = (
    logistic_regression(0.01),
    logistic_regression(0.03),
    random_forest(50, 8),
    random_forest(50, 10),
    boosted_trees(60, 5),
)
"""What `auto` tries; settled on four time-ordered folds of real payments: docs/models.md and decision 15."""
ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    algorithm.name: algorithm for algorithm in (logistic_regression(0.01), random_forest(50, 10), boosted_trees(60, 5))
}


@dataclass(frozen=True)
class FittedModel:
    """A scaler and a classifier fitted on the same rows."""

    scaler: StandardScalerModel
    classifier: Any

    def scores(self, frame: DataFrame) -> RowScores:
        """The numbers of the frame's rows and their raw probabilities of fraud, in rising order of the numbers."""
        return scores(self.classifier, self.scaler.transform(frame))

    def save(self, scaler_path: Path, classifier_path: Path) -> None:
        """Save both as Spark ML models."""
        for model, path in ((self.scaler, scaler_path), (self.classifier, classifier_path)):
            writable: MLWritable = model
            writable.write().save(hadoop_path(path))


def scores(classifier: Any, scaled: DataFrame) -> RowScores:
    """The numbers of the frame's rows and their raw probabilities of fraud, in rising order of the numbers."""
    probability = vector_to_array(F.col(classifier.getProbabilityCol()))[1].alias(TrainingColumn.SCORE)
    table = classifier.transform(scaled).select(TrainingColumn.ROW, probability).toArrow()
    rows = table.column(TrainingColumn.ROW).to_numpy()
    order = np.argsort(rows)
    return rows[order], table.column(TrainingColumn.SCORE).to_numpy()[order]


def algorithms_for(name: str) -> tuple[Algorithm, ...]:
    """What is tried where `--algorithm` says so; raises SettingsError, with the names there are, for any other."""
    if name == AUTO:
        return SEARCH
    if name not in ALGORITHMS:
        raise SettingsError(
            f"there is no algorithm {name!r}",
            where="--algorithm",
            remedy=f"choose one of: {', '.join((AUTO, *ALGORITHMS))}",
        )
    return (ALGORITHMS[name],)


def fit(frame: DataFrame, algorithm: Algorithm, seed: int) -> FittedModel:
    """Fit the scaler and then the classifier on a frame with the columns `features`, `is_fraud` and `weight`."""
    scaler = fit_scaler(frame)
    return FittedModel(scaler, fit_classifier(scaler.transform(frame), algorithm, seed))


def fit_scaler(frame: DataFrame) -> StandardScalerModel:
    """The scaler, from `features` to `scaled`."""
    return StandardScaler(
        withMean=True, withStd=True, inputCol=Projected.FEATURES, outputCol=TrainingColumn.SCALED
    ).fit(frame)


def fit_classifier(scaled: DataFrame, algorithm: Algorithm, seed: int) -> Any:
    """The classifier, on a frame with the columns `scaled`, `is_fraud` and `weight`."""
    chance = {"seed": seed} if algorithm.takes_seed else {}
    fraud = F.col(TrainingColumn.LABEL) == F.lit(1.0)
    weight = F.when(fraud, F.lit(algorithm.fraud_weight)).otherwise(F.lit(1.0)) * F.col(TrainingColumn.WEIGHT)
    return algorithm.estimator(
        featuresCol=TrainingColumn.SCALED,
        labelCol=TrainingColumn.LABEL,
        weightCol=TrainingColumn.WEIGHT,
        **algorithm.parameters,
        **chance,
    ).fit(scaled.withColumn(TrainingColumn.WEIGHT, weight))


def model_digest(searched: Sequence[Algorithm], **identity: object) -> str:
    """12 hex digits, the same for the same data, settings and seed; a model's id is `<algorithm>-<digest>`."""
    algorithms = [{"name": each.name, **each.described} for each in searched]
    content = identity | {"searched": algorithms, "recipe": RECIPE_VERSION}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]
