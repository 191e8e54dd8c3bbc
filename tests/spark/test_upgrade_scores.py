"""The model that release 112b93f left, loaded and scored by this one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from fraudstream.model.deployment.current import resolve
from fraudstream.scoring.scorer import load_scorer
from releases import unpack_release

pytestmark = pytest.mark.spark


def test_the_model_gives_every_alert_the_score_it_had(spark: SparkSession, tmp_path: Path) -> None:
    workdir = unpack_release("release_112b93f", tmp_path)
    alerts = json.loads((workdir / "expected.json").read_text())["alerts"]
    texts = [(number, json.dumps(alert["transaction"])) for number, alert in enumerate(alerts)]
    scorer = load_scorer(*resolve(workdir / "models" / "current"))
    verdicts = scorer.verdicts(spark.createDataFrame(texts, "row int, text string")).orderBy("row").collect()
    assert [verdict.score for verdict in verdicts] == pytest.approx([alert["score"] for alert in alerts], abs=1e-12)
    assert {verdict.outcome for verdict in verdicts} == {"alert"}
