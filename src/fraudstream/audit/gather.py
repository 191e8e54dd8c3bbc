"""Brings the facts of Kafka and of the store together, in an order that a running system cannot make inconsistent.

First the published heads of the audit trail: whatever they stand for is in the store. Then the ledger: whatever it
counts is on the output topics already. Then the relay's offsets and the store: whatever is committed is in the store,
and whatever is in the store is on a topic. Then the output topics and the input's end.
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

from fraudstream.audit.facts import Facts, Kept, Said
from fraudstream.audit.report import AuditReport, Finding, Kind
from fraudstream.errors import FraudstreamError, KafkaFailure, StoreError
from fraudstream.kafka.reading import READ_SECONDS, Watermarks, open_reader, read_partition, watermarks_of
from fraudstream.kafka.topics import is_compacted, require_topic, topic_id
from fraudstream.messages.base import Object
from fraudstream.messages.ledger import EntryKind, parse_entry
from fraudstream.messages.posted import check_alert, check_dead_letter
from fraudstream.relay.carrier import GROUP
from fraudstream.relay.records import Record, to_payload
from fraudstream.runtime.processes import wait_until
from fraudstream.store import tables
from fraudstream.store.changes import PublishedHead, broken_links, holds, stored_heads
from fraudstream.store.database import parse_url
from fraudstream.transactions.masking import DataMask
from fraudstream.transactions.wire import AlertField, EventType, Outcome, Topic, output_limit

SUPERSEDED_SUFFIX: Final = "~unscorable"
"""What the store puts behind the id of an unscorable row when an alert takes it."""

ROWS_AT_ONCE: Final = 1_000
SHOWN_CHARS: Final = 120
_IGNORED_KINDS: Final = ("event",)


@dataclass(frozen=True)
class StoreSnapshot:
    """The store at one moment."""

    connection: Connection

    @classmethod
    @contextmanager
    def open(cls, url: str) -> Iterator[StoreSnapshot]:
        """Open the database read-only, for one transaction; StoreError where it is not there, or cannot be read."""
        path = Path(str(parse_url(url).database))
        if not path.is_file():
            raise StoreError(
                "there is no alert store", where=str(path), remedy="name it with --database, or a demo with --workdir"
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
                remedy="check that the file is a fraudstream database of this release and that it may be read",
            ) from e
        finally:
            engine.dispose()

    def rows(self) -> Iterator[Kept]:
        """Every alert, unscorable row and dead letter."""
        # The driver begins a transaction before a write only; this one makes all that follows one moment.
        self.connection.exec_driver_sql("BEGIN")
        yield from self._alerts()
        letters = select(tables.dead_letters.c.id)
        for (identity,) in self.connection.execute(letters).yield_per(ROWS_AT_ONCE):
            topic, partition, offset = identity.rsplit("/", 2)
            yield Kept(identity, identity, False, Outcome.DEAD_LETTER.value, topic, int(partition), int(offset))

    def _alerts(self) -> Iterator[Kept]:
        c = tables.alerts.c
        chosen = select(c.alert_id, c.conflict_of, c.outcome, c.topic, c.model_id, c.digest, c.body)
        for row in self.connection.execute(chosen).yield_per(ROWS_AT_ONCE):
            body: Object = orjson.loads(row.body)
            superseded = row.outcome == Outcome.UNSCORABLE and row.alert_id.endswith(SUPERSEDED_SUFFIX)
            own = row.alert_id.removesuffix(SUPERSEDED_SUFFIX) if superseded else row.alert_id
            yield Kept(
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
        """The first entry of the audit trail that does not fit its hash, and heads published that the trail lacks."""
        broken = list(broken_links(self.connection))
        if broken:
            place = f"entry {broken[0].seq} ({broken[0].change_id})"
            what = f"{place} does not fit its hash: it or the one before was altered or removed"
            yield Finding(Kind.ALTERED, what, count=len(broken))
        heads = {(head.seq, head.hash): head for head in (*published, *stored_heads(self.connection))}
        for head in sorted(heads.values()):
            if not holds(self.connection, head.seq, head.hash):
                what = f"the head published at {head.at} (entry {head.seq}, hash {head.hash[:12]}…) is not in the trail"
                yield Finding(Kind.ALTERED, what)

    def rejected(self) -> Iterator[Finding]:
        """What was posted as an outcome or as an entry of the ledger and could not be stored."""
        c = tables.rejected.c
        chosen = select(c.seq, c.kind, c.reason, c.payload).where(c.kind.not_in(_IGNORED_KINDS)).order_by(c.seq)
        for seq, kind, reason, payload in self.connection.execute(chosen).yield_per(ROWS_AT_ONCE):
            head = payload if len(payload) <= SHOWN_CHARS else payload[:SHOWN_CHARS] + "…"
            yield Finding(Kind.REJECTED, f"{kind} {seq} was not stored: {reason}: {head}")


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


OUTCOME_TOPICS: Final = (Topic.ALERTS, Topic.UNSCORABLE, Topic.DEAD_LETTERS)
COORDINATOR_SECONDS: Final = 30.0

Place = tuple[str, int]


def gather(
    bootstrap_servers: str, database: str, max_record_bytes: int, report: AuditReport, mask: DataMask | None = None
) -> Facts:
    """Read everything once; what cannot be read as it should becomes a finding of the report. Raises as `audit`."""
    topic = Topic.TRANSACTIONS.value
    require_topic(bootstrap_servers, topic)
    facts = Facts(topic, topic_id(bootstrap_servers, topic))
    facts.is_compacted = is_compacted(bootstrap_servers, topic)
    report.topic_id = facts.topic_id
    # The relay's group, to ask how far it has committed.
    consumer = open_reader(
        bootstrap_servers,
        GROUP,
        enable_auto_offset_store=False,
        fetch_message_max_bytes=output_limit(max_record_bytes),
        queued_max_messages_kbytes=65_536,
    )
    try:
        existing = consumer.list_topics(timeout=READ_SECONDS).topics
        partitions = {
            name: sorted(existing[name].partitions)
            for name in (*OUTCOME_TOPICS, Topic.LEDGER, Topic.EVENTS)
            if name in existing
        }
        places = [(name, p) for name in OUTCOME_TOPICS for p in partitions.get(name, [])]
        heads = [h for p in partitions.get(Topic.EVENTS, []) for h in _heads(consumer, (Topic.EVENTS.value, p))]
        _enter_ledger(facts, consumer, [(Topic.LEDGER.value, p) for p in partitions.get(Topic.LEDGER, [])], report)
        committed = _committed(consumer, places)
        with StoreSnapshot.open(database) as store:
            facts.add("kept", store.rows())
            report.add(store.rejected())
            report.add(store.trail(heads))
        facts.add("said", _said(consumer, places, committed, report, mask or DataMask()))
        facts.forgotten = [name for name, p in places if watermarks_of(consumer, name, p)[0] > 0]
        watermarks = Watermarks(bootstrap_servers, topic)
        facts.marks = watermarks.read()
        behind = {p: until for p, until in facts.covered_until().items() if until < facts.marks.get(p, (0, 0))[1]}
        facts.next_records = watermarks.next_records(behind)
    except KafkaException as e:
        error: KafkaError = e.args[0]
        raise KafkaFailure(
            f"Kafka does not tell what it holds: {error.str()}",
            where=bootstrap_servers,
            remedy="see the broker's log, then try again",
        ) from e
    finally:
        consumer.close()
    facts.index()
    return facts


def _committed(consumer: Consumer, places: Sequence[Place]) -> dict[Place, int]:
    """The relay's offsets; a broker that has just started has no coordinator for a moment."""
    found: list[TopicPartition] = []
    failed: list[KafkaException] = []

    def ask() -> bool:
        try:
            found.extend(consumer.committed([TopicPartition(*place) for place in places], timeout=10))
        except KafkaException as e:
            failed.append(e)
            return False
        return True

    if places and not wait_until(ask, COORDINATOR_SECONDS, every=0.2):
        raise failed[-1]
    return {(each.topic, each.partition): each.offset for each in found if each.offset >= 0}


def _heads(consumer: Consumer, place: Place) -> Iterator[PublishedHead]:
    """The heads of the audit trail that were published, and that retention has left."""
    for message in read_partition(consumer, *place):
        if message.key() == EventType.AUDIT_HEAD.encode():
            with contextlib.suppress(orjson.JSONDecodeError):
                head = PublishedHead.of(orjson.loads(message.value() or b""))
                if head is not None:
                    yield head


def _enter_ledger(facts: Facts, consumer: Consumer, places: Sequence[Place], report: AuditReport) -> None:
    former: set[str] = set()
    for place in places:
        for message in read_partition(consumer, *place):
            key, value = (message.key() or b""), message.value()
            if value is None:
                entry_id = key.decode(errors="replace") if isinstance(key, bytes) else key
                facts.withdraw(entry_id)
                former.discard(entry_id)
                facts.former_losses.pop(entry_id, None)
                continue
            try:
                entry = parse_entry(value)
            except Exception as e:  # whatever it is, it is this record's
                report.add([_unreadable(place, message.offset() or 0, e)])
                continue
            if entry.topic != facts.topic:
                continue
            if entry.topic_id == facts.topic_id:
                facts.enter(entry)
            else:
                former.add(entry.entry_id)
                if entry.kind is EntryKind.LOSS:
                    facts.former_losses[entry.entry_id] = entry
    facts.former = len(former)


def _said(
    consumer: Consumer,
    places: Sequence[Place],
    committed: Mapping[Place, int],
    report: AuditReport,
    mask: DataMask,
) -> Iterator[Said]:
    for place in places:
        for message in read_partition(consumer, *place):
            try:
                record = Record.of(message)
                posted = mask.record(to_payload(record))
                is_dead = record.topic is Topic.DEAD_LETTERS
                said = (_dead_letter if is_dead else _alert)(record, posted, committed)
            except Exception as e:  # whatever it is, it is this record's
                report.add([_unreadable(place, message.offset() or 0, e)])
            else:
                yield said


def _alert(record: Record, posted: object, committed: Mapping[Place, int]) -> Said:
    """What the relay posts of a record and the store makes of it, by their own code."""
    alert = check_alert(posted)
    return Said(
        *_standing(record, committed),
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


def _dead_letter(record: Record, posted: object, committed: Mapping[Place, int]) -> Said:
    letter = check_dead_letter(posted)
    place = (letter.topic, letter.partition, letter.offset)
    return Said(*_standing(record, committed), "/".join(map(str, place)), Outcome.DEAD_LETTER.value, *place)


def _standing(record: Record, committed: Mapping[Place, int]) -> tuple[str, int, int, bool]:
    place = (record.topic.value, record.partition)
    return (*place, record.offset, record.offset < committed.get(place, 0))


def _unreadable(place: Place, offset: int, error: Exception) -> Finding:
    reason = error.what if isinstance(error, FraudstreamError) else str(error)
    return Finding.at(Kind.UNREADABLE, reason, *place, offset)
