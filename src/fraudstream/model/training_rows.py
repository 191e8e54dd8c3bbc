"""The rows of a CSV as Spark fits on them: the stream's own JSON and projection, with label, weight and part beside."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from fraudstream.model.feature import Feature
from fraudstream.model.projection import project
from fraudstream.model.reading import Projected
from fraudstream.model.recipe import TrainingColumn
from fraudstream.runtime.files import hadoop_path

_ROWS_PER_FILE: Final = 16_384


@dataclass(frozen=True)
class RowNotes:
    """What training knows of each row beside its columns; `weight` is how many rows of the whole it stands for."""

    is_fraud: NDArray[np.bool_]
    weight: NDArray[np.float64]
    part: NDArray[np.int8]


def write_training_rows(rows: Iterable[bytes], notes: RowNotes, directory: Path) -> None:
    """Write each row's JSON as the stream carries it, with its number and notes, as Parquet files of 16,384 rows."""
    schema = pa.schema(
        [
            (TrainingColumn.ROW, pa.int64()),
            (Projected.TEXT, pa.string()),
            (TrainingColumn.LABEL, pa.float64()),
            (TrainingColumn.WEIGHT, pa.float64()),
            (TrainingColumn.PART, pa.int8()),
        ]
    )
    for number, texts in enumerate(_batches(iter(rows))):
        start = number * _ROWS_PER_FILE
        batch = slice(start, start + len(texts))
        columns = [
            np.arange(batch.start, batch.stop),
            pa.array(texts, pa.binary()).cast(pa.string()),
            notes.is_fraud[batch].astype(np.float64),
            notes.weight[batch],
            notes.part[batch],
        ]
        pq.write_table(pa.table(columns, schema=schema), directory / f"rows-{number:06}.parquet", compression="lz4")


def read_rows(spark: SparkSession, directory: Path) -> DataFrame:
    """The written rows, each with its JSON."""
    # Said and not inferred: that would be one more job for a JVM that is still cold.
    schema = (
        f"{TrainingColumn.ROW} BIGINT, {Projected.TEXT} STRING, {TrainingColumn.LABEL} DOUBLE, "
        f"{TrainingColumn.WEIGHT} DOUBLE, {TrainingColumn.PART} TINYINT"
    )
    return spark.read.schema(schema).parquet(hadoop_path(directory))


def with_vectors(rows: DataFrame, features: Sequence[Feature]) -> DataFrame:
    """The rows of `read_rows` with their vectors in place of their JSON."""
    return project(rows, features).select(
        TrainingColumn.ROW, TrainingColumn.LABEL, TrainingColumn.WEIGHT, TrainingColumn.PART, Projected.FEATURES
    )


def _batches(rows: Iterator[bytes]) -> Iterator[list[bytes]]:
    while batch := list(islice(rows, _ROWS_PER_FILE)):
        yield batch
