"""What each kind of row becomes on its way to the model's vector."""

from __future__ import annotations

import pytest
from pyspark.sql import Row, SparkSession

from fraudstream.model.features.projection import project
from fraudstream.model.manifest import Feature, FeatureType

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
