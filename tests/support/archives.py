"""What the tests of the archive share: rows, an archiver in a thread, and everything that an archive holds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import Gauge

from fraudstream.archive.rows import ModelColumns, Row, RowConverter
from fraudstream.archive.service import Archiver
from fraudstream.archive.writer import Archive
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import open_reader
from fraudstream.kafka.topics import topic_id
from fraudstream.runtime.processes import wait_until
from fraudstream.transactions.archive_files import archive_files, in_topic_order, partitions_of
from fraudstream.transactions.masking import DataMask
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES, Topic

SECRET = bytes(32)
MINUTE, DAY = 60_000, 86_400_000
NOON = 20_000 * DAY + DAY // 2
"""2024-10-04 12:00 UTC, in milliseconds."""

converter = partial(RowConverter, DataMask(), SECRET, "", DEFAULT_MAX_RECORD_BYTES)


def row(offset: int, partition: int = 0, at: int = NOON, text: str | None = '{"a":1}', topic: str = "t") -> Row:
    return Row(topic, partition, offset, None, at, f"{topic}/{partition}/{offset}", at, (), text)


def held(root: Path) -> list[tuple[int, int]]:
    """Partition and offset of every record of an archive, in the order of the topic."""
    tables = (table for paths in partitions_of(archive_files(root)).values() for table in in_topic_order(paths))
    return [
        pair
        for table in tables
        for pair in zip(table["partition"].to_pylist(), table["offset"].to_pylist(), strict=True)
    ]


def rows_of(root: Path) -> list[dict[str, Any]]:
    """Every row of an archive, in the order of the topic."""
    partitions = partitions_of(archive_files(root)).values()
    return [each for paths in partitions for table in in_topic_order(paths) for each in table.to_pylist()]


@contextmanager
def archiving(cluster: Cluster, root: Path, **options: Any) -> Iterator[Archiver]:
    """An archiver in a thread, for the length of a `with` block; what is buffered is written at its end."""
    topic, stop, failures = cluster.topic(Topic.TRANSACTIONS), threading.Event(), list[BaseException]()
    with Archive.open(root, topic, topic_id(cluster, topic)) as archive, open_reader(cluster) as consumer:
        plain: dict[str, Any] = {"converter": converter(), "columns": ModelColumns, "interval": 0.1}
        archiver = Archiver(cluster, consumer, archive, **(plain | options))

        def run() -> None:
            try:
                archiver.run(stop)
            except BaseException as e:
                failures.append(e)

        thread = threading.Thread(target=run, name="archiver")
        thread.start()
        try:
            yield archiver
        finally:
            stop.set()
            thread.join()
    if failures:
        raise failures[0]


def await_archived(archiver: Archiver, ends: dict[int, int], seconds: float = 30.0) -> None:
    """Wait until everything before these offsets is in files."""
    assert wait_until(lambda: all(archiver.archive.positions.get(p, 0) >= end for p, end in ends.items()), seconds)


def value(gauge: Gauge) -> float:
    """The value of a metric that has no labels."""
    return next(iter(gauge.collect())).samples[0].value
