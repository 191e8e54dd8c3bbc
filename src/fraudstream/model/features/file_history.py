"""Adds the history features to payments in files, computed by the stream's own operator in the order of their times."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.dataset
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraudstream.history.identity import KEY_BYTES, entity_id
from fraudstream.history.payments import NO_TIME, Payments, read_payments
from fraudstream.history.profiles import write_profiles
from fraudstream.history.spec import HistorySpec, operator_config
from fraudstream.model.features.history import HistoryColumn, HistoryNote, with_history
from fraudstream.model.features.reading import NO_ALIASES, Projected, TrainingColumn
from fraudstream.model.manifest import Manifest
from fraudstream.runtime.cluster import is_local, read_parquet, write_parquet
from fraudstream.runtime.files import hadoop_path
from fraudstream.transactions.archive_files import ArchiveColumn
from fraudstream.transactions.data_source import DataSource, encoder

_KEY: Final = "key"
_RANK: Final = "offset"
_ROWS: Final = pa.schema(
    {TrainingColumn.ROW: "int64", _RANK: "int64", _KEY: "int64", Projected.TEXT: "string", "alert_id": "string"}
)
_ARRIVAL: Final = "9999-01-01 00:00:00"
"""When each row of a file arrived: after any time that a row may have, as nothing in a file is ahead of its arrival."""
_NOTES: Final = {
    HistoryNote.NO_KEY: "no readable {0.key.column}",
    HistoryNote.NO_TIME: "no readable {0.time}",
    HistoryNote.NO_AMOUNT: "no readable {0.amount}",
    HistoryNote.OTHER_CURRENCY: "another {0.currency}",
    HistoryNote.NO_PROFILE: "no daily profiles of the day before",
}


def with_history_of(
    spark: SparkSession,
    source: DataSource,
    model: Manifest,
    *,
    aliases: Mapping[str, str] = NO_ALIASES,
    earlier: DataSource | None = None,
) -> DataSource:
    """Return the data with the history that a model reads; unchanged if it reads none.

    The labels of the data and of `earlier` count for the shares of frauds, if they have any. Raises as `add_history`.
    """
    if model.history is None:
        return source
    fraud = model.label, model.label_values.fraud
    return add_history(spark, source, model.history, fraud, aliases=aliases, earlier=earlier)


def add_history(
    spark: SparkSession,
    source: DataSource,
    spec: HistorySpec,
    fraud: tuple[str, str] | None,
    *,
    aliases: Mapping[str, str] = NO_ALIASES,
    earlier: DataSource | None = None,
) -> DataSource:
    """Add a column for each history feature of `spec`.

    Payments are read in the order of their times, those of one time in that of the file. `fraud` is the label column
    with its value for a fraud. Payments of `earlier` count as before, and get no row.

    Raises DataError if a column that the history reads is missing, and as `DataSource.rows`.
    """
    sources = [source] if earlier is None else [earlier, source]
    # A key of this call alone: ids of cards are compared with each other, and not stored.
    secret = secrets.token_bytes(KEY_BYTES)
    payments = read_payments(source, spec, lambda value: entity_id(value, secret), fraud, aliases, earlier=earlier)
    with tempfile.TemporaryDirectory(prefix="fraudstream-history-") as directory:
        profiles, rows, results = (Path(directory) / name for name in ("profiles", "rows.parquet", "results"))
        write_profiles(profiles, payments, spec)
        config = operator_config(spec, dict(aliases), str(profiles), secret)
        write_parquet(_rows(sources, payments, {*spec.columns, *aliases}), _ROWS, rows)
        history = with_history(_in_order(spark, rows), config)
        values, notes = _collect(history, results, len(payments.time), len(spec.names))
    notes[payments.time == NO_TIME] |= HistoryNote.NO_TIME
    first = len(payments.time) - source.row_count
    counts = {text.format(spec): int((notes[first:] & note > 0).sum()) for note, text in _NOTES.items()}
    parts = [f"{count:,} with {text}" for text, count in counts.items() if count]
    warnings = [f"rows without a complete history: {', '.join(parts)}"] if parts else []
    return replace(source.with_numbers(spec.names, values[first:]), warnings=(*source.warnings, *warnings))


def _rows(sources: Sequence[DataSource], payments: Payments, names: set[str]) -> Iterator[tuple[Any, ...]]:
    """Yield each payment's row, rank in time, key, JSON of the columns that the operator reads, and event id.

    Those without a valid time are left out: after one of the year 2150, all others would be too old for the state.
    """
    order = np.argsort(payments.time, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    key = next(iter(payments.entities.values())).codes.astype(np.int64)
    # Rows without a key have nothing in common: one group of them all would be a single task's.
    key = np.where(key < 0, -1 - np.arange(len(key)), key)
    texts = chain.from_iterable(_texts(source, names) for source in sources)
    for row, (text, event_id) in enumerate(texts):
        if payments.time[row] != NO_TIME:
            yield row, rank[row], key[row], text, event_id


def _texts(source: DataSource, names: set[str]) -> Iterator[tuple[bytes, str | None]]:
    """Yield each row's JSON, and in an archive its event id: a payment that was sent again has the same."""
    is_archive = any(file.parts for file in source.files)
    event_id = source.columns.index(ArchiveColumn.EVENT_ID) if is_archive else None
    indexes = [index for index, name in enumerate(source.columns) if name in names]
    encode = encoder([source.columns[index] for index in indexes], [source.numeric[index] for index in indexes])
    for row in source.rows():
        yield encode([row[index] for index in indexes]), None if event_id is None else row[event_id]


def _in_order(spark: SparkSession, path: Path) -> DataFrame:
    """Read the rows as records of a topic, those of a key in one partition of the frame and in the order of time."""
    frame = read_parquet(spark, path, _ROWS)
    grouped = frame.repartition(spark.sparkContext.defaultParallelism, _KEY).sortWithinPartitions(_RANK)
    arrival = F.lit(_ARRIVAL).cast("timestamp")
    return grouped.drop(_KEY).withColumns({"partition": F.lit(0), "timestamp": arrival})


def _collect(frame: DataFrame, folder: Path, rows: int, features: int) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return by row the features, NaN for a missing one, and the notes."""
    columns = frame.select(TrainingColumn.ROW, HistoryColumn.VALUES, HistoryColumn.NOTES)
    if is_local(frame.sparkSession):
        columns.write.parquet(hadoop_path(folder))  # a million rows in the driver's memory would be too many
        batches = pyarrow.dataset.dataset(folder, format="parquet").to_batches()
    else:
        batches = iter(columns.toArrow().to_batches())
    values, notes = np.full((rows, features), np.nan), np.zeros(rows, np.int32)
    for batch in batches:
        row = batch.column(TrainingColumn.ROW).to_numpy()
        flat = batch.column(HistoryColumn.VALUES).flatten().to_numpy(zero_copy_only=False)
        values[row] = flat.reshape(len(row), features)
        notes[row] = batch.column(HistoryColumn.NOTES).to_numpy(zero_copy_only=False)
    return values, notes
