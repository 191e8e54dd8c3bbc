"""The Python interface on a session that this Python already has, as in a notebook."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

import fraudstream
from fraudstream.errors import DataNotFound, ModelNotFound
from fraudstream.model.artifact import ModelArtifact
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
