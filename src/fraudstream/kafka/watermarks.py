"""First and end offsets of a topic, asked again and again on one connection; a single question is `topics.py`'s."""

from __future__ import annotations

from confluent_kafka import Consumer, TopicPartition

from fraudstream.errors import TopicMissing

_SECONDS = 5.0


class Watermarks:
    """Asks the broker for the watermarks of one topic; connects at the first question."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._config = {"bootstrap.servers": bootstrap_servers, "group.id": "fraudstream-watermarks", "log_level": 0}
        self._topic = topic
        self._consumer: Consumer | None = None

    def read(self) -> dict[int, tuple[int, int]]:
        """The first offset and the end offset (after the last acknowledged record) of each partition.

        Raises:
            KafkaException: The broker did not answer.
            TopicMissing: There is no such topic.
        """
        if self._consumer is None:
            # It joins no group: a consumer is what librdkafka asks offsets with.
            self._consumer = Consumer(self._config)
        found = self._consumer.list_topics(self._topic, timeout=_SECONDS).topics[self._topic]
        if found.error is not None:
            raise TopicMissing(f"there is no topic {self._topic}", remedy="`fraudstream broker` creates the topics")
        marks: dict[int, tuple[int, int]] = {}
        for partition in found.partitions:
            begin, end = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=_SECONDS)
            marks[partition] = (begin, end)
        return marks
