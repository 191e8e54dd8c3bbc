"""The Python interface on a session that this Python already has, as in a notebook."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from pyspark.sql import SparkSession

import fraudstream
from fraudstream.errors import DataError, DataNotFound, DeploymentRefused, ModelNotFound
from fraudstream.history.spec import HistoryEntity, HistorySpec
from fraudstream.model.artifact import ModelArtifact
from fraudstream.model.deployment.state import StateRecord, write_state
from fraudstream.transactions.data_source import DataSource

pytestmark = pytest.mark.spark


@pytest.fixture
def models(sparkov_model: Callable[[str], ModelArtifact]) -> Path:
    """The folder of a trained model."""
    return sparkov_model("gbt").path.parent


def test_scores_are_arrays_by_row(
    spark: SparkSession, sparkov: DataSource, sparkov_model: Callable[[str], ModelArtifact], tmp_path: Path
) -> None:
    artifact = sparkov_model("gbt")
    lines = sparkov.path.read_text().splitlines()
    few = tmp_path / "few.csv"
    few.write_text("\n".join([*lines[:20], lines[1].split(",")[0] + "," * lines[0].count(",")]) + "\n")
    result = fraudstream.score(few, model=artifact.path)
    assert len(result) == 20
    assert result.outcome[-1] == "unscorable"
    assert math.isnan(result.score[-1])
    assert np.array_equal(result.is_alert[:-1], result.score[:-1] >= result.threshold)
    assert spark.range(1).count() == 1  # the session goes on


def test_a_loaded_model_has_its_manifest(models: Path, sparkov: DataSource) -> None:
    assert fraudstream.load(models).manifest.training_data.fingerprint == sparkov.fingerprint


def test_a_missing_file_or_model_raises_an_error_that_names_it(models: Path, tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match=r"nothing\.csv"):
        fraudstream.score(tmp_path / "nothing.csv", model=models)
    with pytest.raises(ModelNotFound, match="fraudstream train"):
        fraudstream.load(tmp_path / "models" / "current")
    with pytest.raises(DataNotFound):
        fraudstream.train(tmp_path / "nothing.csv", models=tmp_path / "models")


def test_a_data_frame_gives_the_model_and_the_scores_of_its_file(
    sparkov: DataSource, sparkov_model: Callable[[str], ModelArtifact], tmp_path: Path
) -> None:
    of_file = fraudstream.load(sparkov_model("logistic-regression").path)
    frame = pd.read_csv(sparkov.path, parse_dates=["trans_date_trans_time"]).astype({"category": "category"})
    model = fraudstream.train(frame, algorithm="logistic-regression", models=tmp_path, seed=1)
    assert model.manifest.features == of_file.manifest.features
    assert model.manifest.metrics == of_file.manifest.metrics
    assert model.manifest.training_data.name == "DataFrame"
    assert fraudstream.train(frame, algorithm="logistic-regression", models=tmp_path, seed=1) == model
    scores = model.score(pl.from_pandas(frame))
    assert np.array_equal(scores.score, of_file.score(sparkov.path).score)
    assert model.explain(frame, 7).score == pytest.approx(scores.score[7], rel=1e-12)
    with pytest.raises(DataError, match="DataFrame, row -1"):
        model.explain(frame, -1)


def test_a_model_is_not_deployed_beside_a_state_that_lacks_its_history(
    spark: SparkSession, sparkov: DataSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAUDSTREAM_CHECKPOINT", str(tmp_path / "checkpoint"))
    spec = HistorySpec((HistoryEntity("card", "other"),), time="at", amount="amt")
    write_state(tmp_path / "checkpoint-history", StateRecord(spec, 1))
    with pytest.raises(DeploymentRefused, match="key cc_num instead of other"):
        fraudstream.train(
            sparkov.path, algorithm="logistic-regression", entities={"card": "cc_num"}, deploy=True, models=tmp_path
        )


def test_scores_come_out_as_tables_and_read_well(sparkov: DataSource, models: Path) -> None:
    model = fraudstream.load(models)
    records = pd.read_csv(sparkov.path).head(20).to_dict("records")
    scores = model.score([*records, {"amt": 1.0}])
    table = scores.to_arrow()
    assert table.column_names == ["row", "outcome", "score", "threshold"]
    assert table.to_pylist() == scores.to_dicts()
    assert scores.to_pandas()["score"].isna().tolist() == [False] * 20 + [True]
    assert scores.to_polars()["score"].null_count() == 1
    explanation = model.explain(records, 3)
    for each, text in ((scores, "21 rows at threshold"), (model, "average precision"), (explanation, "of score")):
        assert text in repr(each)
        assert len(repr(each)) < 400
        assert "\n" not in repr(each)
        assert each._repr_html_().startswith("<table><caption>")
    assert explanation.top()[0].text.replace("'", "&#x27;") in explanation._repr_html_()
