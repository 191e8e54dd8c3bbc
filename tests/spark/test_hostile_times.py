"""A record whose time is of no year that a calendar knows is scored like any other, and leaves without its time."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from fraudstream.detector.query import detect
from fraudstream.scoring.message_format import MessageFormat
from fraudstream.scoring.scorer import Scorer
from fraudstream.transactions.wire import Header, Topic

pytestmark = pytest.mark.spark

SCHEMA = (
    "key binary, value binary, topic string, partition int, offset long, millis long,"
    " headers array<struct<key:string,value:binary>>"
)
MILLIS = {253_402_300_800_000: None, 9_223_372_036_854_775: None, -62_135_596_800_001: None, -5: 1969, 0: 1970}


@pytest.mark.parametrize("value", [b'{"a":5,"b b":0,"c.d":0}', b"[]"], ids=["alert", "dead letter"])
def test_a_time_beyond_the_calendar_is_left_out(spark: SparkSession, scorer: Scorer, value: bytes) -> None:
    rows = [(None, value, "credit_card_transactions", 0, number, millis, None) for number, millis in enumerate(MILLIS)]
    frame = spark.createDataFrame(rows, SCHEMA).withColumn("timestamp", F.expr("timestamp_millis(millis)"))
    topics = {topic: topic.value for topic in Topic}
    records = detect(
        frame.drop("millis"), scorer, topics, MessageFormat(4_000), partitions=1, sample_every=10_000
    ).collect()
    produced = []
    for record in (each for each in records if each.topic != "detector_events"):
        header = next((each.value for each in record.headers if each.key == Header.PRODUCED_AT), None)
        at = json.loads(bytes(record.value))["produced_at"] if value.startswith(b"{") else header and header.decode()
        produced.append(at and datetime.fromisoformat(at).astimezone(UTC).year)
    assert sorted(produced, key=str) == sorted(MILLIS.values(), key=str)
