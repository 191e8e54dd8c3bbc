"""One Spark session for the tests of this folder, and a small fitted model to judge with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import StandardScaler
from pyspark.ml.linalg import Vectors
from pyspark.sql import SparkSession

from fraudstream.model import recipe
from fraudstream.model.manifest import Feature, FeatureType
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java
from fraudstream.runtime.jvm import SparkPlan
from fraudstream.runtime.spark import spark_session
from fraudstream.scoring.judge import Judge, Judged


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
    forest, boosted = recipe.random_forest(10, 6), recipe.boosted_trees(8, 5)
    linear = recipe.ALGORITHMS["logistic-regression"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "ALGORITHMS", {each.name: each for each in (linear, forest, boosted)})
        patch.setattr(recipe, "SEARCH", (linear, recipe.logistic_regression(0.03), forest, boosted))
        yield


def feature(name: str, median: float) -> Feature:
    return Feature(name, FeatureType.NUMBER, median, minimum=-9.0, maximum=9.0, p01=-5.0, p99=5.0)


FEATURES = (feature("a", 1.0), feature("b b", 2.0), feature("c.d", 3.0))


@pytest.fixture(scope="session")
def judge(spark: SparkSession) -> Judge:
    """A logistic regression on three features; large values of `a` are fraud."""
    rng = np.random.default_rng(7)
    values = rng.normal(size=(400, 3))
    rows = [(Vectors.dense(v.tolist()), float(v[0] + 0.3 * rng.normal() > 1.0)) for v in values]
    frame = spark.createDataFrame(rows, ["features", "label"])
    scaler = StandardScaler(inputCol="features", outputCol=Judged.SCALED, withMean=True).fit(frame)
    classifier = LogisticRegression(
        featuresCol=Judged.SCALED,
        rawPredictionCol=Judged.RAW,
        probabilityCol=Judged.PROBABILITY,
        predictionCol=Judged.PREDICTION,
    ).fit(scaler.transform(frame))
    return Judge(
        model_id="small-1",
        revision=3,
        threshold=0.5,
        missing_limit=1,
        features=FEATURES,
        aliases={},
        scaler=scaler,
        classifier=classifier,
    )
