"""The profile of a CSV: label, kinds of columns and what orders the rows, or one clear message."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fraudstream.errors import DataError, LabelError, SettingsError
from fraudstream.model.features.selection import choose_features
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.formats import ColumnKind
from fraudstream.transactions.label import CsvProfile, profile


def profile_of(path: Path, text: str, label: str | None = None) -> CsvProfile:
    path.write_text(text)
    return profile(open_data(path), label)


@pytest.mark.parametrize(
    "name", ["Class", "is_fraud", "isFraud", "TX_FRAUD", "fraud", "FRAUD", "fraud_bool", "Label", "target"]
)
def test_the_label_is_found_by_its_name(tmp_path: Path, name: str) -> None:
    result = profile_of(tmp_path / "a.csv", f"x,{name},y\n1,0,5\n2,1,6\n")
    assert result.label.name == name
    assert result.frauds == 1


def test_the_likelier_of_two_labels_is_taken(tmp_path: Path) -> None:
    result = profile_of(tmp_path / "a.csv", "isFlaggedFraud,isFraud\n0,1\n0,0\n")
    assert result.label.name == "isFraud"


def test_a_label_that_is_named_is_taken_in_any_case(tmp_path: Path) -> None:
    assert profile_of(tmp_path / "a.csv", "Class,Bad\n0,1\n1,0\n", label="bad").label.name == "Bad"


@pytest.mark.parametrize(
    ("legitimate", "fraud"),
    [("0", "1"), ("0.0", "1.0"), ("false", "TRUE"), ("No", "Yes"), ("n", "y"), ("-1", "1"), ("genuine", "Fraud")],
)
@pytest.mark.parametrize("first_is_fraud", [True, False])
def test_both_values_are_understood_whichever_comes_first(
    tmp_path: Path, legitimate: str, fraud: str, first_is_fraud: bool
) -> None:
    cells = [fraud, legitimate, legitimate] if first_is_fraud else [legitimate, fraud, legitimate]
    result = profile_of(tmp_path / "a.csv", "x,Class\n" + "".join(f'1,"{cell}"\n' for cell in cells))
    assert result.label.is_fraud.tolist() == [cell == fraud for cell in cells]
    assert (result.label.legitimate, result.label.fraud) == (legitimate, fraud)


def test_spellings_of_one_value_are_one_value(tmp_path: Path) -> None:
    result = profile_of(tmp_path / "a.csv", "x,Class\n1,0\n1,1\n1,'0'\n1,0.0\n1, 1\n1,1.0\n")
    assert result.label.is_fraud.tolist() == [False, True, False, False, True, True]


@pytest.mark.parametrize(
    ("rows", "message", "line"),
    [
        ("1,0\n2,0\n", "one class only", None),
        ("1,0\n2,1\n3,2\n", "not binary: it has '2' besides '0' and '1'", 4),
        ("1,0\n2,\n", "not binary: it is empty", 3),
        ("1,red\n2,blue\n", "'red' and 'blue'", None),
    ],
)
def test_a_label_that_is_not_binary_names_the_place(tmp_path: Path, rows: str, message: str, line: int | None) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(LabelError, match=message) as error:
        profile_of(path, f"x,Class\n{rows}")
    assert error.value.where == (str(path) if line is None else f"{path}:{line}")
    assert error.value.remedy


@pytest.mark.parametrize("label", [None, "Class"])
def test_without_a_label_the_columns_are_listed(tmp_path: Path, label: str | None) -> None:
    with pytest.raises(LabelError if label is None else SettingsError, match="a, b") as error:
        profile_of(tmp_path / "a.csv", "a,b\n1,2\n", label)
    assert "--label" in error.value.remedy


@pytest.mark.parametrize("rows_before", [3, 9000])
def test_a_text_in_a_column_of_numbers_names_column_line_and_cell(tmp_path: Path, rows_before: int) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(DataError, match="'12,50' is in the numeric column 'Amount'") as error:
        profile_of(path, "Amount,Class\n" + "1.5,0\n" * rows_before + '"12,50",1\n')
    assert error.value.where == f"{path}:{rows_before + 2}"


def test_kinds_missing_values_and_numbers_of_every_spelling(tmp_path: Path) -> None:
    rows = "1,.5,a,,0\n 2 ,+1e3,b,,1\n,NaN,c,,0\n4,2.,7,,0\n"
    result = profile_of(tmp_path / "a.csv", f"n,odd,t,nothing,Class\n{rows}")
    columns = {column.name: column for column in result.columns}
    assert [column.kind for column in result.columns] == [
        ColumnKind.NUMBER,
        ColumnKind.NUMBER,
        ColumnKind.TEXT,
        ColumnKind.EMPTY,
        ColumnKind.LABEL,
    ]
    np.testing.assert_array_equal(columns["n"].values, [1, 2, np.nan, 4])
    np.testing.assert_array_equal(columns["odd"].values, [0.5, 1000, np.nan, 2])
    assert [column.missing for column in result.columns] == [1, 1, 0, 4, 0]


def test_statistics_leave_missing_values_out(tmp_path: Path) -> None:
    text = "x,y,Class\n,,0\n1,,1\n9,,0\n2,5,1\n"
    choice = choose_features(profile_of(tmp_path / "a.csv", text), np.array([True, True, True, False]))
    assert [(each.name, each.median, each.minimum, each.maximum) for each in choice.features] == [("x", 5, 1, 9)]
    assert "no value in the training rows" in choice.excluded["y"]


@pytest.mark.parametrize(
    ("header", "rows", "column"),
    [
        ("Time,x", ["5,1", "7,2", "6,3"], "Time"),
        ("x,TX_DATETIME,TX_TIME_DAYS", ["1,2018-04-01 00:00:31,0", "2,2018-04-02 00:00:31,1"], "TX_DATETIME"),
        ("dob,trans_date_trans_time", ["1988-03-09,2019-01-01 00:00:18", "1978-06-21,2019-01-01 00:00:44"], None),
        ("step,amount", ["1,9", "1,8", "2,1"], "step"),
        ("processing_time,x", ["5,1", "3,2", "6,3"], ""),
        ("unnamed,x", ["5,1", "6,3"], ""),
        ("date,x", ["01/02/2020,1", "01/03/2020,3"], ""),
        ("Time,x", ["5,1", ",2", "6,3"], ""),
    ],
)
def test_the_time_column_is_found_where_there_is_one(
    tmp_path: Path, header: str, rows: list[str], column: str | None
) -> None:
    text = f"{header},Class\n" + "".join(f"{row},{number % 2}\n" for number, row in enumerate(rows))
    result = profile_of(tmp_path / "a.csv", text)
    expected = "trans_date_trans_time" if column is None else column
    assert (result.time.column if result.time else "") == expected


def test_dates_are_shown_as_they_were_written(tmp_path: Path) -> None:
    result = profile_of(tmp_path / "a.csv", "date,Class\n2018-04-01 00:00:31,0\n2018-04-02,1\n")
    assert result.time is not None
    assert result.time.is_file_order
    assert [result.time.format(value) for value in result.time.values] == ["2018-04-01 00:00:31", "2018-04-02 00:00:00"]


def test_features_are_the_numbers_that_can_say_something_of_payments_to_come(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = "".join(f"{i},{i},{rng.normal():.3f},5,{i % 2}x,,{9 - i % 2},{i % 2}\n" for i in range(40))
    result = profile_of(tmp_path / "a.csv", f"Time,,V1,same,text,nothing,leak,Class\n{rows}")
    choice = choose_features(result, np.arange(40) < 32)
    assert [feature.name for feature in choice.features] == ["V1"]
    assert set(choice.excluded) == {"Time", "", "same", "text", "nothing", "leak"}
    assert "a leak" in choice.excluded["leak"]


def test_a_counter_is_no_feature_and_statistics_are_of_training_rows_alone(tmp_path: Path) -> None:
    rows = "".join(f"{i},{i % 7 + (100 if i >= 32 else 0)},{i % 2}\n" for i in range(40))
    choice = choose_features(profile_of(tmp_path / "a.csv", f"id,x,Class\n{rows}"), np.arange(40) < 32)
    assert [(feature.name, feature.maximum) for feature in choice.features] == [("x", 6.0)]
    assert "increases" in choice.excluded["id"]


def test_where_every_column_names_something_there_is_nothing_to_learn_from(tmp_path: Path) -> None:
    result = profile_of(tmp_path / "a.csv", "name,Class\nann,0\nben,1\n")
    with pytest.raises(DataError, match="no column is left"):
        choose_features(result, np.array([True, True]))
