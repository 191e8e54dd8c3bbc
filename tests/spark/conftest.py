"""One Spark session for the tests of this folder, and a small fitted model to score with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import cache

import numpy as np
import pytest
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import StandardScaler
from pyspark.ml.linalg import Vectors
from pyspark.sql import SparkSession

from fraudstream.model.artifact import ModelArtifact
from fraudstream.model.manifest import Feature, FeatureType
from fraudstream.model.training import recipe
from fraudstream.model.training.plan import TrainingSettings
from fraudstream.model.training.training import train
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java
from fraudstream.runtime.jvm import SparkPlan
from fraudstream.runtime.spark import spark_session
from fraudstream.scoring.scorer import ScoreColumn, Scorer
from fraudstream.transactions.data_source import DataSource, open_data
from public_sets import write_sparkov


@pytest.fixture(scope="session")
def spark(java: Java, jars: Jars, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    log = tmp_path_factory.mktemp("spark") / "jvm.log"
    plan = SparkPlan(app="tests", java_home=java.home, memory="1g", jars=jars.connector, log=log)
    with spark_session(plan) as session:
        yield session


@pytest.fixture(scope="package", autouse=True)
def small_trees() -> Iterator[None]:
    """Few trees: a job of Spark for each level of each of them is most of what these tests take.

    The end-to-end tests train with the recipe's own.
    """
    forest, boosted = recipe.random_forest(6, 5), recipe.boosted_trees(2, 3)
    linear = recipe.ALGORITHMS["logistic-regression"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "ALGORITHMS", {each.name: each for each in (linear, forest, boosted)})
        patch.setattr(recipe, "SEARCH", (linear, forest))
        yield


@pytest.fixture(scope="package")
def sparkov(tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    """A public set with every type of column."""
    return open_data(write_sparkov(tmp_path_factory.mktemp("sparkov") / "a.csv"))


@pytest.fixture(scope="package")
def sparkov_model(
    spark: SparkSession, small_trees: None, sparkov: DataSource, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], ModelArtifact]:
    """Trains an algorithm on it, each once for all tests; all are in one folder of models."""
    models = tmp_path_factory.mktemp("sparkov") / "models"

    @cache
    def trained(algorithm: str) -> ModelArtifact:
        return train(
            lambda: nullcontext(spark),
            sparkov,
            TrainingSettings(algorithm=algorithm, seed=1),
            models_dir=models,
            report=lambda line: None,
            now=lambda: datetime(2026, 1, 2, tzinfo=UTC),
        ).artifact

    return trained


def feature(name: str, median: float) -> Feature:
    return Feature(name, FeatureType.NUMBER, median, minimum=-9.0, maximum=9.0, p01=-5.0, p99=5.0)


FEATURES = (feature("a", 1.0), feature("b b", 2.0), feature("c.d", 3.0))


@pytest.fixture(scope="session")
def scorer(spark: SparkSession) -> Scorer:
    """A logistic regression on three features; large values of `a` are fraud."""
    rng = np.random.default_rng(7)
    values = rng.normal(size=(400, 3))
    rows = [(Vectors.dense(v.tolist()), float(v[0] + 0.3 * rng.normal() > 1.0)) for v in values]
    frame = spark.createDataFrame(rows, ["features", "label"])
    scaler = StandardScaler(inputCol="features", outputCol=ScoreColumn.SCALED, withMean=True).fit(frame)
    classifier = LogisticRegression(
        featuresCol=ScoreColumn.SCALED,
        rawPredictionCol=ScoreColumn.RAW,
        probabilityCol=ScoreColumn.PROBABILITY,
        predictionCol=ScoreColumn.PREDICTION,
    ).fit(scaler.transform(frame))
    return Scorer(
        model_id="small-1",
        revision=3,
        threshold=0.5,
        missing_limit=1,
        features=FEATURES,
        aliases={},
        scaler=scaler,
        classifier=classifier,
    )
