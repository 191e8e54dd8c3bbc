"""Records sent again: read at their offsets, or as their dead letters have kept them, and produced to their partitions.

The key, the value and the headers are those of the original. Where retention has removed it, they are the dead
letter's own, as far as the detector kept them whole.
"""

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from fraudstream.errors import KafkaFailure
from fraudstream.kafka.reading import READ_SECONDS, headers_of, open_reader, open_writer, read_partition
from fraudstream.kafka.topics import topic_layout
from fraudstream.transactions.wire import (
    DEAD_LETTER_HEADERS,
    LONGEST_EVENT_ID,
    LONGEST_KEY,
    Header,
    RecordId,
    Topic,
)

log = structlog.get_logger(__name__)

READ_AT_ONCE: Final = 500
"""Records that are no farther apart than this are read in one go."""
SEND_SECONDS: Final = 10.0
"""A record that Kafka has not acknowledged by then is given up, and later sent again."""

_REFUSED: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG})
"""What Kafka says of one record, and means: any other error leaves it open whether the record was taken."""

_NOT_THERE: Final = frozenset({"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"})


class ReplayRefused(Exception):
    """Raised when a record cannot be sent again; its text is the reason shown to a person."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A record that is to be sent again.

    Attributes:
        origin: Where the record was produced to.
        payload: A corrected value, which takes the place of the record's own: that may be cut, or missing.
        dead_letter: The dead letter's own record; None for an unscorable row.
        original_bytes: The size of the value as it came.
        produced_ms: The original's timestamp: another record at its offset means that the topic was made anew.
    """

    replay_id: str
    origin: RecordId
    payload: bytes | None = None
    dead_letter: RecordId | None = None
    original_bytes: int | None = None
    produced_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What is sent, or was; `timestamp_ms` is Kafka's."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    timestamp_ms: int | None

    def header(self, name: str) -> str | None:
        """The first value of a header as text; None where it is none."""
        value = next((value for key, value in self.headers if key == name), None)
        try:
            return None if value is None else value.decode()
        except UnicodeDecodeError:
            return None


class ReplayTopic:
    """The input topic as a sender of replays uses it.

    Where Kafka does not answer, KafkaException; where it gives no records, KafkaFailure. The consumer is one of
    `open_reader`, the producer idempotent with a `message.timeout.ms` (see `open_replay_topic`).
    """

    def __init__(self, consumer: Consumer, producer: Producer, topic: str = Topic.TRANSACTIONS.value) -> None:
        self._consumer = consumer
        self._producer = producer
        self._topic = topic

    def send(self, replays: Sequence[Replay]) -> dict[str, RecordId | ReplayRefused]:
        """Send records to the partitions that they came from.

        Returns by the id of the replay where the new record is, or why there is none; without those that Kafka has not
        acknowledged in time, which it may have taken.
        """
        results: dict[str, RecordId | ReplayRefused] = {}

        def delivered(replay_id: str, error: KafkaError | None, message: Message) -> None:
            if error is None:
                results[replay_id] = _record_id(message)
            elif error.code() in _REFUSED:
                results[replay_id] = ReplayRefused(f"Kafka refused it: {error.str()}")
            else:
                log.warning("Kafka has not acknowledged a replay", replay=replay_id, reason=error.str())

        partitions = self._consumer.list_topics(self._topic, READ_SECONDS).topics[self._topic].partitions
        # Read in one go where they lie close together: a single one costs a request of its own.
        originals = self.read(
            each.origin for each in replays if each.origin.topic == self._topic and each.origin.partition in partitions
        )
        for each in replays:
            try:
                if each.origin.topic != self._topic:
                    raise ReplayRefused(f"the record came from the topic {each.origin.topic}, which is not the input")
                if each.origin.partition not in partitions:
                    raise ReplayRefused(f"the topic {self._topic} has no partition {each.origin.partition}")
                record = _repeated(self._original(each, originals.get(each.origin)), each)
                self._produce(record, each.origin.partition, functools.partial(delivered, each.replay_id))
            except ReplayRefused as e:
                results[each.replay_id] = e
            except BufferError as e:
                log.warning("a replay has to wait", replay=each.replay_id, reason=str(e))
            except (KafkaException, KafkaFailure):
                raise
            except Exception as e:  # whatever it is, it is this record's
                log.error("a record cannot be sent again", record=str(each.origin), reason=f"{type(e).__name__}: {e}")
                results[each.replay_id] = ReplayRefused(f"the client cannot send it: {e}")
        # Every record ends within the producer's `message.timeout.ms`.
        self._producer.flush()
        return results

    def read(self, places: Iterable[RecordId]) -> dict[RecordId, Message]:
        """The records at some places, without those that are not there."""
        offsets: dict[tuple[str, int], set[int]] = defaultdict(set)
        for place in places:
            offsets[place.topic, place.partition].add(place.offset)
        found: dict[RecordId, Message] = {}
        for (topic, partition), wanted in offsets.items():
            try:
                for run in _runs(sorted(wanted)):
                    for message in read_partition(self._consumer, topic, partition, run[0], run[-1] + 1):
                        if message.offset() in run:
                            found[_record_id(message)] = message
            except KafkaException as e:
                if e.args[0].name() not in _NOT_THERE:
                    raise
        return found

    def close(self) -> None:
        """Close the consumer; the producer has nothing open."""
        self._consumer.close()

    def _original(self, replay: Replay, message: Message | None) -> Record:
        """The record as it was produced, or what its dead letter has kept of it."""
        gone = "retention has removed it"
        if message is not None:
            original = _as_it_came(message)
            if replay.produced_ms is None or original.timestamp_ms in (None, replay.produced_ms):
                return original
            gone = "another record stands there now"
        if replay.dead_letter is None or replay.dead_letter.topic != Topic.DEAD_LETTERS:
            raise ReplayRefused(f"{gone}, and only dead letters are kept as they came")
        dead_letter = self.read([replay.dead_letter]).get(replay.dead_letter)
        if dead_letter is None:
            raise ReplayRefused(f"{gone}, and its dead letter too")
        return _of_dead_letter(_as_it_came(dead_letter), replay, gone)

    def _produce(self, record: Record, partition: int, delivered: Callable[..., None]) -> None:
        headers: list[tuple[str, str | bytes | None]] = list(record.headers)
        try:
            self._producer.produce(
                self._topic, record.value, record.key, partition, headers=headers, on_delivery=delivered
            )
        except KafkaException as e:
            raise ReplayRefused(f"Kafka refused it: {e.args[0].str()}") from e


def open_replay_topic(bootstrap_servers: str, topic: str = Topic.TRANSACTIONS.value) -> ReplayTopic:
    """Connect to the input topic; raises BrokerUnreachable or TopicMissing."""
    _, limit = topic_layout(bootstrap_servers, topic)
    # Of single records, each reading behind a fetch of the one before; a larger record comes whole all the same.
    consumer = open_reader(
        bootstrap_servers, "fraudstream-replays", fetch_wait_max_ms=5, fetch_message_max_bytes=262_144
    )
    producer = open_writer(bootstrap_servers, SEND_SECONDS, message_max_bytes=limit, linger_ms=1)
    return ReplayTopic(consumer, producer, topic)


def _runs(offsets: Sequence[int]) -> list[list[int]]:
    """Offsets in pieces, within which no two neighbours are far apart."""
    runs: list[list[int]] = []
    for offset in offsets:
        if runs and offset - runs[-1][-1] <= READ_AT_ONCE:
            runs[-1].append(offset)
        else:
            runs.append([offset])
    return runs


def _as_it_came(message: Message) -> Record:
    kind, at = message.timestamp()
    try:
        return Record(message.key(), message.value(), headers_of(message), at if kind else None)
    except ValueError as e:
        raise ReplayRefused(f"the record cannot be sent as it came: {e}") from e


def _repeated(original: Record, replay: Replay) -> Record:
    """The record to be sent in place of an original: under the same event id, naming the one that it repeats."""
    ours = {Header.REPLAY_OF.value, Header.REPLAY_ID.value}
    origin, event_id = str(replay.origin).encode(), original.header(Header.EVENT_ID)
    added: list[tuple[str, bytes | None]] = []
    if event_id is None or not 1 <= len(event_id) <= LONGEST_EVENT_ID:
        # The detector knows such a record by its place: the repeated one has to have the same alert id.
        ours.add(Header.EVENT_ID.value)
        added.append((Header.EVENT_ID.value, origin))
    added += [(Header.REPLAY_OF.value, origin), (Header.REPLAY_ID.value, replay.replay_id.encode())]
    headers = [each for each in original.headers if each[0] not in ours] + added
    return replace(original, headers=headers, value=original.value if replay.payload is None else replay.payload)


def _of_dead_letter(kept: Record, replay: Replay, gone: str) -> Record:
    """The original as its dead letter has kept it; `gone` says what became of the original, for the reason."""
    came, added = (
        replace(kept, headers=part)
        for part in (kept.headers[: -len(DEAD_LETTER_HEADERS)], kept.headers[-len(DEAD_LETTER_HEADERS) :])
    )
    place = "/".join(
        f"{added.header(name)}" for name in (Header.ERROR_TOPIC, Header.ERROR_PARTITION, Header.ERROR_OFFSET)
    )
    if tuple(name for name, _ in added.headers) != DEAD_LETTER_HEADERS or place != str(replay.origin):
        raise ReplayRefused(f"{gone}, and another record stands in place of its dead letter")
    if len(kept.value or b"") != replay.original_bytes and replay.payload is None:
        raise ReplayRefused(f"{gone}, and its dead letter was cut")
    if len(kept.key or b"") >= LONGEST_KEY:
        raise ReplayRefused(f"{gone}, and the key of its dead letter may be cut")
    return came


def _record_id(message: Message) -> RecordId:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:
        raise ValueError("a record without a place")
    return RecordId(topic, partition, offset)
