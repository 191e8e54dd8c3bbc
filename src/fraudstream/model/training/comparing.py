"""Scores labelled rows with saved models, and compares two models on rows that neither was fitted on."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraudstream.history.spec import HistorySpec
from fraudstream.model.artifact import ModelArtifact
from fraudstream.model.deployment.current import Deployment
from fraudstream.model.evaluation import thresholds
from fraudstream.model.evaluation.bootstrap import ScoredPeriod
from fraudstream.model.evaluation.comparison import Comparison, compare
from fraudstream.model.evaluation.evaluate import LabelledData
from fraudstream.model.evaluation.record import read_evaluation
from fraudstream.model.features.file_history import with_history_of
from fraudstream.model.features.projection import RowNotes, project, read_rows, write_training_rows
from fraudstream.model.features.reading import Projected, TrainingColumn, text_columns
from fraudstream.model.manifest import Manifest
from fraudstream.model.training.recipe import RowScores, load_fitted
from fraudstream.transactions.data_source import DataSource
from fraudstream.transactions.label import profile

ModelInUse = tuple[ModelArtifact, Deployment]
"""A model with the threshold and aliases to use it with."""


@dataclass(frozen=True)
class LabelledRows:
    """Rows to measure models on.

    Attributes:
        start: Their first time, or row, as in a `Period`.
        texts: Their JSON, of `read_rows`.
        period: Joins labels, weights and losses to scores.
        history: The history whose features are among their columns.
    """

    source: DataSource
    time_column: str | None
    start: str
    texts: DataFrame
    period: Callable[[RowScores], ScoredPeriod]
    history: HistorySpec | None = None

    def scored(self, artifact: ModelArtifact, aliases: Mapping[str, str]) -> ScoredPeriod:
        """Return the rows that a model could score, with calibrated scores."""
        manifest, fitted = artifact.manifest, load_fitted(artifact)
        vectors = project(self.texts, manifest.features, aliases=aliases)
        is_scorable = F.col(Projected.IS_OBJECT) & (F.size(Projected.IMPUTED) <= F.lit(manifest.missing_limit))
        rows, raw = fitted.scores(vectors.where(is_scorable).select(TrainingColumn.ROW, Projected.FEATURES))
        return self.period((rows, manifest.calibration.of(raw)))

    def compare(
        self, new: ScoredPeriod, threshold: float, former: ModelInUse, review_cost: float, seed: int
    ) -> tuple[Comparison, list[ScoredPeriod]]:
        """Compare a model that has scored the rows with another one; also return the rows that both could score."""
        artifact, deployment = former
        model_id = artifact.manifest.model_id
        reason = incomparable_reason(artifact.manifest, self.source, deployment, self.history)
        if reason:
            return Comparison(model_id, None, None, 0, reason), []
        fit, note, _ = self.unseen_fit(artifact)
        theirs = self.scored(fit, deployment.aliases)
        _, mine, others = np.intersect1d(new.rows, theirs.rows, return_indices=True)
        both = [new.of(mine), theirs.of(others)]
        if not both[0].raw.has_both_classes:
            return Comparison(model_id, None, None, len(mine), "the rows that both can score hold one class only"), []
        at = threshold, deployment.threshold
        return compare(both, at, review_cost=review_cost, model_id=model_id, note=note, seed=seed), both

    def unseen_fit(self, artifact: ModelArtifact) -> tuple[ModelArtifact, str, bool]:
        """Return the newest fit that has not seen these rows, what it was trained on, and whether that is known."""
        manifest, evaluated = artifact.manifest, artifact.evaluated or artifact
        is_same = manifest.training_data.fingerprint == self.source.fingerprint
        if is_same or manifest.time_column == self.time_column is not None:
            if is_before(fitted_to(manifest), self.start):
                return artifact, f"trained on {'the same file, but not on these' if is_same else 'earlier'} rows", True
            if is_before(manifest.split.train.end, self.start) and (manifest.refit is None or artifact.evaluated):
                return evaluated, "scored by the fit of its evaluation, which has not seen these rows", True
        if is_same:
            again = "and fitted again " if manifest.refit is not None and not artifact.evaluated else ""
            return evaluated, f"trained on the same file {again}on these rows too: its figures are too high", False
        return artifact, f"trained on {manifest.training_data.name}: it may have used some of these rows", False


def fitted_to(manifest: Manifest) -> str:
    """Return the last time, or row, that a model's deployed fit has seen."""
    split = manifest.split
    return split.test.end if manifest.refit is not None and split.test is not None else split.train.end


def is_before(one: str, other: str) -> bool:
    """Compare two times or rows of `Period`: numbers, or dates in ISO 8601."""
    try:
        return float(one.removeprefix("row ")) < float(other.removeprefix("row "))
    except ValueError:
        return one < other


def same_history(one: HistorySpec, other: HistorySpec) -> bool:
    """Whether two histories are of the same entities and columns, whichever features are derived."""
    return replace(one, live=(), profiles=()) == replace(other, live=(), profiles=())


def incomparable_reason(
    model: Manifest, source: DataSource, deployment: Deployment, history: HistorySpec | None
) -> str:
    """Return why a model cannot score the rows of some data with the features of a history; empty if it can."""
    if model.history is not None and (
        history is None or not same_history(history, model.history) or not {*model.history.names} <= {*source.columns}
    ):
        return "it reads the history of other entities, or another one of them, than these rows have"
    names = {*source.columns, *deployment.aliases.values()}
    missing = [name for feature in model.features for name in text_columns([feature]) if name not in names]
    if len(missing) <= model.missing_limit:
        return ""
    first = ", ".join(map(repr, missing[:5]))
    return f"it cannot score these rows: the data lack its columns {first}{' and others' if missing[5:] else ''}"


@contextmanager
def labelled_rows(
    spark: SparkSession,
    source: DataSource,
    manifest: Manifest,
    legitimate_share: float,
    history: HistorySpec | None = None,
) -> Iterator[LabelledRows]:
    """Read labelled data, perhaps with a history; of the file that the model was trained on, its test period alone.

    Raises DataError if the data have no label, or cannot be read.
    """
    label = manifest.label if manifest.label in source.columns else None
    data, test = profile(source, label, excluded=source.columns), manifest.split.test
    time, is_used = data.time, np.ones(data.rows, dtype=np.bool_)
    moments = np.arange(data.rows, dtype=np.float64) if time is None else time.values
    if test is not None and source.fingerprint == manifest.training_data.fingerprint:
        start = float(test.start.removeprefix("row ")) if time is None else time.value_of(test.start)
        is_used = moments >= (-np.inf if start is None else start)
    first = float(moments[is_used].min())
    labelled = LabelledData.of(data, legitimate_share)
    with tempfile.TemporaryDirectory(prefix="fraudstream-rows-") as folder:
        notes = RowNotes(data.label.is_fraud, labelled.weight, np.zeros(data.rows, np.int8), is_used)
        write_training_rows(source.json_rows(), notes, Path(folder))
        texts = read_rows(spark, Path(folder)).filter(TrainingColumn.IS_KNOWN)
        column, begin = (None, f"row {first:.0f}") if time is None else (time.column, time.format(first))
        yield LabelledRows(source, column, begin, texts, labelled.period, history)


def review_cost_of(artifact: ModelArtifact) -> float:
    """Return the cost of a false alarm that a model's threshold was chosen with."""
    evaluation = read_evaluation(artifact.path)
    return thresholds.DEFAULT_REVIEW_COST if evaluation is None else evaluation.threshold.review_cost


def compare_models(
    spark: SparkSession,
    new: ModelInUse,
    former: ModelInUse,
    source: DataSource,
    share: float | None = None,
    earlier: DataSource | None = None,
) -> tuple[Comparison, list[ScoredPeriod]]:
    """Compare two saved models on labelled data, by default of the new one's share; raises as `labelled_rows`.

    The history that they read is computed from the data and from the `earlier` payments.
    """
    artifact, deployment = new
    manifest, others = artifact.manifest, former[0].manifest.history
    history = manifest.history or others
    if history is not None and others is not None and same_history(history, others):
        live, profiles = ((*getattr(history, each), *getattr(others, each)) for each in ("live", "profiles"))
        history = replace(history, live=tuple(dict.fromkeys(live)), profiles=tuple(dict.fromkeys(profiles)))
    source = with_history_of(
        spark, source, replace(manifest, history=history), aliases=deployment.aliases, earlier=earlier
    )
    with labelled_rows(spark, source, manifest, share or manifest.legitimate_share, history) as rows:
        fit, note, _ = rows.unseen_fit(artifact)
        cost, seed = review_cost_of(artifact), artifact.manifest.seed
        scored = rows.scored(fit, deployment.aliases)
        comparison, both = rows.compare(scored, deployment.threshold, former, cost, seed)
        return replace(comparison, note=f"{comparison.note}; {artifact.manifest.model_id} was {note}"), both
