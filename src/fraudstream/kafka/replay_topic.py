"""The input topic as a sender of replays uses it: originals read at their offsets, records sent, senders' traces found.

What is sent is made in `replay.py`; when, and who is told, is `alerts/replaying.py`'s.
"""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from fraudstream.errors import KafkaFailure
from fraudstream.kafka.headers import headers_of
from fraudstream.kafka.replay import (
    LetterFacts,
    Original,
    Place,
    ReplayRefused,
    ReplayUncertain,
    header_of,
    of_dead_letter,
    text_of,
)
from fraudstream.kafka.topics import topic_layout
from fraudstream.transactions.wire import Header, Topic

READ_SECONDS: Final = 10.0
READ_AT_ONCE: Final = 500

_REFUSED: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG})
"""What Kafka says of one record, and means: any other error leaves it open whether the record was taken."""

_NOT_THERE: Final = frozenset({"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"})


class ReplayTopic:
    """The input topic as a sender of replays uses it.

    Args:
        consumer: Of no group, without automatic commits.
        producer: Idempotent, with a `message.timeout.ms` (see `open_replay_topic`).
        topic: The input topic.
    """

    def __init__(self, consumer: Consumer, producer: Producer, topic: str = Topic.TRANSACTIONS.value) -> None:
        self._consumer = consumer
        self._producer = producer
        self._topic = topic
        self._partitions: frozenset[int] = frozenset()
        self._read_ahead: dict[Place, Message] = {}

    def ends(self) -> dict[str, int]:
        """The offset after the last record of each partition.

        Raises:
            KafkaException: Kafka does not answer.
        """
        found = self._consumer.list_topics(self._topic, timeout=READ_SECONDS).topics[self._topic]
        self._partitions = frozenset(found.partitions)
        return {str(partition): self._marks(self._topic, partition)[1] for partition in found.partitions}

    def read_ahead(self, origins: Iterable[Place]) -> None:
        """Read records that lie close together in one go, for `original`; a single one costs a request of its own.

        Raises:
            KafkaException: Kafka does not answer.
            KafkaFailure: It answers, and gives no records.
        """
        self._read_ahead = {}
        offsets: dict[int, list[int]] = defaultdict(list)
        for origin in origins:
            if origin.topic == self._topic and origin.partition in self._partitions:
                offsets[origin.partition].append(origin.offset)
        for partition, wanted in offsets.items():
            first, end = self._marks(self._topic, partition)
            for run in _runs(sorted(offset for offset in wanted if first <= offset < end)):
                start = TopicPartition(self._topic, partition, run[0])
                for message in self._messages(start, run[-1] + 1):
                    if message.offset() in run:
                        self._read_ahead[_place(message)] = message

    def original(self, origin: Place, letter: LetterFacts, *, corrected: bool = False) -> Original:
        """The record at an origin, or what its dead letter has kept of it.

        Args:
            origin: Where it was produced to.
            letter: What is known of it.
            corrected: Another value will take the place of the record's own: it may be cut, or missing.

        Raises:
            ReplayRefused: It is not to be had whole any more, or never was on the input topic.
            KafkaException: Kafka does not answer.
        """
        if origin.topic != self._topic:
            raise ReplayRefused(f"the record came from the topic {origin.topic}, which is not the input")
        if origin.partition not in (self._partitions or map(int, self.ends())):
            raise ReplayRefused(f"the topic {origin.topic} has no partition {origin.partition}")
        found = self._read(origin)
        if found is not None:
            original = _as_it_came(found)
            if letter.produced_ms is None or original.timestamp_ms in (None, letter.produced_ms):
                return original
            gone = "another record stands there now"
        else:
            gone = "retention has removed it"
        if letter.dead_letter is None:
            raise ReplayRefused(f"{gone}, and only dead letters are kept as they came")
        kept = self._read(letter.dead_letter)
        if kept is None:
            raise ReplayRefused(f"{gone}, and its dead letter too")
        return of_dead_letter(_as_it_came(kept), origin, letter, gone, corrected=corrected)

    def find(self, wanted: Iterable[str], partition: int, begin: int) -> tuple[dict[str, Place], int]:
        """The places of records with a header `replay_id` among `wanted`, from an offset on to the end, and that end.

        Raises:
            ReplayRefused: Records after `begin` are gone: whether one of them was there cannot be known.
            KafkaException: Kafka does not answer.
        """
        first, end = self._marks(self._topic, partition)
        if first > begin:
            raise ReplayRefused("it is not known whether it was sent: the records of that time are gone")
        names: set[str] = set(wanted)
        found: dict[str, Place] = {}
        for message in self._messages(TopicPartition(self._topic, partition, begin), end):
            replay_id = _replay_id(message)
            if replay_id is not None and replay_id in names:
                found[replay_id] = _place(message)
                if len(found) == len(names):
                    break
        return found, end

    def send(self, records: Mapping[str, tuple[Place, Original]]) -> dict[str, Place | ReplayRefused | ReplayUncertain]:
        """Send records to the partitions that they came from; returns once Kafka has answered, or has not in time.

        Args:
            records: By the id of the replay: the origin, and the record (see `repeated`).
        """
        results: dict[str, Place | ReplayRefused | ReplayUncertain] = {}

        def told(replay_id: str, error: KafkaError | None, message: Message) -> None:
            if error is None:
                results[replay_id] = _place(message)
            elif error.code() in _REFUSED:
                results[replay_id] = ReplayRefused(f"Kafka refused it: {error.str()}")
            else:
                results[replay_id] = ReplayUncertain(error.str())

        for replay_id, (origin, record) in records.items():
            try:
                self._producer.produce(
                    self._topic,
                    value=record.value,
                    key=record.key,
                    partition=origin.partition,
                    headers=list(record.headers),
                    on_delivery=functools.partial(told, replay_id),
                )
            except KafkaException as e:
                results[replay_id] = ReplayRefused(f"Kafka refused it: {e.args[0].str()}")
            except BufferError as e:
                results[replay_id] = ReplayUncertain(str(e))
            except (TypeError, ValueError) as e:
                results[replay_id] = ReplayRefused(f"the client cannot send it: {e}")
        # Every record ends within the producer's `message.timeout.ms`.
        self._producer.flush()
        return results

    def close(self) -> None:
        """Close the consumer; the producer has nothing open."""
        self._consumer.close()

    def _marks(self, topic: str, partition: int) -> tuple[int, int]:
        marks: tuple[int, int] = self._consumer.get_watermark_offsets(
            TopicPartition(topic, partition), timeout=READ_SECONDS
        )
        return marks

    def _read(self, place: Place) -> Message | None:
        """The record at a place, None where there is none."""
        if place in self._read_ahead:
            return self._read_ahead[place]
        try:
            first, end = self._marks(place.topic, place.partition)
        except KafkaException as e:
            if e.args[0].name() in _NOT_THERE:
                return None
            raise
        if not first <= place.offset < end:
            return None
        at = TopicPartition(place.topic, place.partition, place.offset)
        for message in self._messages(at, place.offset + 1):
            return message if message.offset() == place.offset else None
        return None

    def _messages(self, start: TopicPartition, end: int) -> Iterable[Message]:
        """The records from a place on, before an end offset."""
        if start.offset >= end:
            return
        reached = start.offset
        self._consumer.assign([start])
        deadline = time.monotonic() + READ_SECONDS
        try:
            while time.monotonic() < deadline:
                # No more than there are: it would wait for the rest.
                for message in self._consumer.consume(min(READ_AT_ONCE, end - reached), timeout=0.2):
                    error = message.error()
                    if error is not None:
                        raise KafkaException(error)
                    deadline = time.monotonic() + READ_SECONDS
                    offset = message.offset() or 0
                    if offset >= end:
                        return
                    yield message
                    if offset + 1 >= end:
                        return
                    reached = offset + 1
                # Offsets may end with markers or with records that compaction took.
                if self._consumer.position([start])[0].offset >= end:
                    return
            raise KafkaFailure(
                "Kafka does not give the records of a partition", where=f"{start.topic}[{start.partition}]"
            )
        finally:
            self._consumer.unassign()


def _runs(offsets: list[int]) -> list[list[int]]:
    """Offsets in pieces, within which no two neighbours are far apart."""
    runs: list[list[int]] = []
    for offset in offsets:
        if runs and offset - runs[-1][-1] <= READ_AT_ONCE:
            runs[-1].append(offset)
        else:
            runs.append([offset])
    return runs


def open_replay_topic(
    bootstrap_servers: str, send_seconds: float, topic: str = Topic.TRANSACTIONS.value
) -> ReplayTopic:
    """Connect to the input topic.

    Args:
        bootstrap_servers: Kafka's address.
        send_seconds: How long a record may wait to be acknowledged.
        topic: The input topic.

    Raises:
        BrokerUnreachable: Nobody answers.
        TopicMissing: There is no such topic.
    """
    _, limit = topic_layout(bootstrap_servers, topic)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            # It joins no group: records are read by their offsets.
            "group.id": "fraudstream-replays",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            # As the detector reads them.
            "isolation.level": "read_committed",
            # Each reading begins with an assignment, and waits for the fetch of the one before.
            "fetch.wait.max.ms": 5,
            # Of single records; a larger one comes whole all the same.
            "fetch.message.max.bytes": 262_144,
            "log_level": 0,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "enable.idempotence": True,
            "acks": "all",
            "message.timeout.ms": int(send_seconds * 1000),
            "message.max.bytes": limit,
            "linger.ms": 1,
            "log_level": 0,
        }
    )
    return ReplayTopic(consumer, producer, topic)


def _as_it_came(message: Message) -> Original:
    kind, at = message.timestamp()
    try:
        return Original(message.key(), message.value(), headers_of(message), at if kind else None)
    except ValueError as e:
        raise ReplayRefused(f"the record cannot be sent as it came: {e}") from e


def _replay_id(message: Message) -> str | None:
    try:
        return text_of(header_of(headers_of(message), Header.REPLAY_ID))
    except ValueError:
        return None  # not ours: none is sent with such a name


def _place(message: Message) -> Place:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:
        raise ValueError("a record without a place")
    return Place(topic, partition, offset)
