"""The rows of an archive: masked, with the ids of events and entities and the time of the event."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from archives import NOON, SECRET, converter
from columns import manifest
from fraudstream.archive import rows as archive_rows
from fraudstream.archive.rows import ModelColumns, Row, RowConverter
from fraudstream.errors import SchemaRegistryFailed
from fraudstream.history.identity import entity_id
from fraudstream.history.spec import HistoryEntity, HistorySpec
from fraudstream.model.manifest import Feature, FeatureType
from fraudstream.transactions.archive_files import SCHEMA
from fraudstream.transactions.entities import EntityColumns
from fraudstream.transactions.masking import DataMask
from fraudstream.transactions.reading_options import DateOrder

VISA = "4111111111111111"


class Record:
    """A record as the client has it."""

    def __init__(self, value: bytes | None, headers: Any = None, at: int = NOON, offset: int = 5) -> None:
        self._value, self._headers, self._at, self._offset = value, headers, at, offset

    def topic(self) -> str:
        return "t"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, self._at

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> Any:
        return self._headers


def rows(value: Any, using: RowConverter | None = None, **record: Any) -> list[Row]:
    content = value if isinstance(value, bytes | None) else orjson.dumps(value)
    each: Any = Record(content, **record)
    return (using or converter()).rows(each)


def one(value: Any, using: RowConverter | None = None, **record: Any) -> Row:
    (row,) = rows(value, using, **record)
    return row


def text_of(row: Row) -> Any:
    return None if row.text is None else orjson.loads(row.text)


def test_a_card_number_is_in_no_column_in_clear() -> None:
    payment = {"card_number": VISA, "cvv": "123", "pan": int(VISA), "merchant_id": f"shop {VISA}", "amount": 1.5}
    row = one(payment, headers=[("event_id", VISA.encode())])
    assert VISA not in str(row)
    assert "123" not in str(row.text)
    assert text_of(row) == {
        "card_number": "411111******1111",
        "pan": "411111******1111",
        "merchant_id": "shop 411111******1111",
        "amount": 1.5,
    }
    keyed = entity_id(VISA, SECRET)
    assert dict(row.entity_ids) == {"card_number": keyed, "pan": keyed, "merchant_id": "shop 411111******1111"}
    assert keyed.startswith("hmac:")


def test_a_card_number_behind_the_prefix_of_ids_is_masked() -> None:
    row = one({"customer_id": f"hmac:{VISA}"})
    assert VISA not in str(row)
    assert dict(row.entity_ids) == {"customer_id": "hmac:411111******1111"}


def test_a_list_of_too_many_transactions_is_a_record_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_rows, "MOST_ELEMENTS", 3)
    using = replace(converter(), envelope="items[]")
    assert len(rows({"items": [{}] * 3}, using)) == 3
    with capture_logs() as logs:
        row = one({"items": [{}] * 4}, using)
    assert (row.list_index, row.text) == (None, None)
    assert [each["record"] for each in logs] == ["t/0/5"]


def test_an_identifier_is_written_in_the_ids_as_in_the_record() -> None:
    value = b'{"customer_id":596.0,"card_id":12345678901234567,"device_id":1.5}'
    assert dict(one(value).entity_ids) == {"customer_id": "596.0", "card_id": "12345678901234567"}


def test_a_declared_card_column_is_masked_in_the_ids_too() -> None:
    using = replace(converter(), mask=DataMask(["account_no"]))
    row = one({"account_no": "1234567890128888"}, using)
    assert "1234567890128888" not in str(row)
    assert dict(row.entity_ids) == {"account_no": "123456******8888"}


@pytest.mark.parametrize(
    ("headers", "event_id"),
    [
        ([("event_id", b"e1"), ("event_id", b"e2")], "e1"),
        ([], "t/0/5"),
        (None, "t/0/5"),
        ([("event_id", b"")], "t/0/5"),
        ([("event_id", None)], "t/0/5"),
        ([("event_id", b"\xff")], "t/0/5"),
        ([("event_id", b"x" * 201)], "t/0/5"),
        ([("event_id", b"x" * 200)], "x" * 200),
    ],
)
def test_the_event_id_is_that_of_the_detector(headers: Any, event_id: str) -> None:
    assert one({"a": 1}, headers=headers).event_id == event_id


@pytest.mark.parametrize("value", [None, b"", b"no object", b"[1]", b'"{}"', b"1", b"\xff", b"x" * 2_000_000])
def test_a_record_without_a_transaction_is_a_row_without_text(value: bytes | None) -> None:
    row = one(value)
    assert (row.text, row.offset, row.event_id, row.event_time) == (None, 5, "t/0/5", NOON)


def test_an_empty_object_is_a_transaction() -> None:
    assert one({}).text == "{}"


def test_avro_is_decoded_before_the_envelope_is_opened() -> None:
    using = replace(converter(), envelope="after", avro=lambda value: {"after": {"a": value[-1]}})
    assert text_of(one(b"\0\0\0\0\1\7", using)) == {"a": 7}
    assert text_of(one({"after": {"a": 1}}, using)) == {"a": 1}
    assert one(b"\0\0\0\0\1\7").text is None


def test_a_registry_that_does_not_answer_is_no_fault_of_the_record() -> None:
    def fail(value: bytes) -> Any:
        raise SchemaRegistryFailed("it does not answer")

    with pytest.raises(SchemaRegistryFailed):
        rows(b"\0\0\0\0\1\7", replace(converter(), avro=fail))


@pytest.mark.parametrize(
    ("envelope", "value", "expected"),
    [
        ("debezium", {"payload": {"after": {"a": 1}}}, [(None, {"a": 1})]),
        ("debezium", {"before": None, "after": {"a": 1}}, [(None, {"a": 1})]),
        ("debezium", {"payload": {"after": None, "op": "d"}}, [(None, None)]),
        ("payload.after", {"payload": '{"after":{"a":1}}'}, [(None, {"a": 1})]),
        ("items[].item", {"items": [{"item": {"a": 1}}, None, 3, {"item": {"a": 2}}]}, [(0, {"a": 1}), (1, {"a": 2})]),
        ("items[].item", {"items": []}, [(None, None)]),
        ("items[].item", {"a": 1}, [(None, None)]),
    ],
)
def test_the_transactions_of_an_envelope_are_rows(envelope: str, value: Any, expected: list[Any]) -> None:
    using = replace(converter(), envelope=envelope)
    made = rows(value, using, headers=[("event_id", b"e")])
    assert [(row.list_index, text_of(row)) for row in made] == expected
    assert [row.event_id for row in made] == ["e" if index is None else f"e/{index}" for index, _ in expected]


DATE = Feature("when", FeatureType.TIME, date_order=DateOrder.DMY)
CLOCK = Feature("when", FeatureType.TIME, clock=1000)
AGE = Feature("born", FeatureType.ELAPSED, reference="when", clock=1)


@pytest.mark.parametrize(
    ("features", "value", "at"),
    [
        ((DATE,), "04/10/2024 12:00:00", NOON),
        ((DATE,), "2024-10-04T14:00:00+02:00", NOON),
        ((DATE,), "2024-10-04", NOON - 43_200_000),
        ((DATE,), "31/02/2024", None),
        ((DATE,), None, None),
        ((DATE,), 17, None),
        ((CLOCK,), NOON + 0.0, NOON),
        ((CLOCK,), str(NOON), NOON),
        ((CLOCK,), 1e300, None),
        ((CLOCK,), True, None),
        ((CLOCK,), "NaN", None),
        ((AGE,), NOON / 1000, NOON),
        ((), "2024-10-04", 1),
    ],
)
def test_the_event_time_is_that_of_the_model_s_column(
    features: tuple[Feature, ...], value: Any, at: int | None
) -> None:
    columns = ModelColumns.of(replace(manifest(), features=features, time_column="when"), {})
    assert columns.event_time({"when": value}, 1) == at


def test_the_event_time_follows_an_alias() -> None:
    columns = ModelColumns.of(replace(manifest(), features=(CLOCK,), time_column="when"), {"sent": "when", "x": "y"})
    assert columns.event_time({"sent": 5}, 1) == 5
    assert columns.event_time({"when": 6}, 1) == 6
    assert columns.event_time({}, 1) is None


def test_the_entities_are_those_of_the_model() -> None:
    model = replace(manifest(), entities=("cc",), columns=("cc", "customer_id", "amount"))
    using = replace(converter(), columns=ModelColumns.of(model, {}))
    row = one({"cc": "c1", "customer_id": "k1", "device_id": "d1", "amount": 3}, using)
    assert using.columns.entities == EntityColumns(("cc",), frozenset({"customer_id", "amount"}))
    assert dict(row.entity_ids) == {"cc": "c1", "device_id": "d1"}


def test_the_columns_of_the_history_are_entities_nested_or_by_an_alias_too() -> None:
    entities = HistoryEntity("card", "card.id"), HistoryEntity("shop", "place"), HistoryEntity("secret", "cvv")
    model = replace(
        manifest(), columns=("card.id", "place"), entities=(), history=HistorySpec(entities, "at", "amount")
    )
    using = replace(converter(), columns=ModelColumns.of(model, {"kiosk": "place"}))
    row = one({"card": {"id": VISA}, "kiosk": 1.5, "cvv": "123"}, using)
    assert dict(row.entity_ids) == {"card.id": entity_id(VISA, SECRET), "kiosk": "1.5"}
    assert dict(one(b'{"card":{"id":596.0},"place":""}', using).entity_ids) == {"card.id": "596.0"}
    assert "123" not in str(row.entity_ids)


@pytest.mark.parametrize(("timestamp", "day"), [(-1, 0), (2**62, 253_402_300_799_000), (NOON, NOON)])
def test_a_time_of_kafka_that_no_calendar_has_is_bounded(timestamp: int, day: int) -> None:
    assert one({"a": 1}, at=timestamp).timestamp == day


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(value=st.binary() | st.builds(lambda each: repr(each).encode(errors="surrogatepass"), JSON), header=st.binary())
def test_every_record_makes_rows_that_a_file_can_hold(value: bytes, header: bytes) -> None:
    made = rows(value, headers=[("event_id", header)])
    assert made
    for column, field in zip(zip(*made, strict=True), SCHEMA, strict=True):
        pa.array(column, type=field.type)


@pytest.mark.parametrize(
    "value",
    [
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"customer_id":"\\ud800","a":NaN,"b":1e999}',
        b'{"\\ud800":1,"card_id":123456789012345678901234567890}',
        b'{"a":1,"a":2}',
    ],
)
def test_hostile_json_is_archived_as_text_that_can_be_parsed(value: bytes) -> None:
    row = one(value)
    assert isinstance(text_of(row), dict)
    for column, field in zip(zip(row, strict=True), SCHEMA, strict=True):
        pa.array(column, type=field.type)
