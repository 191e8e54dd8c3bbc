"""The tour of docs/tour.md: its commands are run as they stand, in order, in one bash, as a reader would."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from commands import alive, descendants, read_scores
from fraudstream.runtime.processes import free_port, stop, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark, pytest.mark.nightly]

PAGE = Path(__file__).parents[2] / "docs" / "tour.md"
BLOCK_SECONDS = 120
CHANGE = 2_000
SECOND_RUN = 10_000
IDS_AND_NUMBERS = re.compile(r"\b[0-9a-f]{12,}\b|\d+([.,]\d+)*")


@dataclass(frozen=True)
class Block:
    """A block of commands, with the output that the page shows for it in parts, as `…` leaves lines out."""

    section: str
    commands: str
    expected: list[str]


@dataclass(frozen=True)
class Snapshot:
    """What the dashboard showed at the end of a section; empty where there was none."""

    stats: dict[str, Any] = field(default_factory=dict)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    files: frozenset[str] = frozenset()


@dataclass
class Tour:
    """What came of the whole tour."""

    outputs: list[tuple[Block, str]] = field(default_factory=list)
    after: dict[str, Snapshot] = field(default_factory=dict)
    exported: list[dict[str, str]] = field(default_factory=list)
    scores: dict[int, tuple[str, float | None]] = field(default_factory=dict)
    pids: set[int] = field(default_factory=set)
    ports: tuple[int, int] = (0, 0)


def blocks() -> list[Block]:
    result: list[Block] = []
    for section in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE):
        for kind, text in re.findall(r"^```(\w+)\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL):
            if kind == "text":
                result[-1].expected.extend(part for part in text.split("…\n") if part.strip())
            else:
                assert kind == "bash", f"a block of {kind} is neither commands nor output"
                result.append(Block(section.splitlines()[0], text, []))
    return result


class Terminal:
    """One bash that runs block after block; the tour's ports are replaced by free ones, and nothing else is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker, self.dashboard = free_port(), free_port()
        self._replaced = {
            "localhost:5000": f"localhost:{self.dashboard}",
            "--port 5000": f"--port {self.dashboard}",
            "127.0.0.1:9092": f"127.0.0.1:{self.broker}",
            "--port 9092": f"--port {self.broker}",
        }
        self._count = 0
        self.process = subprocess.Popen(
            ["bash"],
            stdin=subprocess.PIPE,
            cwd=folder,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name != "COLUMNS"}
            | {
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # as .venv/bin/activate has it
                "FRAUDSTREAM_BOOTSTRAP_SERVERS": f"127.0.0.1:{self.broker}",
                "FRAUDSTREAM_API": f"http://127.0.0.1:{self.dashboard}",
            },
        )

    def run(self, commands: str) -> str:
        """Run a block to its end; its output. A command that fails fails the test, unless bash expects it to."""
        for of_the_page, free in self._replaced.items():
            commands = re.sub(rf"{of_the_page}\b", free, commands)
        self._count += 1
        script, output, done = (self.folder / f"block-{self._count}.{kind}" for kind in ("sh", "out", "done"))
        script.write_text(f"trap 'echo \"FAILED: $BASH_COMMAND\"' ERR\n{commands}")
        assert self.process.stdin is not None
        self.process.stdin.write(f"source '{script}' > '{output}' 2>&1; touch '{done}'\n".encode())
        self.process.stdin.flush()
        ended = wait_until(lambda: done.exists() or self.process.poll() is not None, BLOCK_SECONDS)
        text = output.read_text()
        assert ended, f"no end in {BLOCK_SECONDS} s: {commands}\n{text}\n{self._logs()}"
        assert done.exists(), f"bash ended: {commands}\n{text}"
        assert "FAILED: " not in text, f"{commands}\n{text}\n{self._logs()}"
        return text

    def snapshot(self) -> Snapshot:
        files = frozenset(path.name for path in (self.folder / "tour").glob("*"))
        try:
            return Snapshot(
                self._get("/api/stats"),
                self._get("/api/alerts?limit=1000")["alerts"],
                self._get("/api/dead-letters")["dead_letters"],
                files,
            )
        except (URLError, OSError):
            return Snapshot(files=files)

    def close(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()

    def _get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.dashboard}{path}", timeout=10) as answer:
            got: dict[str, Any] = json.load(answer)
        return got

    def _logs(self) -> str:
        logs = sorted((self.folder / "tour").glob("*.log"))
        return "".join(f"== {log.name}\n{log.read_text()[-2000:]}\n" for log in logs)


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tour]:
    """The tour, taken from the first command to the last."""
    terminal = Terminal(tmp_path_factory.mktemp("reader"))
    taken = Tour(ports=(terminal.broker, terminal.dashboard))
    try:
        for block in blocks():
            taken.outputs.append((block, terminal.run(block.commands)))
            taken.pids |= set(descendants(terminal.process.pid))
            snapshot = terminal.snapshot()
            if snapshot.files:
                taken.after[block.section] = snapshot
            for name, path in ((name, terminal.folder / "tour" / name) for name in snapshot.files):
                if name == "scores.csv" and not taken.scores:
                    taken.scores = read_scores(path)
                if name == "alerts.csv":
                    taken.exported = list(csv.DictReader(io.StringIO(path.read_text())))
        yield taken
    finally:
        stop(terminal.process, 1)
        terminal.close()


def frauds(tour: Tour) -> dict[int, float | None]:
    return {row: score for row, (outcome, score) in tour.scores.items() if outcome == "alert"}


def comparable(text: str) -> str:
    """Without digits, ids and the places at which lines were broken."""
    return " ".join(IDS_AND_NUMBERS.sub("#", text).split())


def test_the_commands_print_what_the_page_shows_but_for_digits(tour: Tour) -> None:
    missing = "\n".join(
        f"== {block.section}: the page shows\n{part}== and there came\n{output}"
        for block, output in tour.outputs
        for part in block.expected
        if comparable(part) not in comparable(output)
    )
    assert not missing, missing
    assert sum(bool(block.expected) for block, _ in tour.outputs) >= 8


def test_rows_sent_while_processes_were_down_are_stored_once(tour: Tour) -> None:
    snapshot = tour.after["5. Break something"]
    assert len(frauds(tour)) > 20
    assert sorted((alert["source_row"], alert["score"]) for alert in snapshot.alerts) == sorted(frauds(tour).items())
    assert len({alert["alert_id"] for alert in snapshot.alerts}) == len(snapshot.alerts) == snapshot.stats["alerts"]
    waited = [
        datetime.fromisoformat(alert["detected_at"]) - datetime.fromisoformat(alert["produced_at"])
        for alert in snapshot.alerts
    ]
    assert max(waited).total_seconds() > 3  # so the kill met rows that flowed


def test_the_broken_record_is_the_one_dead_letter(tour: Tour) -> None:
    snapshot = tour.after["5. Break something"]
    assert snapshot.stats["payments_seen"] == len(tour.scores) + 1
    assert snapshot.stats["dead_letters"] == len(snapshot.dead_letters) == 1
    assert snapshot.stats["rejected"] == snapshot.stats["conflicts"] == snapshot.stats["unscorable"] == 0


def test_alerts_after_the_change_name_new_and_imputed_columns(tour: Tour) -> None:
    before = {alert["alert_id"] for alert in tour.after["5. Break something"].alerts}
    again = [alert for alert in tour.after["6. Add a column, lose another"].alerts if alert["alert_id"] not in before]
    late = [alert for alert in again if alert["source_row"] >= CHANGE]
    early = [alert for alert in again if alert["source_row"] < CHANGE]
    assert late
    assert early
    assert {tuple(alert["imputed"]) for alert in late} == {("V26",)}
    assert all("TerminalId" in alert["transaction"] and "V26" not in alert["transaction"] for alert in late)
    assert {tuple(alert["imputed"]) for alert in early} == {()}
    assert all("TerminalId" not in alert["transaction"] and "V26" in alert["transaction"] for alert in early)
    assert {a["source_row"] for a in early} == {row for row in frauds(tour) if row < CHANGE}
    assert max(alert["source_row"] for alert in late) < SECOND_RUN


def test_the_change_of_columns_started_no_query_anew(tour: Tour) -> None:
    (starts,) = (output for block, output in tour.outputs if "/api/events?type=query" in block.commands)
    assert starts.count("the query is running") == len(starts.splitlines()) == 2


def test_the_export_lists_every_alert(tour: Tour) -> None:
    snapshot = tour.after["7. Export"]
    assert len(tour.exported) == snapshot.stats["alerts"]
    assert {row["alert_id"] for row in tour.exported} == {alert["alert_id"] for alert in snapshot.alerts}


def test_nothing_runs_and_nothing_lies_about_at_the_end(tour: Tour) -> None:
    assert len(tour.pids) >= 8
    assert wait_until(lambda: not alive(sorted(tour.pids)), 60), alive(sorted(tour.pids))
    for port in tour.ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_page_names_every_file_that_stays(tour: Tour) -> None:
    named = set(
        re.findall(r"`([^`]+?)/?`", "".join(re.findall(r"^\| (`.*?) \|", PAGE.read_text(), flags=re.MULTILINE)))
    )
    left = tour.after["8. Clean up"].files
    assert {name for name in left if not any(fnmatch(name, pattern) for pattern in named)} == set()
    assert {pattern for pattern in named if not any(fnmatch(name, pattern) for name in left)} == set()
