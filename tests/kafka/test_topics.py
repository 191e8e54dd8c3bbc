"""The topics of a real broker: made once, left alone when they are there, asked for their end."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from fraudstream.errors import BrokerUnreachable, TopicMissing
from fraudstream.kafka.broker import RunningBroker
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.topics import ensure_topics, require_broker, topic_layout
from fraudstream.runtime.processes import free_port
from fraudstream.transactions.wire import OUTPUT_LIMIT_FACTOR, RELAYED_TOPICS, Topic
from offsets import end_offsets

pytestmark = pytest.mark.kafka


def test_a_new_broker_has_every_topic(broker: RunningBroker) -> None:
    assert set(broker.topics) == {*Topic}
    assert broker.topics[Topic.TRANSACTIONS] == 2
    assert all(broker.topics[topic] == 1 for topic in RELAYED_TOPICS)


def test_an_output_topic_takes_four_times_what_the_input_takes(cluster: Cluster) -> None:
    _, most_in = topic_layout(cluster, Topic.TRANSACTIONS.value)
    for topic in RELAYED_TOPICS:
        assert topic_layout(cluster, topic.value)[1] >= OUTPUT_LIMIT_FACTOR * most_in


def test_a_topic_that_exists_is_left_as_it_is(broker: RunningBroker, cluster: Cluster) -> None:
    assert ensure_topics(cluster, partitions=7, max_record_bytes=9_000_000) == broker.topics
    _, limit = topic_layout(cluster, Topic.TRANSACTIONS.value)
    assert limit < 9_000_000


def test_the_end_offset_is_the_one_after_the_last_record(broker: RunningBroker, new_topic: Callable[..., str]) -> None:
    topic = new_topic(partitions=2)
    client = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for _ in range(3):
        client.produce(topic, b"x", partition=1)
    assert client.flush(30) == 0
    assert end_offsets(broker.bootstrap_servers, topic) == {0: 0, 1: 3}


def test_a_topic_that_is_not_there_is_said_so(broker: RunningBroker) -> None:
    with pytest.raises(TopicMissing, match="the topic nowhere does not exist"):
        end_offsets(broker.bootstrap_servers, "nowhere")


@pytest.mark.parametrize(
    ("host", "why", "remedy"),
    [
        ("127.0.0.1", "cannot connect to Kafka: connection refused", "fraudstream broker"),
        pytest.param(
            *("no-such-host.invalid", "Failed to resolve", "FRAUDSTREAM_BOOTSTRAP_SERVERS"), marks=pytest.mark.nightly
        ),
    ],
)
def test_no_broker_is_said_quickly_with_the_reason_and_a_remedy(host: str, why: str, remedy: str) -> None:
    started = time.monotonic()
    with pytest.raises(BrokerUnreachable, match=why) as error:
        require_broker(Cluster(f"{host}:{free_port()}"))
    assert time.monotonic() - started < 10
    assert remedy in error.value.remedy
