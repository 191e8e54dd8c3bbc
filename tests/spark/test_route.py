"""Records for Kafka's sink: topic, JSON, headers, sizes."""

from __future__ import annotations

import json
from collections import defaultdict
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
Case = tuple[bytes | None, Headers]


def source(spark: SparkSession, *records: Case) -> DataFrame:
    """Records at the offsets from 1000."""
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


ORIGIN = "credit_card_transactions/1/7"
REPLAYED = [("event_id", b"abc"), ("replay_of", ORIGIN.encode())]
REPEATED = (FRAUD, b'{"a":5}', b'{"a":5,"b b":NaN,"c.d":0}')
DEAD: list[tuple[bytes | None, str]] = [
    (None, "tombstone: the record has no value"),
    (b"", "the value is empty"),
    (b"\xff\xfe", "the value is not UTF-8"),
    (b"\0\0\0\x01\x05\x02\nT", "looks like Avro or Protobuf of a schema registry, schema id 261: set schema_registry"),
    (b"[1]", "the value is not a JSON object"),
    (b'{"a":1', "the value is not one well-formed JSON object"),
]
OWN_HEADERS = [("event_id", b"abc"), ("replay_of", b"t/0/1"), ("replay_id", b"r"), ("own", b"\xff")]
LENIENT = b'{"a":5,"b b":NaN,"c.d":0,"t":"q\\"}"}'
LARGE_HEADERS = [("h", b"z" * LIMIT)]
CASES: dict[str, list[Case]] = {
    "whole": [(FRAUD, [("event_id", b"abc"), ("source_row", b"17")])],
    "no usable id": [
        (FRAUD, each) for each in (None, [("event_id", b"\xff")], [("event_id", b"x" * 201)], [("event_id", b"")])
    ],
    "once": [(value, REPLAYED[:1]) for value in REPEATED],
    "again": [(value, REPLAYED) for value in REPEATED],
    "no origin": [(FRAUD, [("replay_of", value)]) for value in (b"\xff", b"", b"x" * 301)],
    "odd origin": [(FRAUD, [("replay_of", b'}"{\\')])],
    "replayed dead letter": [(b"[1]", OWN_HEADERS)],
    "lenient": [(LENIENT, None)],
    "clear": [(CLEAR, None)],
    "unscorable": [(b'{"a":5}', None)],
    "dead": [(value, [("event_id", b"abc")]) for value, _ in DEAD],
    "too large": [(b'{"a":5,"x":"' + b"y" * LIMIT + b'"}', None)],
    "largest": [
        (b'{"a":5,"b b":NaN,"c.d":0,"x":"' + text + b'"}', LARGE_HEADERS)
        for text in (b'\\"' * ((LIMIT - 40) // 2), b"\\u0001" * ((LIMIT - 40) // 6))
    ],
}


@pytest.fixture(scope="module")
def outcomes(spark: SparkSession, scorer: Scorer) -> Mapping[str, list[Row]]:
    """By case what leaves, by offset. All cases pass one query, for each query takes seconds."""
    frame = source(spark, *(case for cases in CASES.values() for case in cases))
    names = [name for name, cases in CASES.items() for _ in cases]
    outcomes: dict[str, list[Row]] = defaultdict(list)
    for record in sorted(records(scorer, frame), key=offset):
        outcomes[names[offset(record) - 1000]].append(record)
    return outcomes


def offset(record: Row) -> int:
    return int(header(record, "__connect.errors.offset") or content(record)["offset"])


def content(record: Row) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(bytes(record.value))
    return loaded


def header(record: Row, name: str) -> str | None:
    return next((bytes(h.value).decode() for h in record.headers if h.key == name), None)


def test_an_alert_carries_the_row_as_it_came_and_all_that_is_known(outcomes: Mapping[str, list[Row]]) -> None:
    (record,) = outcomes["whole"]
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


def test_a_row_without_a_usable_event_id_is_known_by_its_place(outcomes: Mapping[str, list[Row]]) -> None:
    alerts = [content(record) for record in outcomes["no usable id"]]
    assert len(alerts) == len(CASES["no usable id"])
    assert [each["alert_id"] for each in alerts] == [f"credit_card_transactions/1/{each['offset']}" for each in alerts]


def test_a_record_that_was_sent_again_names_the_one_that_it_repeats(outcomes: Mapping[str, list[Row]]) -> None:
    topics = ["fraud_alerts", "transactions_unscorable", "fraud_alerts"]
    for topic, first, again in zip(topics, outcomes["once"], outcomes["again"], strict=True):
        assert first.topic == again.topic == topic
        assert content(again) == content(first) | {"offset": offset(again), "replay_of": ORIGIN}
    for record in (*outcomes["once"], *outcomes["no origin"]):
        assert "replay_of" not in content(record)
    assert len(outcomes["no origin"]) == len(CASES["no origin"])
    (odd,) = outcomes["odd origin"]
    assert content(odd)["replay_of"] == '}"{\\'


def test_a_dead_letter_that_was_sent_again_keeps_all_its_headers(outcomes: Mapping[str, list[Row]]) -> None:
    (record,) = outcomes["replayed dead letter"]
    headers = [(each.key, bytes(each.value)) for each in record.headers]
    own = len(OWN_HEADERS)
    assert headers[:own] == OWN_HEADERS
    assert tuple(name for name, _ in headers[own:]) == tuple(name.value for name in DEAD_LETTER_HEADERS)


def test_a_row_that_is_json_only_leniently_still_leaves_as_valid_json(outcomes: Mapping[str, list[Row]]) -> None:
    (record,) = outcomes["lenient"]
    alert = content(record)
    assert alert["imputed"] == ["b b"]
    assert alert["transaction"] == {"a": "5", "b b": '"NaN"', "c.d": "0", "t": 'q"}'}
    assert alert["transaction_text"] == LENIENT.decode()


def test_a_sampled_row_leaves_a_second_time_on_the_topics_as_they_are_named(
    spark: SparkSession, scorer: Scorer, outcomes: Mapping[str, list[Row]]
) -> None:
    assert outcomes["clear"] == []
    topics = {topic: f"bank.{topic.value}" for topic in Topic}
    sampled = records(scorer, source(spark, (CLEAR, None), (FRAUD, None)), sample_every=1, topics=topics)
    assert sorted(each.topic for each in sampled) == [
        "bank.detector_events",
        "bank.detector_events",
        "bank.fraud_alerts",
    ]
    (sample,) = (each for each in sampled if each.topic == "bank.detector_events" and offset(each) == 1000)
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


def test_a_row_that_misses_too_much_is_unscorable_with_the_reason(outcomes: Mapping[str, list[Row]]) -> None:
    (record,) = outcomes["unscorable"]
    assert record.topic == "transactions_unscorable"
    assert content(record)["score"] is None
    assert content(record)["reason"] == "2 of 3 features missing, at most 1 may be"
    assert content(record)["imputed"] == ["b b", "c.d"]


def test_a_dead_letter_keeps_the_bytes_and_its_reason(outcomes: Mapping[str, list[Row]]) -> None:
    for record, (value, reason) in zip(outcomes["dead"], DEAD, strict=True):
        assert record.topic == "transactions_dead_letter"
        assert (None if record.value is None else bytes(record.value)) == value
        assert header(record, "__connect.errors.exception.message") == reason
        assert header(record, "__connect.errors.topic") == "credit_card_transactions"
        assert header(record, "__connect.errors.partition") == "1"
        assert header(record, "event_id") == "abc"


def test_a_record_above_the_limit_is_a_dead_letter_cut_at_the_limit(outcomes: Mapping[str, list[Row]]) -> None:
    (record,) = outcomes["too large"]
    assert record.topic == "transactions_dead_letter"
    assert len(record.value) == LIMIT
    assert header(record, "__connect.errors.original.bytes") == str(LIMIT + 14)


def test_no_record_can_outgrow_the_sink(outcomes: Mapping[str, list[Row]]) -> None:
    assert len(outcomes["largest"]) == len(CASES["largest"])
    for record in outcomes["largest"]:
        headers = sum(len(h.key) + len(h.value) for h in record.headers)
        assert record.topic == "fraud_alerts"
        assert len(record.value) + headers < output_limit(LIMIT)
        assert content(record)["imputed"] == ["b b"]
