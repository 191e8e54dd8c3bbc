"""A partition read from one offset to another, for those who join no group: audit, ledger, replays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from fraudstream.errors import KafkaFailure

READ_SECONDS: Final = 30.0
END_OF_PARTITION: Final = "_PARTITION_EOF"
"""The name of the client's error that is none: there is no further record yet."""


def open_reader(bootstrap_servers: str, group: str, **options: Any) -> Consumer:
    """A consumer that commits nothing and is assigned partitions by hand.

    Args:
        bootstrap_servers: Kafka's address.
        group: The client has to name one; it is not joined.
        options: Of the client, `_` for `.`.
    """
    return Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": group,
            "enable.auto.commit": False,
            # As the detector reads: what an open or an aborted transaction holds is not there.
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            # The end is told by a fetch that has waited this long for more (librdkafka's default: 0.5 s).
            "fetch.wait.max.ms": 10,
            "log_level": 0,
        }
        | {name.replace("_", "."): value for name, value in options.items()}
    )


def watermarks_of(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """The first offset of a partition, and the offset after its last acknowledged record.

    Raises:
        KafkaException: Kafka does not answer.
    """
    begin, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=READ_SECONDS)
    return begin, end


def read_partition(
    consumer: Consumer, topic: str, partition: int, begin: int = 0, end: int | None = None
) -> Iterator[Message]:
    """The records that a partition holds now, from `begin` on and before `end`.

    Args:
        consumer: One of `open_reader`.
        topic: The topic.
        partition: The partition.
        begin: The first offset; the partition's own where that is later.
        end: The offset after the last one; the partition's own where that is earlier.

    Raises:
        KafkaException: Kafka does not answer.
        KafkaFailure: It answers, and gives no records.
    """
    first, last = watermarks_of(consumer, topic, partition)
    begin, end = max(begin, first), last if end is None else min(end, last)
    if begin >= end:
        return
    consumer.assign([TopicPartition(topic, partition, begin)])
    try:
        while True:
            message = consumer.poll(READ_SECONDS)
            if message is None:
                raise KafkaFailure("Kafka does not give a topic", where=f"{topic}[{partition}]", remedy="try again")
            error, offset = message.error(), message.offset()
            if error is not None and error.name() == END_OF_PARTITION:
                return
            if error is not None:
                raise KafkaException(error)
            # Between the offsets may lie markers, or records that compaction took: the next one may be beyond the end.
            if offset is not None and offset < end:
                yield message
            if offset is not None and offset >= end - 1:
                return
    finally:
        consumer.unassign()
