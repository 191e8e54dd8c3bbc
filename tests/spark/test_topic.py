"""Ranges of a real topic, scored again by Spark's batch source with the scorer of the stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import pytest
from confluent_kafka import Producer, TopicPartition
from pyspark.sql import SparkSession

from fraudstream.kafka.broker import RunningBroker
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.topics import open_admin
from fraudstream.messages.ledger import Range, merge_ranges
from fraudstream.scoring.message_format import MessageFormat
from fraudstream.scoring.scorer import Scorer
from fraudstream.scoring.topic import count_outcomes, remarkable
from fraudstream.transactions.wire import Outcome

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

LIMIT = 4_000
FORMAT = MessageFormat(LIMIT)
FRAUD, CLEAR, UNSCORABLE = b'{"a":5,"b b":0,"c.d":0}', b'{"a":-5,"b b":0,"c.d":0}', b'{"a":5}'
CYCLE: tuple[bytes | None, ...] = (FRAUD, CLEAR, UNSCORABLE, CLEAR, b"[1]", None, b'{"a":"' + b"x" * LIMIT + b'"}')
OUTCOMES = (
    Outcome.ALERT,
    Outcome.CLEAR,
    Outcome.UNSCORABLE,
    Outcome.CLEAR,
    Outcome.DEAD_LETTER,
    Outcome.DEAD_LETTER,
    Outcome.DEAD_LETTER,
)
ROWS = 70


def test_ranges_that_overlap_or_touch_are_one() -> None:
    ranges = [Range(1, 5, 9), Range(0, 3, 5), Range(0, 0, 3), Range(0, 7, 7), Range(0, 4, 6), Range(1, 10, 12)]
    assert merge_ranges(ranges) == [Range(0, 0, 6), Range(1, 5, 9), Range(1, 10, 12)]


@pytest.fixture
def kafka(cluster: Cluster) -> Iterator[dict[str, str]]:
    """The options of Spark's source."""
    with cluster.spark_options(is_local=True) as options:
        yield options


@pytest.fixture(scope="module")
def filled(broker: RunningBroker, new_topic: Callable[..., str]) -> str:
    """A topic with the cycle ten times in each of its two partitions; ids on the first partition alone."""
    topic = new_topic(partitions=2)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for number in range(ROWS):
        for partition in (0, 1):
            headers = {"event_id": f"id-{number}".encode()} if partition == 0 else {}
            producer.produce(topic, CYCLE[number % len(CYCLE)], partition=partition, headers={**headers})
    assert producer.flush(30) == 0
    return topic


def test_outcomes_are_counted_by_partition_and_overlaps_once(
    spark: SparkSession, scorer: Scorer, kafka: Mapping[str, str], filled: str
) -> None:
    ranges = [Range(0, 0, 10), Range(0, 5, 20), Range(0, 60, ROWS), Range(1, 69, ROWS), Range(1, 3, 3)]
    counts = count_outcomes(spark, scorer, kafka, filled, ranges, FORMAT)
    expected = Counter(OUTCOMES[offset % 7] for offset in (*range(20), *range(60, ROWS)))
    assert counts == {0: expected, 1: Counter({Outcome.DEAD_LETTER: 1})}


def test_nothing_asked_is_nothing_counted(spark: SparkSession, scorer: Scorer, kafka: Mapping[str, str]) -> None:
    assert count_outcomes(spark, scorer, kafka, "no-such-topic", [], FORMAT) == {}
    assert count_outcomes(spark, scorer, kafka, "no-such-topic", [Range(3, 1, 1)], FORMAT) == {3: Counter()}


def test_what_is_not_clear_is_named_with_its_score_and_id(
    spark: SparkSession, scorer: Scorer, kafka: Mapping[str, str], filled: str
) -> None:
    ranges = [Range(0, 0, 7), Range(1, 7, 14), Range(1, 21, 28)]
    exceptions = sorted(remarkable(spark, scorer, kafka, filled, ranges, FORMAT))
    places = [(0, offset) for offset in range(7)] + [(1, offset) for offset in (*range(7, 14), *range(21, 28))]
    assert [(each.partition, each.offset, each.outcome) for each in exceptions] == [
        (partition, offset, OUTCOMES[offset % 7])
        for partition, offset in places
        if OUTCOMES[offset % 7] is not Outcome.CLEAR
    ]
    assert all((each.score is None) == (each.outcome is not Outcome.ALERT) for each in exceptions)
    assert exceptions[0].alert_id == "id-0"
    assert exceptions[-1].alert_id == f"{filled}/1/27"
    (alert,) = scorer.verdicts(spark.createDataFrame([(FRAUD.decode(),)], "text string")).collect()
    assert {each.score for each in exceptions if each.outcome is Outcome.ALERT} == {alert.score}


def test_records_that_retention_took_are_passed_over(
    spark: SparkSession, scorer: Scorer, cluster: Cluster, kafka: Mapping[str, str], new_topic: Callable[..., str]
) -> None:
    topic = new_topic()
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
    for _ in range(10):
        producer.produce(topic, CLEAR)
    assert producer.flush(30) == 0
    admin = open_admin(cluster)
    for deleted in admin.delete_records([TopicPartition(topic, 0, 4)]).values():
        deleted.result(timeout=30)
    counts = count_outcomes(spark, scorer, kafka, topic, [Range(0, 0, 10)], FORMAT)
    assert counts == {0: Counter({Outcome.CLEAR: 6})}
