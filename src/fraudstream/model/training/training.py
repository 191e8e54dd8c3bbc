"""Trains a model from payment files and deploys it, or leaves it as a candidate, for `fraudstream train`."""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from pyspark.sql import SparkSession

from fraudstream.errors import DeploymentRefused
from fraudstream.history.spec import HistorySpec
from fraudstream.model.artifact import (
    CLASSIFIER_DIRECTORY,
    SCALER_DIRECTORY,
    ModelArtifact,
    is_artifact,
    load_artifact,
    unfinished_directory,
)
from fraudstream.model.deployment.current import Deployment, deploy, deployment_or_none
from fraudstream.model.deployment.registry import model_in_use
from fraudstream.model.deployment.state import require_state
from fraudstream.model.evaluation.thresholds import require_evaluation
from fraudstream.model.features.file_history import add_history
from fraudstream.model.training.comparing import compare_models
from fraudstream.model.training.fitting import Training
from fraudstream.model.training.plan import TrainingSettings, plan_training
from fraudstream.transactions.data_source import DataSource


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training.

    `deployment` is the active one afterwards, of this model or of another one; `reused` is whether the artifact existed
    already, so that nothing was fitted.
    """

    artifact: ModelArtifact
    deployment: Deployment
    reused: bool

    @property
    def is_deployed(self) -> bool:
        """Whether the model is the active one."""
        return self.deployment.model_id == self.artifact.manifest.model_id


def train(
    open_spark: Callable[[], AbstractContextManager[SparkSession]],
    source: DataSource,
    settings: TrainingSettings,
    *,
    models_dir: Path,
    report: Callable[[str], None],
    now: Callable[[], datetime],
    who: str = "fraudstream train",
    deploys: bool = False,
    is_forced: bool = False,
    history_state: Path | None = None,
) -> TrainingResult:
    """Fit a model on the first 80 % of the time, test it on the last 20 %, and fit it again on all rows.

    The first model of a directory is deployed, a later one only if it `deploys`: unless `is_forced`, it is refused if
    it is worse than the active one beyond a bound (`Comparison.refusal`), and always if the `history_state` lacks what
    it needs.

    If the same data, settings and seed were trained before, that artifact is reused. If it is already active, the
    deployment is unchanged, including a threshold that somebody may have set since. `open_spark` is called only once
    the data are validated; `report` takes one line on each step.

    Raises:
        SettingsError: An unknown algorithm, an invalid share, a limit that cannot be met, or a missing column.
        DataError: The CSV cannot be used; see `profile` and `choose_features`.
        ModelError: The artifact cannot be written, or the existing one is damaged.
        DeploymentRefused: The model is a candidate now, and should have been deployed.
    """
    started = now()

    def step(text: str) -> None:
        minutes, seconds = divmod(int((now() - started).total_seconds()), 60)
        report(f"{text} ({minutes} min {seconds:02} s)" if minutes else f"{text} ({seconds} s)")

    report(f"reading {source.name}")
    with ExitStack() as stack:

        @cache
        def session() -> SparkSession:
            step("starting Spark")
            return stack.enter_context(open_spark())

        def with_history(source: DataSource, spec: HistorySpec, fraud: tuple[str, str]) -> DataSource:
            spark = session()
            step(f"computing the history of {source.row_count:,} payments")
            return add_history(spark, source, spec, fraud)

        plan = plan_training(source, settings, with_history)
        existing = next(filter(is_artifact, models_dir.glob(f"*-{plan.digest}")), None)  # of whichever algorithm
        if existing is not None:
            report(f"{existing.name} exists already: same data, settings and seed")
            artifact = load_artifact(existing)
            for each in ("name", "note", "tags"):
                request, current = getattr(settings, each), getattr(artifact.manifest, each)
                if request and list(request) != list(current):
                    report(f"warning: its {each} stays {current!r}: the artifact is not written again")
        else:
            spark = session()
            with (
                unfinished_directory(models_dir) as unfinished,
                tempfile.TemporaryDirectory(prefix="fraudstream-training-") as directory,
            ):
                saved = unfinished / SCALER_DIRECTORY, unfinished / CLASSIFIER_DIRECTORY
                artifact = Training(spark, plan, Path(directory), saved, models_dir, step).run()
            step("trained")
        manifest, active, is_reused = artifact.manifest, deployment_or_none(models_dir), existing is not None
        if active is not None and (active.model_id == manifest.model_id or not deploys):
            return TrainingResult(artifact, active, is_reused)
        if active is not None and not is_forced:
            comparison = None if is_reused else require_evaluation(artifact.path).previous
            if is_reused or (comparison is not None and comparison.model_id != active.model_id):  # changed meanwhile
                step(f"comparing it with the active model {active.model_id}")
                new, former = (model_in_use(models_dir, each) for each in (manifest.model_id, active.model_id))
                comparison = compare_models(session(), new, former, source)[0]
            refusal = "it could not be compared" if comparison is None else comparison.refusal
            if refusal:
                raise DeploymentRefused(
                    f"{manifest.model_id} is trained, but not deployed in place of {active.model_id}: {refusal}",
                    where=str(artifact.path),
                    remedy=f"fraudstream models compare {active.model_id} {manifest.model_id} --models {models_dir}; "
                    "--force deploys it",
                )
        if history_state is not None:
            require_state(history_state, manifest)
        why = f"trained on {manifest.training_data.name}"
        deployment = deploy(models_dir, manifest.model_id, manifest.threshold, who=who, why=why, now=now())
        return TrainingResult(artifact, deployment, is_reused)
