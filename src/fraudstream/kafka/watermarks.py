"""First and end offsets of a topic, asked again and again on one connection; a single question is `topics.py`'s."""

from __future__ import annotations

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaException, TopicPartition

from fraudstream.errors import TopicMissing
from fraudstream.kafka.reading import END_OF_PARTITION, open_reader

_SECONDS = 5.0


class Watermarks:
    """Asks the broker for the watermarks of one topic; connects at the first question."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        self._consumer: Consumer | None = None

    def read(self) -> dict[int, tuple[int, int]]:
        """The first offset and the end offset (after the last acknowledged record) of each partition.

        Raises:
            KafkaException: The broker did not answer.
            TopicMissing: There is no such topic.
        """
        consumer = self._connected()
        found = consumer.list_topics(self._topic, timeout=_SECONDS).topics[self._topic]
        if found.error is not None:
            raise TopicMissing(f"there is no topic {self._topic}", remedy="`fraudstream broker` creates the topics")
        marks: dict[int, tuple[int, int]] = {}
        for partition in found.partitions:
            begin, end = consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=_SECONDS)
            marks[partition] = (begin, end)
        return marks

    def next_records(self, offsets: Mapping[int, int]) -> dict[int, int]:
        """By partition, the offset of the first record at or after the given one; the end where there is none yet.

        What lies between holds no record: transaction markers, aborted records, records that compaction removed.

        Args:
            offsets: By partition. One whose offset was deleted, or that does not answer in time, is left out.

        Raises:
            KafkaException: The broker did not answer.
        """
        consumer, found = self._connected(), dict[int, int]()
        consumer.assign([TopicPartition(self._topic, partition, offset) for partition, offset in offsets.items()])
        deadline, pending = time.monotonic() + _SECONDS, set(offsets)
        try:
            while pending and (message := consumer.poll(max(0.0, deadline - time.monotonic()))) is not None:
                partition, offset, error = message.partition(), message.offset(), message.error()
                if partition not in pending:
                    continue
                if error is None or error.name() == END_OF_PARTITION:
                    found[partition] = offset if offset is not None else offsets[partition]
                elif error.name() != "_AUTO_OFFSET_RESET":
                    raise KafkaException(error)
                pending.discard(partition)
        finally:
            consumer.unassign()
        return found

    def _connected(self) -> Consumer:
        if self._consumer is None:
            self._consumer = open_reader(
                self._bootstrap_servers, "fraudstream-watermarks", fetch_message_max_bytes=65_536
            )
        return self._consumer
