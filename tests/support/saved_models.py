"""Small models in the files that Spark ML saves, written without Spark; tests/spark holds the reader to Spark's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from columns import NOW, manifest
from fraudstream.model.artifact import ModelArtifact, write_artifact
from fraudstream.model.deployment.current import deploy
from fraudstream.model.manifest import Feature, Manifest

LINEAR_ID = "logistic-regression-0123456789ab"
COEFFICIENTS = (2.0, -1.0, 0.5, 0.0, 1.5)
INTERCEPT = -3.0


def dense(values: Sequence[float]) -> dict[str, Any]:
    return {"type": 1, "size": None, "indices": None, "values": list(values)}


def save_table(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / "part-00000.snappy.parquet")


def save_linear(features: Sequence[Feature], coefficients: Sequence[float], scaler: Path, classifier: Path) -> None:
    """A scaler that scales by 2, and a logistic regression on what it gives."""
    width = sum(len(feature.components) for feature in features)
    save_table(scaler / "data", [{"std": dense([0.5] * width), "mean": dense([0.0] * width)}])
    matrix = {
        "type": 1, "numRows": 1, "numCols": width, "colPtrs": None, "rowIndices": None,
        "values": list(coefficients), "isTransposed": True,
    }  # fmt: skip
    row = {
        "numClasses": 2, "numFeatures": width, "interceptVector": dense([INTERCEPT]),
        "coefficientMatrix": matrix, "isMultinomial": False,
    }  # fmt: skip
    save_table(classifier / "data", [row])


def linear_manifest(model_id: str = LINEAR_ID) -> Manifest:
    return replace(manifest(model_id), algorithm="logistic-regression")


def linear_model(models: Path, model_id: str = LINEAR_ID, linear: Manifest | None = None) -> ModelArtifact:
    """A logistic regression on V1 to V4 and Amount."""
    linear = linear or linear_manifest(model_id)

    def save(scaler: Path, classifier: Path) -> None:
        save_linear(linear.features, COEFFICIENTS, scaler, classifier)

    return write_artifact(models, linear, save)


def deployed_linear_model(models: Path) -> Path:
    """The same, active with the first revision; returns its `current` file."""
    linear_model(models)
    deploy(models, LINEAR_ID, 0.5, who="test", why="", now=NOW)
    return models / "current"
