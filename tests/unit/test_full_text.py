"""The rules of the full text and of conditions on columns, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from dashboards import alert, open_store
from fraudstream.store import full_text
from fraudstream.store.filters import AlertFilter, Op, SearchPosition, Sort, Where, read_cursor, write_cursor
from fraudstream.store.full_text import Text, columns_of, fold, tokenize
from fraudstream.store.store import AlertStore
from fraudstream.transactions.masking import DataMask


@pytest.fixture(scope="module")
def finds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finds]:
    with open_store(tmp_path_factory.mktemp("words")) as store:
        yield Finds(store)


class Finds:
    """Whether a search finds an alert where it is the only one."""

    def __init__(self, store: AlertStore) -> None:
        self._store = store

    def __call__(self, document: dict[str, Any], typed: str = "", *where: Where) -> bool:
        with self._store.database.write() as connection:
            for table in ("alert_entities", "alerts"):
                connection.execute(text(f"DELETE FROM {table}"))
            connection.execute(text("INSERT INTO alert_words (alert_words) VALUES ('delete-all')"))
        assert self._store.add_alerts([document]).accepted == 1
        page = self._store.search.page(AlertFilter(None, text=Text.parse(typed), where=where))
        return bool(page.alerts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Coffee House", ["coffee", "house"]),
        ("Café ZOË Straße", ["cafe", "zoe", "strasse"]),
        ("TX_AMOUNT isFraud", ["tx", "amount", "isfraud"]),
        ("12.50 -1.5 00123", ["12.50", "1.5", "00123"]),
        ("1e-05 1.5E+7", ["1e-05", "1.5e+7"]),
        ("12e5ab 3f", ["12e5ab", "3f"]),
        ("192.168.0.1", ["192.168.0.1"]),
        ("end. Next", ["end", "next"]),
        ("😀party", ["😀", "party"]),
        ("'; DROP TABLE alerts; --", ["drop", "table", "alerts"]),
        ("\x00 \t", []),
    ],
)
def test_words_are_folded_and_numbers_stay_whole(text: str, expected: list[str]) -> None:
    assert tokenize(text) == expected


@pytest.mark.parametrize(
    ("typed", "is_match"),
    [
        ("", True),
        ('"', True),
        ("coffee", True),
        ("cof", True),
        ("cof house", False),
        ("cof* house", True),
        ("cof ", False),
        ("house coffee", True),
        ('"house coffee"', False),
        ('"coffee house', True),
        ('"cof', False),
        ("id-17", True),
        ("17-id", False),
        ("merchant coffee", True),
        ('"merchant coffee"', True),
        ('"house amount"', False),
        ("12.5", True),
        ("12", False),
        ("12*", False),
        ("12.5*", True),
        ("co", False),
        ("co*", False),
        ("c* house", False),
        ("AND OR NOT NEAR", False),
        ("*", True),
        ("shop.city", True),
        ("ulm", True),
    ],
)
def test_what_is_typed_is_found_or_not(finds: Finds, typed: str, is_match: bool) -> None:
    row = {"merchant": "Coffee House", "Amount": 12.5, "shop": {"city": "Ulm"}}
    assert finds(alert(17, transaction=row), typed) == is_match


@pytest.mark.parametrize(
    "number",
    [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        4111111111111111,
        4111111111111111.0,
        ["4111 1111 1111 1111"],
        [7, {"number": "4111-1111-1111-1111"}],
    ],
)
@pytest.mark.parametrize("column", ["note", "card_number"])
def test_a_card_number_is_found_by_what_is_stored_of_it(finds: Finds, number: object, column: str) -> None:
    document = DataMask().record(alert(1, transaction={column: number, "merchant": "shop"}))
    for typed in ("4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111 shop", "411111*", "1111"):
        assert finds(document, typed), typed
    for typed in ("4111111*", "41111111*", "4111-1111*", "4111-1111-1*", "4111 1111", '"4111 1111"', "4111-1111"):
        assert not finds(document, typed), typed


@pytest.mark.parametrize("typed", ["4111 1111 1111 1111", "4111111111111111", "4111-1111-1111-1111 missing"])
def test_a_card_number_in_the_reason_or_in_a_column_s_name_is_found(finds: Finds, typed: str) -> None:
    reason = alert(1) | {"reason": "missing for 4111 1111 1111 1111"}
    named = alert(1, transaction={"paid by 4111-1111-1111-1111": "missing"})
    for document in map(DataMask().record, (reason, named)):
        assert finds(document, typed)
        assert not finds(document, '"4111 1111"')


def test_a_list_is_found_by_the_words_of_what_is_in_it(finds: Finds) -> None:
    document = alert(1, transaction={"tags": ["coffee\nhouse", 12.5, True, None, {"shop": ["Ulm", {"floor": 3}]}]})
    matches = ("coffee", "house", "12.5", "true", "shop", "ulm", '"tags coffee house"', '"ulm floor 3"')
    assert all(finds(document, typed) for typed in matches)


def test_a_number_that_is_long_but_no_card_is_found_whole_or_by_six_digits(finds: Finds) -> None:
    row = {"account": "acc1234567890"}
    matches = {typed: finds(alert(1, transaction=row), typed) for typed in ("acc123456", "acc1234567")}
    assert matches == {"acc123456": True, "acc1234567": False}


def test_one_sign_is_a_beginning_in_scripts_without_small_letters(finds: Finds) -> None:
    assert finds(alert(1, transaction={"city": "東京"}), "東")
    assert not finds(alert(1, transaction={"city": "казань"}), "ка")


@given(st.text(max_size=60))
def test_nothing_that_is_typed_is_an_error(finds: Finds, typed: str) -> None:
    finds(alert(1), typed)
    assert all(word and " " not in word and '"' not in word for term in Text.parse(typed).terms for word in term.tokens)


@pytest.mark.parametrize(
    ("condition", "value", "holds"),
    [
        ("a:eq:12.5", 12.5, True),
        ("a:eq:12.5", "12.50", True),
        ("a:eq:12.50", "12.50", True),
        ("a:eq:12.5", True, False),
        ("a:eq:true", True, True),
        ("a:ne:12.5", "x", True),
        ("a:ne:12.5", None, False),
        ("a:lt:-1", -1.5, True),
        ("a:lt:-1", "abc", False),
        ("a:lt:b", "abc", True),
        ("a:ge:9007199254740993", 9007199254740992, False),
        ("a:ge:9007199254740993", 9007199254740993, True),
        ("a:has:OFF", "Coffee", True),
        ("a:has:.25", 2.25, True),
        ("a:has:two", [1, "two"], True),
        ("a:eq:", "", True),
        ("a:eq:x:y", "x:y", True),
        ("a:has:.0", 7.0, True),
        ("a:eq:4111111111111111", "411111******1111", True),
        ("a:eq:4111 1111 1111 1111", "4111 11** **** 1111", True),
        ("a:eq:4111111111111112", "411111******1111", False),
        ("a:has:411111***", "411111******1111", True),
    ],
)
def test_a_condition_holds_or_not(finds: Finds, condition: str, value: Any, holds: bool) -> None:
    where = Where.parse(condition)
    assert where is not None
    assert finds(alert(1, transaction={"a": value}), "", where) == holds


def test_a_column_may_have_a_colon_in_its_name() -> None:
    assert Where.parse("card: number:has:4:5") == Where("card: number", Op.HAS, "4:5")


@pytest.mark.parametrize("text", ["", "a", "a:eq", ":eq:1", "a:is:1", "a:EQ:1"])
def test_what_is_no_condition_is_none(text: str) -> None:
    assert Where.parse(text) is None


def test_nested_values_come_under_dotted_names_unless_the_row_has_such_a_column() -> None:
    row = {"shop": {"city": "Ulm", "at": {"x": 1}}, "shop.city": "Bonn", "list": [1]}
    assert dict(columns_of(row)) == {"shop.at.x": 1, "shop.city": "Bonn", "list": [1]}


SEQS = st.none() | st.integers(0, 2**53)


@given(
    st.sampled_from(list(Sort)),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.tuples(SEQS, SEQS, SEQS),
)
def test_a_cursor_leads_back_to_its_position_in_its_own_order_alone(
    sort: Sort, value: float | None, seqs: tuple[int | None, int | None, int | None]
) -> None:
    position = SearchPosition(value, *seqs)
    cursor_text = write_cursor(sort, position)
    assert cursor_text.isascii()
    assert read_cursor(cursor_text, sort) == position
    assert all(read_cursor(cursor_text, other) is None for other in Sort if other is not sort)


@given(st.text(max_size=40))
def test_a_cursor_that_is_none_is_no_error(text: str) -> None:
    read_cursor(text, Sort.NEWEST)


LONG_NAME = "ünder a löng name " * 40


@pytest.mark.parametrize(
    "large",
    ["x " * 400_000, {LONG_NAME: {str(number): {LONG_NAME: number} for number in range(2_000)}}, [[]] * 400_000],
)
def test_a_large_transaction_is_read_for_words_up_to_a_limit(large: object, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(folded: str) -> str:
        read.append(folded)
        return fold(folded)

    monkeypatch.setattr(full_text, "fold", counted)
    tokens = full_text.alert_tokens(alert(1, transaction={"first": "begins", "large": large, "last": "ends"}))
    assert "begins" in tokens
    assert "ends" not in tokens
    assert sum(map(len, read)) <= full_text.MOST_CHARS + 1_000
    assert len(read) <= full_text.MOST_CHARS + 10
