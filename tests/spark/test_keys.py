"""Kafka's own partitioner in the JVM, as the reference for the partitions of our keys."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, Message
from pyspark.sql import SparkSession

from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import open_writer

pytestmark = [pytest.mark.spark, pytest.mark.kafka]


def test_a_key_goes_to_the_partition_that_java_takes_for_it(
    spark: SparkSession, cluster: Cluster, new_topic: Callable[..., str]
) -> None:
    topic, source, partitions = new_topic(partitions=7), random.Random(46), dict[bytes, int]()
    keys = [source.randbytes(length) for length in range(1, 65)]
    keys += [b"C%06d" % number for number in range(200)] + ["Zo\u00eb".encode(), b"x" * 1_024]

    def delivered(error: KafkaError | None, message: Message) -> None:
        assert error is None
        partitions[message.key() or b""] = message.partition() or 0

    producer = open_writer(cluster, seconds=30.0)
    for key in keys:
        producer.produce(topic, b"{}", key=key, on_delivery=delivered)
    assert producer.flush(30) == 0
    utils = spark.sparkContext._jvm.org.apache.kafka.common.utils.Utils  # type: ignore[union-attr] # noqa: SLF001
    assert partitions == {key: utils.toPositive(utils.murmur2(bytearray(key))) % 7 for key in keys}
