"""Every type of feature: the stream's vector is the one that training means, on the fast path and the slow."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, Row, SparkSession

from fraudstream.model.artifact import ModelArtifact
from fraudstream.model.deployment.current import Deployment
from fraudstream.model.features.projection import project
from fraudstream.model.manifest import Feature, FeatureType, by_component
from fraudstream.scoring.scorer import load_scorer
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.times import hours_and_weekdays, seconds_of_dates
from public_sets import write_sparkov

pytestmark = pytest.mark.spark

ODD = ("'M'", 'say "hi"', "back\\slash", "100%", "$1 {x}", "ünïcødé 😀", " spaced ", "a,b;c\td", "it's", "`tick`")
FEATURES = (
    Feature("city.of `x`", FeatureType.CATEGORY, values=ODD),
    Feature("amount", FeatureType.NUMBER, median=20.0, minimum=1.0, maximum=90.0, p01=1.0, p99=80.0),
    Feature("at", FeatureType.TIME, median=13.5, minimum=0.0, maximum=23.0, p01=0.0, p99=23.0, weekday=5),
    Feature("dob", FeatureType.ELAPSED, median=9000.0, minimum=1.0, maximum=2e4, p01=1.0, p99=2e4, reference="at"),
    Feature("clock", FeatureType.TIME, median=3.0, minimum=0.0, maximum=23.0, p01=0.0, p99=23.0, weekday=1, clock=1000),
    Feature("age", FeatureType.CATEGORY, values=("3", "U")),
)
WHOLE = {
    "city.of `x`": "'M'",
    "amount": 12.5,
    "at": "2018-04-01 06:30:00",
    "dob": "2018-03-30",
    "clock": 1_522_540_800_000,
    "age": "U",
}


def meant(row: Mapping[str, object]) -> tuple[list[float], list[str]]:
    """The vector and what was filled in, worked out in Python from what the types say of themselves."""
    vector: list[float] = []
    imputed: list[str] = []
    for feature in by_component(FEATURES):
        value = row.get(feature.name)
        slots: list[float] | None = None
        if feature.type is FeatureType.NUMBER:
            slots = [float(value)] if isinstance(value, int | float) else None
        elif feature.type is FeatureType.CATEGORY and value not in (None, ""):
            text = value if isinstance(value, str) else json.dumps(value)
            slots = [float(text == category) for category in feature.values]
            slots.append(float(text not in feature.values))
        elif feature.type is FeatureType.TIME:
            seconds = moment(value, feature.clock)
            slots = (
                None if math.isnan(seconds) else [float(part[0]) for part in hours_and_weekdays(np.array([seconds]))]
            )
        elif feature.type is FeatureType.ELAPSED:
            days = (moment(row.get(str(feature.reference)), None) - moment(value, None)) / 86_400
            slots = None if math.isnan(days) else [days]
        if slots is None:
            imputed.append(feature.name)
            slots = list(feature.imputation)
        vector += slots
    return vector, imputed


def moment(value: object, clock: int | None) -> float:
    if clock is not None:
        is_number = type(value) in (int, float)
        return float(str(value)) / clock if is_number and float(str(value)) < 1e15 else math.nan
    seconds = seconds_of_dates([value]) if isinstance(value, str) else None
    return math.nan if seconds is None else float(seconds[0])


def frame_of(spark: SparkSession, rows: list[dict[str, object]]) -> DataFrame:
    return spark.createDataFrame([(json.dumps(row, ensure_ascii=False),) for row in rows], "text string")


def projected(spark: SparkSession, rows: list[dict[str, object]]) -> list[Row]:
    return project(frame_of(spark, rows), FEATURES).collect()


PARTS_CHANGED: dict[str, tuple[object, ...]] = {
    "city.of `x`": (*ODD, "M", "", None, "'m'", "100", 7, [1], "new\nline", "\u0000"),
    "age": ("3", 3, "4", 4, None, "u"),
    "at": (
        *("2018-04-01", "2018-04-01T06:30", "2018-04-01T06:30:00.25Z", "1969-12-31 23:59:59"),
        *("2018-04-01T01:30:00+02:00", "0001-01-01", "9999-12-31T23:59:59", "2020-02-29 00:00"),
        *("2019-02-29", "yesterday", "12:30", "T12:30:00", "", None, 17, "2018", "now", "epoch"),
        *("2018-04-01 24:00", "31/12/2018", "2018-04-01T06:30+02:00", "+2018-04-01", "0000-01-01"),
    ),
    "dob": ("1960-02-29", "2030-01-01 12:00", "", None, "19600229", "never"),
    "clock": (0, -1, 1.5e12, None, "soon", 1e300, True),
    "amount": (None,),
    "more": ({"nested": "}"},),
}
CHANGES: list[dict[str, object]] = [
    {},
    {"amount": None, "age": None, "at": None},
    *({name: value} for name, values in PARTS_CHANGED.items() for value in values),
]


def test_the_stream_s_vector_is_the_one_that_training_means_for_every_type(spark: SparkSession) -> None:
    rows = [{**WHOLE, **change} for change in CHANGES]
    for change, row, projection in zip(CHANGES, rows, projected(spark, rows), strict=True):
        vector, imputed = meant(row)
        assert projection.is_object, change
        assert (projection.imputed, projection.features.tolist()) == (imputed, pytest.approx(vector, rel=1e-12)), change
        assert not (projection.as_expected and imputed), change


def test_a_row_of_all_types_takes_the_fast_path_with_values_never_seen_too(spark: SparkSession) -> None:
    rows: list[dict[str, object]] = [WHOLE, {**WHOLE, "age": "old"}, {**WHOLE, "age": 3}, {**WHOLE, "at": "noon"}]
    assert [row.as_expected for row in projected(spark, rows)] == [True, True, True, False]


def test_the_slow_path_gives_the_same_vector_for_text_and_nested_columns(spark: SparkSession) -> None:
    slow: list[dict[str, object]] = [
        {**WHOLE, "amount": "12.5"},
        {**WHOLE, "x": {"y": 1}},
        {**WHOLE, "clock": "1522540800000"},
    ]
    fast, *others = projected(spark, [WHOLE, *slow])
    assert [(row.imputed, row.features) for row in others] == [([], fast.features)] * 3


def test_an_alias_renames_categories_and_times_as_it_does_numbers(spark: SparkSession) -> None:
    renamed: dict[str, object] = {**WHOLE, "when": WHOLE["at"], "years": WHOLE["age"]}
    del renamed["at"], renamed["age"]
    expected = projected(spark, [WHOLE])[0].features
    vectors = project(frame_of(spark, [renamed, WHOLE]), FEATURES, aliases={"when": "at", "years": "age"}).collect()
    assert [(row.as_expected, row.imputed, row.features) for row in vectors] == [
        (True, [], expected),
        (False, [], expected),
    ]


def test_models_without_numbers_and_without_anything_else_are_read(spark: SparkSession) -> None:
    only = [feature for feature in FEATURES if feature.name == "age"]
    rows = project(frame_of(spark, [{"age": "U"}, {"age": "x"}, {}]), only).collect()
    assert [(row.imputed, row.features.tolist()) for row in rows] == [
        ([], [0.0, 1.0, 0.0]),
        ([], [0.0, 0.0, 1.0]),
        (["age"], [1.0, 0.0, 0.0]),
    ]


@settings(max_examples=2)
@given(st.lists(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)), min_size=50, max_size=50))  # noqa: DTZ001
def test_any_date_is_read_alike_by_python_and_spark(spark: SparkSession, dates: list[datetime]) -> None:
    rows: list[dict[str, object]] = [{**WHOLE, "at": date.isoformat(sep=" ")} for date in dates]
    for row, vector in zip(rows, projected(spark, rows), strict=True):
        assert vector.features.tolist() == pytest.approx(meant(row)[0], rel=1e-9, abs=1e-6)


def test_a_model_of_all_types_parses_a_row_once_and_screens_as_it_scores(
    spark: SparkSession, sparkov_model: Callable[[str], ModelArtifact], tmp_path: Path
) -> None:
    artifact = sparkov_model("gbt")
    scorer = load_scorer(artifact, Deployment(artifact.manifest.model_id, artifact.manifest.threshold))
    texts = [row.decode() for row in open_data(write_sparkov(tmp_path / "b.csv", 300, seed=9)).json_rows()]
    frame = spark.createDataFrame([(text,) for text in texts], "text string")
    screened = scorer.screen(frame)
    plan = screened._jdf.queryExecution().executedPlan().toString()  # noqa: SLF001  the physical plan has no other door
    assert plan.count("from_json") == 1
    assert all(row.is_screened for row in screened.collect())
    suspects = {row.text for row in screened.where("suspect").collect()}
    alerts = {row.text for row in scorer.verdicts(frame).where("outcome = 'alert'").collect()}
    assert alerts
    assert alerts <= suspects
