"""A header whose name is not UTF-8, which the Kafka client answers with a null pointer, is an error of its record."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest
from chaos.hostile import Hostile, RawHeaders, RawProducer
from confluent_kafka import Consumer, TopicPartition

from fraudstream.kafka.broker import RunningBroker
from fraudstream.kafka.reading import headers_of

pytestmark = pytest.mark.kafka

NAMES: list[RawHeaders] = [
    [],
    [(b"ok", b"1"), (b"", None), (b"ok", b"2")],
    [(b"\xff", b"1")],
    [(b"\xff", b"1"), (b"ok", b"1")],
    [(b"ok", b"1"), (b"\xc0\xaf", None), (b"\xff", b"1")],
]


def test_a_name_that_is_not_utf8_is_an_error_each_time_it_is_read(
    broker: RunningBroker, new_topic: Callable[..., str]
) -> None:
    topic = new_topic()
    # More often than Python's interpreter needs to take its fast path, which does not see the client's error.
    expected = NAMES * 20
    with closing(RawProducer(broker.bootstrap_servers)) as producer:
        for headers in expected:
            producer.produce(topic, 0, "id", Hostile("", b"value", False, headers=headers))
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "test"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages = consumer.consume(len(expected), timeout=60)
    consumer.close()
    assert len(messages) == len(expected)
    for message, headers in zip(messages, expected, strict=True):
        for _ in range(2):
            if any(b"\xff" in name for name, _ in headers):
                with pytest.raises(ValueError, match="not UTF-8"):
                    headers_of(message)
            else:
                assert headers_of(message)[1:] == [(name.decode(), value) for name, value in headers]
