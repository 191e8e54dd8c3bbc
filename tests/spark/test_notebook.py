"""The notebook in docs runs as it stands, and its stored outputs are those of its cells but for the figures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from run_notebook import code_cells, read, run

pytestmark = [pytest.mark.spark, pytest.mark.nightly]

FIGURES = re.compile(r"\b[0-9a-f]{12}\b|[-+]?\d[\d,.]*(?:e[-+]?\d+)?|(?<=\S) +|-{3,}")


def text_of(outputs: list[dict[str, Any]]) -> list[str]:
    return [
        FIGURES.sub("#", "".join(lines))
        for output in outputs
        for lines in ([output["text"]] if "text" in output else output["data"].values())
    ]


def test_the_notebook_runs_and_its_outputs_are_stored(spark: SparkSession, tmp_path: Path) -> None:
    cells = code_cells(read())
    outputs = run(["".join(cell["source"]) for cell in cells], tmp_path)
    for cell, output in zip(cells, outputs, strict=True):
        assert text_of(output) == text_of(cell["outputs"])
