"""Replays records: reads them at their offsets, or from their dead letters, and produces them to their partitions.

Key, value and headers are those of the original. If retention has removed it, they come from the dead letter, provided
that the detector did not truncate them.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Message

from fraudstream.errors import KafkaFailure
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import READ_SECONDS, header_text, headers_of, open_reader, open_writer, read_partition
from fraudstream.kafka.topics import REFUSALS, topic_layout
from fraudstream.transactions.wire import (
    DEAD_LETTER_HEADERS,
    LONGEST_EVENT_ID,
    LONGEST_KEY,
    Header,
    Headers,
    RecordId,
    Topic,
)

log = structlog.get_logger(__name__)

_MISSING: Final = frozenset({"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"})


class ReplayRefused(Exception):
    """Raised if a record cannot be replayed; its text is the reason shown to the person."""


@dataclass(frozen=True, slots=True)
class ReplayedRecord:
    """A record to replay.

    Attributes:
        payload: A corrected value, which replaces the record's own; that may be truncated or missing.
        dead_letter: None for an unscorable transaction.
        produced_ms: The original's timestamp; another one at its offset means that the topic was recreated.
    """

    replay_id: str
    origin: RecordId
    payload: bytes | None = None
    dead_letter: RecordId | None = None
    original_bytes: int | None = None
    produced_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """The content of a Kafka record; `timestamp_ms` is Kafka's."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int | None


class ReplayTopic:
    """The input topic for replays.

    Methods raise KafkaException if Kafka does not respond, KafkaFailure if it returns no records.
    """

    def __init__(self, cluster: Cluster) -> None:
        """Connect to the topic; raises BrokerUnreachable or TopicMissing."""
        self._topic, self._dead_letters = cluster.topic(Topic.TRANSACTIONS), cluster.topic(Topic.DEAD_LETTERS)
        _, limit = topic_layout(cluster, self._topic)
        # For single records, which would wait for the previous fetch; a larger record is still returned whole.
        self._consumer = open_reader(cluster, fetch_wait_max_ms=5, fetch_message_max_bytes=262_144)
        # A record that times out is sent again later.
        self._producer = open_writer(cluster, seconds=10.0, message_max_bytes=limit, linger_ms=1)

    def send(self, replays: Sequence[ReplayedRecord]) -> dict[str, RecordId | ReplayRefused]:
        """Send records to their original partitions.

        Returns by replay id the new record, or why there is none; without those that timed out, which Kafka may have
        accepted.
        """
        results: dict[str, RecordId | ReplayRefused] = {}

        def delivered(replay_id: str, error: KafkaError | None, message: Message) -> None:
            if error is None:
                results[replay_id] = _record_id(message)
            elif error.code() in REFUSALS:
                results[replay_id] = ReplayRefused(f"Kafka refused it: {error.str()}")
            else:
                log.warning("Kafka has not acknowledged a replay", replay=replay_id, reason=error.str())

        partitions = self._consumer.list_topics(self._topic, READ_SECONDS).topics[self._topic].partitions
        originals = self.read(
            each.origin for each in replays if each.origin.topic == self._topic and each.origin.partition in partitions
        )
        for each in replays:
            try:
                if each.origin.topic != self._topic:
                    raise ReplayRefused(f"the record is from the topic {each.origin.topic}, not the input topic")
                if each.origin.partition not in partitions:
                    raise ReplayRefused(f"the topic {self._topic} has no partition {each.origin.partition}")
                record = _replay_record(self._original(each, originals.get(each.origin)), each)
                self._produce(record, each.origin.partition, functools.partial(delivered, each.replay_id))
            except ReplayRefused as e:
                results[each.replay_id] = e
            except BufferError as e:
                log.warning("replay postponed, the queue is full", replay=each.replay_id, reason=str(e))
            except (KafkaException, KafkaFailure):
                raise
            except Exception as e:  # any error is the record's own
                log.error("cannot replay a record", record=str(each.origin), reason=f"{type(e).__name__}: {e}")
                results[each.replay_id] = ReplayRefused(f"the client cannot send it: {e}")
        # Every record has a result within `message.timeout.ms`.
        self._producer.flush()
        return results

    def read(self, record_ids: Iterable[RecordId]) -> dict[RecordId, Message]:
        """Return the records with these ids, without those that do not exist."""
        messages: dict[RecordId, Message] = {}
        # In one pass if they are close together: a single record costs a request.
        blocks = groupby(sorted(record_ids), key=lambda each: (each.topic, each.partition, each.offset // 500))
        for (topic, partition, _), near in blocks:
            offsets = [each.offset for each in near]
            try:
                for message in read_partition(self._consumer, topic, partition, offsets[0], offsets[-1] + 1):
                    if message.offset() in offsets:
                        messages[_record_id(message)] = message
            except KafkaException as e:
                if e.args[0].name() not in _MISSING:
                    raise
        return messages

    def close(self) -> None:
        """Close the consumer; the producer has nothing to flush."""
        self._consumer.close()

    def _original(self, replay: ReplayedRecord, message: Message | None) -> Record:
        """Return the original record, or its copy in the dead letter."""
        cause = "retention has removed it"
        if message is not None:
            original = _content(message)
            if replay.produced_ms is None or original.timestamp_ms in (None, replay.produced_ms):
                return original
            cause = "another record is there now"
        if replay.dead_letter is None or replay.dead_letter.topic != self._dead_letters:
            raise ReplayRefused(f"{cause}, and only dead letters have a copy")
        dead_letter = self.read([replay.dead_letter]).get(replay.dead_letter)
        if dead_letter is None:
            raise ReplayRefused(f"{cause}, and its dead letter is gone too")
        return _from_dead_letter(_content(dead_letter), replay, cause)

    def _produce(self, record: Record, partition: int, delivered: Callable[..., None]) -> None:
        headers: list[tuple[str, str | bytes | None]] = list(record.headers)
        content = (self._topic, record.value, record.key, partition, delivered)
        try:
            self._producer.produce(*content, headers=headers)
        except KafkaException as e:
            raise ReplayRefused(f"Kafka refused it: {e.args[0].str()}") from e


def _content(message: Message) -> Record:
    kind, at = message.timestamp()
    try:
        return Record(message.key(), message.value(), headers_of(message), at if kind else None)
    except ValueError as e:
        raise ReplayRefused(f"the record cannot be sent unchanged: {e}") from e


def _replay_record(original: Record, replay: ReplayedRecord) -> Record:
    """Build the replay of a record: with the same event id, and headers that name the original."""
    own = {Header.REPLAY_OF: str(replay.origin).encode(), Header.REPLAY_ID: replay.replay_id.encode()}
    others = [each for each in with_event_id(original.headers, replay.origin) if each[0] not in own]
    headers = [*others, *((name.value, value) for name, value in own.items())]
    return replace(original, headers=headers, value=original.value if replay.payload is None else replay.payload)


def with_event_id(headers: Headers, origin: RecordId) -> Headers:
    """Return the headers of a copy of a record, which must get the same alert id.

    The detector identifies a record without a valid `event_id` by its position, which is therefore the copy's.
    """
    event_id = header_text(headers, Header.EVENT_ID)
    if event_id is not None and 1 <= len(event_id) <= LONGEST_EVENT_ID:
        return headers
    return [*(each for each in headers if each[0] != Header.EVENT_ID), (Header.EVENT_ID.value, str(origin).encode())]


def _from_dead_letter(dead_letter: Record, replay: ReplayedRecord, cause: str) -> Record:
    """Restore the original from its dead letter; `cause` is why the original is not used, for the reason."""
    count = len(DEAD_LETTER_HEADERS)
    original = replace(dead_letter, headers=dead_letter.headers[:-count])
    added = replace(dead_letter, headers=dead_letter.headers[-count:])
    record_id_headers = (Header.ERROR_TOPIC, Header.ERROR_PARTITION, Header.ERROR_OFFSET)
    record_id = "/".join(str(header_text(added.headers, name)) for name in record_id_headers)
    if tuple(name for name, _ in added.headers) != DEAD_LETTER_HEADERS or record_id != str(replay.origin):
        raise ReplayRefused(f"{cause}, and another record replaces its dead letter")
    if len(dead_letter.value or b"") != replay.original_bytes and replay.payload is None:
        raise ReplayRefused(f"{cause}, and its dead letter is truncated")
    if len(dead_letter.key or b"") >= LONGEST_KEY:
        raise ReplayRefused(f"{cause}, and the key of its dead letter may be truncated")
    return original


def _record_id(message: Message) -> RecordId:
    return RecordId(str(message.topic()), message.partition() or 0, message.offset() or 0)
