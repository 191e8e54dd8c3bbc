"""Reads the partitions of a topic together, in the order of their timestamps."""

import heapq
from collections import deque
from collections.abc import Iterator
from typing import Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from fraudstream.kafka.reading import END_OF_PARTITION

FETCH_SECONDS: Final = 0.1
MOST_BUFFERED: Final = 16_777_216
"""Bytes of a partition that wait for the earlier records of others."""

_RECORD_BYTES: Final = 500
UNREACHABLE: Final = frozenset({"_ALL_BROKERS_DOWN", "_TRANSPORT", "_TIMED_OUT"})
_OUT_OF_RANGE: Final = frozenset({"_AUTO_OFFSET_RESET", "OFFSET_OUT_OF_RANGE"})


class TopicMerge:
    """Reads the partitions of a topic together, in the order of their timestamps.

    A plain consumer returns most of a backlog's records of one partition before those of the next. The consumer's own
    assignment is replaced; it must report ends of partitions.

    Attributes:
        positions: By partition, the offset after the last record that was yielded.
    """

    def __init__(self, consumer: Consumer, topic: str, begins: dict[int, int]) -> None:
        self.positions = dict(begins)
        self._consumer = consumer
        self._topic = topic
        self._buffers: dict[int, deque[Message]] = {partition: deque() for partition in begins}
        self._bytes = dict.fromkeys(begins, 0)
        self._ended = set[int]()
        self._paused = set[int]()
        consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in begins.items()])

    def has_reached(self, ends: dict[int, int]) -> bool:
        """Whether all records before these offsets were yielded; there may be none at the last of them."""
        return all(
            self.positions[each] >= end or (each in self._ended and not self._buffers[each])
            for each, end in ends.items()
        )

    def fetch(self) -> bool:
        """Fetch what has arrived; False if records to read were deleted. Raises KafkaException."""
        for message in self._consumer.consume(1_000, FETCH_SECONDS):
            error, partition = message.error(), message.partition() or 0
            if error is None:
                self._buffers[partition].append(message)
                self._bytes[partition] += len(message) + _RECORD_BYTES
                self._ended.discard(partition)
            elif error.name() == END_OF_PARTITION:
                self._ended.add(partition)
            elif error.name() in _OUT_OF_RANGE:
                return False
            elif error.name() not in UNREACHABLE:
                raise KafkaException(error)
        full = {each for each, size in self._bytes.items() if size > MOST_BUFFERED}
        drained = {each for each in self._paused if self._bytes[each] < MOST_BUFFERED // 2}
        self._consumer.pause([TopicPartition(self._topic, each) for each in full - self._paused])
        self._consumer.resume([TopicPartition(self._topic, each) for each in drained])
        self._paused = (self._paused | full) - drained
        return True

    def in_order(self) -> Iterator[Message]:
        """Yield fetched records as long as no partition may have an earlier one."""
        if any(not buffer and partition not in self._ended for partition, buffer in self._buffers.items()):
            return
        heads = [(_age(buffer[0]), partition) for partition, buffer in self._buffers.items() if buffer]
        heapq.heapify(heads)
        while heads:
            partition = heads[0][1]
            buffer = self._buffers[partition]
            message = buffer.popleft()
            self._bytes[partition] -= len(message) + _RECORD_BYTES
            self.positions[partition] = (message.offset() or 0) + 1
            yield message
            if buffer:
                heapq.heapreplace(heads, (_age(buffer[0]), partition))
            elif partition in self._ended:
                heapq.heappop(heads)
            else:
                return


def _age(message: Message) -> tuple[int, int]:
    """Order by timestamp; where partitions take turns, the offset decides between equal ones."""
    return message.timestamp()[1], message.offset() or 0
