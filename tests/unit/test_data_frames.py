"""Data frames, Arrow tables and lists of dicts are read as the files of the same rows are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from fraudstream.errors import BrokenRow, DataError, EmptyData, FraudstreamError
from fraudstream.interface import source_of
from fraudstream.transactions.data_source import DataSource, open_data

AT = datetime(2023, 2, 9, 23, 51, tzinfo=UTC).replace(tzinfo=None)
VALUES: dict[str, list[Any]] = {
    "whole": [1, 2],
    "amount": [149.62, 20.0],
    "flag": [True, False],
    "text": ["é", "z"],
    "at": [AT, AT + timedelta(hours=1)],
    "exact": [Decimal("1.50"), Decimal("2.25")],
}
CELLS = [["1", "149.62", "true", "é", "2023-02-09 23:51:00", "1.50"]]
LATER = ["2", "20", "false", "z", "2023-02-10 00:51:00", "2.25"]


def source(data: Any) -> DataSource:
    return source_of(data, {})


def dicts(values: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table, dicts, pa.RecordBatch.from_pydict])
def test_every_kind_of_table_has_the_same_cells(kind: Any) -> None:
    read = source(kind(VALUES))
    rows = [[cell if cell != "20.0" else "20" for cell in row] for row in read.rows()]
    assert (read.columns, rows) == (tuple(VALUES), [*CELLS, LATER])
    assert read.numeric == (True, True, False, False, False, True)


def test_missing_values_of_every_kind_are_empty_cells() -> None:
    gaps: dict[str, list[Any]] = {
        "real": [1.5, None], "not": [1.5, float("nan")], "text": ["a", None], "at": [AT, None], "flag": [True, None],
    }  # fmt: skip
    expected = [["1.5", "1.5", "a", "2023-02-09 23:51:00", "true"], [""] * 5]
    nullable = pd.DataFrame(gaps).astype({"real": "Int64", "flag": "boolean"}, errors="ignore").convert_dtypes()
    for frame in (pd.DataFrame(gaps), nullable, pl.DataFrame(gaps, strict=False), pa.table(gaps), dicts(gaps)):
        assert list(source(frame).rows()) == expected
    assert list(source([{"a": 1, "b": pd.NaT}, {"c": {"d": 2}, "b": pd.NA}]).rows()) == [["1", "", ""], ["", "", "2"]]


def test_categories_zones_and_large_floats_are_written_in_full() -> None:
    zone = timezone(timedelta(hours=1))
    frame = pd.DataFrame(
        {
            "kind": pd.Categorical(["x", "y"]),
            "at": [AT.replace(tzinfo=zone)] * 2,
            "card": [4089000000000001.0, np.nan],
            "f": np.array([0.1, 1], dtype=np.float32),
        }
    )
    expected = ["x", "2023-02-09 23:51:00+0100", "4089000000000001", "0.1"]
    assert next(source(frame).rows()) == expected
    assert not source(frame).warnings
    polars = pl.DataFrame({"kind": ["x", "y"]}, schema={"kind": pl.Categorical}).with_columns(nested=pl.struct("kind"))
    assert list(source(polars).rows()) == [["x", "x"], ["y", "y"]]


def test_an_index_of_pandas_is_a_column_only_if_it_has_a_name() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]})
    assert source(frame[frame["a"] > 1]).columns == ("a", "b")
    assert source(frame.set_index("b")).columns == ("a", "b")


def test_the_fingerprint_is_that_of_the_content_whatever_the_library() -> None:
    frame = pd.DataFrame(VALUES)
    prints = {source(data).fingerprint for data in (frame, pl.DataFrame(VALUES), pa.concat_tables([pa.table(VALUES)]))}
    assert len(prints) == 1
    assert source(frame.assign(whole=[1, 3])).fingerprint not in prints


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pd.DataFrame({"a": [1, "x"]}), ["DataFrame", "column a", "one type"]),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), ["Duplicate column names"]),
        (pa.table([[1], [2]], names=["a", "a"]), ["two columns of the same name"]),
        (pl.DataFrame({"a": [1]}).lazy(), ["LazyFrame", "a list of dicts"]),
        ({"a": 1}, ["dict", "a list of dicts"]),
        ([1, 2], ["list", "a list of dicts"]),
        (5, ["int", "a data frame"]),
        (None, ["NoneType", "a data frame"]),
        (pd.DataFrame({"a": []}), ["no row"]),
        (pd.DataFrame(), ["no row"]),
        ([], ["no row"]),
        ([{}], ["no row"]),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused_with_the_remedy(data: Any, words: list[str]) -> None:
    with pytest.raises(DataError) as error:
        source(data)
    assert error.value.remedy
    assert [word for word in words if word not in error.value.message] == []


def test_an_error_in_a_frame_names_the_row_from_0() -> None:
    read = source(pd.DataFrame({"a": [1, 2, 3]}))
    assert read.where(2) == "DataFrame:2"
    with pytest.raises(FraudstreamError):
        source_of(pd.DataFrame({"a": [1]}), {"delimeter": ";"})  # type: ignore[typeddict-unknown-key]


def test_a_json_array_is_read_as_its_objects(tmp_path: Path) -> None:
    path = tmp_path / "payments.json"
    path.write_text(' [\n {"a": 1.50, "b": {"c": "x"}},\n {"a": null, "d": [1]}]')
    read = open_data(path)
    assert (read.columns, read.dialect) == (("a", "b.c", "d"), "JSON array")
    assert list(read.rows()) == [["1.5", "x", ""], ["", "", "[1]"]]
    assert open_data([path, path]).row_count == 4
    for text, kind in (('[{"a": 1}, {"a"', BrokenRow), ('[{"a": 1}, 3]', DataError), ("[{}]", EmptyData)):
        path.write_text(text)
        with pytest.raises(kind, match=r"payments\.json"):
            open_data(path)
    path.write_text("[{id}],amount\n1,2\n")
    with pytest.raises(BrokenRow, match="one object per line"):
        open_data(path)
