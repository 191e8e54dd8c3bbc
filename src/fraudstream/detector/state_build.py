"""Builds the state of the history offline, from payments before those that the detector will read."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from fraudstream.detector.checkpoint import inspect, put_aside
from fraudstream.detector.history import NOTES, STORE
from fraudstream.errors import CheckpointDamaged, DataError
from fraudstream.history.identity import entity_value
from fraudstream.history.payments import column_index
from fraudstream.history.spec import HistorySpec, names_of
from fraudstream.model.deployment.state import StateRecord, state_directory, write_state
from fraudstream.model.features.history import HistoryColumn, with_live_history
from fraudstream.model.features.history import HistoryNote as Note
from fraudstream.runtime.cluster import read_parquet, write_parquet
from fraudstream.transactions.archive_files import ArchivedTransaction, ArchiveFile, archived, partitions_of
from fraudstream.transactions.data_source import DataSource

_INPUT: Final = pa.schema(
    {
        "row": pa.int64(),
        "partition": pa.int32(),
        "text": pa.string(),
        "timestamp": pa.timestamp("ms", "UTC"),
        "alert_id": pa.string(),
    }
)

_LEFT_OUT: Final = Note.NO_KEY | Note.NO_TIME | Note.NO_AMOUNT | Note.AHEAD | Note.REPEATED
"""The notes of payments that do not enter the state."""


class PastPayment(NamedTuple):
    """A payment that enters the state; one of a file has no time of Kafka (ms since 1970) and no event id."""

    partition: int
    text: bytes
    timestamp: int | None = None
    event_id: str | None = None


def build_state(
    spark: SparkSession,
    payments: Iterable[PastPayment],
    record: StateRecord,
    config: dict[str, Any],
    checkpoint: Path,
    now: datetime,
    report: Callable[[str], object],
) -> tuple[int, Path | None]:
    """Replace the state beside a checkpoint that no detector uses with that after `payments`, which are in order.

    The state continues at any offset: a payment that the detector reads again is in it already, by its event id.
    `report` takes why payments are left out. Returns the number of those that entered, and where the former state is
    now; None if there was none. Raises DataError if none enters; the former state is then unchanged.
    """
    directory = state_directory(checkpoint)
    draft = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="fraudstream-state-") as folder:
        path = Path(folder) / "payments.parquet"
        write_parquet(((row, *payment) for row, payment in enumerate(payments)), _INPUT, path)
        frame = read_parquet(spark, path, _INPUT).withColumn("offset", F.lit(-1))
        # A task may have several partitions, one after the other.
        ordered = frame.repartition(record.partitions, "partition").sortWithinPartitions("partition", "row")
        history = with_live_history(ordered, config, draft / STORE, record.base)
        # The operator is not deterministic, so Spark evaluates it once for each row, and in order, for its notes alone.
        notes: dict[int, int] = dict(map(tuple, history.groupBy(HistoryColumn.NOTES).count().collect()))
    spec, total = record.content, sum(notes.values())
    for bit, text in NOTES.items():
        if bit & _LEFT_OUT and (count := sum(notes[each] for each in notes if each & bit)):
            report(f"{count:,} of the payments {text.format(key=spec.key.column, time=spec.time, amount=spec.amount)}")
    entered = total - sum(notes[each] for each in notes if each & _LEFT_OUT)
    if not entered:
        shutil.rmtree(draft, ignore_errors=True)
        remedy = "name payments with the columns that the model's history reads; the state is as before"
        raise DataError(f"of {total:,} payments none enters the history", where=str(directory), remedy=remedy)
    write_state(draft, record)
    former = put_aside(directory, "replaced", now)
    shutil.rmtree(directory, ignore_errors=True)
    draft.rename(directory)
    return entered, former


def payments_of(
    source: DataSource, spec: HistorySpec, aliases: Mapping[str, str], partitions: int
) -> Iterator[PastPayment]:
    """Read the payments of files, each for the partition of its key; raises DataError if a column is missing."""
    for column in (*(entity.column for entity in spec.entities), spec.time, spec.amount):
        column_index(source, column, aliases)
    keys = [name for name in names_of(spec.key.column, aliases) if name in source.columns]
    partition_of = partitioner(partitions)
    return (PastPayment(partition_of(_value(row, keys)), row) for row in source.json_rows())


def archived_payments(
    paths: Sequence[Path], topic: str, spec: HistorySpec, aliases: Mapping[str, str]
) -> Iterator[PastPayment]:
    """Read the payments of an archive of the topic, in its order, with the ids of their entities.

    Each is for the partition that its key was in last, in case the topic has grown. The ids take the place of the
    columns' values, which may be masked: the id of an id is itself. Raises DataError if it is another topic's archive.
    """
    groups = partitions_of(paths)
    partitions = [files for (name, _), files in groups.items() if name == topic]
    if not partitions:
        what = f"the archive has nothing of the topic {topic}, but of {', '.join(sorted({name for name, _ in groups}))}"
        raise DataError(what, where=str(paths[0].parent.parent), remedy="name the archive of this topic")
    columns = {name for entity in spec.entities for name in names_of(entity.column, aliases)}
    names, homes = names_of(spec.key.column, aliases), dict[str | None, tuple[int, int]]()

    def key_of(payment: ArchivedTransaction) -> str | None:
        ids = dict(payment.entity_ids)
        return next((ids[name] for name in names if name in ids), None) or _value(payment.text.encode(), names)

    for payment in chain.from_iterable(map(archived, partitions)):
        key, newest = key_of(payment), (payment.timestamp, payment.partition)
        homes[key] = max(homes.get(key, newest), newest)
    for payment in chain.from_iterable(map(archived, partitions)):
        ids = {column: value for column, value in payment.entity_ids if column in columns}
        yield PastPayment(homes[key_of(payment)][1], payment.with_values(ids), payment.timestamp, payment.event_id)


def archive_gaps(paths: Iterable[Path], checkpoint: Path, topic: str, topic_id: str) -> list[str]:
    """Name the records between an archive's end and where the detector resumes, which are in neither."""
    try:
        committed = inspect(checkpoint, topic, topic_id).committed
    except CheckpointDamaged:  # the detector refuses it, and names the remedy
        return []
    files = [file for file in map(ArchiveFile.parse, paths) if file is not None and file.topic == topic]
    ends = {p: max((file.last + 1 for file in files if file.partition == p), default=0) for p in committed}
    return [f"{topic}[{p}] {ends[p]} to {offset - 1}" for p, offset in sorted(committed.items()) if ends[p] < offset]


def _value(transaction: bytes, columns: Sequence[str]) -> str | None:
    return next((value for name in columns if (value := entity_value(transaction, name)) is not None), None)


def partitioner(partitions: int) -> Callable[[str | None], int]:
    """Return Java's partition of a key among so many; 0 for none, whose payment has no history."""

    @lru_cache(maxsize=1_000_000)
    def of(key: str | None) -> int:
        return 0 if key is None else (murmur2(key.encode(errors="replace")) & 0x7FFFFFFF) % partitions

    return of


def murmur2(key: bytes) -> int:
    """Return the hash by which Kafka's Java client partitions, `org.apache.kafka.common.utils.Utils.murmur2`."""
    factor, mask = 0x5BD1E995, 0xFFFFFFFF
    value, whole = 0x9747B28C ^ len(key), len(key) & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(key[at : at + 4], "little") * factor & mask
        value = (value * factor & mask) ^ ((word ^ word >> 24) * factor & mask)
    if rest := key[whole:]:
        value = (value ^ int.from_bytes(rest, "little")) * factor & mask
    value = (value ^ value >> 13) * factor & mask
    return value ^ value >> 15
