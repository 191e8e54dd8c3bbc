"""Data files: every common make becomes the same JSON, and every broken one a clear error."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudstream.errors import BrokenRow, DataError, DataNotFound, EmptyData
from fraudstream.transactions.data_source import DataSource, open_data


def source_of(path: Path, text: str | bytes) -> DataSource:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_data(path)


def objects(source: DataSource, start: int = 0) -> list[dict[str, object]]:
    return [json.loads(row) for row in source.json_rows(start)]


def test_numbers_are_written_as_they_stand(tmp_path: Path) -> None:
    source = source_of(tmp_path / "a.csv", '"Time","Amount","Class"\n0,149.62,"0"\n1,1.10e-3,"1"\n')
    assert list(source.json_rows()) == [
        b'{"Time":0,"Amount":149.62,"Class":0}',
        b'{"Time":1,"Amount":1.10e-3,"Class":1}',
    ]


def test_an_empty_cell_is_null_and_a_text_in_a_numeric_column_stays_text(tmp_path: Path) -> None:
    rows = "".join(f"{number},a\n" for number in range(1000))
    source = source_of(tmp_path / "a.csv", f"n,t\n{rows},\n1.,b\nNaN,7\nx,true\n")
    assert objects(source, 1000) == [
        {"n": None, "t": None},
        {"n": 1, "t": "b"},
        {"n": None, "t": "7"},
        {"n": "x", "t": "true"},
    ]


def test_numbers_with_leading_zeros_stay_text(tmp_path: Path) -> None:
    assert objects(source_of(tmp_path / "a.csv", "zip\n90210\n02134\n")) == [{"zip": "90210"}, {"zip": "02134"}]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("make", ["plain", "bom", "gzip", "crlf"])
def test_every_make_of_csv_yields_the_same_rows(tmp_path: Path, delimiter: str, quoted: bool, make: str) -> None:
    text = io.StringIO()
    end = "\r\n" if make == "crlf" else "\n"
    plain = csv.writer(text, delimiter=delimiter, lineterminator=end)
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL) if quoted else plain
    writer.writerows([["id", "note; of, it", "sum"], ["1", 'a "b"\nc', "2.50"], ["2", "é\t😀%s", "-0.5"]])
    content = text.getvalue().encode("utf-8-sig" if make == "bom" else "utf-8")
    source = source_of(tmp_path / "a.csv", gzip.compress(content) if make == "gzip" else content)
    assert list(source.json_rows()) == [
        b'{"id":1,"note; of, it":"a \\"b\\"\\nc","sum":2.50}',
        '{"id":2,"note; of, it":"é\\t😀%s","sum":-0.5}'.encode(),
    ]


@settings(deadline=None)
@given(
    cells=st.lists(
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.integers().map(str) | st.just(""),
            st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=20).map("text: ".__add__),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_the_json_says_what_stood_in_the_csv(
    cells: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("roundtrip") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("number", "te%xt"), *cells])
    rows = [json.loads(row, parse_int=str, parse_float=str) for row in open_data(path).json_rows()]
    assert rows == [{"number": number or None, "te%xt": text or None} for number, text in cells]


def test_start_goes_on_in_the_middle(tmp_path: Path) -> None:
    source = source_of(tmp_path / "a.csv", "a,b\n0,x\n\n1,y\n2,z\n")
    assert objects(source, 1) == [{"a": 1, "b": "y"}, {"a": 2, "b": "z"}]
    assert objects(source, 3) == []
    assert objects(source, 99) == []


def test_the_fingerprint_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    content = gzip.compress(b"a,b\n1,2\n")
    assert source_of(tmp_path / "a.csv.gz", content).fingerprint == hashlib.sha256(content).hexdigest()


def test_a_row_starts_on_the_line_that_is_said(tmp_path: Path) -> None:
    source = source_of(tmp_path / "a.csv", 'a,b\n1,"x\ny"\n\n2,z\n')
    assert [source.where(row) for row in (0, 1)] == [f"{source.path}:2", f"{source.path}:5"]


@pytest.mark.parametrize(
    ("row", "message"), [("5,6,7", "3 cells, but the header has 2"), ("5", "1 cell, but the header has 2")]
)
@pytest.mark.parametrize("rows_before", [3, 1500])
def test_a_row_with_another_number_of_cells_names_its_line(
    tmp_path: Path, row: str, message: str, rows_before: int
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n" + '1,"2\n"\n' * rows_before + f"{row}\n3,4\n")
    with pytest.raises(BrokenRow, match=message) as error:
        list(open_data(path).json_rows())
    assert error.value.where == f"{path}:{2 * rows_before + 2}"
    assert error.value.remedy


def test_a_file_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n1,x\n2,caf\xe9\n")
    with pytest.raises(BrokenRow, match="not UTF-8") as error:
        open_data(path)
    assert error.value.where == f"{path}:3"


def test_a_quote_that_is_never_closed_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,x\n2,"y\n3,z\n')
    with pytest.raises(BrokenRow, match="cannot be read") as error:
        open_data(path)
    assert error.value.where == f"{path}:3"


def test_a_gzip_that_was_cut_off_is_a_clear_error(tmp_path: Path) -> None:
    content = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(5000)))
    path = tmp_path / "a.csv.gz"
    path.write_bytes(content[:-100])
    with pytest.raises(BrokenRow, match="is damaged"):
        list(open_data(path).rows())


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_a_file_without_a_header_is_empty(tmp_path: Path, content: str) -> None:
    with pytest.raises(EmptyData, match="empty"):
        source_of(tmp_path / "a.csv", content)


def test_a_header_without_rows_is_empty(tmp_path: Path) -> None:
    with pytest.raises(EmptyData, match="no row"):
        source_of(tmp_path / "a.csv", "a,b\n")


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'a' twice"):
        source_of(tmp_path / "a.csv", "a,b,a\n1,2,3\n")


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="not there") as error:
        open_data(tmp_path / "none.csv")
    assert error.value.where == str(tmp_path / "none.csv")
    with pytest.raises(DataNotFound, match="folder holds no data file"):
        open_data(tmp_path)
