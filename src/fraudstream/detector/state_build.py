"""Builds the state of the history offline, from payments before those that the detector will read."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
from pyspark.sql import SparkSession

from fraudstream.detector.checkpoint import put_aside
from fraudstream.detector.history import STORE
from fraudstream.history.identity import entity_value
from fraudstream.history.spec import HistorySpec
from fraudstream.model.deployment.state import StateRecord, state_directory, write_state
from fraudstream.model.features.history import with_live_history
from fraudstream.runtime.cluster import read_parquet, write_parquet
from fraudstream.transactions.archive_files import archived, partitions_of
from fraudstream.transactions.data_source import DataSource

_INPUT: Final = pa.schema(
    {
        "row": pa.int64(),
        "partition": pa.int32(),
        "text": pa.string(),
        "offset": pa.int64(),
        "timestamp": pa.timestamp("ms", "UTC"),
        "alert_id": pa.string(),
    }
)


class PastPayment(NamedTuple):
    """A payment that enters the state; one of a file has no offset (-1), time of Kafka (ms since 1970) or event id."""

    partition: int
    text: bytes
    offset: int = -1
    timestamp: int | None = None
    event_id: str | None = None


def build_state(
    spark: SparkSession,
    payments: Iterable[PastPayment],
    record: StateRecord,
    config: dict[str, Any],
    checkpoint: Path,
    now: datetime,
) -> tuple[int, Path | None]:
    """Replace the state beside a checkpoint that no detector uses with that after `payments`, which are in order.

    Returns the number of payments, and where the former state is now; None if there was none.
    """
    directory = state_directory(checkpoint)
    draft = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="fraudstream-state-") as folder:
        path = Path(folder) / "payments.parquet"
        count = write_parquet(((row, *payment) for row, payment in enumerate(payments)), _INPUT, path)
        frame = read_parquet(spark, path, _INPUT)
        # A task may have several partitions, one after the other.
        ordered = frame.repartition(record.partitions, "partition").sortWithinPartitions("partition", "row")
        with_live_history(ordered, config, draft / STORE, record.base).write.format("noop").mode("overwrite").save()
    write_state(draft, record)
    former = put_aside(directory, "replaced", now)
    shutil.rmtree(directory, ignore_errors=True)
    draft.rename(directory)
    return count, former


def payments_of(source: DataSource, key: str, partitions: int) -> Iterator[PastPayment]:
    """Read the payments of files, each for the partition to which its key would be sent."""
    partition_of = partitioner(partitions)
    return (PastPayment(partition_of(entity_value(row, key)), row) for row in source.json_rows())


def archived_payments(paths: Sequence[Path], topic: str, spec: HistorySpec) -> Iterator[PastPayment]:
    """Read the payments of an archive of the topic, in its order, with the ids of their entities.

    Each is for the partition that its key was in last, in case the topic has grown. The ids take the place of the
    columns' values, which may be masked: the id of an id is itself.
    """
    columns, homes = [entity.column for entity in spec.entities], dict[str, tuple[int, int]]()
    partitions = [files for (name, _), files in partitions_of(paths).items() if name == topic]
    for payment in chain.from_iterable(map(archived, partitions)):
        key, newest = dict(payment.entity_ids).get(spec.key.column), (payment.timestamp, payment.partition)
        if key is not None:
            homes[key] = max(homes.get(key, newest), newest)
    for payment in chain.from_iterable(map(archived, partitions)):
        known = {column: value for column, value in payment.entity_ids if column in columns}
        _, home = homes.get(known.get(spec.key.column, ""), (0, payment.partition))
        offset = payment.offset if home == payment.partition else -1
        yield PastPayment(home, payment.with_values(known), offset, payment.timestamp, payment.event_id)


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
