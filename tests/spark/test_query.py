"""What the query leaves in its checkpoint, on a real Spark and a real Kafka."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Producer
from pyspark.sql import SparkSession

from fraudstream.detector.checkpoint import inspect
from fraudstream.detector.query import QuerySettings, Trigger, start_query
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.topics import ensure_topics
from fraudstream.runtime.processes import wait_until
from fraudstream.scoring.message_format import MessageFormat
from fraudstream.scoring.scorer import Scorer
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES, Topic

pytestmark = [pytest.mark.spark, pytest.mark.kafka]


@pytest.fixture
def settings(cluster: Cluster, tmp_path: Path) -> QuerySettings:
    topics = ensure_topics(cluster, 1, DEFAULT_MAX_RECORD_BYTES)
    return QuerySettings(
        kafka={"kafka.bootstrap.servers": cluster.bootstrap_servers},
        topics={topic: topic.value for topic in Topic},
        checkpoint=tmp_path / "checkpoint",
        trigger=Trigger.MICRO_BATCH,
        interval="1 second",
        sample_every=1000,
        message_format=MessageFormat(DEFAULT_MAX_RECORD_BYTES),
        partitions=topics[Topic.TRANSACTIONS],
    )


def test_checkpoint_files_carry_checksums_and_leave_no_temporary_files(
    spark: SparkSession, scorer: Scorer, cluster: Cluster, settings: QuerySettings
) -> None:
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
    producer.produce(Topic.TRANSACTIONS.value, b'{"a": 1, "b b": 2, "c.d": 3}')
    assert producer.flush(10) == 0
    query = start_query(spark, scorer, settings)
    try:
        assert wait_until(lambda: (settings.checkpoint / "commits" / "0").exists(), 60)
    finally:
        query.stop()
    state = inspect(settings.checkpoint, Topic.TRANSACTIONS.value, "any")
    assert sum(state.committed.values()) >= 1
    for log in ("offsets", "commits"):
        names = {file.name for file in (settings.checkpoint / log).iterdir()}
        batches = {name for name in names if name.isdecimal()}
        assert names == batches | {f".{name}.crc" for name in batches}
