"""The screen that every row passes, held to the full verdict."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from fraudstream.model.calibration import IDENTITY, Calibration
from fraudstream.scoring.scorer import Scorer, calibrated

pytestmark = pytest.mark.spark


def row(a: object, b: object = 0.0, c: object = 0.0) -> str:
    return json.dumps({"a": a, "b b": b, "c.d": c})


def verdicts(spark: SparkSession, scorer: Scorer, texts: list[str]) -> list[Row]:
    return scorer.verdicts(spark.createDataFrame([(text,) for text in texts], "text string")).collect()


def test_each_row_ends_in_its_outcome(spark: SparkSession, scorer: Scorer) -> None:
    rows = verdicts(spark, scorer, [row(5.0), row(-5.0), row(5.0, None), row(None, None), "[]"])
    assert [r.outcome for r in rows] == ["alert", "clear", "alert", "unscorable", "dead_letter"]
    assert [r.score is None for r in rows] == [False, False, False, True, True]


def test_values_that_overflow_the_margin_are_never_clear(spark: SparkSession, scorer: Scorer) -> None:
    rows = verdicts(spark, scorer, [row(1.7e308, -1.7e308, 1.7e308), row(-1.7e308, 1.7e308, 1.7e308)])
    assert all(r.outcome == "unscorable" or np.isfinite(r.score) for r in rows)


@pytest.mark.parametrize(
    "calibration",
    [
        IDENTITY,
        *(
            pytest.param(Calibration(*each), marks=pytest.mark.nightly)
            for each in ((2.4, 0.05, 1.8), (0.05, 5.0, -8.0), (3.6, 1.0, 17.7))
        ),
    ],
)
def test_the_screen_hides_no_alert_even_when_the_score_equals_the_threshold(
    spark: SparkSession, scorer: Scorer, calibration: Calibration
) -> None:
    scorer = dataclasses.replace(scorer, calibration=calibration)
    rng = np.random.default_rng(11)
    texts = [row(*values) for values in rng.normal(1.0, 1.0, size=(300, 3)).tolist()]
    scores = sorted(r.score for r in verdicts(spark, scorer, texts))
    for threshold in (scores[150], scores[290], 0.0, 1.0):
        strict = dataclasses.replace(scorer, threshold=threshold)
        frame = spark.createDataFrame([(text,) for text in texts], "text string")
        screened = strict.screen(frame)
        suspects = {r.text for r in screened.where("suspect").collect()}
        alerts = {r.text for r in strict.verdicts(frame).where("outcome = 'alert'").collect()}
        assert alerts <= suspects
        assert len(alerts) == sum(score >= threshold for score in scores)


def test_a_score_is_the_calibrated_probability(spark: SparkSession, scorer: Scorer) -> None:
    calibration = Calibration(2.4, 0.3, 1.8)
    texts = [row(value) for value in np.linspace(-30, 30, 101).tolist()]
    raw = np.array([r.score for r in verdicts(spark, scorer, texts)])
    scores = np.array([r.score for r in verdicts(spark, dataclasses.replace(scorer, calibration=calibration), texts)])
    assert scores == pytest.approx(calibration.of(raw), rel=1e-13)
    assert (np.argsort(scores, kind="stable") == np.argsort(raw, kind="stable")).all()


def test_the_ends_of_the_scores_are_kept_by_the_calibration(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(0.0,), (1e-320,), (1.0,), (float("nan"),)], "raw double")
    scores = [
        r.score for r in frame.select(calibrated(F.col("raw"), Calibration(3.0, 0.5, 9.0)).alias("score")).collect()
    ]
    assert scores[:3] == [0.0, 0.0, 1.0]
    assert np.isnan(scores[3])


def test_the_screen_marks_rows_that_need_the_full_verdict(spark: SparkSession, scorer: Scorer) -> None:
    texts = [row(1.0), row("x"), "{", row(1.0, None), '{"a":1.0,"c.d":0}', row(1.0, None, None), "{}"]
    frame = spark.createDataFrame([(text,) for text in texts], "text string")
    assert [r.is_screened for r in scorer.screen(frame).collect()] == [True, False, False, True, True, False, False]


def test_a_row_that_lacks_a_value_is_suspect_on_its_own_values_and_the_median(
    spark: SparkSession, scorer: Scorer
) -> None:
    frame = spark.createDataFrame([('{"a":9,"c.d":0}',), ('{"a":-9,"b b":null,"c.d":0}',)], "text string")
    assert [(r.is_screened, r.suspect) for r in scorer.screen(frame).collect()] == [(True, True), (True, False)]
