"""What each kind of row becomes on its way to the model's vector."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession

from fraudstream.model.explanation.cells import parse_transaction, read_cells
from fraudstream.model.features.projection import project
from fraudstream.model.manifest import Feature, FeatureType
from fraudstream.transactions.reading_options import DateOrder, Decimal

pytestmark = pytest.mark.spark

FEATURES = tuple(
    Feature(name, FeatureType.NUMBER, median, minimum=-9.0, maximum=9.0, p01=-5.0, p99=5.0)
    for name, median in (("a", 1.0), ("b b", 2.0), ("c.d", 3.0))
)
ALL = ["a", "b b", "c.d"]

READ = [
    ("as trained", '{"a":1,"b b":2.5,"c.d":-3}', [], [1.0, 2.5, -3.0]),
    ("in another order, with more columns", '{"x":"y","c.d":3,"b b":2,"a":7}', [], [7.0, 2.0, 3.0]),
    ("numbers as text", '{"a":"1.5","b b":" 2 ","c.d":"1e3"}', [], [1.5, 2.0, 1000.0]),
    ("a decimal comma is no number", '{"a":"1,5","b b":2,"c.d":3}', ["a"], [1.0, 2.0, 3.0]),
    ("NaN as JSON writers produce it", '{"a":NaN,"b b":2,"c.d":3}', ["a"], [1.0, 2.0, 3.0]),
    ("infinity, bare and as text", '{"a":-Infinity,"b b":"Infinity","c.d":3}', ["a", "b b"], [1.0, 2.0, 3.0]),
    ("a number beyond a double", '{"a":1e999,"b b":2,"c.d":3}', ["a"], [1.0, 2.0, 3.0]),
    ("the largest doubles", '{"a":1e308,"b b":-1e308,"c.d":3}', [], [1e308, -1e308, 3.0]),
    ("null, absent and boolean", '{"a":null,"b b":true}', ALL, [1.0, 2.0, 3.0]),
    ("nothing at all", "{}", ALL, [1.0, 2.0, 3.0]),
    ("other spellings of Java are no numbers", '{"a":"0x1p3","b b":"1d","c.d":"NaN"}', ALL, [1.0, 2.0, 3.0]),
    ("arrays and objects are no numbers", '{"a":[1],"b b":{"z":1},"c.d":3}', ["a", "b b"], [1.0, 2.0, 3.0]),
    ("nested columns beside it", '{"a":1,"b b":2,"c.d":3,"x":{"y":[1,{"z":2}]}}', [], [1.0, 2.0, 3.0]),
    ("a nested object under its dotted name", '{"a":1,"b b":2,"c":{"d":8,"e":{"f":1}}}', [], [1.0, 2.0, 8.0]),
    ("its own column before the nested one", '{"a":1,"b b":2,"c":{"d":8},"c.d":9}', [], [1.0, 2.0, 9.0]),
    ("the last of equal names", '{"a":1,"a":5,"b b":2,"c.d":3}', [], [5.0, 2.0, 3.0]),
    ("the last of equal names, beside a text", '{"a":1,"a":5,"b b":"2","c.d":3}', [], [5.0, 2.0, 3.0]),
    ("the last of equal names is null", '{"a":1,"b b":2,"c.d":3,"a":null}', ["a"], [1.0, 2.0, 3.0]),
    ("null before a text of the same name", '{"a":null,"b b":2,"c.d":3,"a":"5"}', [], [5.0, 2.0, 3.0]),
    ("another case is another column", '{"A":7,"b b":2,"c.d":3}', ["a"], [1.0, 2.0, 3.0]),
    ("a name that is only a value", '{"x":"a","b b":2,"c.d":3}', ["a"], [1.0, 2.0, 3.0]),
    ("a name in another object", '{"x":{"a":7},"b b":2,"c.d":3}', ["a"], [1.0, 2.0, 3.0]),
    ("a name written with escapes", '{"\\u0061":"7","b b":2,"c.d":3}', [], [7.0, 2.0, 3.0]),
    ("null with a space", '{"a": null, "b b": 2, "c.d": 3}', ["a"], [1.0, 2.0, 3.0]),
    ("INF as some write it", '{"a":+INF,"b b":2,"c.d":3}', ["a"], [1.0, 2.0, 3.0]),
    ("odd floats", '{"a":nan,"b b":-inf,"c.d": +Infinity }', ALL, [1.0, 2.0, 3.0]),
    ("odd floats beside a text", '{"a":-nan,"b b":"2","c.d":3,"t":"x"}', ["a"], [1.0, 2.0, 3.0]),
    ("white space around it", '  {"a":1,"b b":2,"c.d":3}\n', [], [1.0, 2.0, 3.0]),
]

NO_OBJECT = [
    None,
    "",
    " ",
    "null",
    "17",
    '"text"',
    '{"a":1',
    '[{"a":1,"b b":2,"c.d":3}]',
    '{"a":1,"b b":2,"c.d":3} x',
    '{"a":1,"b b":2,"c.d":3} x}',
    '{"a":1,"b b":2,"c.d":3}{"a":1}',
    '{"a":1},{"b":2}',
    '{"a":1}] }',
    "{'a':1,'b b':2,'c.d':3}",
    '{"a":1,"b b":2,"c.d":abc}',
]


def projected(spark: SparkSession, texts: list[str | None], **options: dict[str, str]) -> list[Row]:
    frame = spark.createDataFrame([(text,) for text in texts], "text string")
    return project(frame, FEATURES, **options).collect()


def test_every_kind_of_row_is_read_by_name_with_the_median_for_what_is_missing(spark: SparkSession) -> None:
    rows = projected(spark, [text for _, text, _, _ in READ])
    for (kind, _, imputed, vector), row in zip(READ, rows, strict=True):
        assert (row.is_object, row.imputed, row.features.tolist()) == (True, imputed, vector), kind


def test_what_is_not_one_json_object_is_distinguished(spark: SparkSession) -> None:
    rows = projected(spark, NO_OBJECT)
    assert [text for text, row in zip(NO_OBJECT, rows, strict=True) if row.is_object] == []


def test_only_finite_flat_rows_take_the_fast_path(spark: SparkSession) -> None:
    rows = projected(spark, [text for _, text, _, _ in READ])
    fast = [kind for (kind, *_), row in zip(READ, rows, strict=True) if row.as_expected]
    assert fast == ["as trained", "in another order, with more columns", "the last of equal names"]


def test_a_row_whose_missing_features_are_absent_or_null_needs_no_second_parse(spark: SparkSession) -> None:
    rows = projected(spark, [text for _, text, _, _ in READ])
    lacking = [kind for (kind, *_), row in zip(READ, rows, strict=True) if row.only_missing]
    assert lacking == [
        "another case is another column",
        "null with a space",
    ]


def test_under_an_alias_the_old_name_is_looked_for_before_it_counts_as_missing(spark: SparkSession) -> None:
    texts: list[str | None] = ['{"b b":2,"c.d":3,"a":"8"}', '{"b b":2,"c.d":3,"neu":null,"a":8}', '{"b b":2,"c.d":3}']
    rows = projected(spark, texts, aliases={"neu": "a"})
    assert [(row.only_missing, row.features[0]) for row in rows] == [(False, 8.0), (False, 8.0), (True, 1.0)]


def test_an_alias_reads_the_new_name_and_still_the_old_one(spark: SparkSession) -> None:
    texts: list[str | None] = ['{"neu":7,"b b":2,"c.d":3}', '{"a":8,"b b":2,"c.d":3}', '{"b b":2,"c.d":3}']
    rows = projected(spark, texts, aliases={"neu": "a"})
    assert [(row.features[0], row.imputed) for row in rows] == [(7.0, []), (8.0, []), (1.0, ["a"])]


def test_bytes_that_are_not_utf8_are_no_object(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(bytearray(b'{"a":1,"b b":2,"c.d":3,"x":"\xff"}'),)], "value binary")
    row = project(frame.selectExpr("cast(value as string) as text"), FEATURES).select("is_object").first()
    assert row is not None
    assert row.is_object is False


WRITTEN = (
    Feature("price", FeatureType.NUMBER, -1.0),
    Feature("preis", FeatureType.NUMBER, -2.0, decimal=Decimal.COMMA),
    Feature("fee", FeatureType.NUMBER, -3.0),
    Feature("betrag", FeatureType.NUMBER, -4.0, decimal=Decimal.COMMA),
    Feature("fach.betrag", FeatureType.NUMBER, -6.0, decimal=Decimal.COMMA),
    Feature("paid", FeatureType.TIME, median=12.0, weekday=6, date_order=DateOrder.DMY),
    Feature("born", FeatureType.ELAPSED, median=-5.0, reference="paid", date_order=DateOrder.MDY),
    Feature("kind", FeatureType.CATEGORY, values=("chip", "n/a")),
)
NUMBERS: tuple[Any, ...] = (
    *(1.234, 1234, 1.5, -7, True, None, [1.5], {"x": 1}, "", "?", "-", "N/A", "abc", "$1,009.53", "$-73.00", "(60.56)"),
    *("1.234", "1,234", "1.234,56", "1,234.56", "12,50", "1.5", "1 234,5", "1\u00a0234.5", "1'234.50", "-1.234.567"),
    *("EUR 12", "12 €", "R$ 1.234,56", "($5)", "(5", "5)", "5-", "+5", "\u22125", "12 %", "1.5e3", "1,5e3", "1e999"),
    *("0,5", ".5", ",5", "5.", "0.123", "007", "1,23,456", "1.23.456", "1,234.567.8", "0x1p3", "1d", "NaN", "9" * 101),
    *("1\n", " 1 ", "\t1", "USD5", "ABC5", "1 234 567", "1 2345", "--5", "-$-5", "e5", "1e", "$", "1.000.000"),
)
DATES: tuple[Any, ...] = (
    *("2023-02-10 23:51:00", "10/02/2023", "31/12/2023 23:51", "12/31/2023 23:51", "31/02/2023", "1/2/23", "1.2.69"),
    *("01-02-2023 1:05:09 PM", "01-02-2023 13:05 PM", "01/02/2023 12:00 am", "01/02/2023 00:30 a.m.", "01/02-2023"),
    *(
        "'10/02/2023 23:51:00'",
        "10/02/2023T23:51:00.25Z",
        "10/02/2023 23:51:00 UTC",
        "10/02/2023 23:51+02:00",
        "2023/02/10",
        "10/2023/02",
        "?",
    ),
    *("", None, 7, "10/02/2023 24:00", "10/02/2023 7:61", "10/02/123", "10/02/2023, 7:01", "10/02/2023\n", "NA", [1]),
)


def test_numbers_and_dates_in_text_are_read_as_written_in_training(spark: SparkSession) -> None:
    changes: list[dict[str, Any]] = [{name: value} for value in NUMBERS for name in ("price", "preis")]
    changes += [{name: value} for value in DATES for name in ("paid", "born")]
    changes += [{"kind": value} for value in ("chip", "swipe", "?", " - ", "n/a", "NULL", "None", "NA", " ", 1.5, None)]
    changes += [
        {"neu": value, "preis": other} for value in (1.234, "1.234", "x", None) for other in (2.345, "2.345", "x")
    ]
    row = {"price": 1.5, "preis": 2.5, "fee": 3.5, "betrag": 4.567, "paid": "01/02/2023 10:00", "born": "12/31/1990"}
    texts = [json.dumps({**row, "kind": "chip", **change}) for change in changes]
    texts += [text.replace("4.567", f'4.567, "x": {odd}') for odd in ("NaN", "-Infinity") for text in texts[:4]]
    aliases = {"neu": "preis"}
    nested = [{"fach": {"betrag": value}} for value in (1.234, "1.234", "12,5", 12.5, "x", None)]
    texts += [json.dumps({**row, "kind": "chip", "paid": "x", **change}) for change in nested]
    frame = spark.createDataFrame(list(enumerate(texts)), "row int, text string")
    for text, read in zip(texts, project(frame, WRITTEN, aliases=aliases).orderBy("row").collect(), strict=True):
        cells = read_cells(parse_transaction(text), WRITTEN, aliases)
        assert [cell.feature.name for cell in cells if cell.is_imputed] == read.imputed, text
        assert [part for cell in cells for part in cell.components] == pytest.approx(list(read.features)), text
