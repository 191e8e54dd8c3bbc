"""An alert scored again by the dashboard, which knows no Spark, has Spark's own score by the active model."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from apps import create_app
from dashboards import alert, json_of
from fraudstream.config import Settings
from fraudstream.model.artifact import ModelArtifact
from fraudstream.model.deployment.current import Deployment, deploy
from fraudstream.scoring.scorer import load_scorer
from fraudstream.store.store import AlertStore
from fraudstream.transactions.data_source import DataSource

# Scores without Spark are held to Spark's own by test_explained_scores.py in every change.
pytestmark = [pytest.mark.spark, pytest.mark.nightly]

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_a_score_worked_out_again_is_spark_s_within_1e_9(
    spark: SparkSession, sparkov: DataSource, sparkov_model: Callable[[str], ModelArtifact], tmp_path: Path
) -> None:
    former, now = ids = [sparkov_model("logistic-regression"), sparkov_model("gbt")]
    models = now.path.parent
    texts = [row.decode() for row in itertools.islice(sparkov.json_rows(), 0, 60)]
    frame = spark.createDataFrame(list(enumerate(texts)), "row int, text string")
    scorers = [load_scorer(each, Deployment(each.manifest.model_id, 0.5)) for each in ids]
    scores = {
        scorer.model_id: [row.score for row in scorer.verdicts(frame).orderBy("row").collect()] for scorer in scorers
    }
    deploy(models, now.manifest.model_id, 0.5, who="test", why="", now=NOW)
    store = AlertStore.open(f"sqlite:///{tmp_path / 'alerts.db'}")
    try:
        alerts = [
            alert(
                number,
                transaction=json.loads(text),
                score=scores[former.manifest.model_id][number],
                model_id=former.manifest.model_id,
                revision=0,
            )
            for number, text in enumerate(texts)
        ]
        assert store.add_alerts(alerts).accepted == len(texts)
        client = create_app(Settings(model=models / "current"), store).test_client()
        for number, expected in enumerate(scores[now.manifest.model_id]):
            rescore = json_of(client.get(f"/api/alerts/id-{number}/rescore"))
            assert rescore["now"]["score"] == pytest.approx(expected, abs=1e-9)
            assert rescore["difference"] == pytest.approx(expected - scores[former.manifest.model_id][number], abs=1e-9)
            assert rescore["stored_cause"] is None
    finally:
        store.close()
