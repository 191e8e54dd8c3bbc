"""Reads the facts of an audit from Kafka and the store, in an order that stays consistent on a running system.

First the published heads of the audit trail: what they cover is in the store. Then the ledger: what it counts is
already on the output topics. Then the relay's offsets and the store: what is committed is in the store, and what is
in the store is on a topic. Then the output topics and the end of the input.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import orjson
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from sqlalchemy import Connection, select

from fraudstream.audit.facts import Facts, OutputRecord, StoredRecord
from fraudstream.audit.report import AuditReport, Finding, Kind
from fraudstream.config import Settings
from fraudstream.errors import FraudstreamError
from fraudstream.kafka.client import Cluster, failure
from fraudstream.kafka.reading import (
    Watermarks,
    committed_offsets,
    open_reader,
    partitions_of,
    read_ledger,
    read_topics,
    watermarks_of,
)
from fraudstream.kafka.topics import is_compacted
from fraudstream.messages.posted import check_alert, check_dead_letter
from fraudstream.relay.records import PostedRecord, to_payload
from fraudstream.store import tables
from fraudstream.store.changes import PublishedHead, broken_links, holds, stored_heads
from fraudstream.store.database import read_store
from fraudstream.store.reading import Total, member_text
from fraudstream.store.rows import SUPERSEDED, SUPERSEDED_ID
from fraudstream.transactions.masking import DataMask
from fraudstream.transactions.wire import AlertField, EventType, Outcome, RecordId, Topic, output_limit

OUTCOME_TOPICS: Final = (Topic.ALERTS, Topic.UNSCORABLE, Topic.DEAD_LETTERS)
PREVIEW_CHARS: Final = 120
CLOCK_SKEW_US: Final = 60_000_000
"""Pruning goes by the dashboard's clock, records have Kafka's: one from just before may be dated just after."""


def stored_records(store: Connection) -> Iterator[StoredRecord]:
    """Read every alert, unscorable transaction and dead letter of the store."""
    c = tables.alerts.c
    members = (AlertField.PARTITION, AlertField.OFFSET, AlertField.REVISION, SUPERSEDED)
    in_body = (member_text(c.body, name) for name in members)
    query = select(c.alert_id, c.conflict_of, c.outcome, c.topic, c.model_id, c.digest, *in_body)
    rows = store.execute(query)
    for row_id, conflict_of, outcome, topic, model_id, digest, partition, offset, revision, superseded in rows:
        partition, offset, revision = (None if each is None else int(each) for each in (partition, offset, revision))
        base = conflict_of or (SUPERSEDED_ID.sub("", row_id) if superseded else row_id)
        is_conflict = conflict_of is not None and not superseded
        yield StoredRecord(row_id, base, is_conflict, outcome, topic, partition, offset, model_id, revision, digest)
    for dead_letter in store.execute(select(tables.dead_letters.c.id)).scalars():
        record_id = RecordId.parse(dead_letter)
        yield StoredRecord(dead_letter, dead_letter, False, Outcome.DEAD_LETTER.value, *record_id)


def check_trail(store: Connection, published: Iterable[PublishedHead]) -> Iterator[Finding]:
    """Report the first entry of the audit trail whose hash does not match, and published heads it lacks."""
    broken = list(broken_links(store))
    if broken:
        entry = f"entry {broken[0].seq} ({broken[0].change_id})"
        what = f"{entry} does not match its hash: it or the one before was altered or removed"
        yield Finding(Kind.ALTERED, what, count=len(broken))
    heads = {(head.seq, head.hash): head for head in (*published, *stored_heads(store))}
    for head in sorted(heads.values()):
        if not holds(store, head.seq, head.hash):
            what = f"the head published at {head.at} (entry {head.seq}, hash {head.hash[:12]}…) is not in the trail"
            yield Finding(Kind.ALTERED, what)


def list_rejected(store: Connection) -> Iterator[Finding]:
    """Report posted outcomes and ledger entries that could not be stored."""
    c = tables.rejected.c
    query = select(c.seq, c.kind, c.reason, c.payload).where(c.kind != "event").order_by(c.seq)
    for seq, kind, reason, payload in store.execute(query):
        head = payload if len(payload) <= PREVIEW_CHARS else payload[:PREVIEW_CHARS] + "…"
        yield Finding(Kind.REJECTED, f"{kind} {seq} was not stored: {reason}: {head}")


def gather(settings: Settings, report: AuditReport) -> Facts:
    """Read everything once; unreadable records become findings of the report. Raises the errors of `audit`."""
    topic, cluster = report.topic, Cluster.of(settings)
    facts = Facts(topic, report.topic_id, is_compacted=is_compacted(cluster, topic))
    consumer = open_reader(
        cluster,
        enable_auto_offset_store=False,
        fetch_message_max_bytes=output_limit(settings.max_record_bytes),
        queued_max_messages_kbytes=65_536,
    )

    def unreadable(message: Message, error: Exception) -> None:
        reason = error.what if isinstance(error, FraudstreamError) else str(error)
        offset = message.offset() or 0
        report.add([Finding(Kind.UNREADABLE, reason, str(message.topic()), message.partition(), offset, offset + 1)])

    try:
        heads = list(_heads(consumer, cluster.topic(Topic.EVENTS)))
        for entry_id, entry in read_ledger(consumer, cluster.topic(Topic.LEDGER), unreadable):
            if entry is None:
                facts.db.execute("DELETE FROM entries WHERE entry_id = ?", (entry_id,))
            elif entry.topic == topic:
                facts.add_entry(entry)
        names = [cluster.topic(each) for each in OUTCOME_TOPICS]
        partitions = [TopicPartition(name, p) for name in names for p in partitions_of(consumer, name)]
        offsets = committed_offsets(consumer, partitions) if partitions else []
        committed = {(each.topic, each.partition): each.offset for each in offsets}
        with read_store(settings.database) as store:
            facts.add("store_rows", stored_records(store))
            totals = dict(store.execute(select(tables.totals.c.name, tables.totals.c.value)).all())
            if Total.PRUNED_BEFORE in totals:
                facts.pruned_before_us = totals[Total.PRUNED_BEFORE] + CLOCK_SKEW_US
                facts.pruned_alerts = totals.get(Total.PRUNED_ALERTS, 0)
            report.add(list_rejected(store))
            report.add(check_trail(store, heads))
        # The store holds masked values.
        mask = DataMask(settings.card_columns)
        facts.add("outputs", _outputs(consumer, cluster, committed, mask, unreadable))
        facts.truncated = [p.topic for p in partitions if watermarks_of(consumer, p.topic, p.partition)[0] > 0]
        watermarks = Watermarks(cluster, topic)
        facts.marks = watermarks.read()
        query = "SELECT partition, max(until_offset) FROM entries WHERE topic_id = ? GROUP BY partition"
        covered = facts.db.execute(query, (facts.topic_id,))
        lagging = {p: until for p, until in covered if until < facts.marks.get(p, (0, 0))[1]}
        facts.next_records = watermarks.next_records(lagging)
    except KafkaException as e:
        raise failure("cannot read from Kafka", e, cluster, "READ", "the topics") from e
    finally:
        consumer.close()
    facts.index()
    return facts


def _heads(consumer: Consumer, topic: str) -> Iterator[PublishedHead]:
    """Read the published heads of the audit trail that are still retained."""
    for message in read_topics(consumer, topic):
        if message.key() == EventType.AUDIT_HEAD.encode():
            with contextlib.suppress(orjson.JSONDecodeError):
                if head := PublishedHead.of(orjson.loads(message.value() or b"")):
                    yield head


def _outputs(
    consumer: Consumer,
    cluster: Cluster,
    committed: Mapping[tuple[str, int], int],
    mask: DataMask,
    unreadable: Callable[[Message, Exception], None],
) -> Iterator[OutputRecord]:
    """Parse output records as relay and store do, with their own code."""
    for message in read_topics(consumer, *(cluster.topic(each) for each in OUTCOME_TOPICS)):
        try:
            record = PostedRecord.of(message, cluster.topic_of(str(message.topic())))
            outcome = _outcome(record.topic, mask.record(to_payload(record)))
        except Exception as e:  # any error concerns this record only
            unreadable(message, e)
        else:
            at = (record.topic_name, record.partition)
            output = OutputRecord(*at, record.offset, record.offset < committed.get(at, 0), *outcome)
            yield output._replace(produced_us=record.timestamp_ms * 1_000)


def _outcome(topic: Topic, payload: object) -> tuple[Any, ...]:
    """Return the members of `OutputRecord` from `id` on."""
    if topic is Topic.DEAD_LETTERS:
        dead_letter = check_dead_letter(payload)
        record_id = RecordId(dead_letter.topic, dead_letter.partition, dead_letter.offset)
        return (str(record_id), Outcome.DEAD_LETTER.value, *record_id)
    alert = check_alert(payload)
    position = (alert.topic, alert.partition, alert.offset)
    scored = (alert.model_id, alert.revision, alert.score, alert.digest)
    return (alert.alert_id, alert.outcome.value, *position, *scored)
