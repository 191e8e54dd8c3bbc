"""The query's checkpoint, and the rehearsals of its plan, on a real Spark and a real Kafka."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from confluent_kafka import Producer
from pyspark.sql import DataFrame, SparkSession

from fraudstream.detector.checkpoint import inspect
from fraudstream.detector.query import QuerySettings, Trigger, batch_form, start_query
from fraudstream.detector.rehearsal import Rehearsal, rehearse
from fraudstream.kafka.broker import RunningBroker
from fraudstream.kafka.topics import ensure_topics
from fraudstream.runtime.processes import wait_until
from fraudstream.scoring.judge import Judge
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES, Topic

pytestmark = [pytest.mark.spark, pytest.mark.kafka]


@pytest.fixture
def settings(broker: RunningBroker, tmp_path: Path) -> QuerySettings:
    topics = ensure_topics(broker.bootstrap_servers, 1, DEFAULT_MAX_RECORD_BYTES)
    return QuerySettings(
        bootstrap_servers=broker.bootstrap_servers,
        checkpoint=tmp_path / "checkpoint",
        trigger=Trigger.MICRO_BATCH,
        interval="1 second",
        sample_every=1000,
        max_record_bytes=DEFAULT_MAX_RECORD_BYTES,
        partitions=topics.partitions[Topic.TRANSACTIONS.value],
    )


def test_the_files_of_a_checkpoint_carry_checksums_and_nothing_is_left_of_their_writing(
    spark: SparkSession, judge: Judge, settings: QuerySettings
) -> None:
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
    producer.produce(Topic.TRANSACTIONS.value, b'{"a": 1, "b b": 2, "c.d": 3}')
    assert producer.flush(10) == 0
    query = start_query(spark, judge, settings)
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


def test_a_rehearsal_plans_the_query_and_runs_nothing_of_it(
    spark: SparkSession, judge: Judge, settings: QuerySettings
) -> None:
    records = batch_form(spark, judge, settings)
    spark.sparkContext.setJobGroup("rehearsal", "plans only")
    rehearse(spark, records)
    assert spark.sparkContext.statusTracker().getJobIdsForGroup("rehearsal") == []


def test_rehearsals_follow_one_another_until_they_are_ended(
    spark: SparkSession, judge: Judge, settings: QuerySettings
) -> None:
    planned = threading.Event()

    def plan() -> DataFrame:
        planned.set()
        return batch_form(spark, judge, settings)

    rehearsal = Rehearsal(spark, first_after=0.0, rest=600.0)
    rehearsal.begin(plan)
    assert planned.wait(30)
    rehearsal.end()
    assert "rehearsal" not in {thread.name for thread in threading.enumerate()}


def test_a_detector_that_is_stopped_before_the_first_rehearsal_does_not_wait_for_it(spark: SparkSession) -> None:
    def plan() -> DataFrame:
        raise AssertionError("planned after the end")

    rehearsal = Rehearsal(spark, first_after=600.0)
    rehearsal.begin(plan)
    rehearsal.end()
    assert "rehearsal" not in {thread.name for thread in threading.enumerate()}
