"""Scores without Spark, held to Spark's own: every algorithm, type of feature and odd row; reasons add up to them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from fraudstream.model.artifact import ModelArtifact
from fraudstream.model.deployment.current import Deployment
from fraudstream.model.explanation.cells import parse_transaction
from fraudstream.model.explanation.explainer import Explainer
from fraudstream.model.training.plan import TrainingSettings
from fraudstream.model.training.training import train
from fraudstream.scoring.scorer import load_scorer
from fraudstream.transactions.data_source import DataSource, open_data

pytestmark = pytest.mark.spark

SHARED = Path(__file__).parents[3] / "shared" / "data"
ALGORITHMS = (
    *(pytest.param(name, marks=pytest.mark.nightly) for name in ("logistic-regression", "random-forest")),
    "gbt",
)
ALIASES = {"amt_eur": "amt", "born": "dob"}


def odd_rows(row: Mapping[str, Any]) -> list[str]:
    """One payment, changed in every way that the projection knows."""
    changes: list[dict[str, Any]] = [
        {},
        *({"amt": value} for value in (None, "", "12.5", " 1e3 ", "1,5", "abc", True, [1], 1e-7, 10**25, "NaN")),
        *({"amt": value} for value in (".5\n", "5.", "+3", "1e400", "1_000", {"a": 1})),
        *({"category": value} for value in (None, "", "never seen", " misc_net", 7, 1.5, False, ["misc_net"])),
        *({"trans_date_trans_time": value} for value in (None, "", "2019-02-30", "2019-03-05", "12:30", 7)),
        *({"trans_date_trans_time": f"2019-03-05T23:59:59{zone}"} for zone in ("Z", ".123456789", "+05:30", "+19:00")),
        *({"dob": value} for value in (None, "1962-02-29", "1960-02-29", "2030-01-01 10:00", "\n", 3)),
        {"amt": None, "category": None, "dob": None},
        {"amt_eur": 99.5},
        {"amt_eur": "99.5", "amt": None},
        {"amt_eur": "much", "amt": 3.25},
        {"born": "1971-01-01", "dob": "1981-01-01"},
        {"born": None},
        {"born": "", "dob": "1981-01-01"},
        dict.fromkeys(row),
    ]
    texts = [json.dumps({**row, **change}) for change in changes]
    not_finite = [
        json.dumps(row).replace('"amt": ', f'"amt": {value}, "was": ') for value in ("NaN", "-Infinity", "1e400")
    ]
    return texts + not_finite


def held_to_spark(spark: SparkSession, artifact: ModelArtifact, texts: list[str], aliases: Mapping[str, str]) -> None:
    scorer = load_scorer(artifact, Deployment(artifact.manifest.model_id, 0.5, aliases))
    frame = spark.createDataFrame(list(enumerate(texts)), "row int, text string")
    verdicts = scorer.verdicts(frame).orderBy("row").collect()
    explainer = Explainer(artifact)
    scored = 0
    for text, verdict in zip(texts, verdicts, strict=True):
        explanation = explainer.explain(parse_transaction(text), aliases)
        imputed = [step.cell.feature.name for step in explanation.steps if step.cell.is_imputed]
        assert imputed == verdict.imputed, text
        assert explanation.is_scorable == (verdict.score is not None), text
        together = explanation.base + sum(step.reason.contribution for step in explanation.steps)
        assert together == pytest.approx(explanation.margin, rel=1e-9, abs=1e-9), text
        if verdict.score is not None:
            assert explanation.score == pytest.approx(verdict.score, rel=1e-12, abs=1e-12), text
            scored += 1
    assert scored > len(texts) // 2


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_row_of_every_type_has_spark_s_score_and_reasons_that_add_up_to_it(
    spark: SparkSession, sparkov: DataSource, sparkov_model: Callable[[str], ModelArtifact], algorithm: str
) -> None:
    artifact = sparkov_model(algorithm)
    whole = [row.decode() for row in itertools.islice(sparkov.json_rows(), 80)]
    held_to_spark(spark, artifact, [*whole, *odd_rows(json.loads(whole[7]))], ALIASES)


@pytest.mark.skipif(not (SHARED / "creditcard_subset.csv").exists(), reason="needs ../shared")
@pytest.mark.nightly
@pytest.mark.parametrize("algorithm", ["logistic-regression", "gbt"])
def test_real_payments_have_spark_s_score(spark: SparkSession, tmp_path: Path, algorithm: str) -> None:
    source = open_data(SHARED / "creditcard_subset.csv")
    artifact = train(
        lambda: nullcontext(spark),
        source,
        TrainingSettings(algorithm=algorithm, legitimate_share=0.18594, seed=1),
        models_dir=tmp_path / "models",
        report=lambda line: None,
        now=lambda: datetime(2026, 1, 2, tzinfo=UTC),
    ).artifact
    rows = [row.decode() for row in itertools.islice(source.json_rows(), 0, None, 15)]
    lacking = [json.dumps({**json.loads(row), "V14": None, "V3": "-2.5"}) for row in rows[:200]]
    held_to_spark(spark, artifact, rows + lacking, {})
