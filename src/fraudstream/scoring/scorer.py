"""Scores transactions with the active model as Spark expressions: a fast screen, then the exact score and outcome."""

import csv
import json
import math
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyspark.ml import Model
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from fraudstream.errors import DataError
from fraudstream.model.artifact import ModelArtifact
from fraudstream.model.calibration import IDENTITY, Calibration
from fraudstream.model.deployment.current import Deployment
from fraudstream.model.features.projection import project, screened_vector
from fraudstream.model.features.reading import Projected
from fraudstream.model.manifest import Feature
from fraudstream.model.training.assembled import load_fitted
from fraudstream.model.training.plan import parse_names
from fraudstream.runtime.cluster import read_parquet, write_parquet
from fraudstream.transactions.data_source import DataSource
from fraudstream.transactions.wire import LONGEST_EVENT_ID, Header, Outcome

PREFILTER_MARGIN: Final = 1e-9
"""The screen's threshold is lower by this share, so that rounding cannot hide a score equal to the threshold."""


class TopicColumn:
    """Names of the columns of Spark's Kafka source."""

    KEY: Final = "key"
    VALUE: Final = "value"
    TOPIC: Final = "topic"
    PARTITION: Final = "partition"
    OFFSET: Final = "offset"
    TIMESTAMP: Final = "timestamp"
    HEADERS: Final = "headers"
    SAMPLED: Final = "sampled"
    INDEX: Final = "index"
    IS_EMPTY: Final = "is_empty"
    ALERT_ID: Final = "alert_id"
    ORIGINAL: Final = "original"
    """The text before the history was added to it."""


class ScoreColumn:
    """Names of the columns that a scorer adds, besides those of `Projected`."""

    SCALED: Final = "scaled"
    SUSPECT: Final = "suspect"
    RAW: Final = "raw_prediction"
    PROBABILITY: Final = "probability"
    PREDICTION: Final = "prediction"
    SCORE: Final = "score"
    OUTCOME: Final = "outcome"


def header(name: Header) -> Column:
    """Return the first value of a header as text; null if absent."""
    matches = F.filter(F.col(TopicColumn.HEADERS), lambda each: each["key"] == F.lit(name.value))
    return F.try_element_at(matches, F.lit(1))["value"].cast("string")


def alert_id() -> Column:
    """Return the record's `event_id`, or an id from topic, partition and offset if there is none.

    Each transaction of a list has its index appended.
    """
    event_id, index = header(Header.EVENT_ID), F.col(TopicColumn.INDEX)
    longest = LONGEST_EVENT_ID - F.coalesce(F.length(index.cast("string")) + 1, F.lit(0))
    is_valid = F.is_valid_utf8(event_id) & F.length(event_id).between(1, longest)
    record_id = F.concat_ws("/", TopicColumn.TOPIC, F.col(TopicColumn.PARTITION), F.col(TopicColumn.OFFSET))
    return F.concat_ws("/", F.when(is_valid, event_id).otherwise(record_id), index)


@dataclass(frozen=True)
class Scorer:
    """A loaded active model; a transaction with more missing features than `missing_limit` is unscorable.

    Args:
        revision: The revision of `models/current` that deployed it; 0 for an artifact named directly.
        threshold: A score at or above it is an alert.
        features: In the manifest's order.
        aliases: New column name to the feature's name.
        scaler: The fitted StandardScalerModel, from `features` to `scaled`.
        classifier: The fitted classification model on `scaled`.
        calibration: From the classifier's raw score to the score.
    """

    model_id: str
    revision: int
    threshold: float
    missing_limit: int
    features: Sequence[Feature]
    aliases: Mapping[str, str]
    scaler: Model
    classifier: Model
    calibration: Calibration = IDENTITY

    def screen(self, frame: DataFrame) -> DataFrame:
        """Add `is_screened` and `suspect` to transactions with a `text`, for one parse and one prediction each.

        If a transaction is not screened, its prediction is based on imputation values and means nothing: check both.
        """
        vectors = screened_vector(frame, self.features, self.missing_limit, aliases=self.aliases)
        predicted = self._screening_classifier().transform(self.scaler.transform(vectors))
        return predicted.withColumn(ScoreColumn.SUSPECT, F.col(ScoreColumn.PREDICTION) == F.lit(1.0)).drop(
            Projected.FEATURES, ScoreColumn.SCALED, ScoreColumn.PREDICTION
        )

    def verdicts(self, frame: DataFrame) -> DataFrame:
        """Add `is_object`, `imputed`, `score` (null if unscorable) and `outcome` to transactions with a `text`."""
        projected = project(frame, self.features, aliases=self.aliases)
        scored = self.classifier.transform(self.scaler.transform(projected))
        probability = calibrated(vector_to_array(F.col(ScoreColumn.PROBABILITY))[1], self.calibration)
        too_much_missing = F.size(Projected.IMPUTED) > F.lit(self.missing_limit)
        scorable = F.col(Projected.IS_OBJECT) & ~too_much_missing & ~F.isnan(probability)
        score = F.when(scorable, probability)
        outcome = (
            F.when(~F.col(Projected.IS_OBJECT), F.lit(Outcome.DEAD_LETTER.value))
            .when(F.col(ScoreColumn.SCORE).isNull(), F.lit(Outcome.UNSCORABLE.value))
            .when(F.col(ScoreColumn.SCORE) >= F.lit(self.threshold), F.lit(Outcome.ALERT.value))
            .otherwise(F.lit(Outcome.CLEAR.value))
        )
        return (
            scored.withColumn(ScoreColumn.SCORE, score)
            .withColumn(ScoreColumn.OUTCOME, outcome)
            .drop(
                Projected.FEATURES, ScoreColumn.SCALED, ScoreColumn.RAW, ScoreColumn.PROBABILITY, ScoreColumn.PREDICTION
            )
        )

    def _screening_classifier(self) -> Model:
        """Copy the classifier without its probability columns, which cost as much as the rest, and set its threshold.

        It has raw scores only, so its threshold is the raw score that the calibration maps to the active one.
        """
        screening = self.classifier.copy()
        screening.set(screening.getParam("rawPredictionCol"), "")
        screening.set(screening.getParam("probabilityCol"), "")
        raw = self.calibration.raw_at(self.threshold)
        threshold = min(max(raw * (1.0 - PREFILTER_MARGIN), 1e-300), 1.0 - 1e-16)
        if screening.hasParam("threshold"):
            screening.set(screening.getParam("threshold"), threshold)
        else:
            screening.set(screening.getParam("thresholds"), [1.0 - threshold, threshold])
        return screening


def calibrated(raw: Column, calibration: Calibration) -> Column:
    """Calibrate a raw score: `Calibration.of` as a Spark expression; 0 and 1 are unchanged."""
    if calibration.is_identity:
        return raw
    for_fraud = F.pow(raw, F.lit(calibration.a))
    against = F.pow(F.lit(1.0) - raw, F.lit(calibration.b)) * F.lit(math.exp(-calibration.c))
    return for_fraud / (for_fraud + against)


def load_scorer(artifact: ModelArtifact, deployment: Deployment) -> Scorer:
    """Load a verified artifact into the active Spark session; ModelCorrupt if its algorithm is unknown."""
    manifest, fitted = artifact.manifest, load_fitted(artifact)
    fitted.scaler.setInputCol(Projected.FEATURES).setOutputCol(ScoreColumn.SCALED)
    fitted.classifier.setFeaturesCol(ScoreColumn.SCALED).setRawPredictionCol(ScoreColumn.RAW)
    fitted.classifier.setProbabilityCol(ScoreColumn.PROBABILITY).setPredictionCol(ScoreColumn.PREDICTION)
    return Scorer(
        model_id=deployment.model_id,
        revision=deployment.revision,
        threshold=deployment.threshold,
        missing_limit=manifest.missing_limit,
        features=manifest.features,
        aliases=deployment.aliases,
        scaler=fitted.scaler,
        classifier=fitted.classifier,
        calibration=manifest.calibration,
    )


class ScoresFileColumn:
    """Names of the output columns; they are a contract."""

    ROW: Final = "row"
    OUTCOME: Final = "outcome"
    SCORE: Final = "score"
    THRESHOLD: Final = "threshold"

    ALL: Final = (ROW, OUTCOME, SCORE, THRESHOLD)


def score_csv(
    spark: SparkSession,
    source: DataSource,
    scorer: Scorer,
    output: Path,
    *,
    max_record_bytes: int,
    keep: Sequence[str] = (),
) -> Counter[Outcome]:
    """Write `row,outcome,score,threshold` for each row of the source, from 0; return the number of each outcome.

    The columns to `keep` follow as they are in the source; `all` means every one that is not an output column.
    Rows are processed as in the stream: CSV to JSON text, then the same projection and model, so that batch and stream
    cannot differ. A score is written with all its digits and is empty if unscorable.

    Raises DataError if the output cannot be written, and SettingsError if a column to keep is not there.
    """
    others = [column for column in source.columns if column not in ScoresFileColumn.ALL]
    columns_to_keep = others if tuple(keep) == ("all",) else parse_names(keep, others, "--keep")
    with tempfile.TemporaryDirectory(prefix="fraudstream-score-") as folder:
        rows = Path(folder) / "rows.parquet"
        schema = pa.schema({ScoresFileColumn.ROW: "int64", Projected.TEXT: "string"})
        write_parquet(enumerate(source.json_rows()), schema, rows)
        frame = read_parquet(spark, rows, schema)
        fits = F.octet_length(Projected.TEXT) <= F.lit(max_record_bytes)
        scored = scorer.verdicts(frame.withColumn(Projected.TEXT, F.when(fits, F.col(Projected.TEXT))))
        return _write(scored, scorer.threshold, output, columns_to_keep, source)


def _write(
    scored: DataFrame, threshold: float, output: Path, columns_to_keep: Sequence[str], source: DataSource
) -> Counter[Outcome]:
    scores = scored.select(ScoresFileColumn.ROW, ScoreColumn.OUTCOME, F.col(ScoreColumn.SCORE)).orderBy(
        ScoresFileColumn.ROW
    )
    outcomes: Counter[Outcome] = Counter()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        partial = output.with_name(f".{output.name}.partial")
        with partial.open("w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow((*ScoresFileColumn.ALL, *columns_to_keep))
            originals = source.json_rows() if columns_to_keep else repeat(b"")
            for batch in scores.toArrow().to_batches():
                columns = batch.to_pydict()
                for row, outcome, score in zip(*columns.values(), strict=True):
                    outcomes[Outcome(outcome)] += 1
                    # Numbers as they were written, not as they are read.
                    original = next(originals)
                    cells = json.loads(original, parse_float=str, parse_int=str) if original else {}
                    values = [cells.get(name) for name in columns_to_keep]
                    lines.writerow((row, outcome, "" if score is None else repr(score), repr(threshold), *values))
        partial.replace(output)
    except OSError as e:
        raise DataError(
            f"the scores cannot be written: {e.strerror}", where=str(output), remedy="choose a writable folder"
        ) from e
    return outcomes
