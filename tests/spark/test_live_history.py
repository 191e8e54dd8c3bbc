"""The history in a stream equals that in batch over the topic, whatever happens to the query."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from fraudstream.history.spec import HistoryEntity, HistorySpec, operator_config, with_features
from fraudstream.kafka.client import Cluster
from fraudstream.model.features.history import HistoryColumn, with_history
from fraudstream.runtime.processes import wait_until
from histories import HistoryStream, Outputs, send, transactions

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

SPEC = with_features(
    HistorySpec(entities=(HistoryEntity("card", "card"), HistoryEntity("shop", "shop")), time="at", amount="amount")
)
CONFIG = operator_config(SPEC, {}, None, bytes(32))
PARTITIONS = 2
START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def payments(count: int, cards: int, seed: int = 1) -> Iterator[tuple[int, str, str]]:
    """Payments out of order by up to a minute, with 5 % of them sent twice."""
    chance = random.Random(seed)
    for number in range(count):
        card = chance.randrange(cards)
        at = datetime.fromtimestamp(START + number * 20 - chance.randrange(60), UTC).isoformat()
        row = {"at": at, "card": card, "shop": chance.randrange(9), "amount": round(chance.expovariate(0.02), 2)}
        payment = card % PARTITIONS, json.dumps(row), f"id-{number}"
        yield payment
        if chance.random() < 0.05:
            yield payment


def in_batch(spark: SparkSession, stream: HistoryStream) -> dict[tuple[int, int], set[str]]:
    """The results of the operator in batch over the topic, in its order."""
    records = (
        spark.read.format("kafka")
        .option("kafka.bootstrap.servers", stream.servers)
        .option("subscribe", stream.topic)
        .option("includeHeaders", "true")
        .load()
    )
    ordered = transactions(records).repartition(1).sortWithinPartitions("partition", "offset")
    added = with_history(ordered, stream.config)
    values = added.select("partition", "offset", F.to_json(F.struct(*HistoryColumn.ALL))).collect()
    return {(row[0], row[1]): {json.dumps(json.loads(row[2]), sort_keys=True)} for row in values}


@pytest.fixture
def stream(cluster: Cluster, new_topic: Callable[..., str], tmp_path: Path) -> HistoryStream:
    topic, output = new_topic(PARTITIONS), new_topic(1)
    return HistoryStream(cluster.bootstrap_servers, topic, output, str(tmp_path), CONFIG)


@pytest.fixture
def outputs(stream: HistoryStream) -> Iterator[Outputs]:
    outputs = Outputs(stream.servers, stream.output)
    yield outputs
    outputs.close()


def test_a_stream_that_is_stopped_in_a_batch_continues_from_the_same_state(
    spark: SparkSession, stream: HistoryStream, outputs: Outputs
) -> None:
    rows = list(payments(600, cards=20))
    send(stream.servers, stream.topic, rows[:400])
    query = stream.start(spark)
    try:
        # The first batch is complete, the second has begun.
        assert wait_until(lambda: bool(query.recentProgress) and outputs.poll(0.1), 60)
        send(stream.servers, stream.topic, rows[400:450])
        assert wait_until(lambda: outputs.poll(0.1) and len(outputs.results) >= 420, 60)
    finally:
        query.stop()
    send(stream.servers, stream.topic, rows[450:])
    query = stream.start(spark)
    try:
        assert wait_until(lambda: outputs.poll(0.1) and len(outputs.results) == len(rows), 60), query.exception()
    finally:
        query.stop()
    assert outputs.results == in_batch(spark, stream)


@pytest.mark.nightly
def test_no_feature_differs_after_kill_9_at_any_moment(
    spark: SparkSession, stream: HistoryStream, outputs: Outputs
) -> None:
    chance, rows = random.Random(7), list(payments(30_000, cards=300))
    pace = threading.Event()

    def produce() -> None:
        for start in range(0, len(rows), 50):
            send(stream.servers, stream.topic, rows[start : start + 50])
            pace.wait(0.25)

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        for kills in range(6):
            count = outputs.count
            with stream.process() as process:
                running = wait_until(lambda: outputs.poll(0.1) and outputs.count > count + 200, 120)  # noqa: B023
                assert running, (Path(stream.folder) / "query.log").read_text()[-2000:]
                process_ends = wait_until(lambda: process.poll() is not None, chance.uniform(1, 9))
                assert not process_ends, kills
        pace.set()
        producer.join()
        with stream.process():
            assert wait_until(lambda: outputs.poll(0.1) and len(outputs.results) == len(rows), 180)
    finally:
        pace.set()
        producer.join()
    assert outputs.count > len(rows)
    assert outputs.results == in_batch(spark, stream)
