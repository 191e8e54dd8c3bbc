"""Records for Kafka's sink: topic, JSON, headers, sizes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from fraudstream.detector.query import detect
from fraudstream.scoring.message_format import MessageFormat
from fraudstream.scoring.scorer import Scorer
from fraudstream.transactions.wire import DEAD_LETTER_HEADERS, Topic, output_limit

pytestmark = pytest.mark.spark

SCHEMA = (
    "key binary, value binary, topic string, partition int, offset long, timestamp timestamp,"
    " headers array<struct<key:string,value:binary>>"
)
LIMIT = 4_000
FORMAT = MessageFormat(LIMIT)
FRAUD = b'{"a":5,"b b":0.10,"c.d":0,"extra":"\xc3\xa4 \\" x"}'
CLEAR = b'{"a":-5,"b b":0,"c.d":0}'


Headers = list[tuple[str, bytes]] | None


def source(spark: SparkSession, *values: bytes | None, headers: Headers = None) -> DataFrame:
    return source_of(spark, *((value, headers) for value in values))


def source_of(spark: SparkSession, *records: tuple[bytes | None, Headers]) -> DataFrame:
    """Records at the offsets from 1000; all cases of a test in one query, for each takes seconds."""
    at = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    rows = [(None, value, "credit_card_transactions", 1, 1000 + i, at, h) for i, (value, h) in enumerate(records)]
    return spark.createDataFrame(rows, SCHEMA)


TOPICS = {topic: topic.value for topic in Topic}


def records(
    scorer: Scorer, frame: DataFrame, sample_every: int = 10_000_000, topics: Mapping[Topic, str] = TOPICS
) -> list[Row]:
    """What leaves, without the samples unless each row is one."""
    rows = detect(frame, scorer, topics, FORMAT, partitions=2, sample_every=sample_every).collect()
    return [r for r in rows if sample_every == 1 or r.topic != "detector_events"]


def content(record: Row) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(bytes(record.value))
    return loaded


def header(record: Row, name: str) -> str | None:
    return next((bytes(h.value).decode() for h in record.headers if h.key == name), None)


def test_an_alert_carries_the_row_as_it_came_and_all_that_is_known(spark: SparkSession, scorer: Scorer) -> None:
    headers = [("event_id", b"abc"), ("source_row", b"17")]
    (record,) = records(scorer, source(spark, FRAUD, headers=headers))
    alert = content(record)
    assert record.topic == "fraud_alerts"
    assert alert.pop("score") > 0.5
    assert alert == {
        "alert_id": "abc",
        "topic": "credit_card_transactions",
        "partition": 1,
        "offset": 1000,
        "source_row": 17,
        "produced_at": "2026-01-02T03:04:05.678Z",
        "outcome": "alert",
        "reason": None,
        "threshold": 0.5,
        "model_id": "small-1",
        "revision": 3,
        "imputed": [],
        "transaction": {"a": 5, "b b": 0.10, "c.d": 0, "extra": 'ä " x'},
    }
    assert b'"b b":0.10' in bytes(record.value)
    assert header(record, "event_id") == "abc"


def test_a_row_without_a_usable_event_id_is_known_by_its_place(spark: SparkSession, scorer: Scorer) -> None:
    headers: tuple[Headers, ...] = (None, [("event_id", b"\xff")], [("event_id", b"x" * 201)], [("event_id", b"")])
    alerts = map(content, records(scorer, source_of(spark, *((FRAUD, each) for each in headers))))
    ids = sorted(alert["alert_id"] for alert in alerts)
    assert ids == [f"credit_card_transactions/1/{1000 + number}" for number in range(len(headers))]


def test_a_record_that_was_sent_again_names_the_one_that_it_repeats(spark: SparkSession, scorer: Scorer) -> None:
    origin = "credit_card_transactions/1/7"
    lenient = b'{"a":5,"b b":NaN,"c.d":0}'
    replayed = [("event_id", b"abc"), ("replay_of", origin.encode())]
    values = (FRAUD, b'{"a":5}', lenient)
    invalid = (b"\xff", b"", b"x" * 301)
    frame = source_of(
        spark,
        *((value, replayed[:1]) for value in values),
        *((value, replayed) for value in values),
        *((FRAUD, [("replay_of", value)]) for value in invalid),
        (FRAUD, [("replay_of", b'}"{\\')]),
    )
    by_offset = {content(record)["offset"] - 1000: record for record in records(scorer, frame)}
    assert sorted(by_offset) == list(range(10))
    topics = ["fraud_alerts", "transactions_unscorable", "fraud_alerts"]
    for number, topic in enumerate(topics):
        first, again = by_offset[number], by_offset[number + 3]
        assert first.topic == again.topic == topic
        assert content(again) == content(first) | {"offset": 1003 + number, "replay_of": origin}
    for number in (*range(3), 6, 7, 8):
        assert "replay_of" not in content(by_offset[number])
    assert content(by_offset[9])["replay_of"] == '}"{\\'


def test_a_dead_letter_that_was_sent_again_keeps_all_its_headers(spark: SparkSession, scorer: Scorer) -> None:
    original = [("event_id", b"abc"), ("replay_of", b"t/0/1"), ("replay_id", b"r"), ("own", b"\xff")]
    (record,) = records(scorer, source(spark, b"[1]", headers=original))
    headers = [(each.key, bytes(each.value)) for each in record.headers]
    assert headers[: len(original)] == original
    assert tuple(name for name, _ in headers[len(original) :]) == tuple(name.value for name in DEAD_LETTER_HEADERS)


def test_a_row_that_is_json_only_leniently_still_leaves_as_valid_json(spark: SparkSession, scorer: Scorer) -> None:
    (record,) = records(scorer, source(spark, b'{"a":5,"b b":NaN,"c.d":0,"t":"q\\"}"}'))
    alert = content(record)
    assert alert["imputed"] == ["b b"]
    assert alert["transaction"] == {"a": "5", "b b": '"NaN"', "c.d": "0", "t": 'q"}'}
    assert alert["transaction_text"] == '{"a":5,"b b":NaN,"c.d":0,"t":"q\\"}"}'


def test_a_clear_row_leaves_nothing_but_a_sample(spark: SparkSession, scorer: Scorer) -> None:
    assert records(scorer, source(spark, CLEAR)) == []
    (sample,) = records(scorer, source(spark, CLEAR), sample_every=1)
    assert sample.topic == "detector_events"
    assert content(sample) | {"score": 0} == {
        "type": "sample",
        "topic": "credit_card_transactions",
        "partition": 1,
        "offset": 1000,
        "produced_at": "2026-01-02T03:04:05.678Z",
        "score": 0,
        "outcome": "clear",
        "imputed": [],
        "transaction_text": CLEAR.decode(),
        "model_id": "small-1",
        "revision": 3,
        "threshold": 0.5,
    }


def test_a_sampled_alert_leaves_twice_on_the_topics_as_they_are_named(spark: SparkSession, scorer: Scorer) -> None:
    topics = {topic: f"bank.{topic.value}" for topic in Topic}
    sampled = records(scorer, source(spark, FRAUD), sample_every=1, topics=topics)
    assert {each.topic for each in sampled} == {"bank.fraud_alerts", "bank.detector_events"}


def test_a_row_that_misses_too_much_is_unscorable_with_the_reason(spark: SparkSession, scorer: Scorer) -> None:
    (record,) = records(scorer, source(spark, b'{"a":5}'))
    assert record.topic == "transactions_unscorable"
    assert content(record)["score"] is None
    assert content(record)["reason"] == "2 of 3 features missing, at most 1 may be"
    assert content(record)["imputed"] == ["b b", "c.d"]


DEAD: list[tuple[bytes | None, str]] = [
    (None, "tombstone: the record has no value"),
    (b"", "the value is empty"),
    (b"\xff\xfe", "the value is not UTF-8"),
    (b"[1]", "the value is not a JSON object"),
    (b'{"a":1', "the value is not one well-formed JSON object"),
]


def test_a_dead_letter_keeps_the_bytes_and_its_reason(spark: SparkSession, scorer: Scorer) -> None:
    frame = source(spark, *(value for value, _ in DEAD), headers=[("event_id", b"abc")])
    dead_letters = {header(each, "__connect.errors.offset"): each for each in records(scorer, frame)}
    assert len(dead_letters) == len(DEAD)
    for number, (value, reason) in enumerate(DEAD):
        record = dead_letters[str(1000 + number)]
        assert record.topic == "transactions_dead_letter"
        assert (None if record.value is None else bytes(record.value)) == value
        assert header(record, "__connect.errors.exception.message") == reason
        assert header(record, "__connect.errors.topic") == "credit_card_transactions"
        assert header(record, "__connect.errors.partition") == "1"
        assert header(record, "event_id") == "abc"


def test_a_record_above_the_limit_is_a_dead_letter_cut_at_the_limit(spark: SparkSession, scorer: Scorer) -> None:
    (record,) = records(scorer, source(spark, b'{"a":5,"x":"' + b"y" * LIMIT + b'"}'))
    assert record.topic == "transactions_dead_letter"
    assert len(record.value) == LIMIT
    assert header(record, "__connect.errors.original.bytes") == str(LIMIT + 14)


def test_no_record_can_outgrow_the_sink(spark: SparkSession, scorer: Scorer) -> None:
    quotes = b'{"a":5,"b b":NaN,"c.d":0,"x":"' + b'\\"' * ((LIMIT - 40) // 2) + b'"}'
    control = b'{"a":5,"b b":NaN,"c.d":0,"x":"' + b"\\u0001" * ((LIMIT - 40) // 6) + b'"}'
    for record in records(scorer, source(spark, quotes, control, headers=[("h", b"z" * LIMIT)])):
        headers = sum(len(h.key) + len(h.value) for h in record.headers)
        assert record.topic == "fraud_alerts"
        assert len(record.value) + headers < output_limit(LIMIT)
        assert content(record)["imputed"] == ["b b"]
