"""Watermarks of a real topic that a transactional producer wrote to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import Producer, TopicPartition

from fraudstream.kafka.broker import RunningBroker
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import Watermarks
from fraudstream.kafka.replay import ReplayTopic
from fraudstream.kafka.topics import is_compacted, open_admin
from fraudstream.kafka_settings import KafkaSettings
from fraudstream.transactions.wire import RecordId
from offsets import end_offsets

pytestmark = pytest.mark.kafka


def test_offsets_without_a_committed_record_are_passed_over(
    broker: RunningBroker, cluster: Cluster, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(partitions=2)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(30)
    for commits in (True, False, True, False):
        producer.begin_transaction()
        for value in (b"1", b"2"):
            producer.produce(topic, value, partition=0)
        assert producer.flush(30) == 0
        (producer.commit_transaction if commits else producer.abort_transaction)(30)
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    assert producer.flush(30) == 0
    # Four transactions of two records and a marker; what is open counts for nothing yet.
    watermarks = Watermarks(cluster, topic)
    assert watermarks.read() == {0: (0, 12), 1: (0, 0)}
    assert end_offsets(broker.bootstrap_servers, topic) == {0: 12, 1: 0}
    positions = [watermarks.next_records({0: offset, 1: 0}) for offset in (0, 1, 2, 3, 7, 8, 12)]
    assert positions == [{0: at, 1: 0} for at in (0, 1, 6, 6, 7, 12, 12)]
    replays = ReplayTopic(Cluster(cluster.bootstrap_servers, KafkaSettings(topic_transactions=topic)))
    try:
        # Of committed records, an aborted one, a marker and the end: the first two are read in one go, and are there.
        read = replays.read(RecordId(topic, 0, offset) for offset in (0, 3, 7, 11, 12))
        assert {place.offset: message.value() for place, message in read.items()} == {0: b"1", 7: b"2"}
    finally:
        replays.close()
    producer.abort_transaction(30)
    # A deleted offset is none without a record.
    admin = open_admin(cluster)
    for deleted in admin.delete_records([TopicPartition(topic, 0, 4)]).values():
        deleted.result(timeout=30)
    assert watermarks.next_records({0: 2, 1: 0}) == {1: 0}


def test_a_compacted_topic_is_known(cluster: Cluster, new_topic: Callable[..., str]) -> None:
    assert is_compacted(cluster, new_topic(**{"cleanup.policy": "compact"}))
    assert not is_compacted(cluster, new_topic())
