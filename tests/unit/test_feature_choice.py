"""What becomes of each column of a CSV: its type, or the reason why it is left out; and the user's word before ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudstream.errors import DataError, SettingsError
from fraudstream.model.features.selection import FeatureChoice, choose_features
from fraudstream.model.manifest import NO_SELECTION, Feature, FeatureType, Selection, by_component
from fraudstream.model.training.plan import select
from fraudstream.transactions.amounts import MISSING_MARKS
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.label import profile

ROWS = 400
HANDBOOK = Path(__file__).resolve().parents[3] / "shared" / "data" / "handbook_2018-04_to_08.csv.gz"

CARDS = ("4111111111111111", "5555555555554444", "4012888888881881")

Cells = Callable[[int], object]


def chosen(
    path: Path, columns: dict[str, Cells], selection: Selection = NO_SELECTION, rows: int = ROWS
) -> FeatureChoice:
    """The choice among columns given as functions of the row; every eighth row is a fraud."""
    header = ",".join((*columns, "Class"))
    lines = [
        ",".join((*(str(cells(row)) for cells in columns.values()), str(int(row % 8 == 0)))) for row in range(rows)
    ]
    path.write_text("\n".join((header, *lines)) + "\n")
    left_out = set(columns) - set(selection.features) if selection.features else selection.exclude
    csv_profile = profile(open_data(path), included=selection.features, excluded=left_out)
    return choose_features(csv_profile, np.arange(rows) < rows, selection)


def only(choice: FeatureChoice) -> Feature:
    assert len(choice.features) == 1, choice
    return choice.features[0]


def test_a_category_keeps_its_frequent_values_the_most_frequent_first(tmp_path: Path) -> None:
    choice = chosen(
        tmp_path / "a.csv", {"kind": lambda row: "b" if row % 2 else "'a'" if row % 4 else f"rare{row // 8 % 10}"}
    )
    feature = only(choice)
    assert (feature.type, feature.values) == (FeatureType.CATEGORY, ("b", "'a'"))
    assert feature.components == ("kind=b", "kind='a'", "kind: other")
    assert feature.imputation == (1.0, 0.0, 0.0)
    assert feature.quantiles == ()


def test_at_most_thirty_values_are_kept(tmp_path: Path) -> None:
    feature = only(chosen(tmp_path / "a.csv", {"kind": lambda row: f"k{row % 40:02}"}, rows=1_200))
    assert feature.values == tuple(f"k{number:02}" for number in range(30))


def test_integers_with_a_recurring_text_are_a_category(tmp_path: Path) -> None:
    late: Cells = lambda row: "U" if row > 300 and row % 3 == 0 else row % 5  # noqa: E731
    assert set(only(chosen(tmp_path / "a.csv", {"age": late})).values) == {"0", "1", "2", "3", "4", "U"}
    with pytest.raises(DataError, match="--exclude"):
        chosen(tmp_path / "a.csv", {"age": lambda row: "U" if row == 300 else row % 5})
    choice = chosen(
        tmp_path / "a.csv",
        {"age": lambda row: "U" if row == 300 else row % 5, "x": lambda row: row % 7},
        Selection(exclude=("age",)),
    )
    assert only(choice).name == "x"


def test_a_number_has_its_quantiles(tmp_path: Path) -> None:
    feature = only(chosen(tmp_path / "a.csv", {"x": lambda row: row % 101}, rows=404))
    assert feature.quantiles == tuple(range(0, 101, 5))


@pytest.mark.parametrize(
    ("cells", "clock"),
    [
        (lambda row: f"2018-04-{1 + row // 300:02}T10:{row % 60:02}:00", None),
        (lambda row: f"2018-04-{1 + row // 300:02} 12:{row % 60:02}:00+02:00", None),
        (lambda row: 1_522_576_800 + row // 300 * 86_400 + row % 60 * 60, 1),
        (lambda row: (1_522_576_800 + row // 300 * 86_400 + row % 60 * 60) * 1_000, 1_000),
    ],
)
def test_the_payment_s_time_gives_hour_and_weekday(tmp_path: Path, cells: Cells, clock: int | None) -> None:
    feature = only(chosen(tmp_path / "a.csv", {"timestamp": cells}))
    assert (feature.type, feature.clock) == (FeatureType.TIME, clock)
    assert (feature.minimum, feature.weekday) == (10.0, 6)
    assert feature.maximum == pytest.approx(10 + 59 / 60)


def test_another_date_gives_the_days_to_the_payment(tmp_path: Path) -> None:
    columns: dict[str, Cells] = {
        "birth_date": lambda row: f"1980-01-{1 + row % 28:02}" if row % 5 else "",
        "date": lambda row: f"2020-01-{1 + row // 20:02}",
    }
    birth, time = sorted(chosen(tmp_path / "a.csv", columns).features, key=lambda feature: feature.name)
    assert (birth.type, birth.reference, time.type) == (FeatureType.ELAPSED, "date", FeatureType.TIME)
    assert birth.minimum is not None
    assert 14_500 < birth.minimum < 14_620
    alone = chosen(tmp_path / "a.csv", {"birth_date": columns["birth_date"], "x": lambda row: row % 3})
    assert "no column holds the date" in alone.excluded["birth_date"]


@pytest.mark.parametrize("name", ["cvv", "pin", "expiry", "account"])
def test_what_is_masked_is_no_feature_even_where_it_is_named(tmp_path: Path, name: str) -> None:
    columns: dict[str, Cells] = {"x": lambda row: row % 5, name: lambda row: CARDS[row % 3]}
    with pytest.raises(DataError, match=r"no model may learn from it"):
        chosen(tmp_path / "a.csv", columns, Selection(features=("x", name)))


@pytest.mark.parametrize(
    ("name", "cells", "reason"),
    [
        ("TERMINAL_ID", lambda row: row * 7 % 50, "identifier"),
        ("customerId", lambda row: f"c{row % 9}", "identifier"),
        ("cc_num", lambda row: 4_000_000_000_000_000 + row * 7 % 50, "holds a card number, by its name"),
        ("x9", lambda row: CARDS[row % 3], "holds card numbers (they pass the Luhn check)"),
        ("x9", lambda row: f"card {CARDS[row % 3]}", "holds card numbers (they pass the Luhn check)"),
        ("cvv", lambda row: 100 + row * 7 % 50, "holds a verification code, PIN or track data, by its name"),
        ("Prüfziffer", lambda row: 100 + row * 7 % 50, "holds a verification code"),
        ("track_2", lambda row: f"t{row % 5}", "holds a verification code"),
        ("expiry", lambda row: f"{1 + row % 9:02}/29", "holds a national id or expiry date, by its name"),
        ("ssn", lambda row: 10_000 + row * 7 % 50, "holds a national id or expiry date, by its name"),
        ("nameDest", lambda row: f"M{row % 9}", "identifier"),
        ("zip", lambda row: 10_000 + row * 7 % 50, "postal code"),
        ("first", lambda row: f"Ann{row % 9}", "names a person"),
        ("note", lambda row: f"note {row}", "400 distinct values in 400 rows"),
        ("Unnamed: 0", lambda row: row * 7 % 50, "no name"),
        ("unix_time", lambda row: row * 7 % 50, "a clock"),
        ("step", lambda row: row // 2, "orders the rows"),
        ("scenario", lambda row: 0 if row % 8 else 1 + row % 3, "a leak"),
        ("booked", lambda row: 0 if row % 8 else 10 + row, "a leak"),
        ("verdict", lambda row: "ok" if row % 8 else f"bad{row % 3}", "a leak"),
        ("checked", lambda row: "" if row % 16 < 2 else ("ok", "bad")[row % 8 == 0], "like the label"),
        ("review", lambda row: "confirmed" if row % 8 == 0 or row == 9 else f"r{row % 3}", "like the label"),
        ("status", lambda row: 7 if row % 8 == 0 and row else row % 3, "like the label"),
        ("case", lambda row: "none" if row % 8 or row == 8 else f"case {row // 16}", "like the label"),
        ("refund", lambda row: "" if row % 8 or row % 24 == 0 else row * 7 % 50, "filled in afterwards"),
        ("settled", lambda row: row * 7 % 50 if row % 8 else "", "lacks a value for frauds"),
        ("fraudFlag2", lambda row: int(row % 8 == 0 and row % 24 > 0), "like the label"),
        ("fraud_score", lambda row: (row * 7 % 50 + (0 if row % 8 else 49)) / 3, "and its name says fraud"),
        ("same", lambda row: "x", "always 'x'"),
    ],
)
def test_what_no_model_should_learn_from_is_left_out_and_says_why(
    tmp_path: Path, name: str, cells: Cells, reason: str
) -> None:
    choice = chosen(tmp_path / "a.csv", {"x": lambda row: row % 5, name: cells, "time": lambda row: row // 2})
    assert [feature.name for feature in choice.features] == ["x"]
    assert reason in choice.excluded[name]


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("isFlaggedFraud", lambda row: int(row == 80 or row == 160)),
        ("NumPastFrauds", lambda row: row % 4),
        ("fraud_rate_of_region", lambda row: row * 7 % 50 / 1_000),
        ("chargeback_amount", lambda row: row % 7),
    ],
)
def test_a_column_with_fraud_in_its_name_is_a_feature_with_a_warning(tmp_path: Path, name: str, cells: Cells) -> None:
    choice = chosen(tmp_path / "a.csv", {name: cells})
    assert only(choice).name == name
    (warning,) = choice.warnings
    assert f"column {name!r}" in warning
    assert f"--exclude {name}" in warning


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("V14", lambda row: round(row * 0.37 % 1 + (0 if row % 8 else 0.9), 4)),
        ("risky_shop", lambda row: f"s{row % 40}" if row % 8 else f"s{row % 3 + 38}"),
        ("card_test", lambda row: 1 if row % 8 == 0 and row % 40 else row * 1.37 % 90),
        ("blocked_before", lambda row: "yes" if row % 8 == 0 or row % 50 == 1 else "no"),
        ("device_known", lambda row: "" if row % 8 == 0 or row % 11 == 0 else row % 50),
        ("over_limit", lambda row: int(row % 8 == 0 and row % 24 > 0)),
        ("limit", lambda row: row * 7 % 50 if row % 8 or row % 24 == 0 else ""),
    ],
)
def test_an_honest_strong_feature_stays_beside_a_leak(tmp_path: Path, name: str, cells: Cells) -> None:
    leak: Cells = lambda row: "fraud" if row % 8 == 0 else "genuine"  # noqa: E731
    choice = chosen(tmp_path / "a.csv", {name: cells, "result": leak})
    assert only(choice).name == name
    assert set(choice.excluded) == {"result"}
    assert choice.warnings == ()


@pytest.mark.parametrize(
    ("name", "day", "is_feature"),
    [("review_date", 21, False), ("chargeback_day", 23, False), ("opened", 1, True), ("booked_on", 11, True)],
)
@pytest.mark.parametrize("time_of_day", ["", " 10:00:00"])
def test_a_date_after_the_payment_s_is_known_too_late(
    tmp_path: Path, name: str, day: int, is_feature: bool, time_of_day: str
) -> None:
    columns: dict[str, Cells] = {
        "date": lambda row: f"2020-01-{11 + row // 50}{time_of_day}",
        name: lambda row: f"2020-01-{day + row // 50 - row % 2:02}{time_of_day}" if row % 3 else "",
        "x": lambda row: row % 5,
    }
    choice = chosen(tmp_path / "a.csv", columns)
    if is_feature:
        assert choice.excluded == {}
    else:
        assert choice.excluded == {name: "lies after the payment's time in 100% of its rows: known only later (a leak)"}


def test_the_time_of_day_of_another_column_is_not_later_than_a_date(tmp_path: Path) -> None:
    columns: dict[str, Cells] = {
        "date": lambda row: f"2020-01-{11 + row // 50}",
        "authorised": lambda row: f"2020-01-{11 + row // 50} 10:{row % 60:02}:00",
        "reviewed": lambda row: 1_580_000_000 + row * 7 % 50 * 86_400,
    }
    choice = chosen(tmp_path / "a.csv", columns)
    assert {feature.name for feature in choice.features} == {"date", "authorised"}
    assert "known only later" in choice.excluded["reviewed"]


def test_text_with_more_than_a_thousand_values_names_something(tmp_path: Path) -> None:
    columns: dict[str, Cells] = {"x": lambda row: row % 5, "shop": lambda row: f"s{row % 1_100}"}
    assert "more than 1,000" in chosen(tmp_path / "a.csv", columns, rows=3_300).excluded["shop"]


@pytest.mark.parametrize(
    "name", ["id_01", "num_items", "paid", "merchant", "card_type", "video", "first_purchase_days"]
)
def test_names_that_only_look_like_an_identifier_s_are_features(tmp_path: Path, name: str) -> None:
    assert only(chosen(tmp_path / "a.csv", {name: lambda row: row % 5})).name == name


def test_a_number_of_many_values_that_separates_the_classes_is_kept_with_a_warning(tmp_path: Path) -> None:
    rng = np.random.default_rng(1).random(ROWS)
    choice = chosen(tmp_path / "a.csv", {"score": lambda row: rng[row] + (0 if row % 8 else 5)})
    assert only(choice).name == "score"
    assert "'score' alone" in choice.leaks[0].message


def test_what_a_user_names_is_taken_however_suspect_it_looks(tmp_path: Path) -> None:
    columns: dict[str, Cells] = {
        "fraud_score": lambda row: row % 3 + (0 if row % 8 else 5),
        "shop_id": lambda row: f"s{row % 1_500 if row % 2 else 0}",
        "step": lambda row: row // 2,
        "x": lambda row: row % 5,
    }
    names = ("fraud_score", "shop_id", "step")
    choice = chosen(tmp_path / "a.csv", columns, Selection(features=names), rows=3_000)
    assert [(feature.name, feature.type.value) for feature in choice.features] == [
        ("fraud_score", "number"),
        ("step", "number"),
        ("shop_id", "category"),
    ]
    assert choice.excluded == {"x": "not among --features"}
    with pytest.raises(DataError, match="'note' cannot be a feature: text, and no value occurs in 20"):
        chosen(tmp_path / "a.csv", {"note": lambda row: f"n{row}"}, Selection(features=("note",)))


COLUMNS = ("a", "b,c", "d", "Class")


@pytest.mark.parametrize(
    ("features", "exclude", "expected"),
    [
        ((), (), Selection()),
        (("d,a",), (), Selection(("a", "d"))),
        (("d", "b,c"), ("a",), Selection(("b,c", "d"), ("a",))),
        ((" d , a ,",), (), Selection(("a", "d"))),
    ],
)
def test_columns_are_named_with_commas_or_one_by_one(
    features: Sequence[str], exclude: Sequence[str], expected: Selection
) -> None:
    assert select(COLUMNS, features=features, exclude=exclude, label="Class") == expected


@pytest.mark.parametrize(
    ("features", "exclude", "message"),
    [
        (("a,e",), (), "no column 'e'; the columns are a, b,c, d, Class"),
        ((), ("A",), "no column 'A'"),
        (("Class",), (), "is the label"),
        (("a",), ("a",), "both included and excluded"),
    ],
)
def test_a_name_that_cannot_be_meant_is_refused(features: Sequence[str], exclude: Sequence[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        select(COLUMNS, features=features, exclude=exclude, label="Class")


@settings(deadline=None, max_examples=30)
@given(
    texts=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters='\r\n",'), min_size=1, max_size=6).filter(
            lambda text: text.strip() not in MISSING_MARKS and not set("0123456789+-.nNiI").intersection(text)
        ),
        min_size=2,
        max_size=7,
        unique=True,
    )
)
def test_whatever_texts_there_are_each_has_a_slot_of_its_own(
    texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    columns: dict[str, Cells] = {"t": lambda row: f'"{texts[row % len(texts)]}"', "x": lambda row: row % 5}
    choice = chosen(tmp_path_factory.mktemp("texts") / "a.csv", columns, rows=405)
    number, category = choice.features
    assert (number.name, sorted(category.values)) == ("x", sorted(texts))
    assert by_component((category, number)) == (number, category)


@pytest.mark.skipif(not HANDBOOK.exists(), reason=f"needs ../shared/data/{HANDBOOK.name}")
@pytest.mark.nightly
def test_the_handbook_s_columns_are_decided_as_a_person_would(tmp_path: Path) -> None:
    source = open_data(HANDBOOK)
    path = tmp_path / "slice.csv"
    with path.open("w") as file:
        file.write(",".join(source.columns) + "\n")
        file.writelines(",".join(row) + "\n" for row in islice(source.rows(), 250_000, 300_000))
    csv_profile = profile(open_data(path))
    choice = choose_features(csv_profile, np.arange(csv_profile.rows) < 40_000)
    assert csv_profile.time is not None
    assert csv_profile.time.column == "TX_DATETIME"
    assert [(feature.name, feature.type.value) for feature in choice.features] == [
        ("TX_AMOUNT", "number"),
        ("TX_DATETIME", "time"),
    ]
    assert set(choice.excluded) == {
        *("TRANSACTION_ID", "CUSTOMER_ID", "TERMINAL_ID", "TX_TIME_SECONDS", "TX_TIME_DAYS", "TX_FRAUD_SCENARIO"),
    }
