"""The transactions in records: envelopes, lists, and records without a transaction."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraudstream.detector.query import detect
from fraudstream.scoring.message_format import MessageFormat
from fraudstream.scoring.scorer import Scorer, TopicColumn
from fraudstream.transactions.wire import Topic

pytestmark = pytest.mark.spark

LIMIT = 4_000
PAYMENT = {"a": 5, "b b": 0.5, "c.d": 'ä" x'}
OTHER = PAYMENT | {"a": 6}
TEXT, TEXTS = [PAYMENT], [PAYMENT, OTHER]
DEAD: list[Any] = [None]
EMPTY: list[Any] = []
DEBEZIUM: list[tuple[Any, list[Any]]] = [
    ({"before": None, "after": PAYMENT, "op": "c", "ts_ms": 1}, TEXT),
    ({"before": OTHER, "after": PAYMENT, "op": "u", "ts_ms": 1}, TEXT),
    ({"schema": {"type": "struct"}, "payload": {"before": None, "after": PAYMENT, "op": "r"}}, TEXT),
    ({"after": json.dumps(PAYMENT), "op": "c"}, TEXT),
    ({"before": OTHER, "after": None, "op": "d", "ts_ms": 1}, EMPTY),
    ({"before": OTHER, "op": "d", "source": {}}, EMPTY),
    ({"schema": {}, "payload": {"before": OTHER, "after": None, "op": "d"}}, EMPTY),
    (None, EMPTY),
    ({"schema": None, "payload": None}, EMPTY),
    ({"ts_ms": 1}, EMPTY),
    ({"schema": {}, "payload": {"ts_ms": 1}}, EMPTY),
    ({"status": "BEGIN", "id": "5", "event_count": None, "data_collections": None, "ts_ms": 1}, EMPTY),
    ({"op": "t", "ts_ms": 1, "source": {}}, EMPTY),
    ({"op": "c", "ts_ms": 1}, DEAD),
    ({"aftr": PAYMENT, "op": "u"}, DEAD),
    (PAYMENT, DEAD),
    (PAYMENT | {"ts_ms": 1}, DEAD),
    ({}, DEAD),
    ([1], DEAD),
    (b"", DEAD),
    (b"\xff", DEAD),
    (b'{"after":{"a":1}}{"after":{"a":2}}', DEAD),
    (b'{"after":{"a":1' + b" " * LIMIT + b"}}", DEAD),
    (b'{"after":{"a":-inf},"op":"c"}', [{"a": None}]),
]
LISTS: list[tuple[Any, list[Any]]] = [
    ({"live": "false", "items": [{"item": PAYMENT}, {"item": OTHER}]}, TEXTS),
    ({"items": [{"item": PAYMENT}, {"item": 3}, {"x": 1}, None, {"item": None}, {"item": OTHER}]}, [*TEXTS, None]),
    ({"items": []}, EMPTY),
    ({"items": None}, EMPTY),
    ({"items": {"item": PAYMENT}}, DEAD),
    (PAYMENT, DEAD),
]
CASES = {
    "debezium": DEBEZIUM,
    "payload.after": [DEBEZIUM[2], DEBEZIUM[6], (DEBEZIUM[0][0], DEAD)],
    "aftr": [(DEBEZIUM[0][0], DEAD), (DEBEZIUM[4][0], DEAD)],
    "cloudevents": [
        ({"specversion": "1.0", "id": "a-1", "source": "/shop", "data": PAYMENT}, TEXT),
        ({"specversion": "1.0", "id": "a-1", "source": "/shop"}, EMPTY),
        ({"specversion": "1.0", "id": "a-1", "data_base64": "e30="}, DEAD),
    ],
    "items[].item": LISTS,
    "[]": [
        (TEXTS, TEXTS),
        ([[1]], DEAD),
        (b'[{"a":1}] 5', DEAD),
        (b'[{"a":1}],[{"a":2}]] [', DEAD),
        (b"[1],[]] [", DEAD),
        (b'[{"a":"\xff"}]', DEAD),
    ],
}


def records(spark: SparkSession, *values: Any) -> DataFrame:
    encoded = [value if value is None or isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    rows = [(None, value, "t", 0, n, [("event_id", f"id-{n}".encode())]) for n, value in enumerate(encoded)]
    schema = (
        "key binary, value binary, topic string, partition int, offset long,"
        " headers array<struct<key:string,value:binary>>"
    )
    return spark.createDataFrame(rows, schema).withColumn(TopicColumn.TIMESTAMP, F.current_timestamp())


@pytest.mark.parametrize("envelope", CASES)
def test_transactions_are_read_out_of_their_envelope(spark: SparkSession, envelope: str) -> None:
    values, expected = zip(*CASES[envelope], strict=True)
    frame = MessageFormat(LIMIT, envelope).transactions(records(spark, *values))
    actual: list[list[Any]] = [[] for _ in values]
    for row in frame.orderBy("offset", "index").select("offset", "text", "is_empty").collect():
        if not row.is_empty:
            actual[row.offset].append(json.loads(row.text) if (row.text or "").startswith("{") else None)
    assert actual == list(expected)


def test_each_record_is_parsed_once_per_level_of_its_envelope(spark: SparkSession) -> None:
    frame = MessageFormat(LIMIT, "a.b").transactions(records(spark, PAYMENT)).where(~F.col("is_empty"))
    plan = frame._jdf.queryExecution().executedPlan().toString()  # noqa: SLF001
    # A level has a second one, for text that only a lenient parser reads.
    assert plan.count("from_json") == 4


def test_transactions_of_a_list_are_alerts_with_ids_of_their_own(spark: SparkSession, scorer: Scorer) -> None:
    fraud = {"a": 5, "b b": 0.5, "c.d": 0}
    items = [{"item": fraud}, {"item": fraud | {"a": -5}}, {"item": fraud | {"a": 6}}, {"item": 1}, {"item": 2}]
    envelope = MessageFormat(LIMIT, "items[].item")
    topics = {topic: topic.value for topic in Topic}
    frame = records(spark, {"items": items}, fraud)
    rows = detect(frame, scorer, topics, envelope, partitions=1, sample_every=10_000_000).collect()
    alerts = {row.value: json.loads(row.value) for row in rows if row.topic == Topic.ALERTS}
    transactions = {alert["alert_id"]: alert["transaction"]["a"] for alert in alerts.values()}
    assert transactions == {"id-0/0": 5, "id-0/2": 6}
    assert {alert["offset"] for alert in alerts.values()} == {0}
    reasons = [
        next(header.value.decode() for header in row.headers if "message" in header.key)
        for row in rows
        if row.topic == Topic.DEAD_LETTERS
    ]
    assert reasons == ["there is no object at items[].item (setting envelope)"] * 2
