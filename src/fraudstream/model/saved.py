"""A saved artifact's scaler and classifier, loaded into Spark; how a stream is judged with them is `scoring/`'s."""

from __future__ import annotations

from typing import Any, Final

from pyspark.ml.classification import (
    GBTClassificationModel,
    LogisticRegressionModel,
    RandomForestClassificationModel,
)
from pyspark.sql import SparkSession

from fraudstream.errors import ModelCorrupt
from fraudstream.model.artifact import ModelArtifact
from fraudstream.model.assembled import assemble_linear, assemble_scaler, assemble_trees
from fraudstream.model.recipe import FittedModel

CLASSIFIERS: Final[dict[str, Any]] = {
    "logistic-regression": LogisticRegressionModel,
    "random-forest": RandomForestClassificationModel,
    "gbt": GBTClassificationModel,
}


def load_fitted(artifact: ModelArtifact) -> FittedModel:
    """The scaler and the classifier of a verified artifact, in the running Spark session.

    Raises:
        ModelCorrupt: The manifest names an algorithm that this version does not know.
    """
    algorithm = artifact.manifest.algorithm
    if algorithm not in CLASSIFIERS:
        raise ModelCorrupt(
            f"the artifact's algorithm {algorithm!r} is unknown to this version",
            where=str(artifact.path),
            remedy=f"train again with one of: {', '.join(CLASSIFIERS)}",
        )
    spark = SparkSession.active()
    scaler = assemble_scaler(spark, artifact.scaler_path)
    if algorithm == "logistic-regression":
        return FittedModel(scaler, assemble_linear(spark, artifact.classifier_path))
    return FittedModel(scaler, assemble_trees(spark, CLASSIFIERS[algorithm], artifact.classifier_path))
