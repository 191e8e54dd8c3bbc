"""Runs the archive: reads the input topic and writes its records to files, again and again until it is stopped."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from sys import getsizeof
from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from fraudstream import metrics
from fraudstream.archive.rows import ModelColumns, Row, RowConverter
from fraudstream.archive.writer import Archive
from fraudstream.config import Settings
from fraudstream.errors import ArchiveError, KafkaFailure, ModelError
from fraudstream.history.identity import entity_key
from fraudstream.kafka.avro import avro_decoder
from fraudstream.kafka.client import Cluster, denied, is_denied
from fraudstream.kafka.reading import END_OF_PARTITION, Watermarks, open_reader
from fraudstream.kafka.schema_registry import SchemaRegistry
from fraudstream.kafka.topics import ensure_topics, topic_id
from fraudstream.model.artifact import read_manifest
from fraudstream.model.deployment.current import read_model
from fraudstream.runtime.processes import check_port_free, write_ready
from fraudstream.transactions.masking import DataMask
from fraudstream.transactions.wire import Topic

log = structlog.get_logger(__name__)

MOST_ROWS: Final = 100_000
MOST_BYTES: Final = 64 * 1024 * 1024
"""Of the buffered records; more are written before the interval has passed."""
CHECK_SECONDS: Final = 30.0
RETRY_SECONDS: Final = 5.0


def active_columns(model: Path) -> ModelColumns:
    """Return the columns of the active model; those of none if there is none, or it cannot be read."""
    try:
        manifest, deployment = read_model(model, read_manifest)
        return ModelColumns.of(manifest, deployment.aliases)
    except (ModelError, OSError) as e:
        log.debug("no model", reason=str(e))
        return ModelColumns()


@dataclass
class Archiver:
    """Archives one topic; `run` returns once `stop` is set.

    Attributes:
        interval: Seconds after which buffered records are written.
        days: Days that are kept before today; None for all.
        now: The clock of the days.
        ready: Called once the partitions are assigned.
    """

    cluster: Cluster
    consumer: Consumer
    archive: Archive
    converter: RowConverter
    columns: Callable[[], ModelColumns]
    interval: float
    days: int | None = None
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ready: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        """Start with nothing buffered."""
        kinds = metrics.ARCHIVED, metrics.ARCHIVE_LAG, metrics.ARCHIVE_LOST, metrics.ARCHIVE_FAILING
        self.archived, self.lag, self.lost, self.failing = (Gauge(*each, registry=self.registry) for each in kinds)
        self._rows = defaultdict[int, list[Row]](list)
        self._next = dict[int, int]()  # by partition, the offset of the next record to read
        self._count = self._bytes = 0
        self._due_at = self._check_at = 0.0
        self._is_failing = False
        self._assigned: set[int] = set()
        self._watermarks = Watermarks(self.cluster, self.archive.topic)

    def run(self, stop: threading.Event) -> None:
        """Archive until `stop` is set; what is buffered is then written.

        Raises ArchiveError, also if that fails, KafkaFailure, KafkaException or SchemaRegistryFailed.
        """
        self.archive.remove_unfinished(self._watermarks.begins())
        self._next = dict(self.archive.positions)
        self.converter.columns = self.columns()
        self._check()
        self.ready()
        try:
            while not stop.is_set():
                self._step(stop)
        finally:
            if self._count:
                self._write()
        if self._count:
            remedy = "make space or correct its permissions, and start again: these records are read from Kafka again"
            raise ArchiveError("the last records cannot be written", where=str(self.archive.root), remedy=remedy)

    def _step(self, stop: threading.Event) -> None:
        if self._is_full:  # nothing can be written, so no more is read
            stop.wait(RETRY_SECONDS)
        elif (message := self.consumer.poll(0.25)) is not None:
            self._take(message)
        if self._count and (time.monotonic() >= self._due_at or (self._is_full and not self._is_failing)):
            self._write()
        if time.monotonic() >= self._check_at:
            try:
                self._check()
            except (KafkaException, KafkaFailure) as e:
                log.warning("Kafka does not list the partitions; retrying", reason=str(e))

    @property
    def _is_full(self) -> bool:
        return self._count >= MOST_ROWS or self._bytes >= MOST_BYTES

    def _take(self, message: Message) -> None:
        """Buffer the rows of a record, or note the end of a partition or an error."""
        partition, offset, error = message.partition() or 0, message.offset() or 0, message.error()
        if error is None:
            if not self._count:
                self._due_at = time.monotonic() + self.interval
            rows = self.converter.rows(message)
            self._rows[partition] += rows
            self._count += len(rows)
            self._bytes += sum(getsizeof(each) for row in rows for each in (row, *row, *chain(*row.entity_ids)))
            self._next[partition] = offset + 1
        elif error.name() == END_OF_PARTITION:
            # Beyond the last record may be markers of transactions.
            self._next[partition] = max(offset, self._next.get(partition, 0))
        elif error.name() == "_AUTO_OFFSET_RESET":  # deleted before it was read: it continues at the first offset
            self._assigned, self._check_at = set(), 0.0
        elif is_denied(error):
            log.error(denied(self.cluster, "READ", f"topic {self.archive.topic}").line)
        else:
            log.warning("Kafka consumer error", reason=str(error), place=f"{message.topic()}[{partition}]")

    def _write(self) -> None:
        try:
            files = self.archive.write(self._rows, self._next)
        except OSError as e:
            log.error("the archive cannot be written; retrying", archive=str(self.archive.root), reason=e.strerror)
            self._due_at, self._is_failing = time.monotonic() + RETRY_SECONDS, True
        else:
            if files:
                log.info("archived", records=self._count, files=len(files))
            first = "" if self.days is None else str(self.now().date() - timedelta(days=self.days))
            if old := sorted({each.day for each in files if each.day < first}):
                log.warning("archived records of days that --days removes", days=old)
            self.archived.inc(self._count)
            self._rows.clear()
            self._count = self._bytes = 0
            self._is_failing = False
            self.converter.columns = self.columns()
        self.failing.set(self._is_failing)

    def _check(self) -> None:
        """Assign added partitions, find out what Kafka has deleted, and remove old days."""
        watermarks = self._watermarks.read()
        if topic_id(self.cluster, self.archive.topic) != self.archive.topic_id:
            raise ArchiveError("the topic was created again", where=self.archive.topic, remedy="use another --archive")
        self._check_at = time.monotonic() + CHECK_SECONDS
        for partition, (begin, end) in watermarks.items():
            position = self._next.setdefault(partition, begin)
            place = f"{self.archive.topic}[{partition}] {position}"
            if position > end:
                what = f"the archive is ahead of Kafka, whose last offset is {end - 1}"
                remedy = "the topic was created again, or lost records: choose another folder with --archive"
                raise ArchiveError(what, where=place, remedy=remedy)
            # Else the client may have records already that Kafka has deleted since.
            if position < begin and self._assigned != watermarks.keys():
                log.error("Kafka deleted records before they were archived", record=place, first=begin)
                self.lost.inc(begin - position)
                self._next[partition] = begin
        if self._assigned != watermarks.keys():
            self.consumer.assign([TopicPartition(self.archive.topic, each, self._next[each]) for each in watermarks])
            self._assigned = set(watermarks)
            log.info("partitions assigned", positions={str(each): self._next[each] for each in watermarks})
        if not self._count and self._next != self.archive.positions:
            self._write()  # only the positions, which are beyond the markers of transactions
        waiting = {each: rows[0].offset for each, rows in self._rows.items()}
        self.lag.set(sum(end - waiting.get(each, self._next[each]) for each, (_, end) in watermarks.items()))
        if self.days is not None:
            try:
                for name in self.archive.remove_before(self.now().date(), self.days):
                    log.info("removed a day", folder=name)
            except OSError as e:
                log.warning("an old day cannot be removed", archive=str(self.archive.root), reason=e.strerror)


def run_archive(
    settings: Settings, stop: threading.Event, *, interval: float, days: int | None, metrics_port: int | None
) -> None:
    """Archive until `stop` is set; raises as `Archiver.run`, PortInUse or SettingsError."""
    cluster, registry = Cluster.of(settings), CollectorRegistry()
    avro = None if settings.schema_registry is None else avro_decoder(SchemaRegistry.of(settings))
    ensure_topics(cluster, settings.partitions, settings.max_record_bytes, "archive")
    topic = cluster.topic(Topic.TRANSACTIONS)
    mask, secret = DataMask(settings.card_columns), entity_key(settings.entity_key)
    with ExitStack() as stack:
        archive = stack.enter_context(Archive.open(settings.archive, topic, topic_id(cluster, topic)))
        if metrics_port is not None:
            check_port_free(settings.host, metrics_port, remedy="choose another --metrics-port")
            server, thread = start_http_server(metrics_port, settings.host, registry)
            stack.callback(thread.join)
            stack.callback(server.shutdown)
        consumer = stack.enter_context(open_reader(cluster, fetch_wait_max_ms=100, queued_max_messages_kbytes=65_536))
        Archiver(
            cluster,
            consumer,
            archive,
            RowConverter(mask, secret, settings.envelope, settings.max_record_bytes, avro),
            partial(active_columns, settings.model),
            interval,
            days,
            registry,
            ready=partial(write_ready, settings.ready_file),
        ).run(stop)
