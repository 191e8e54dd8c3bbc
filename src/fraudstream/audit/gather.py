"""Reads the facts of an audit from Kafka and the store, in an order that stays consistent on a running system.

First the published heads of the audit trail: what they cover is in the store. Then the ledger: what it counts is
already on the output topics. Then the relay's offsets and the store: what is committed is in the store, and what is
in the store is on a topic. Then the output topics and the end of the input.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from sqlalchemy import Connection, create_engine, select
from sqlalchemy.exc import DBAPIError

from fraudstream.audit.facts import Facts, OutputRecord, StoredRecord
from fraudstream.audit.report import AuditReport, Finding, Kind
from fraudstream.errors import FraudstreamError, KafkaFailure, StoreError
from fraudstream.kafka.reading import READ_SECONDS, Watermarks, open_reader, read_partition, watermarks_of
from fraudstream.kafka.topics import is_compacted, require_topic, topic_id
from fraudstream.messages.base import Object
from fraudstream.messages.ledger import EntryKind, parse_entry
from fraudstream.messages.posted import check_alert, check_dead_letter
from fraudstream.relay.carrier import GROUP
from fraudstream.relay.records import PostedRecord, to_payload
from fraudstream.runtime.processes import wait_until
from fraudstream.store import tables
from fraudstream.store.changes import PublishedHead, broken_links, holds, stored_heads
from fraudstream.store.database import parse_url
from fraudstream.transactions.masking import DataMask
from fraudstream.transactions.wire import AlertField, EventType, Outcome, Topic, output_limit

SUPERSEDED_SUFFIX: Final = "~unscorable"
"""What the store appends to the id of an unscorable transaction when an alert takes that id."""

ROWS_AT_ONCE: Final = 1_000
PREVIEW_CHARS: Final = 120
_IGNORED_KINDS: Final = ("event",)


@dataclass(frozen=True)
class StoreSnapshot:
    """A consistent snapshot of the store."""

    connection: Connection

    @classmethod
    @contextmanager
    def open(cls, url: str) -> Iterator[StoreSnapshot]:
        """Open the database read-only, for one transaction; StoreError if it does not exist or cannot be read."""
        path = Path(str(parse_url(url).database))
        if not path.is_file():
            raise StoreError(
                "there is no alert store", where=str(path), remedy="set --database, or --workdir for a demo"
            )
        address = f"file:{quote(str(path.absolute()))}?mode=ro"
        engine = create_engine(
            "sqlite://", creator=lambda: sqlite3.connect(address, uri=True, timeout=30, isolation_level=None)
        )
        try:
            with engine.connect().execution_options(stream_results=True) as connection:
                yield cls(connection)
        except DBAPIError as e:
            raise StoreError(
                f"the alert store cannot be read: {e.orig}",
                where=str(path),
                remedy="check that the file is a fraudstream database of this release and that it is readable",
            ) from e
        finally:
            engine.dispose()

    def rows(self) -> Iterator[StoredRecord]:
        """Read every alert, unscorable transaction and dead letter."""
        # The driver begins a transaction only before a write; this one makes all reads see one snapshot.
        self.connection.exec_driver_sql("BEGIN")
        yield from self._alerts()
        dead_letters = select(tables.dead_letters.c.id)
        for (identity,) in self.connection.execute(dead_letters).yield_per(ROWS_AT_ONCE):
            topic, partition, offset = identity.rsplit("/", 2)
            yield StoredRecord(identity, identity, False, Outcome.DEAD_LETTER.value, topic, int(partition), int(offset))

    def _alerts(self) -> Iterator[StoredRecord]:
        c = tables.alerts.c
        query = select(c.alert_id, c.conflict_of, c.outcome, c.topic, c.model_id, c.digest, c.body)
        for row in self.connection.execute(query).yield_per(ROWS_AT_ONCE):
            body: Object = orjson.loads(row.body)
            superseded = row.outcome == Outcome.UNSCORABLE and row.alert_id.endswith(SUPERSEDED_SUFFIX)
            own = row.alert_id.removesuffix(SUPERSEDED_SUFFIX) if superseded else row.alert_id
            yield StoredRecord(
                row.alert_id,
                row.conflict_of or own,
                row.conflict_of is not None and not superseded,
                row.outcome,
                row.topic,
                _whole(body.get(AlertField.PARTITION)),
                _whole(body.get(AlertField.OFFSET)),
                row.model_id,
                _whole(body.get(AlertField.REVISION)),
                row.digest,
            )

    def trail(self, published: Iterable[PublishedHead]) -> Iterator[Finding]:
        """Report the first entry of the audit trail whose hash does not match, and published heads it lacks."""
        broken = list(broken_links(self.connection))
        if broken:
            entry = f"entry {broken[0].seq} ({broken[0].change_id})"
            what = f"{entry} does not match its hash: it or the one before was altered or removed"
            yield Finding(Kind.ALTERED, what, count=len(broken))
        heads = {(head.seq, head.hash): head for head in (*published, *stored_heads(self.connection))}
        for head in sorted(heads.values()):
            if not holds(self.connection, head.seq, head.hash):
                what = f"the head published at {head.at} (entry {head.seq}, hash {head.hash[:12]}…) is not in the trail"
                yield Finding(Kind.ALTERED, what)

    def rejected(self) -> Iterator[Finding]:
        """Report posted outcomes and ledger entries that could not be stored."""
        c = tables.rejected.c
        query = select(c.seq, c.kind, c.reason, c.payload).where(c.kind.not_in(_IGNORED_KINDS)).order_by(c.seq)
        for seq, kind, reason, payload in self.connection.execute(query).yield_per(ROWS_AT_ONCE):
            head = payload if len(payload) <= PREVIEW_CHARS else payload[:PREVIEW_CHARS] + "…"
            yield Finding(Kind.REJECTED, f"{kind} {seq} was not stored: {reason}: {head}")


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


OUTCOME_TOPICS: Final = (Topic.ALERTS, Topic.UNSCORABLE, Topic.DEAD_LETTERS)
COORDINATOR_SECONDS: Final = 30.0

Partition = tuple[str, int]


def gather(
    bootstrap_servers: str, database: str, max_record_bytes: int, report: AuditReport, mask: DataMask | None = None
) -> Facts:
    """Read everything once; unreadable records become findings of the report. Raises the errors of `audit`."""
    topic = Topic.TRANSACTIONS.value
    require_topic(bootstrap_servers, topic)
    facts = Facts(topic, topic_id(bootstrap_servers, topic))
    facts.is_compacted = is_compacted(bootstrap_servers, topic)
    report.topic_id = facts.topic_id
    # The relay's consumer group, for its committed offsets.
    consumer = open_reader(
        bootstrap_servers,
        GROUP,
        enable_auto_offset_store=False,
        fetch_message_max_bytes=output_limit(max_record_bytes),
        queued_max_messages_kbytes=65_536,
    )
    try:
        existing = consumer.list_topics(timeout=READ_SECONDS).topics
        by_topic = {
            name: sorted(existing[name].partitions)
            for name in (*OUTCOME_TOPICS, Topic.LEDGER, Topic.EVENTS)
            if name in existing
        }
        partitions = [(name, p) for name in OUTCOME_TOPICS for p in by_topic.get(name, [])]
        heads = [h for p in by_topic.get(Topic.EVENTS, []) for h in _heads(consumer, (Topic.EVENTS.value, p))]
        _enter_ledger(facts, consumer, [(Topic.LEDGER.value, p) for p in by_topic.get(Topic.LEDGER, [])], report)
        committed = _committed(consumer, partitions)
        with StoreSnapshot.open(database) as store:
            facts.add("store_rows", store.rows())
            report.add(store.rejected())
            report.add(store.trail(heads))
        facts.add("outputs", _outputs(consumer, partitions, committed, report, mask or DataMask()))
        facts.truncated = [name for name, p in partitions if watermarks_of(consumer, name, p)[0] > 0]
        watermarks = Watermarks(bootstrap_servers, topic)
        facts.marks = watermarks.read()
        lagging = {p: until for p, until in facts.covered_until().items() if until < facts.marks.get(p, (0, 0))[1]}
        facts.next_records = watermarks.next_records(lagging)
    except KafkaException as e:
        error: KafkaError = e.args[0]
        raise KafkaFailure(
            f"cannot read from Kafka: {error.str()}",
            where=bootstrap_servers,
            remedy="see the broker's log, then try again",
        ) from e
    finally:
        consumer.close()
    facts.index()
    return facts


def _committed(consumer: Consumer, partitions: Sequence[Partition]) -> dict[Partition, int]:
    """Read the relay's committed offsets; a broker that has just started has no coordinator for a moment."""
    offsets: list[TopicPartition] = []
    failures: list[KafkaException] = []

    def fetch() -> bool:
        try:
            offsets.extend(consumer.committed([TopicPartition(*each) for each in partitions], timeout=10))
        except KafkaException as e:
            failures.append(e)
            return False
        return True

    if partitions and not wait_until(fetch, COORDINATOR_SECONDS, every=0.2):
        raise failures[-1]
    return {(each.topic, each.partition): each.offset for each in offsets if each.offset >= 0}


def _heads(consumer: Consumer, partition: Partition) -> Iterator[PublishedHead]:
    """Read the published heads of the audit trail that are still retained."""
    for message in read_partition(consumer, *partition):
        if message.key() == EventType.AUDIT_HEAD.encode():
            with contextlib.suppress(orjson.JSONDecodeError):
                head = PublishedHead.of(orjson.loads(message.value() or b""))
                if head is not None:
                    yield head


def _enter_ledger(facts: Facts, consumer: Consumer, partitions: Sequence[Partition], report: AuditReport) -> None:
    former: set[str] = set()
    for partition in partitions:
        for message in read_partition(consumer, *partition):
            key, value = (message.key() or b""), message.value()
            if value is None:
                entry_id = key.decode(errors="replace") if isinstance(key, bytes) else key
                facts.remove_entry(entry_id)
                former.discard(entry_id)
                facts.former_losses.pop(entry_id, None)
                continue
            try:
                entry = parse_entry(value)
            except Exception as e:  # any error concerns this record only
                report.add([_unreadable(partition, message.offset() or 0, e)])
                continue
            if entry.topic != facts.topic:
                continue
            if entry.topic_id == facts.topic_id:
                facts.add_entry(entry)
            else:
                former.add(entry.entry_id)
                if entry.kind is EntryKind.LOSS:
                    facts.former_losses[entry.entry_id] = entry
    facts.former = len(former)


def _outputs(
    consumer: Consumer,
    partitions: Sequence[Partition],
    committed: Mapping[Partition, int],
    report: AuditReport,
    mask: DataMask,
) -> Iterator[OutputRecord]:
    for partition in partitions:
        for message in read_partition(consumer, *partition):
            try:
                record = PostedRecord.of(message)
                payload = mask.record(to_payload(record))
                is_dead = record.topic is Topic.DEAD_LETTERS
                output = (_dead_letter if is_dead else _alert)(record, payload, committed)
            except Exception as e:  # any error concerns this record only
                report.add([_unreadable(partition, message.offset() or 0, e)])
            else:
                yield output


def _alert(record: PostedRecord, payload: object, committed: Mapping[Partition, int]) -> OutputRecord:
    """Parse a record as relay and store do, with their own code."""
    alert = check_alert(payload)
    return OutputRecord(
        *_relay_state(record, committed),
        id=alert.alert_id,
        outcome=alert.outcome.value,
        topic=alert.topic,
        partition=alert.partition,
        offset=alert.offset,
        model_id=alert.model_id,
        revision=alert.revision,
        score=alert.score,
        digest=alert.digest,
    )


def _dead_letter(record: PostedRecord, payload: object, committed: Mapping[Partition, int]) -> OutputRecord:
    dead_letter = check_dead_letter(payload)
    key = (dead_letter.topic, dead_letter.partition, dead_letter.offset)
    return OutputRecord(*_relay_state(record, committed), "/".join(map(str, key)), Outcome.DEAD_LETTER.value, *key)


def _relay_state(record: PostedRecord, committed: Mapping[Partition, int]) -> tuple[str, int, int, bool]:
    partition = (record.topic.value, record.partition)
    return (*partition, record.offset, record.offset < committed.get(partition, 0))


def _unreadable(partition: Partition, offset: int, error: Exception) -> Finding:
    reason = error.what if isinstance(error, FraudstreamError) else str(error)
    return Finding.at(Kind.UNREADABLE, reason, *partition, offset)
