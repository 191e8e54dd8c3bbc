"""A stream that gains a column and loses one: each row is sent with the columns that it has, and no other."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.errors import SettingsError
from fraudstream.transactions.column_spans import ColumnSpans
from fraudstream.transactions.data_source import DataSource, open_data

COLUMNS = ("a", "b", "c")
ROWS = 12


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    path = tmp_path_factory.mktemp("spans") / "rows.csv"
    lines = [",".join(COLUMNS), *(f"{row},{row}.5,text {row}" for row in range(ROWS))]
    path.write_text("\n".join(lines) + "\n")
    return open_data(path)


def test_a_column_begins_at_its_row_and_another_ends_there(source: DataSource) -> None:
    changing = source.with_spans(ColumnSpans({"c": 2}, {"b": 2}))
    assert list(changing.json_rows())[:4] == [
        b'{"a":0,"b":0.5}',
        b'{"a":1,"b":1.5}',
        b'{"a":2,"c":"text 2"}',
        b'{"a":3,"c":"text 3"}',
    ]


rows = st.integers(0, ROWS + 2)


@given(begins=st.dictionaries(st.sampled_from(COLUMNS), rows), ends=st.dictionaries(st.sampled_from(COLUMNS), rows))
def test_each_row_has_just_the_columns_of_its_spans_wherever_the_reading_starts(
    source: DataSource, begins: Mapping[str, int], ends: Mapping[str, int]
) -> None:
    ends = {name: end for name, end in ends.items() if end > begins.get(name, -1)}
    changing = source.with_spans(ColumnSpans(begins, ends))
    sent = [json.loads(row) for row in changing.json_rows()]
    whole = [json.loads(row) for row in source.json_rows()]
    for row, (actual, original) in enumerate(zip(sent, whole, strict=True)):
        assert actual == {n: v for n, v in original.items() if begins.get(n, 0) <= row < ends.get(n, ROWS + 3)}
    for start in range(ROWS + 1):
        assert [json.loads(row) for row in changing.json_rows(start)] == sent[start:]


def test_other_spans_are_other_payments_and_none_are_the_file_itself(source: DataSource) -> None:
    assert source.with_spans(ColumnSpans()).fingerprint == source.fingerprint
    changed = {source.with_spans(ColumnSpans({"a": row})).fingerprint for row in (1, 2)}
    assert len(changed | {source.fingerprint}) == 3


def test_a_column_that_is_not_there_is_named_with_those_that_are(source: DataSource) -> None:
    with pytest.raises(SettingsError, match="no column 'V99'") as error:
        source.with_spans(ColumnSpans({"V99": 1}))
    assert "a, b, c" in error.value.remedy


def test_a_column_may_not_end_before_it_begins(source: DataSource) -> None:
    with pytest.raises(SettingsError, match="before it begins"):
        source.with_spans(ColumnSpans({"a": 5}, {"a": 5}))
