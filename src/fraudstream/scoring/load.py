"""From an artifact on disk to the judge that Spark runs; how a judge judges is in `judge.py`."""

from __future__ import annotations

from typing import Any, Final

from pyspark.ml import Model
from pyspark.ml.classification import (
    GBTClassificationModel,
    LogisticRegressionModel,
    RandomForestClassificationModel,
)
from pyspark.ml.feature import StandardScalerModel

from fraudstream.errors import ModelCorrupt
from fraudstream.model.artifact import ModelArtifact
from fraudstream.model.current import InForce
from fraudstream.model.reading import Projected
from fraudstream.scoring.judge import Judge, Judged

CLASSIFIERS: Final[dict[str, Any]] = {
    "logistic-regression": LogisticRegressionModel,
    "random-forest": RandomForestClassificationModel,
    "gbt": GBTClassificationModel,
}


def load_judge(artifact: ModelArtifact, in_force: InForce) -> Judge:
    """Load a verified artifact into the running Spark session.

    Raises:
        ModelCorrupt: The manifest names an algorithm that this version does not know.
    """
    manifest = artifact.manifest
    if manifest.algorithm not in CLASSIFIERS:
        raise ModelCorrupt(
            f"the artifact's algorithm {manifest.algorithm!r} is unknown to this version",
            where=str(artifact.path),
            remedy=f"train again with one of: {', '.join(CLASSIFIERS)}",
        )
    scaler = StandardScalerModel.load(str(artifact.scaler_path))
    classifier = CLASSIFIERS[manifest.algorithm].load(str(artifact.classifier_path))
    _set(scaler, inputCol=Projected.FEATURES, outputCol=Judged.SCALED)
    _set(
        classifier,
        featuresCol=Judged.SCALED,
        rawPredictionCol=Judged.RAW,
        probabilityCol=Judged.PROBABILITY,
        predictionCol=Judged.PREDICTION,
    )
    return Judge(
        model_id=in_force.model_id,
        revision=in_force.revision,
        threshold=in_force.threshold,
        missing_limit=manifest.missing_limit,
        features=manifest.features,
        aliases=in_force.aliases,
        scaler=scaler,
        classifier=classifier,
    )


def _set(model: Model, **columns: str) -> None:
    for name, column in columns.items():
        model.set(model.getParam(name), column)
