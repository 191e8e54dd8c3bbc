"""The Python interface: `train`, `load`, `score` and `explain`, equivalent to the commands.

Heavy imports are inside the functions: every command pays for the imports at the top of this module.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, Unpack

from fraudstream.notebook import Displayed
from fraudstream.scores import Scores, read_scores

if TYPE_CHECKING:
    from fraudstream.model.artifact import ModelArtifact
    from fraudstream.model.deployment.current import Deployment
    from fraudstream.model.explanation.explainer import Explanation
    from fraudstream.model.manifest import Manifest
    from fraudstream.transactions.data_source import DataSource

__all__ = ["Model", "Scores", "explain", "load", "score", "train"]


class ArrowTable(Protocol):
    """A table with Arrow's interface for tables: of pandas, polars, pyarrow, Spark and others."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the table's batches, for another library."""
        ...


AnyPath = str | PathLike[str]
AnyData = AnyPath | Sequence[AnyPath] | ArrowTable | Sequence[Mapping[str, Any]]
"""A file, a folder, or several; a data frame or an Arrow table; a list of dicts."""


class Reading(TypedDict, total=False):
    """How to read the data where what is recognised is not enough: the options of the commands (docs/data.md)."""

    fraud_value: str
    decimal: str
    date_order: str
    encoding: str
    delimiter: str
    skip_rows: int
    has_header: bool
    skip_broken: AnyPath | bool
    labels: AnyPath
    label_key: str


@dataclass(frozen=True, repr=False)
class Model(Displayed):
    """A verified model with its deployment.

    Attributes:
        artifact: Its directory and manifest.
        in_force: The deployment: threshold, aliases and revision to score with.
    """

    artifact: ModelArtifact
    in_force: Deployment

    @property
    def manifest(self) -> Manifest:
        """The model's manifest: features, split, metrics and how they were measured."""
        return self.artifact.manifest

    def _display(self) -> tuple[str, Sequence[Sequence[str]]]:
        from fraudstream.model.deployment.registry import average_precision_text

        data = self.manifest.training_data
        return self.in_force.model_id, [
            ("average precision", average_precision_text(self.manifest), self.manifest.metrics.measured_on),
            ("threshold", f"{self.in_force.threshold:.6g}", f"revision {self.in_force.revision}"),
            ("trained on", f"{data.rows:,} rows", f"of {data.name}, {data.frauds:,} of them frauds"),
            ("with", f"{len(self.manifest.features)} columns", ", ".join(each.name for each in self.manifest.features)),
        ]

    def score(
        self,
        data: AnyData,
        *,
        output: AnyPath | None = None,
        history: AnyData | None = None,
        **reading: Unpack[Reading],
    ) -> Scores:
        """Score each row as the stream would.

        Args:
            data: Files or a folder, a data frame, an Arrow table, or a list of dicts.
            output: A CSV to write as `fraudstream score` does; None writes no file.
            history: Earlier payments, of a model that reads a history: they count as before those of `data`.

        Raises:
            DataError: The data cannot be used, or the output cannot be written.
        """
        from fraudstream.config import Settings
        from fraudstream.runtime.engines import shared_spark

        settings = Settings.load()
        source, earlier = source_of(data, reading), None if history is None else source_of(history, reading)
        with tempfile.TemporaryDirectory(prefix="fraudstream-scores-") as folder:
            scores = Path(output) if output is not None else Path(folder) / "scores.csv"
            with shared_spark(settings) as spark:
                from fraudstream.scoring.scorer import load_scorer, score_csv

                scorer = load_scorer(self.artifact, self.in_force)
                source = self._with_history(source, earlier)
                score_csv(spark, source, scorer, scores, max_record_bytes=settings.max_record_bytes)
            return read_scores(scores, self.in_force.threshold)

    def explain(
        self, data: AnyData, row: int, *, history: AnyData | None = None, **reading: Unpack[Reading]
    ) -> Explanation:
        """Explain the score of one row, from raw value to score; needs Spark only if the model reads a history.

        Args:
            data: Files or a folder, a data frame, an Arrow table, or a list of dicts.
            row: The row's number, from 0.
            history: Earlier payments, as for `score`.

        Raises:
            DataError: The data cannot be used, or has no such row.
            ModelCorrupt: The saved model is of a kind unknown to this version.
        """
        from fraudstream.model.explanation.cells import row_of
        from fraudstream.model.explanation.explainer import Explainer

        source, earlier = source_of(data, reading), None if history is None else source_of(history, reading)
        return Explainer(self.artifact).explain(row_of(self._with_history(source, earlier), row), self.in_force.aliases)

    def _with_history(self, source: DataSource, earlier: DataSource | None) -> DataSource:
        if self.manifest.history is None:
            return source
        from fraudstream.config import Settings
        from fraudstream.runtime.engines import shared_spark

        with shared_spark(Settings.load()) as spark:
            from fraudstream.model.features.file_history import with_history_of

            return with_history_of(spark, source, self.manifest, aliases=self.in_force.aliases, earlier=earlier)


def train(
    data: AnyData,
    *,
    label: str | None = None,
    features: Sequence[str] = (),
    exclude: Sequence[str] = (),
    algorithm: str = "auto",
    legitimate_share: float = 1.0,
    label_delay_seconds: float | None = None,
    review_cost: float | None = None,
    max_alerts_per_day: float | None = None,
    refit: bool = True,
    test_from: str | None = None,
    entities: Mapping[str, str] | None = None,
    time: str | None = None,
    amount: str | None = None,
    deploy: bool = False,
    name: str = "",
    note: str = "",
    tags: Sequence[str] = (),
    models: AnyPath = "models",
    seed: int = 42,
    report: Callable[[str], None] = lambda line: None,
    **reading: Unpack[Reading],
) -> Model:
    """Train a model on payments, evaluate it on the last fifth in time, and fit it again on all rows.

    The first model of `models` is deployed; a later one is a candidate, unless `deploy` is set.

    Args:
        data: Files or a folder, a data frame, an Arrow table, or a list of dicts.
        label: The label column; detected by its name by default.
        features: Columns to learn from, and no others, however suspicious they look; detected by default.
        exclude: Columns to leave out.
        algorithm: "auto", "logistic-regression", "random-forest" or "gbt".
        legitimate_share: The share of the legitimate rows that the data contain, above 0 and at most 1; each is
            weighted by 1 / share in training and in every metric.
        label_delay_seconds: How long after a payment its label arrives; labels not known in time are not used. By
            default what the file of labels says, else 0.
        review_cost: Cost of reviewing a false alarm, in the unit of the amounts; 2.5 by default.
        max_alerts_per_day: Upper limit of the average number of alerts a day at the threshold.
        refit: Fit the model on all rows after its evaluation; the figures are those of the fit before.
        test_from: The time from which on the rows are the test period, in the notation of the time column.
        entities: Learn from what these did before: the column of each kind, as in {"card": "CUSTOMER_ID"}, the key of
            the stream first.
        time: With `entities`, the column of the payments' date and time; by its name by default.
        amount: With `entities`, the column of the amounts; by its name by default.
        deploy: Deploy the model, unless it is worse than the active one beyond a bound.
        name: A name for the model, taken where an id is.
        note: A note on the model.
        tags: Tags for the model, taken where an id is.
        models: Directory of the artifacts and of `current`.
        seed: Random seed.
        report: Called with one line for each step.
        reading: How to read the data; see `Reading`.

    Raises:
        SettingsError: An unknown algorithm, an impossible share, or a column that does not exist.
        DataError: The data cannot be used.
        ModelError: The artifact cannot be written.
        DeploymentRefused: With `deploy`: the model is worse than the active one beyond a bound, or needs another
            history than the state beside the checkpoint holds; it stays a candidate.
        SetupError: There is no suitable Java.
    """
    from fraudstream.config import Settings
    from fraudstream.model.deployment.state import state_directory
    from fraudstream.model.training.plan import TrainingSettings
    from fraudstream.model.training.training import train as train_model
    from fraudstream.runtime.engines import shared_spark

    settings = Settings.load()
    result = train_model(
        lambda: shared_spark(settings),
        source_of(data, reading),
        TrainingSettings(
            label=label,
            features=(features,) if isinstance(features, str) else features,
            exclude=(exclude,) if isinstance(exclude, str) else exclude,
            algorithm=algorithm,
            legitimate_share=legitimate_share,
            label_delay_seconds=label_delay_seconds,
            review_cost=review_cost,
            max_alerts_per_day=max_alerts_per_day,
            seed=seed,
            refit=refit,
            test_from=test_from,
            entities=[f"{kind}={column}" for kind, column in (entities or {}).items()],
            time=time,
            amount=amount,
            name=name,
            note=note,
            tags=(tags,) if isinstance(tags, str) else tags,
        ),
        models_dir=Path(models),
        report=report,
        now=lambda: datetime.now(UTC),
        who="fraudstream.train",
        deploys=deploy,
        history_state=state_directory(settings.checkpoint),
    )
    return Model(result.artifact, result.deployment) if result.is_deployed else load(result.artifact.path)


def load(path: AnyPath = "models/current") -> Model:
    """Load and verify a model: its id or the beginning of it, an artifact's directory, or a `current` file.

    Raises:
        ModelNotFound: There is no such model.
        ModelCorrupt: A file is missing, or differs from the manifest.
    """
    from fraudstream.config import Settings
    from fraudstream.model.deployment.current import resolve
    from fraudstream.model.deployment.registry import model_path

    return Model(*resolve(model_path(Path(path), Settings.load().models)))


def score(
    data: AnyData, *, model: AnyPath = "models/current", output: AnyPath | None = None, **reading: Unpack[Reading]
) -> Scores:
    """Score each row as the stream would: `load(model).score(data, output=output)`.

    Raises:
        ModelError: There is no usable model.
        DataError: The data cannot be used, or the output cannot be written.
    """
    return load(model).score(data, output=output, **reading)


def explain(data: AnyData, row: int, *, model: AnyPath = "models/current", **reading: Unpack[Reading]) -> Explanation:
    """Explain the score of one row of some payments: `load(model).explain(data, row)`.

    Raises:
        ModelError: There is no usable model.
        DataError: The data cannot be used, or has no such row.
    """
    return load(model).explain(data, row, **reading)


def source_of(data: AnyData, reading: Reading) -> DataSource:
    """Open what a call names or passes; raises DataError, or SettingsError for an impossible option."""
    from fraudstream.transactions.data_source import open_data, open_files
    from fraudstream.transactions.reading_options import ReadingOptions
    from fraudstream.transactions.records import open_table

    options = ReadingOptions.of(reading)
    paths = [data] if isinstance(data, str | PathLike) else data
    if isinstance(paths, list | tuple) and paths and all(isinstance(each, str | PathLike) for each in paths):
        return open_data([Path(each) for each in paths], options)
    table = open_table(data)
    return open_files((table,), options, (table.path,))
