"""The scores of benchmarks/baselines are equal to those of Spark, for expected and odd rows."""

from __future__ import annotations

import itertools
import json
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest
from benchmarks.baselines.exported import ARRAYS, PLAIN, export_model
from benchmarks.baselines.plain_consumer.contract import Reader
from benchmarks.baselines.plain_consumer.model import load_model
from benchmarks.baselines.quix_streams.model import compiled
from pyspark.sql import SparkSession

from fraudstream.model.deployment.current import Deployment
from fraudstream.model.training.plan import TrainingSettings
from fraudstream.model.training.training import train
from fraudstream.scoring.scorer import load_scorer
from fraudstream.simulator.simulate import simulate
from fraudstream.transactions.data_source import DataSource, open_data

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def payments(tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    data = tmp_path_factory.mktemp("peers") / "payments.csv"
    simulate(8_000, 3, data)
    return open_data(data)


@pytest.mark.nightly
@pytest.mark.parametrize("algorithm", ["logistic-regression", "gbt", "random-forest"])
def test_baselines_have_spark_s_scores_and_outcomes(
    spark: SparkSession, payments: DataSource, tmp_path: Path, algorithm: str
) -> None:
    artifact = train(
        lambda: nullcontext(spark),
        payments,
        TrainingSettings(algorithm=algorithm, seed=1),
        models_dir=tmp_path,
        report=lambda line: None,
        now=lambda: datetime(2026, 1, 2, tzinfo=UTC),
    ).artifact
    deployment = Deployment(artifact.manifest.model_id, 0.5, {})
    export_model(artifact, deployment, tmp_path)
    texts = [row.decode() for row in itertools.islice(payments.json_rows(), 0, None, 8)]
    odd = [{**json.loads(texts[5]), "V3": value} for value in (None, "1e1", "x", True, float("nan"), [1], 10**25)]
    texts += [json.dumps(row) for row in (*odd, {}, [1])]

    verdicts = load_scorer(artifact, deployment).verdicts(
        spark.createDataFrame(list(enumerate(texts)), "row int, text string")
    )
    rows = verdicts.orderBy("row").collect()
    model = load_model(tmp_path / ARRAYS)
    read = Reader(model, 1_000_000).read([text.encode() for text in texts])
    scores = dict(zip(read.places, model.scores(read.matrix).tolist(), strict=True))
    one_by_one = compiled(json.loads((tmp_path / PLAIN).read_text()))
    alone = {place: one_by_one(row) for place, row in zip(read.places, read.matrix.tolist(), strict=True)}
    for row in rows:
        expected = {"unscorable": row.row in read.unscorable, "dead_letter": row.row in read.dead_letters}
        assert expected.get(row.outcome, row.row in scores), texts[row.row]
        if row.score is not None:
            assert scores[row.row] == pytest.approx(row.score, rel=1e-12, abs=1e-12), texts[row.row]
            assert alone[row.row] == pytest.approx(row.score, rel=1e-12, abs=1e-12), texts[row.row]
            assert read.imputed.get(row.row, []) == row.imputed, texts[row.row]
