"""Defines the Spark ML algorithms with their parameters, and fits, scores, saves and loads them."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.ml import Estimator
from pyspark.ml.classification import (
    GBTClassificationModel,
    GBTClassifier,
    LogisticRegression,
    LogisticRegressionModel,
    RandomForestClassificationModel,
    RandomForestClassifier,
)
from pyspark.ml.feature import StandardScaler, StandardScalerModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from fraudstream.errors import ModelCorrupt, ModelError, SettingsError
from fraudstream.model.artifact import TRAIN_REMEDY, ModelArtifact
from fraudstream.model.features.reading import Projected, TrainingColumn
from fraudstream.runtime.files import hadoop_path

RECIPE_VERSION: Final = 5
"""Incremented whenever the same data, settings and seed would give a different model; part of the model's id."""

Parameter = float | int | str | bool
RowScores = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Row numbers in ascending order, and their raw probabilities of fraud."""


@dataclass(frozen=True)
class Algorithm:
    """A Spark ML classifier with its parameters; `takes_seed` is whether it is randomized.

    A fraud counts `fraud_weight` times its own weight in the fit; the calibration corrects the scores.
    """

    name: str
    estimator: Callable[..., Estimator[Any]]
    parameters: Mapping[str, Parameter]
    takes_seed: bool
    fraud_weight: float = 1.0

    @property
    def all_parameters(self) -> dict[str, Parameter]:
        """The parameters including the weight of frauds."""
        return {**self.parameters, "fraudWeight": self.fraud_weight}

    @property
    def label(self) -> str:
        """The name with the main parameters."""
        if self._trees is None:
            return f"{self.name}, penalty {self.parameters['regParam']}"
        return f"{self.name}, {self._trees[0]} trees of depth {self._trees[1]}"

    def with_bins(self, bins: int) -> "Algorithm":
        """Return trees that may split a column at this many values; a linear model is unchanged."""
        return self if self._trees is None else replace(self, parameters={**self.parameters, "maxBins": bins})

    def predictions(self, components: int) -> int:
        """Return the most multiplications or comparisons that a score takes, for a vector of `components`."""
        return components if self._trees is None else self._trees[0] * self._trees[1]

    @property
    def _trees(self) -> tuple[int, int] | None:
        """The number of trees and their depth; None for a linear model."""
        if self.name == "logistic-regression":
            return None
        count = self.parameters["numTrees" if self.name == "random-forest" else "maxIter"]
        return int(count), int(self.parameters["maxDepth"])


def logistic_regression(penalty: float) -> Algorithm:
    """Return a linear model with a ridge penalty."""
    parameters = {"maxIter": 100, "regParam": penalty, "tol": 1e-6}
    return Algorithm("logistic-regression", LogisticRegression, parameters, takes_seed=False)


def random_forest(trees: int, depth: int) -> Algorithm:
    """Return averaged trees fitted on bootstrap samples."""
    parameters: dict[str, Parameter] = {
        "numTrees": trees,
        "maxDepth": depth,
        "featureSubsetStrategy": "sqrt",
        "maxMemoryInMB": 512,
    }
    return Algorithm("random-forest", RandomForestClassifier, parameters, takes_seed=True, fraud_weight=5.0)


def boosted_trees(trees: int, depth: int) -> Algorithm:
    """Return trees that are each fitted on the residuals of the previous ones."""
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
"""The candidates of `auto`, chosen on four time-ordered folds of real payments: docs/models.md and decision 15."""
ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    algorithm.name: algorithm for algorithm in (logistic_regression(0.01), random_forest(50, 10), boosted_trees(60, 5))
}
HISTORY_BINS: Final = 1024
"""Values that trees may split a column at if the model reads a history: a share of frauds is 0 for nearly all payments,
and Spark's 32 bins of equal size leave next to none of the others: docs/decisions/0051-training-with-history.md."""


CLASSIFIERS: Final[Mapping[str, Any]] = {
    "logistic-regression": LogisticRegressionModel,
    "random-forest": RandomForestClassificationModel,
    "gbt": GBTClassificationModel,
}
LOCAL: Final = "local"
"""Folder of a second copy of a saved model, in the format of Spark Connect: it is loaded in 0.1 s, without the jobs
over the Parquet files that take 2 to 3 s in a newly started JVM."""


@dataclass(frozen=True)
class FittedModel:
    """A scaler and a classifier fitted on the same rows."""

    scaler: StandardScalerModel
    classifier: Any

    def scores(self, frame: DataFrame) -> RowScores:
        """Return the frame's row numbers in ascending order, and their raw probabilities of fraud."""
        return scores(self.classifier, self.scaler.transform(frame))

    def save(self, scaler_path: Path, classifier_path: Path) -> None:
        """Save both as Spark ML models, each with its copy for this version of Spark."""
        for model, path in ((self.scaler, scaler_path), (self.classifier, classifier_path)):
            model.write().save(hadoop_path(path))
            require_complete(path)
            model.write()._jwrite.saveToLocal(str(path.absolute() / LOCAL))  # noqa: SLF001  pyspark has no name for it


def load_fitted(artifact: ModelArtifact) -> FittedModel:
    """Load the scaler and classifier of a verified artifact into the active session.

    Raises ModelCorrupt if the algorithm is unknown, or if Spark cannot load what was saved.
    """
    manifest = artifact.manifest
    if manifest.algorithm not in CLASSIFIERS:
        raise ModelCorrupt(
            f"the artifact's algorithm {manifest.algorithm!r} is unknown to this version",
            where=str(artifact.path),
            remedy=f"train again with one of: {', '.join(CLASSIFIERS)}",
        )
    has_copy = manifest.versions.get("pyspark") == version("pyspark")
    scaler = _load(StandardScalerModel, artifact.scaler_path, has_copy=has_copy)
    return FittedModel(scaler, _load(CLASSIFIERS[manifest.algorithm], artifact.classifier_path, has_copy=has_copy))


def _load(kind: Any, saved: Path, *, has_copy: bool) -> Any:
    """Load the copy for this version of Spark; a model of an earlier release or of another Spark has none."""
    try:
        if has_copy and (saved / LOCAL).is_dir():
            java = kind.read()._jread.loadFromLocal(str(saved.absolute() / LOCAL))  # noqa: SLF001
            return kind._from_java(java)  # noqa: SLF001  as in pyspark's own loader
        return kind.load(hadoop_path(saved))
    except (Py4JError, PySparkException) as e:
        raise ModelCorrupt(f"Spark cannot load the saved model: {e}", where=str(saved), remedy=TRAIN_REMEDY) from e


def require_complete(saved: Path) -> None:
    """Check that what Spark's executors saved is on this machine; raises ModelError if it is not."""
    folders = [each for each in saved.iterdir() if each.is_dir()]
    for folder in folders or [saved]:
        if not (folder / "_SUCCESS").exists() or not any(folder.glob("part-*")):
            raise ModelError(
                "the model is not complete: executors on other hosts have saved it on their own disks",
                where=str(folder),
                remedy="set --models or FRAUDSTREAM_MODELS to a directory on a shared mount, which every host of the "
                "cluster has at the same path: docs/spark-cluster.md",
            )


def scores(classifier: Any, scaled: DataFrame) -> RowScores:
    """Return the frame's row numbers in ascending order, and their raw probabilities of fraud."""
    probability = vector_to_array(F.col(classifier.getProbabilityCol()))[1].alias(TrainingColumn.SCORE)
    table = classifier.transform(scaled).select(TrainingColumn.ROW, probability).toArrow()
    rows = table.column(TrainingColumn.ROW).to_numpy()
    order = np.argsort(rows)
    return rows[order], table.column(TrainingColumn.SCORE).to_numpy()[order]


def algorithms_for(name: str, *, has_history: bool = False) -> tuple[Algorithm, ...]:
    """Return the candidates for a value of `--algorithm`; raises SettingsError for an unknown one."""
    if name != AUTO and name not in ALGORITHMS:
        remedy = f"choose one of: {', '.join((AUTO, *ALGORITHMS))}"
        raise SettingsError(f"there is no algorithm {name!r}", where="--algorithm", remedy=remedy)
    candidates = SEARCH if name == AUTO else (ALGORITHMS[name],)
    return tuple(each.with_bins(HISTORY_BINS) for each in candidates) if has_history else candidates


def fit(frame: DataFrame, algorithm: Algorithm, seed: int) -> FittedModel:
    """Fit the scaler and then the classifier on a frame with the columns `features`, `is_fraud` and `weight`."""
    scaler = fit_scaler(frame)
    return FittedModel(scaler, fit_classifier(scaler.transform(frame), algorithm, seed))


def fit_scaler(frame: DataFrame) -> StandardScalerModel:
    """Fit the scaler, from `features` to `scaled`."""
    return StandardScaler(
        withMean=True, withStd=True, inputCol=Projected.FEATURES, outputCol=TrainingColumn.SCALED
    ).fit(frame)


def fit_classifier(scaled: DataFrame, algorithm: Algorithm, seed: int) -> Any:
    """Fit the classifier on a frame with the columns `scaled`, `is_fraud` and `weight`."""
    seed_parameter = {"seed": seed} if algorithm.takes_seed else {}
    fraud = F.col(TrainingColumn.LABEL) == F.lit(1.0)
    weight = F.when(fraud, F.lit(algorithm.fraud_weight)).otherwise(F.lit(1.0)) * F.col(TrainingColumn.WEIGHT)
    return algorithm.estimator(
        featuresCol=TrainingColumn.SCALED,
        labelCol=TrainingColumn.LABEL,
        weightCol=TrainingColumn.WEIGHT,
        **algorithm.parameters,
        **seed_parameter,
    ).fit(scaled.withColumn(TrainingColumn.WEIGHT, weight))


def model_digest(searched: Sequence[Algorithm], **identity: object) -> str:
    """Return 12 hex digits, the same for the same data, settings and seed; a model's id is `<algorithm>-<digest>`."""
    algorithms = [{"name": each.name, **each.all_parameters} for each in searched]
    content = identity | {"searched": algorithms, "recipe": RECIPE_VERSION}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]
