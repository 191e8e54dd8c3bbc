"""Equal mistakes end with equal exit codes, whatever the command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from commands import Command

FAILED, WRONG_OPTION = 1, 2

NOBODY = "127.0.0.1:1"
MISTAKES: Mapping[str, tuple[int, str, list[str]]] = {
    "a file that is not there": (
        FAILED,
        "n.csv",
        [
            "inspect --data n.csv",
            "train --data n.csv",
            "train --data p.csv --labels n.csv --label-key Time",
            "produce --data n.csv",
            "explain --data n.csv --row 1",
            "dead-letters replay --id t/0/1 --why x --payload n.csv",
            "store restore n.csv",
        ],
    ),
    "no model": (
        FAILED,
        "model",
        [
            "score --data p.csv --output o.csv",
            "evaluate --data p.csv",
            "explain --data p.csv --row 1",
            "threshold",
            "threshold set 0.5",
            "schema alias a=b",
            "schema unalias a",
            "models show current",
            "models use current --why x",
            "models compare current gbt",
            "models rollback --why x",
        ],
    ),
    "a model of an unknown id": (
        FAILED,
        "there is no model 'gbt-12'",
        [
            "score --data p.csv --output o.csv --model gbt-12",
            "evaluate --data p.csv --model gbt-12",
            "explain --data p.csv --row 1 --model gbt-12",
            "threshold --model gbt-12",
            "schema alias a=b --model gbt-12",
            "schema unalias a --model gbt-12",
            "detect --model gbt-12",
            "dashboard --model gbt-12",
            "audit --model gbt-12",
            "models show gbt-12",
            "models use gbt-12 --why x",
            "models compare gbt-12 current2",
            "models verify gbt-12",
        ],
    ),
    "an unknown column": (
        WRONG_OPTION,
        "no column 'x'",
        [
            "inspect --data p.csv --label x",
            "inspect --data p.csv --labels p.csv --label-key x",
            "train --data p.csv --label x",
            "train --data p.csv --features x",
            "train --data p.csv --exclude x",
            "train --data p.csv --labels p.csv --label-key x",
            "produce --data p.csv --column-from x=3",
        ],
    ),
    "a Kafka that is not there": (
        FAILED,
        NOBODY,
        [
            f"produce --data p.csv --bootstrap-servers {NOBODY}",
            f"relay --bootstrap-servers {NOBODY}",
            f"audit --bootstrap-servers {NOBODY}",
            f"checkpoint show --bootstrap-servers {NOBODY}",
            f"checkpoint rebuild --bootstrap-servers {NOBODY}",
        ],
    ),
    "a dashboard that is not there": (
        FAILED,
        NOBODY,
        [
            f"explain --alert x --api http://{NOBODY}",
            f"schema suggestions --api http://{NOBODY}",
            f"schema accept a=b --api http://{NOBODY}",
            f"schema refuse a=b --api http://{NOBODY}",
            f"dead-letters list --api http://{NOBODY}",
            f"dead-letters download --output o.csv --api http://{NOBODY}",
            f"dead-letters replay --id t/0/1 --why x --dry-run --api http://{NOBODY}",
        ],
    ),
    "an option that is missing or wrong": (
        WRONG_OPTION,
        "",
        [
            "score",
            "explain --row 1",
            "models use gbt",
            "models show",
            "train --data p.csv --legitimate-share 2",
            "inspect --data p.csv --encoding martian",
            "threshold 7",
            "broker --port 0",
            "kafka nothing",
            "dead-letters replay",
            "dead-letters list --since x",
            "store prune --older-than x",
            "relay --no-such-option",
            "nothing",
        ],
    ),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with a file of payments and an empty folder of models."""
    rows = [f"{row},{row / 10},{row}.5,{int(row % 10 == 3)}" for row in range(60)]
    (tmp_path / "models").mkdir()
    (tmp_path / "p.csv").write_text("\n".join(["Time,V1,Amount,Class", *rows, ""]))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_equal_mistakes_have_equal_exit_codes(mistake: str, run_here: Command) -> None:
    code, message, lines = MISTAKES[mistake]
    for line in lines:
        done = run_here(*shlex.split(line))
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), f"{line}: {done.stderr}"
        assert message in done.stderr, line


def test_a_setting_that_is_wrong_is_a_wrong_option(run_here: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUDSTREAM_PORT", "many")
    for line in ("relay", "models list", "inspect --data p.csv"):
        assert run_here(*line.split()).returncode == WRONG_OPTION
