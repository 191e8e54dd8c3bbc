"""`fraudstream explain` for a row of a CSV and for a stored alert; that it is right is test_explanation.py's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from columns import row
from fraudstream.cli.entry import cli
from fraudstream.errors import DashboardFailed, DataError, SettingsError
from fraudstream.interface import load
from saved_models import deployed_linear_model


@pytest.fixture
def current(tmp_path: Path) -> Path:
    return deployed_linear_model(tmp_path / "models")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [row(1), row(2), row(3, V1=None) | {"V1": ""}, row(4) | dict.fromkeys(("V1", "V2", "V3"), "")]
    names = list(row(1))
    lines = [",".join(names), *(",".join(str(each[name]) for name in names) for each in rows)]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli, ["explain", *map(str, arguments)])


def test_a_row_is_explained_step_by_step_to_its_outcome(current: Path, data: Path) -> None:
    answer = run("--data", data, "--row", 1, "--model", current, "--json")
    assert answer.exit_code == 0, answer.output
    explanation = orjson.loads(answer.stdout)
    assert explanation["base"] + sum(step["contribution"] for step in explanation["steps"]) == pytest.approx(
        explanation["margin"], abs=1e-9
    )
    assert [step["came"] for step in explanation["steps"]] == [row(2)[step["feature"]] for step in explanation["steps"]]
    assert explanation["outcome"] == ("alert" if explanation["score"] >= explanation["threshold"] else "clear")
    text = run("--data", data, "--row", 1, "--model", current).stdout
    assert repr(explanation["score"]) in text
    assert f"{explanation['base']:+.6f} log odds: " in text
    assert explanation["reasons"][0]["text"][:20] in text


def test_missing_cells_and_an_unscorable_row_are_said_to_be_so(current: Path, data: Path) -> None:
    missing = orjson.loads(run("--data", data, "--row", 2, "--model", current, "--json").stdout)
    assert missing["steps"][0]["read_as"] == "missing: the typical value is used"
    assert (missing["steps"][0]["imputed"], missing["judgeable"]) == (True, True)
    unscorable = run("--data", data, "--row", 3, "--model", current).stdout
    assert "unscorable: 3 columns are missing" in unscorable


def test_python_explains_as_the_command_does(current: Path, data: Path) -> None:
    by_command = orjson.loads(run("--data", data, "--row", 0, "--model", current, "--json").stdout)
    explanation = load(current).explain(data, 0)
    assert (explanation.score, explanation.margin) == (by_command["score"], by_command["margin"])


def test_what_to_explain_has_to_be_clear_and_there(current: Path, data: Path) -> None:
    for arguments in ((), ("--data", data), ("--data", data, "--row", 1, "--alert", "x")):
        assert isinstance(run(*arguments, "--model", current).exception, SettingsError)
    assert isinstance(run("--data", data, "--row", 99, "--model", current).exception, DataError)
    assert isinstance(run("--alert", "x", "--api", "http://127.0.0.1:1").exception, DashboardFailed)
