"""`fraudstream train`: from a CSV to an artifact in force, by the stream's own way from row to vector."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraudstream.errors import ModelNotFound, SettingsError
from fraudstream.model.artifact import ModelArtifact, is_artifact, load_artifact, write_artifact
from fraudstream.model.current import CURRENT_FILE, InForce, put_in_force, read_current
from fraudstream.model.evaluation import (
    Scored,
    at_threshold,
    average_precision,
    average_precision_interval,
    choose_threshold,
    roc_auc,
)
from fraudstream.model.features import FeatureChoice, choose_features
from fraudstream.model.manifest import LabelValues, Manifest, Metrics, Selection, TrainingData
from fraudstream.model.recipe import Algorithm, FittedModel, TrainingColumn, algorithm_named, fit, model_id
from fraudstream.model.selection import select
from fraudstream.model.split import FEW_FRAUDS, Part, Split, split_in_time
from fraudstream.model.training_rows import RowNotes, read_vectors, write_training_rows
from fraudstream.transactions.csv_source import CsvSource
from fraudstream.transactions.label import find_label
from fraudstream.transactions.profile import CsvProfile, profile


@dataclass(frozen=True)
class TrainingResult:
    """What a training gave; all that there is to say of the model is in its manifest.

    Attributes:
        artifact: The artifact.
        in_force: What is in force now.
        reused: Whether the artifact was there already, so that nothing was fitted.
    """

    artifact: ModelArtifact
    in_force: InForce
    reused: bool


@dataclass(frozen=True)
class _Plan:
    """All that is decided before anything is fitted."""

    source: CsvSource
    profile: CsvProfile
    split: Split
    choice: FeatureChoice
    selection: Selection
    algorithm: Algorithm
    legitimate_share: float
    seed: int

    @property
    def weight(self) -> NDArray[np.float64]:
        return np.where(self.profile.label.is_fraud, 1.0, 1.0 / self.legitimate_share)


def train(
    open_spark: Callable[[], AbstractContextManager[SparkSession]],
    source: CsvSource,
    *,
    label: str | None = None,
    features: Sequence[str] = (),
    exclude: Sequence[str] = (),
    algorithm: str,
    legitimate_share: float = 1.0,
    models_dir: Path,
    seed: int,
    report: Callable[[str], None],
    now: Callable[[], datetime],
    who: str = "fraudstream train",
) -> TrainingResult:
    """Fit a model on the first 80 % of the time, judge it on the last 20 %, write the artifact, put it in force.

    Where the same data, settings and seed were trained before, that artifact is taken. Where it already is in force,
    what is in force stays as it is, with a threshold that somebody may have set since.

    Args:
        open_spark: Gives the session to fit in; asked only once the data is known to serve.
        source: The CSV.
        label: The label column; None looks for one of the usual names.
        features: Columns to learn from and no others, as `--features` takes them; none lets the values decide.
        exclude: Columns to leave out, as `--exclude` takes them.
        algorithm: One of `recipe.ALGORITHMS`.
        legitimate_share: The share of the legitimate rows that the CSV holds, above 0 and at most 1; each weighs
            1 / share in training and in every figure.
        models_dir: Directory of the artifacts and of `current`.
        seed: Of everything random.
        report: Takes one line on each step.
        now: The clock.
        who: Who puts the model in force.

    Raises:
        SettingsError: An unknown algorithm, an impossible share, or a column that is not there.
        DataError: The CSV cannot be used; see `profile` and `choose_features`.
        ModelError: The artifact cannot be written, or the one that is there is damaged.
    """
    chosen = algorithm_named(algorithm)
    if not 0.0 < legitimate_share <= 1.0:
        raise SettingsError(
            f"the legitimate share {legitimate_share} is not above 0 and at most 1",
            where="--legitimate-share",
            remedy="give the share of the legitimate rows that the CSV holds, 1 for all of them",
        )
    report(f"reading {source.path.name}")
    label_name = source.columns[find_label(source, label)]
    selection = select(source.columns, features=features, exclude=exclude, label=label_name)
    unread = set(source.columns) - set(selection.features) if selection.features else selection.exclude
    found = profile(source, label_name, wanted=selection.features, unread=unread)
    split = split_in_time(found.label.is_fraud, found.time)
    choice = choose_features(found, split.is_train, selection)
    plan = _Plan(source, found, split, choice, selection, chosen, legitimate_share, seed)
    name = model_id(
        chosen,
        fingerprint=source.fingerprint,
        label=found.label.name,
        features=[feature.name for feature in choice.features],
        selection=selection,
        legitimate_share=legitimate_share,
        seed=seed,
        pyspark_version=version("pyspark"),
    )
    reused = is_artifact(models_dir / name)
    if reused:
        report(f"{name} is there already: the same data, settings and seed")
        artifact = load_artifact(models_dir / name)
    else:
        report("starting Spark")
        with open_spark() as spark:
            artifact = _fit_and_write(spark, plan, name, models_dir, report)
    return TrainingResult(artifact, _put_in_force(models_dir, artifact, who, now), reused)


def _fit_and_write(
    spark: SparkSession, plan: _Plan, name: str, models_dir: Path, report: Callable[[str], None]
) -> ModelArtifact:
    with tempfile.TemporaryDirectory(prefix="fraudstream-training-") as directory:
        notes = RowNotes(plan.profile.label.is_fraud, plan.weight, plan.split.part)
        write_training_rows(plan.source, notes, Path(directory))
        frame = read_vectors(spark, Path(directory), plan.choice.features).cache()
        try:
            threshold, rule = _validated_threshold(plan, frame, report)
            report(f"fitting {plan.algorithm.name} on {plan.split.record.train.rows:,} rows")
            model = fit(frame.filter(F.col(TrainingColumn.PART) < int(Part.TEST)), plan.algorithm, plan.seed)
            if threshold is None:
                train_rows = frame.filter(F.col(TrainingColumn.PART) < int(Part.TEST))
                threshold = choose_threshold(_scored(plan, model, train_rows))
            metrics = _judged(plan, model, frame, threshold, report)
        finally:
            frame.unpersist()
        report("writing the model")
        return write_artifact(models_dir, _manifest(plan, name, threshold, rule, metrics), model.save)


def _validated_threshold(plan: _Plan, frame: DataFrame, report: Callable[[str], None]) -> tuple[float | None, str]:
    """The threshold from a model that has not seen the validation period; None where there is no such period."""
    validation = plan.split.record.validation
    if validation is None:
        return None, "maximises F1 on the training rows themselves (no validation period: likely too high)"
    report(f"choosing the threshold on {validation.rows:,} rows of a validation period")
    earlier = fit(frame.filter(F.col(TrainingColumn.PART) == int(Part.FIT)), plan.algorithm, plan.seed)
    scored = _scored(plan, earlier, frame.filter(F.col(TrainingColumn.PART) == int(Part.VALIDATION)))
    return choose_threshold(scored), (
        f"maximises F1 on the validation period ({validation.rows:,} rows, {validation.frauds:,} frauds, "
        f"{validation.start} to {validation.end}) with a model fitted on the rows before it"
    )


def _judged(
    plan: _Plan, model: FittedModel, frame: DataFrame, threshold: float, report: Callable[[str], None]
) -> Metrics:
    """The figures on the test period; none where the model was fitted on every row."""
    test = plan.split.record.test
    if test is None:
        return Metrics("n/a: the model was fitted on every row", reliable=False)
    report(f"judging it on {test.rows:,} later rows")
    scored = _scored(plan, model, frame.filter(F.col(TrainingColumn.PART) == int(Part.TEST)))
    at = at_threshold(scored, threshold)
    if not scored.has_both_classes:
        return Metrics(
            "n/a: the test period holds one class only",
            reliable=False,
            frauds=at.frauds,
            frauds_caught=at.frauds_caught,
            false_alarms=at.false_alarms,
            false_alarms_per_1000=at.false_alarms_per_1000,
        )
    interval = average_precision_interval(scored, plan.seed)
    return Metrics(
        f"the test period: the last {test.rows:,} rows by {plan.split.record.ordered_by}, not seen in training",
        reliable=test.frauds >= FEW_FRAUDS,
        average_precision=average_precision(scored),
        average_precision_low=interval.low,
        average_precision_high=interval.high,
        roc_auc=roc_auc(scored),
        recall=at.recall,
        precision=at.precision,
        frauds=at.frauds,
        frauds_caught=at.frauds_caught,
        false_alarms=at.false_alarms,
        false_alarms_per_1000=at.false_alarms_per_1000,
    )


def _scored(plan: _Plan, model: FittedModel, frame: DataFrame) -> Scored:
    rows, scores = model.scores(frame)
    return Scored(scores, plan.profile.label.is_fraud[rows], plan.weight[rows])


def _manifest(plan: _Plan, name: str, threshold: float, rule: str, metrics: Metrics) -> Manifest:
    found, split, choice = plan.profile, plan.split, plan.choice
    return Manifest(
        model_id=name,
        algorithm=plan.algorithm.name,
        features=choice.features,
        missing_limit=len(choice.features) // 2,
        label=found.label.name,
        label_values=LabelValues(found.label.legitimate, found.label.fraud),
        time_column=found.time.column if found.time is not None else None,
        unseen_from_row=split.unseen_from_row,
        unseen_from_time=split.unseen_from_time,
        threshold=threshold,
        threshold_rule=rule,
        metrics=metrics,
        split=split.record,
        training_data=TrainingData(plan.source.path.name, plan.source.fingerprint, found.rows, found.frauds),
        legitimate_share=plan.legitimate_share,
        seed=plan.seed,
        parameters=dict(plan.algorithm.parameters),
        excluded=choice.excluded,
        warnings=(*split.warnings, *choice.warnings),
        versions={package: version(package) for package in ("fraudstream", "pyspark", "numpy", "pyarrow")},
        files={},
        columns=plan.source.columns,
        selection=plan.selection,
    )


def _put_in_force(models_dir: Path, artifact: ModelArtifact, who: str, now: Callable[[], datetime]) -> InForce:
    manifest = artifact.manifest
    try:
        in_force = read_current(models_dir / CURRENT_FILE)
    except ModelNotFound:
        in_force = None
    if in_force is not None and in_force.model_id == manifest.model_id:
        return in_force
    why = f"trained on {manifest.training_data.name}"
    return put_in_force(models_dir, manifest.model_id, manifest.threshold, who=who, why=why, now=now())
