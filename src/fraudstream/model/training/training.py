"""Trains a model from a CSV and deploys it, for `fraudstream train`."""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pyspark.sql import SparkSession

from fraudstream.model.artifact import ModelArtifact, is_artifact, load_artifact
from fraudstream.model.deployment.current import Deployment, deploy, deployment_or_none
from fraudstream.model.training.fitting import Training
from fraudstream.model.training.plan import TrainingSettings, plan_training
from fraudstream.model.training.recipe import ALGORITHMS
from fraudstream.model.training.search import Stopwatch
from fraudstream.transactions.data_source import DataSource


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training; `reused` is whether the artifact existed already, so that nothing was fitted."""

    artifact: ModelArtifact
    deployment: Deployment
    reused: bool


def train(
    open_spark: Callable[[], AbstractContextManager[SparkSession]],
    source: DataSource,
    settings: TrainingSettings,
    *,
    models_dir: Path,
    report: Callable[[str], None],
    now: Callable[[], datetime],
    who: str = "fraudstream train",
) -> TrainingResult:
    """Fit a model on the first 80 % of the time, test it on the last 20 %, and deploy it fitted on all rows.

    If the same data, settings and seed were trained before, that artifact is reused. If it is already active, the
    deployment is unchanged, including a threshold that somebody may have set since. `open_spark` is called only once
    the data are validated; `report` takes one line on each step.

    Raises:
        SettingsError: An unknown algorithm, an invalid share, a limit that cannot be met, or a missing column.
        DataError: The CSV cannot be used; see `profile` and `choose_features`.
        ModelError: The artifact cannot be written, or the existing one is damaged.
    """
    stopwatch = Stopwatch(now, now())
    report(f"reading {source.name}")
    plan = plan_training(source, settings)
    existing = _existing_artifact(models_dir, plan.digest)
    if existing is not None:
        report(f"{existing.name} exists already: same data, settings and seed")
        artifact = load_artifact(existing)
    else:
        report(f"starting Spark ({stopwatch})")
        with open_spark() as spark, tempfile.TemporaryDirectory(prefix="fraudstream-training-") as directory:
            artifact = Training(spark, plan, Path(directory), models_dir, report, stopwatch).run()
        report(f"trained in {stopwatch}")
    return TrainingResult(artifact, _deploy(models_dir, artifact, who, now), existing is not None)


def _existing_artifact(models_dir: Path, digest: str) -> Path | None:
    """Return the artifact with that digest, whichever algorithm was the best."""
    names = (f"{algorithm}-{digest}" for algorithm in ALGORITHMS)
    return next((models_dir / name for name in names if is_artifact(models_dir / name)), None)


def _deploy(models_dir: Path, artifact: ModelArtifact, who: str, now: Callable[[], datetime]) -> Deployment:
    manifest = artifact.manifest
    deployment = deployment_or_none(models_dir)
    if deployment is not None and deployment.model_id == manifest.model_id:
        return deployment
    why = f"trained on {manifest.training_data.name}"
    return deploy(models_dir, manifest.model_id, manifest.threshold, who=who, why=why, now=now())
