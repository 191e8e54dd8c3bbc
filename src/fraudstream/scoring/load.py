"""From an artifact on disk to the judge that Spark runs; how a judge judges is in `judge.py`."""

from __future__ import annotations

from pyspark.ml import Model

from fraudstream.model.artifact import ModelArtifact
from fraudstream.model.current import InForce
from fraudstream.model.reading import Projected
from fraudstream.model.saved import load_fitted
from fraudstream.scoring.judge import Judge, Judged


def load_judge(artifact: ModelArtifact, in_force: InForce) -> Judge:
    """Load a verified artifact into the running Spark session.

    Raises:
        ModelCorrupt: The manifest names an algorithm that this version does not know.
    """
    manifest, fitted = artifact.manifest, load_fitted(artifact)
    _set(fitted.scaler, inputCol=Projected.FEATURES, outputCol=Judged.SCALED)
    _set(
        fitted.classifier,
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
        scaler=fitted.scaler,
        classifier=fitted.classifier,
        calibration=manifest.calibration,
    )


def _set(model: Model, **columns: str) -> None:
    for name, column in columns.items():
        model.set(model.getParam(name), column)
