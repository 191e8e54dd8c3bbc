"""Values that JSON cannot carry become text, and their paths are listed."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards import alert
from fraudstream.messages.posted import check_alert
from fraudstream.store.rows import as_readable
from fraudstream.transactions.presentable import MAX_DEPTH, MAX_TEXT_CHARS, json_text, present, read_json


def nested(depth: int, inside: str = "1") -> str:
    return '{"x":' * depth + inside + "}" * depth


def read(text: str) -> tuple[dict[str, Any], list[str]]:
    document = read_json(text.encode(errors="surrogatepass"))
    return document, present(document)


@pytest.mark.parametrize("depth", [MAX_DEPTH, 252, 300, 400, 401, 990, 1_023, 1_024, 1_025, 5_000])
@pytest.mark.parametrize("beside", ["", '"n":NaN,'])
def test_what_is_nested_too_deeply_is_kept_as_its_own_text(depth: int, beside: str) -> None:
    document, paths = read("{" + beside + nested(depth, '"}{\\""')[1:])
    assert orjson.loads(orjson.dumps({"alerts": [document]}))
    inner: Any = document
    for _ in range(MAX_DEPTH):
        inner = inner["x"]
    assert inner == (nested(depth - MAX_DEPTH, '"}{\\""') if depth > MAX_DEPTH else '}{"')
    assert len(paths) == (depth > MAX_DEPTH) + bool(beside)


def test_text_that_is_kept_is_bounded_and_as_is_the_list_of_paths() -> None:
    deep = nested(MAX_DEPTH, "[" + "1," * MAX_TEXT_CHARS + "1]")
    document, (path,) = read(deep)
    assert len(orjson.dumps(document)) < 2 * MAX_TEXT_CHARS
    assert len(path) < 300
    assert len(read('{"x":[' + "NaN," * 5_000 + "1]}")[1]) == 100


@pytest.mark.parametrize(
    ("text", "presentable_text"),
    [
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("1e400", "1e400"),
        ("-1e400", "-1e400"),
        ("9" * 900, "9" * 900),
        ("9" * 5_000, "9" * 5_000),
        ('"a\\ud800b"', "a\\ud800b"),
    ],
)
def test_numbers_and_texts_that_json_cannot_carry_are_kept_as_text(text: str, presentable_text: str) -> None:
    document, paths = read('{"n":NaN,"a":{"b":[0,' + text + "]}}")
    assert document == {"n": "NaN", "a": {"b": [0, presentable_text]}}
    assert paths == ["n", "a.b[1]"]


def test_a_name_with_half_a_surrogate_pair_is_written_out() -> None:
    assert read('{"a":{"\\ud800":1}}') == ({"a": {"\\ud800": 1}}, ["a"])


def test_what_can_be_carried_stays_as_it_is() -> None:
    text = nested(MAX_DEPTH - 1, "[1,18446744073709551615,-9223372036854775808,1.5,true,null]")
    document, paths = read(text)
    assert (orjson.dumps(document).decode(), paths) == (text, [])


@pytest.mark.parametrize("text", ["", "{", "[1", '{"x":', '"', "\\", '{"x":' * 5_000, "[" * 5_000, "}" * 5_000, "nan"])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(text.encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
    max_leaves=20,
)


@given(st.dictionaries(st.text(st.characters()), JSON, max_size=5), st.integers(0, 300))
def test_any_document_can_be_written_after_it_was_made_presentable(document: dict[str, Any], depth: int) -> None:
    for _ in range(depth):
        document = {"x": document}
    present(document)
    encoded = orjson.dumps([document])
    assert present(document) == []
    assert orjson.dumps([document]) == encoded


@given(JSON)
def test_json_text_is_what_the_standard_library_reads_back(value: Any) -> None:
    assert repr(json.loads(json_text(value))) == repr(json.loads(json.dumps(value)))


def test_an_alert_is_taken_whatever_its_transaction_holds_and_says_what_is_text() -> None:
    deep: Any = 1
    for _ in range(5_000):
        deep = [deep]
    transaction = {"a": deep, "b": math.inf, "c": 2**70, "d": "\ud800", "e": 1}
    checked = check_alert(alert(1, transaction=transaction, as_text=["transaction.z"]))
    document = orjson.loads(orjson.dumps(checked.document))
    assert document["as_text"][0] == "transaction.z"
    assert {path[:13] for path in document["as_text"]} == {f"transaction.{name}" for name in "abcdz"}
    assert (document["transaction"]["b"], document["transaction"]["c"]) == ("Infinity", str(2**70))
    assert document["transaction"]["e"] == 1


def test_a_rejected_record_is_kept_with_all_that_it_holds() -> None:
    deep: Any = "the innermost"
    for _ in range(5_000):
        deep = {"x": deep}
    assert "the innermost" in as_readable({"V1": deep, "V2": math.nan})
