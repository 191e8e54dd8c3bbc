"""The commands `train`, `models compare` and `evaluate` on a second model: a candidate, compared and measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from commands import Command

pytestmark = [pytest.mark.e2e, pytest.mark.spark, pytest.mark.nightly]


def document(run: Command, *arguments: object) -> Any:
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_second_model_is_a_candidate_that_is_compared_and_measured(
    payments: Path, run: Command, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    train = ("train", "--data", payments, "--models", models, "--algorithm", "logistic-regression")
    first = document(run, *train)
    assert first["deployed"]
    worse = (*train, "--features", "V1,V2", "--name", "two columns", "--tag", "trial")
    second = document(run, *worse)
    assert (second["deployed"], second["in_force"]["model_id"]) == (False, first["model_id"])
    assert second["previous"]["measures"][0]["name"] == "average precision"
    assert f"to deploy it: fraudstream models use {second['model_id']} --models {models}" in run(*worse).stdout
    compared = document(run, "models", "compare", first["model_id"], "two columns", "--models", models)
    assert compared["a"] == first["model_id"]
    assert compared["comparison"]["rows"] == second["previous"]["rows"]
    assert [each["model"] for each in compared["thresholds"][:2]] == ["new", "former"]
    text = run("models", "compare", first["model_id"], "trial", "--models", models)
    assert "money saved" in text.stdout, text.stderr

    later = tmp_path / "later.csv"
    assert run("simulate", "--rows", 5000, "--seed", 9, "--output", later).returncode == 0
    measured = document(run, "evaluate", "--data", later, "--model", models / second["model_id"])
    assert (measured["model_id"], measured["rows"], measured["unscorable"]) == (second["model_id"], 5000, 0)
    assert "it may have used some of these rows" in measured["warnings"][0]
    own = document(run, "evaluate", "--data", payments, "--model", models / "current")
    assert "its figures are too high" in own["warnings"][0]
