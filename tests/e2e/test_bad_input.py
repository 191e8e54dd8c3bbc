"""What a user does wrong ends in one clear message (thing, place, remedy) and an exit code that is not 0."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from commands import Command
from fraudstream.runtime.processes import free_port

pytestmark = pytest.mark.e2e

HEADER = "Time,V1,V2,Amount,Class"


def rows(count: int = 40) -> list[str]:
    return [f"{i},{i * 0.1:.1f},{-i * 0.2:.1f},{i}.5,{int(i % 10 == 3)}" for i in range(count)]


def with_cell(line: int, column: int, value: str) -> list[str]:
    lines = rows(1_200)
    cells = lines[line].split(",")
    cells[column] = value
    lines[line] = ",".join(cells)
    return lines


CSVS: dict[str, tuple[str, list[str]]] = {
    "empty": ("", ["empty", "header"]),
    "only a header": (HEADER + "\n", ["no row"]),
    "no label": ("Time,V1\n1,2\n2,3\n", ["label", "--label"]),
    "a label of three values": ("\n".join([HEADER, *with_cell(5, 4, "7")]), ["Class"]),
    "one class only": ("\n".join([HEADER, *(r[:-1] + "0" for r in rows())]), ["Class"]),
    "text where numbers are": ("\n".join([HEADER, *with_cell(1_100, 1, "abc")]), ["V1", "abc", ":1102"]),
    "a broken row": ("\n".join([HEADER, *rows(20), "1,2", *rows(5)]), [":22"]),
}


PROCESSES = ("demo", "detect", "relay")
"""Commands that start others, or Java, before they refuse; the rest refuse in this process, which is quicker."""


@pytest.fixture
def command_ends(run: Command, run_here: Command) -> Command:
    """Runs a command to its end, in this process where it starts no other."""

    def end(command: str, *arguments: object, **more: Any) -> subprocess.CompletedProcess[str]:
        return (run if command in PROCESSES else run_here)(command, *arguments, **more)

    return end


def is_one_clear_message(code: int, error: str, *expected: str) -> None:
    assert code != 0
    assert "Traceback" not in error
    assert error.count("fraudstream: ") == 1, error
    assert "remedy:" in error
    assert "unexpected error" not in error
    for word in expected:
        assert word.lower() in error.lower(), error


@pytest.mark.parametrize("name", list(CSVS))
def test_a_csv_that_cannot_be_trained_on_is_refused(name: str, command_ends: Command, tmp_path: Path) -> None:
    text, expected = CSVS[name]
    path = tmp_path / "payments.csv"
    path.write_text(text)
    done = command_ends("train", "--data", path, "--models", tmp_path / "models")
    is_one_clear_message(done.returncode, done.stderr, "payments.csv", *expected)
    assert not (tmp_path / "models" / "current").exists()


@pytest.mark.parametrize("command", ["train", "score", "produce", "demo"])
def test_a_missing_file_is_named(command: str, command_ends: Command, models: Path, tmp_path: Path) -> None:
    extra: dict[str, list[object]] = {
        "score": ["--output", tmp_path / "out.csv", "--model", models / "current"],
        "demo": ["--workdir", tmp_path / "demo", "--no-browser", "--port", free_port()],
    }
    done = command_ends(command, "--data", tmp_path / "nothing.csv", *extra.get(command, []))
    is_one_clear_message(done.returncode, done.stderr, "nothing.csv")


def broker_away(payments: Path, models: Path, tmp_path: Path) -> dict[str, list[object]]:
    nobody = f"127.0.0.1:{free_port()}"
    return {
        "produce": ["--data", payments, "--bootstrap-servers", nobody],
        "detect": [
            "--model", models / "current", "--bootstrap-servers", nobody, "--checkpoint", tmp_path / "checkpoint",
        ],
        "relay": ["--bootstrap-servers", nobody],
    }  # fmt: skip


def test_a_broker_that_is_not_there_is_named(run: Command, payments: Path, models: Path, tmp_path: Path) -> None:
    commands = broker_away(payments, models, tmp_path)
    with ThreadPoolExecutor() as at_once:  # each waits some seconds for it
        for done in at_once.map(lambda name: run(name, *commands[name]), commands):
            is_one_clear_message(done.returncode, done.stderr, "127.0.0.1:")


@pytest.mark.parametrize(
    "arguments",
    [
        lambda port, payments, folder: ["dashboard", "--port", port, "--database", f"sqlite:///{folder / 'a.db'}"],
        lambda port, payments, folder: ["broker", "--port", port, "--data-dir", folder / "kafka"],
        lambda port, payments, folder: [
            "demo", "--data", payments, "--port", port, "--workdir", folder / "demo", "--no-browser",
        ],
    ],
    ids=["dashboard", "broker", "demo"],
)  # fmt: skip
def test_a_port_in_use_is_named(
    arguments: Callable[[int, Path, Path], list[object]], command_ends: Command, payments: Path, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        done = command_ends(*arguments(port, payments, tmp_path))
    is_one_clear_message(done.returncode, done.stderr, str(port))


@pytest.mark.parametrize("command", ["score", "detect"])
def test_no_model_says_how_to_train_one(command: str, command_ends: Command, payments: Path, tmp_path: Path) -> None:
    extra: list[object] = ["--data", payments, "--output", tmp_path / "out.csv"] if command == "score" else []
    if command == "detect":
        extra = ["--checkpoint", tmp_path / "checkpoint"]
    done = command_ends(command, "--model", tmp_path / "models" / "current", *extra)
    is_one_clear_message(done.returncode, done.stderr, "fraudstream train")


def test_a_model_whose_files_were_changed_is_refused(
    command_ends: Command, payments: Path, models: Path, tmp_path: Path
) -> None:
    own = copytree(models, tmp_path / "models")
    changed = next(path for path in sorted(own.rglob("*.parquet")))
    changed.write_bytes(changed.read_bytes() + b"x")
    done = command_ends("score", "--data", payments, "--output", tmp_path / "out.csv", "--model", own / "current")
    is_one_clear_message(done.returncode, done.stderr, changed.name)
    assert not (tmp_path / "out.csv").exists()


def test_a_dashboard_for_the_network_asks_for_tokens(command_ends: Command, tmp_path: Path) -> None:
    done = command_ends(
        "dashboard", "--host", "0.0.0.0", "--port", free_port(), "--database", f"sqlite:///{tmp_path / 'a.db'}"
    )
    is_one_clear_message(done.returncode, done.stderr, "token")


def test_a_setting_that_makes_no_sense_is_named(command_ends: Command) -> None:
    done = command_ends("relay", env={"FRAUDSTREAM_PORT": "many"})
    is_one_clear_message(done.returncode, done.stderr, "port", "FRAUDSTREAM_PORT")
