"""What the relay posts for each kind of record."""

from __future__ import annotations

import base64
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.relay.records import PostedRecord, to_payload
from fraudstream.transactions.drift import schema_id
from fraudstream.transactions.wire import Topic


def record(topic: Topic, value: bytes | None, headers: dict[str, bytes | None] | None = None) -> PostedRecord:
    return PostedRecord(topic, topic.value, 0, 7, 1_767_323_045_678, None, value, list((headers or {}).items()))


def alert(**changes: Any) -> bytes:
    return orjson.dumps({"alert_id": "x", "score": 0.9, "transaction": {"a": 1}} | changes)


def test_an_alert_gets_the_time_of_its_record_and_its_schema() -> None:
    payload = to_payload(record(Topic.ALERTS, alert()))
    assert payload["detected_at"] == "2026-01-02T03:04:05.678Z"
    assert payload["schema_id"] == schema_id({"a": 1})
    assert payload["transaction"] == {"a": 1}


def test_a_row_that_was_only_leniently_json_gets_its_types_back_and_stays_valid_json() -> None:
    text = '{"a": 5, "b": NaN, "c": -Infinity, "d": "t"}'
    payload = to_payload(record(Topic.ALERTS, alert(transaction={"a": "5"}, transaction_text=text)))
    assert payload["transaction"] == {"a": 5, "b": "NaN", "c": "-Infinity", "d": "t"}
    assert "transaction_text" not in payload
    json.loads(orjson.dumps(payload))


def test_a_record_that_cannot_be_read_is_posted_as_it_is_for_the_api_to_keep() -> None:
    for value in (None, b"", b"{", b"[1]", b"\xff"):
        payload = to_payload(record(Topic.ALERTS, value))
        assert payload["unreadable_record"] == "fraud_alerts/0/7"
        assert base64.b64decode(payload["payload_base64"]) == (value or b"")


def test_a_dead_letter_says_where_it_came_from_and_keeps_its_bytes() -> None:
    headers: dict[str, bytes | None] = {
        "__connect.errors.topic": b"credit_card_transactions",
        "__connect.errors.partition": b"1",
        "__connect.errors.offset": b"99",
        "__connect.errors.exception.message": b"the value is empty",
        "__connect.errors.original.bytes": b"12",
        "event_id": b"abc",
        "odd": b"\xff",
        "none": None,
    }
    payload = to_payload(record(Topic.DEAD_LETTERS, b"\x00\xff", headers))
    assert (payload["topic"], payload["partition"], payload["offset"]) == ("credit_card_transactions", 1, 99)
    assert payload["reason"] == "the value is empty"
    assert payload["event_id"] == "abc"
    assert payload["original_bytes"] == 12
    assert base64.b64decode(payload["payload_base64"]) == b"\x00\xff"
    orjson.dumps(payload)


def test_a_tombstone_stays_without_a_payload() -> None:
    assert to_payload(record(Topic.DEAD_LETTERS, None))["payload_base64"] is None


def test_an_event_is_known_by_its_place_so_that_it_counts_once() -> None:
    payload = to_payload(record(Topic.EVENTS, b'{"type":"sample","score":0.5}'))
    assert payload["event_id"] == "detector_events/0/7"
    assert payload["at"] == "2026-01-02T03:04:05.678Z"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=6), st.randoms())
def test_the_schema_does_not_depend_on_the_order_of_columns(transaction: dict[str, Any], random: Any) -> None:
    shuffled = list(transaction.items())
    random.shuffle(shuffled)
    assert schema_id(dict(shuffled)) == schema_id(transaction)


def test_the_schema_changes_with_a_name_or_a_type_and_not_with_a_value() -> None:
    base = schema_id({"a": 1, "b": {"c": "x"}})
    assert schema_id({"a": 2.5, "b": {"c": "y"}}) == base
    assert len({base, schema_id({"a": "1", "b": {"c": "x"}}), schema_id({"a": 1, "b": {"d": "x"}})}) == 3


def test_a_row_nested_beyond_pythons_own_limit_has_a_schema() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"x": deep}
    assert len(schema_id(deep)) == 12


def sample(text: str | None, **changes: Any) -> dict[str, Any]:
    event = {"type": "sample", "imputed": ["V3"], "transaction_text": text} | changes
    return to_payload(record(Topic.EVENTS, orjson.dumps(event)))


def test_a_sample_tells_columns_types_and_numbers_and_leaves_the_row_behind() -> None:
    document = sample('{"a": 1.5, "b": "x", "c": {"d": true}, "e": NaN, "f": 1e999}')
    assert document["columns"] == {"a": "number", "b": "text", "c.d": "boolean", "e": "not finite", "f": "text"}
    assert (document["column_count"], document["values"]) == (5, {"a": 1.5})
    assert document["schema_id"] == schema_id({"a": 1, "b": "", "c": {"d": False}, "e": "NaN", "f": ""})
    assert "transaction_text" not in document


def test_a_base64_decimal_is_a_type_of_its_own_in_samples_and_alerts() -> None:
    text = '{"a":1,"Amount":"AQIDBA=="}'
    document = sample(text, imputed=["Amount"])
    assert document["columns"] == {"a": "number", "Amount": "base64 text"}
    payload = to_payload(record(Topic.ALERTS, alert(transaction=json.loads(text), imputed=["Amount"])))
    assert payload["schema_id"] == document["schema_id"]


def test_a_row_as_trained_sends_no_values() -> None:
    assert "values" not in sample('{"a": 1}', imputed=[])


def test_a_row_that_was_too_long_tells_its_names_alone() -> None:
    document = sample(None, columns=["a", "b"])
    assert document["columns"] == {"a": "unknown", "b": "unknown"}
    assert document["schema_id"] != schema_id({"a": 1, "b": 1})


def test_nothing_big_is_posted_of_a_sampled_row() -> None:
    wide = {f"column {i}": i for i in range(5_000)}
    assert len(orjson.dumps(sample(orjson.dumps(wide).decode()))) < 60_000


@pytest.mark.parametrize(
    "text", [r'{"a\ud800": NaN}', r'{"a\ud800": "\udfff"}', '{"a": NaN, "b": 123456789012345678901234567890}', '{"a":']
)
def test_a_row_that_json_cannot_carry_on_does_not_end_the_relay(text: str) -> None:
    orjson.dumps(sample(text))
    orjson.dumps(to_payload(record(Topic.ALERTS, alert()[:-1] + b',"transaction":' + text.encode() + b"}")))
