"""The Python interface: `train`, `load`, `score` and `explain`, equivalent to the commands.

Heavy imports are inside the functions: every command pays for the imports at the top of this module.
"""

from __future__ import annotations

import csv
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fraudstream.model.artifact import ModelArtifact
    from fraudstream.model.deployment.current import Deployment
    from fraudstream.model.explanation.explainer import Explanation
    from fraudstream.model.manifest import Manifest
    from fraudstream.transactions.data_source import DataSource

__all__ = ["Model", "Scores", "explain", "load", "score", "train"]

AnyPath = str | PathLike[str]
AnyData = AnyPath | Sequence[AnyPath]
"""A file, a folder, or several."""


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


@dataclass(frozen=True)
class Scores:
    """The verdicts on the rows, in their order.

    Attributes:
        outcome: By row: "clear", "alert", "unscorable" or "dead_letter".
        score: By row, the probability of fraud; NaN if the row is not scored.
        threshold: A score at or above it is an alert.
    """

    outcome: NDArray[np.str_]
    score: NDArray[np.float64]
    threshold: float

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.score)

    @property
    def is_alert(self) -> NDArray[np.bool_]:
        """By row, whether the stream would raise an alert."""
        alerts: NDArray[np.bool_] = self.outcome == "alert"
        return alerts


@dataclass(frozen=True)
class Model:
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

    def score(self, data: AnyData, *, output: AnyPath | None = None, **reading: Unpack[Reading]) -> Scores:
        """Score each row as the stream would.

        Args:
            data: CSV, JSON Lines or Parquet files, plain or compressed, or a folder of them.
            output: A CSV to write as `fraudstream score` does; None writes no file.

        Raises:
            DataError: The data cannot be used, or the output cannot be written.
        """
        from fraudstream.config import Settings
        from fraudstream.runtime.engines import batch_spark

        settings = Settings.load()
        source = _source(data, reading)
        with tempfile.TemporaryDirectory(prefix="fraudstream-scores-") as folder:
            scores = Path(output) if output is not None else Path(folder) / "scores.csv"
            with batch_spark(settings, "score") as spark:
                from fraudstream.scoring.scorer import load_scorer, score_csv

                scorer = load_scorer(self.artifact, self.in_force)
                score_csv(spark, source, scorer, scores, max_record_bytes=settings.max_record_bytes)
            return _read_scores(scores, self.in_force.threshold)

    def explain(self, data: AnyData, row: int, **reading: Unpack[Reading]) -> Explanation:
        """Explain the score of one row, from raw value to score; needs no Spark.

        Args:
            data: CSV, JSON Lines or Parquet files, plain or compressed, or a folder of them.
            row: The row's number, from 0.

        Raises:
            DataError: The data cannot be used, or has no such row.
            ModelCorrupt: The saved model is of a kind unknown to this version.
        """
        from fraudstream.model.explanation.cells import row_of
        from fraudstream.model.explanation.explainer import Explainer

        return Explainer(self.artifact).explain(row_of(_source(data, reading), row), self.in_force.aliases)


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
        data: CSV, JSON Lines or Parquet files, plain or compressed, or a folder of them.
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
        DeploymentRefused: With `deploy`: the model is worse than the active one beyond a bound; it stays a candidate.
        SetupError: There is no suitable Java.
    """
    from fraudstream.config import Settings
    from fraudstream.model.evaluation.evaluate import ThresholdConstraints
    from fraudstream.model.training.plan import TrainingSettings
    from fraudstream.model.training.training import train as train_model
    from fraudstream.runtime.engines import batch_spark

    settings = Settings.load()
    result = train_model(
        lambda: batch_spark(settings, "train"),
        _source(data, reading),
        TrainingSettings(
            label=label,
            features=(features,) if isinstance(features, str) else features,
            exclude=(exclude,) if isinstance(exclude, str) else exclude,
            algorithm=algorithm,
            legitimate_share=legitimate_share,
            label_delay_seconds=label_delay_seconds,
            constraints=ThresholdConstraints(review_cost, max_alerts_per_day),
            seed=seed,
            refit=refit,
            test_from=test_from,
            name=name,
            note=note,
            tags=(tags,) if isinstance(tags, str) else tags,
        ),
        models_dir=Path(models),
        report=report,
        now=lambda: datetime.now(UTC),
        who="fraudstream.train",
        deploys=deploy,
    )
    return Model(result.artifact, result.deployment) if result.is_deployed else load(result.artifact.path)


def load(path: AnyPath = "models/current") -> Model:
    """Load and verify a model: an artifact's directory, a `current` file, or a directory that holds one.

    Raises:
        ModelNotFound: There is no model at the path.
        ModelCorrupt: A file is missing, or differs from the manifest.
    """
    from fraudstream.model.deployment.current import resolve

    return Model(*resolve(Path(path)))


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


def _source(data: AnyData, reading: Reading) -> DataSource:
    from fraudstream.transactions.data_source import open_data
    from fraudstream.transactions.reading_options import ReadingOptions

    paths = [data] if isinstance(data, str | PathLike) else data
    return open_data([Path(path) for path in paths], ReadingOptions.of(reading))


def _read_scores(path: Path, threshold: float) -> Scores:
    import numpy as np

    from fraudstream.scoring.scorer import ScoresFileColumn

    with path.open(newline="", encoding="utf-8") as file:
        lines = [(line[ScoresFileColumn.OUTCOME], line[ScoresFileColumn.SCORE]) for line in csv.DictReader(file)]
    outcomes = np.array([outcome for outcome, _ in lines], dtype=np.str_)
    return Scores(outcomes, np.array([float(cell) if cell else math.nan for _, cell in lines]), threshold)
