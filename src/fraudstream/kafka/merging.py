"""Reads what of a topic was not copied yet, its partitions together in the order of their timestamps."""

from collections import deque
from collections.abc import Iterator
from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from fraudstream.errors import KafkaFailure
from fraudstream.kafka.reading import END_OF_PARTITION, committed_offsets, partitions_of, read_topics, watermarks_of

log = structlog.get_logger(__name__)

FETCH_SECONDS: Final = 0.1
MOST_BUFFERED: Final = 16_777_216
"""Bytes of a partition that wait for the earlier records of others."""

_RECORD_BYTES: Final = 500
UNREACHABLE: Final = frozenset({"_ALL_BROKERS_DOWN", "_TRANSPORT", "_TIMED_OUT"})


def copy_positions(consumer: Consumer, source: str, target: str, note: str) -> tuple[dict[int, int], int, bool]:
    """Return by partition the offset at which a copy begins, how many records were deleted before, whether it is new.

    `note` describes the copy: it is the metadata of its positions, which the consumer's group has committed. Raises
    KafkaFailure if the target has other records or another copy, KafkaException.
    """
    partitions = [TopicPartition(source, each) for each in partitions_of(consumer, source)]
    committed = committed_offsets(consumer, partitions)
    watermarks = {each.partition: watermarks_of(consumer, source, each.partition) for each in committed}
    begins = {partition: first for partition, (first, _) in watermarks.items()}
    if all(each.offset < 0 for each in committed):
        if any(True for _ in read_topics(consumer, target)):
            what = f"the topic {target} has records, but no position up to which {source} was copied to it"
            remedy = "name another topic with --to; Kafka forgets a position that nobody commits for a week"
            raise KafkaFailure(what, where=f"topic {target}", remedy=remedy)
        return begins, 0, True
    if any(each.offset > begins[each.partition] for each in committed):
        # None where the broker does not list the topic yet: to begin anew would then double everything.
        ends = [watermarks_of(consumer, target, each)[1] for each in partitions_of(consumer, target)]
        if ends and not any(ends):
            log.warning("the topic was created again, or never had a record; the copy begins anew", topic=target)
            return begins, 0, True
    lost = 0
    for each in committed:
        first, end = watermarks[each.partition]
        position = f"{source}[{each.partition}] {each.offset}"
        if each.metadata not in (None, "", note):
            what = f"{source} was copied to {target} as '{each.metadata}', not as '{note}'"
            remedy = "repeat the options of that copy; if the topic was created again, name another one with --to"
            raise KafkaFailure(what, where=position, remedy=remedy)
        if each.offset > end:
            what = f"the topic {source} ends before the position up to which it was copied: it was created again"
            raise KafkaFailure(what, where=position, remedy="name another topic with --to")
        if 0 <= each.offset < first:
            lost += first - each.offset
            log.warning("retention has deleted records before they were copied", record=position, until=first)
        begins[each.partition] = max(each.offset, first)
    return begins, lost, False


class TopicMerge:
    """Reads the partitions of a topic together, in the order of their timestamps.

    A plain consumer returns most of a backlog's records of one partition before those of the next. The consumer's own
    assignment is replaced; it must report ends of partitions.

    Attributes:
        positions: By partition, the offset after the last record that was yielded, or the end, if no other follows.
    """

    def __init__(self, consumer: Consumer, topic: str, begins: dict[int, int]) -> None:
        self.positions = dict(begins)
        self._consumer = consumer
        self._topic = topic
        self._buffers: dict[int, deque[Message]] = {partition: deque() for partition in begins}
        self._bytes = dict.fromkeys(begins, 0)
        self._ended = dict[int, int]()
        self._paused = set[int]()
        consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in begins.items()])

    def has_reached(self, ends: dict[int, int]) -> bool:
        """Whether all records before these offsets were yielded; there may be none at the last of them."""
        return all(
            self.positions[each] >= end or (each in self._ended and not self._buffers[each])
            for each, end in ends.items()
        )

    def fetch(self) -> None:
        """Fetch what has arrived; raises KafkaException, also if records to read were deleted."""
        for message in self._consumer.consume(1_000, FETCH_SECONDS):
            error, partition = message.error(), message.partition() or 0
            if error is None:
                self._buffers[partition].append(message)
                self._bytes[partition] += len(message) + _RECORD_BYTES
                self._ended.pop(partition, None)
            elif error.name() == END_OF_PARTITION:
                self._ended[partition] = max(self.positions[partition], message.offset() or 0)
                if not self._buffers[partition]:
                    self.positions[partition] = self._ended[partition]
            elif error.name() not in UNREACHABLE:
                raise KafkaException(error)
        full = {each for each, size in self._bytes.items() if size > MOST_BUFFERED}
        drained = {each for each in self._paused if self._bytes[each] < MOST_BUFFERED // 2}
        self._consumer.pause([TopicPartition(self._topic, each) for each in full - self._paused])
        self._consumer.resume([TopicPartition(self._topic, each) for each in drained])
        self._paused = (self._paused | full) - drained

    def in_order(self) -> Iterator[Message]:
        """Yield fetched records as long as no partition may have an earlier one."""
        while all(buffer or partition in self._ended for partition, buffer in self._buffers.items()):
            heads = [(_age(buffer[0]), partition) for partition, buffer in self._buffers.items() if buffer]
            if not heads:
                return
            _, partition = min(heads)
            buffer = self._buffers[partition]
            message = buffer.popleft()
            self._bytes[partition] -= len(message) + _RECORD_BYTES
            after = (message.offset() or 0) + 1
            self.positions[partition] = after if buffer else self._ended.get(partition, after)
            yield message


def _age(message: Message) -> tuple[int, int]:
    """Order by timestamp; where partitions take turns, the offset decides between equal ones."""
    return message.timestamp()[1], message.offset() or 0
