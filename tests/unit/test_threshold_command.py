"""`fraudstream threshold`: the table of the active model, and the deployment of another threshold."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from columns import MODEL_ID, NOW, manifest
from fraudstream.cli.entry import cli
from fraudstream.errors import ModelError, ModelNamedDirectly, SettingsError
from fraudstream.model.artifact import write_artifact
from fraudstream.model.deployment.current import Deployment, deploy, read_current, write_deployment
from fraudstream.model.evaluation.record import (
    EVALUATION_FILE,
    Evaluation,
    Operating,
    ThresholdChoice,
    ThresholdRow,
    Timeline,
    evaluation_to_json,
    read_evaluation,
)
from fraudstream.model.evaluation.thresholds import require_evaluation, set_threshold


def row(threshold: float, true_positives: int, alarms: float) -> ThresholdRow:
    operating = Operating(10, true_positives, alarms, 100.0 * true_positives, 100.0 * (10 - true_positives), days=2.0)
    return ThresholdRow(threshold, operating, replace(operating, days=1.0))


ROWS = (row(1.0, 0, 0), row(0.8, 5, 10), row(0.4, 8, 60), row(0.1, 10, 400))
EVALUATION = Evaluation(
    model_id=MODEL_ID,
    algorithm="gbt",
    data="a.csv",
    legitimate_share=1.0,
    seed=1,
    measured_on="the test period",
    timeline=Timeline("file order", (), 0.0, 0, "", ""),
    candidates=(),
    choice="",
    test=None,
    threshold=ThresholdChoice(0.4, "least cost", 2.5, "", None, "Amount", "", ROWS[2]),
    thresholds=ROWS,
    importances=(),
    importance_note="",
    leaks=(),
    previous=None,
)


@pytest.fixture
def current(tmp_path: Path) -> Path:
    beside = {EVALUATION_FILE: evaluation_to_json(EVALUATION)}
    write_artifact(tmp_path / "models", manifest(), lambda scaler, classifier: None, beside)
    write_deployment(tmp_path / "models", Deployment(MODEL_ID, 0.4, {"new": "V1"}), who="test", why="", now=NOW)
    return tmp_path / "models" / "current"


def test_what_is_written_is_read(current: Path) -> None:
    assert read_evaluation(current.parent / MODEL_ID) == EVALUATION


def test_a_value_is_the_next_revision_with_who_and_why(current: Path) -> None:
    ran = CliRunner().invoke(
        cli, ["threshold", "set", "0.7", "--who", "ann", "--why", "fewer", "--model", str(current)]
    )
    assert ran.exit_code == 0, ran.output
    deployment = read_current(current)
    assert (deployment.threshold, deployment.revision, deployment.who, deployment.why) == (0.7, 2, "ann", "fewer")
    assert deployment.aliases == {"new": "V1"}
    assert "revision 2" in ran.output


@pytest.mark.parametrize("change", [("0.7",), ("--review-cost", "20")])
def test_without_set_and_a_terminal_nothing_is_changed(current: Path, change: tuple[str, ...]) -> None:
    ran = CliRunner().invoke(cli, ["threshold", *change, "--model", str(current)])
    assert isinstance(ran.exception, SettingsError)
    assert "threshold set" in ran.exception.remedy
    assert read_current(current).revision == 1


@pytest.mark.parametrize("arguments", [("set",), ("set", "0.2", "0.3"), ("0.2", "set"), ("set", "1.5")])
def test_what_is_no_single_threshold_is_refused(current: Path, arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(cli, ["threshold", *arguments, "--model", str(current)]).exit_code != 0
    assert read_current(current).revision == 1


@pytest.mark.parametrize(("answer", "revision"), [(b"y\n", 2), (b"n\n", 1)])
def test_a_terminal_asks_before_the_change(current: Path, answer: bytes, revision: int) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "fraudstream", "threshold", "0.7", "--model", str(current)]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as asking:
        os.write(ours, answer)
        output, _ = asking.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert f"Change the threshold of {MODEL_ID} from 0.4 to 0.7?" in output.decode()
    assert read_current(current).revision == revision


@pytest.mark.parametrize(
    ("review_cost", "limit", "expected"),
    [(0.1, None, 0.1), (2.5, None, 0.4), (20.0, None, 0.8), (1000.0, None, 1.0), (0.1, 34.0, 0.4), (None, 10.0, 0.8)],
)
def test_the_cheapest_by_the_models_own_table_is_taken(
    current: Path, review_cost: float | None, limit: float | None, expected: float
) -> None:
    change = set_threshold(current, review_cost=review_cost, max_alerts_per_day=limit, who="ann", why="", now=NOW)
    assert change.threshold == expected


@pytest.mark.parametrize(("arguments", "warns"), [(("--review-cost", "20"), True), (("0.7",), False)])
def test_a_choice_by_the_cost_of_few_frauds_is_a_warning(
    current: Path, arguments: tuple[str, ...], warns: bool
) -> None:
    ran = CliRunner().invoke(cli, ["threshold", "set", *arguments, "--model", str(current)])
    assert ran.exit_code == 0, ran.output
    assert ("warning: chosen by the cost of 10 frauds" in ran.stderr) == warns


@pytest.mark.parametrize("constraints", [{}, {"value": 0.5, "review_cost": 1.0}, {"max_alerts_per_day": -1.0}])
def test_what_is_not_clear_changes_nothing(current: Path, constraints: dict[str, Any]) -> None:
    before = read_current(current)
    with pytest.raises(SettingsError):
        set_threshold(current, **constraints, who="ann", why="", now=NOW)
    assert read_current(current) == before


def test_a_model_named_directly_keeps_its_threshold(current: Path) -> None:
    with pytest.raises(ModelNamedDirectly):
        set_threshold(current.parent / MODEL_ID, value=0.5, who="ann", why="", now=NOW)


def test_the_table_describes_the_active_threshold(current: Path) -> None:
    set_threshold(current, value=0.5, who="ann", why="", now=NOW)
    ran = CliRunner().invoke(cli, ["threshold", "--model", str(current)], env={"COLUMNS": "160"})
    assert "recommended" in ran.output
    assert "> 0.8" in " ".join(ran.output.split())
    assert "* 0.4" in " ".join(ran.output.split())
    document = json.loads(CliRunner().invoke(cli, ["threshold", "--json", "--model", str(current)]).output)
    assert [each["threshold"] for each in document["thresholds"]] == [1.0, 0.8, 0.4, 0.1]
    assert document["thresholds"][2]["expected"]["cost"] == 200 + 2.5 * 60
    assert document["in_force"]["revision"] == 2


def test_a_model_of_an_earlier_version_takes_a_value_and_has_no_table(tmp_path: Path) -> None:
    write_artifact(tmp_path, manifest(), lambda scaler, classifier: None)
    deploy(tmp_path, MODEL_ID, 0.5, who="test", why="", now=NOW)
    with pytest.raises(ModelError, match="no threshold table"):
        require_evaluation(tmp_path / MODEL_ID)
    assert set_threshold(tmp_path / "current", value=0.3, who="ann", why="", now=NOW).threshold == 0.3
