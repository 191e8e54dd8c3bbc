"""The whole system, started by one command on a CSV, as a user would look at it from outside."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from commands import alive, command_line, descendants, read_scores
from fraudstream.runtime.processes import free_port, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark]

PARTS = {"broker", "detector", "relay", "dashboard", "producer"}


@dataclass
class Demo:
    """A running demo."""

    process: subprocess.Popen[bytes]
    url: str
    workdir: Path
    output: Path

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            body: bytes = answer.read()
        return body

    def stats(self) -> dict[str, Any]:
        try:
            stats: dict[str, Any] = json.loads(self.get("/api/stats"))
        except (URLError, OSError):
            return {}
        return stats

    def alerts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = json.loads(self.get(f"/api/alerts?limit=100{cursor}"))
            found += page["alerts"]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    def pids(self) -> dict[str, int]:
        pids: dict[str, int] = json.loads((self.workdir / "pids.json").read_text())
        return pids

    def is_caught_up(self, rows: int) -> bool:
        stats = self.stats()
        return stats.get("payments_seen") == rows and stats.get("scored") == rows

    def explain(self) -> str:
        logs = "".join(f"\n== {log.name}\n{log.read_text()[-2000:]}" for log in (self.workdir / "logs").glob("*.log"))
        return f"{self.output.read_text()[-2000:]}{logs}"


@pytest.fixture(scope="module")
def demo(payments: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    workdir = tmp_path_factory.mktemp("demo")
    port = free_port()
    output = workdir / "screen.log"
    with output.open("wb") as screen:
        process = subprocess.Popen(
            command_line(
                "demo", "--data", payments, "--rate", 400, "--port", port, "--workdir", workdir, "--no-browser"
            ),
            stdout=screen,
            stderr=subprocess.STDOUT,
        )
    running = Demo(process, f"http://127.0.0.1:{port}", workdir, output)
    try:
        assert wait_until(lambda: running.is_caught_up(2_000) or process.poll() is not None, 600, every=0.5)
        assert process.poll() is None, running.explain()
        yield running
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def expected(demo: Demo, payments: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """The frauds of the file with their scores, by `fraudstream score` and the demo's own model."""
    output = tmp_path_factory.mktemp("scored") / "scores.csv"
    model = demo.workdir / "models" / "current"
    subprocess.run(command_line("score", "--data", payments, "--model", model, "--output", output), check=True)
    found = {row: score for row, (outcome, score) in read_scores(output).items() if outcome == "alert"}
    assert len(found) > 20
    return {row: score for row, score in found.items() if score is not None}


def test_the_store_holds_exactly_the_frauds_that_score_finds_with_the_same_scores(
    demo: Demo, expected: dict[int, float]
) -> None:
    assert wait_until(lambda: demo.stats().get("alerts") == len(expected), 60), demo.explain()
    alerts = demo.alerts()
    assert {alert["source_row"]: alert["score"] for alert in alerts} == expected
    assert len({alert["alert_id"] for alert in alerts}) == len(alerts)


def test_the_csv_holds_the_same_alerts_with_the_transactions_own_columns(
    demo: Demo, expected: dict[int, float]
) -> None:
    rows = list(csv.DictReader(io.StringIO(demo.get("/api/alerts.csv").decode("utf-8-sig"))))
    assert list(rows[0])[:6] == ["alert_id", "outcome", "score", "threshold", "produced_at", "detected_at"]
    assert {"Time", "V1", "Amount", "Class"} <= set(rows[0])
    assert sorted(float(row["score"]) for row in rows) == sorted(expected.values())


def test_an_alert_is_whole(demo: Demo) -> None:
    (alert, *_) = demo.alerts()
    assert set(alert) >= {
        "alert_id", "topic", "partition", "offset", "produced_at", "detected_at", "outcome", "score", "threshold",
        "model_id", "revision", "schema_id", "imputed", "transaction",
    }  # fmt: skip
    assert alert["produced_at"] <= alert["detected_at"]
    assert isinstance(alert["transaction"]["V1"], float)


def test_all_that_a_demo_writes_is_for_its_user_alone(demo: Demo) -> None:
    written = {path.relative_to(demo.workdir).as_posix(): path.lstat().st_mode for path in demo.workdir.rglob("*")}
    assert {name: oct(mode) for name, mode in written.items() if mode & 0o077} == {}
    parts = ("models/current", "kafka/log", "checkpoint/offsets", "logs/detector.log", "alerts.db", "alerts.db-wal")
    assert {*parts, "pids.json", "produced.json"} <= written.keys()


def test_pids_json_names_each_process(demo: Demo) -> None:
    assert set(demo.pids()) == PARTS
    assert alive([pid for name, pid in demo.pids().items() if name != "producer"]) == [
        pid for name, pid in demo.pids().items() if name != "producer"
    ]


@pytest.mark.nightly  # the short chaos run kills each of them in every change
@pytest.mark.parametrize("part", ["detector", "relay", "dashboard", "broker"])
def test_a_killed_process_restarts_without_loss_or_duplicates(
    demo: Demo, expected: dict[int, float], part: str
) -> None:
    pid = demo.pids()[part]
    family = [pid, *descendants(pid)]
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not alive(family), 1.5), [Path(f"/proc/{p}/cmdline").read_text() for p in alive(family)]
    assert wait_until(lambda: demo.pids()[part] != pid, 60), demo.explain()
    ready = demo.workdir / ".ready" / part
    assert wait_until(ready.exists, 90), demo.explain()
    assert wait_until(lambda: demo.is_caught_up(2_000), 120, every=0.5), demo.explain()
    assert {alert["source_row"]: alert["score"] for alert in demo.alerts()} == expected


def test_a_second_demo_in_the_same_folder_is_refused(demo: Demo, payments: Path) -> None:
    done = subprocess.run(
        command_line("demo", "--data", payments, "--workdir", demo.workdir, "--port", free_port(), "--no-browser"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "another demo is running in this folder" in done.stderr


def test_sigterm_stops_every_process(demo: Demo) -> None:
    family = [demo.process.pid, *descendants(demo.process.pid)]
    assert len(family) >= 8
    demo.process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        demo.process.wait(60)
    assert demo.process.returncode == 0, demo.explain()
    assert alive(family) == []
