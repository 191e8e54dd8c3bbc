"""The whole system, started by one command on a CSV, as a user would look at it from outside."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
from pathlib import Path

import pytest

from archives import held
from commands import ROWS, Command, alive, command_line, descendants
from fraudstream.runtime.processes import free_port, wait_until
from running_demo import Demo

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark]

PARTS = {"broker", "detector", "relay", "dashboard", "producer", "archive"}


def test_the_store_holds_exactly_the_frauds_that_score_finds_with_the_same_scores(
    demo: Demo, frauds: dict[int, float]
) -> None:
    assert wait_until(lambda: demo.stats().get("alerts") == len(frauds), 60), demo.explain()
    alerts = demo.alerts()
    assert {alert["source_row"]: alert["score"] for alert in alerts} == frauds
    assert len({alert["alert_id"] for alert in alerts}) == len(alerts)


def test_the_archive_has_each_payment_once_and_scores_the_same(
    demo: Demo, models: Path, scores: dict[int, tuple[str, float | None]], run: Command, tmp_path: Path
) -> None:
    archive, output = demo.workdir / "archive", tmp_path / "scores.csv"
    assert wait_until(lambda: len(held(archive)) == ROWS, 60), demo.explain()
    done = run("score", "--data", archive, "--model", models / "current", "--output", output, "--keep", "Time")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(output.read_text().splitlines()))
    # Time is three times the row's number; payments of one millisecond may be in another order.
    archived = {int(row["Time"]) // 3: (row["outcome"], float(row["score"])) for row in rows}
    assert len(rows) == ROWS
    assert archived == scores


def test_the_csv_holds_the_same_alerts_with_the_transactions_own_columns(demo: Demo, frauds: dict[int, float]) -> None:
    rows = list(csv.DictReader(io.StringIO(demo.get("/api/alerts.csv").decode("utf-8-sig"))))
    assert list(rows[0])[:6] == ["alert_id", "outcome", "score", "threshold", "produced_at", "detected_at"]
    assert {"Time", "V1", "Amount", "Class"} <= set(rows[0])
    assert sorted(float(row["score"]) for row in rows) == sorted(frauds.values())


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
@pytest.mark.parametrize("part", ["detector", "relay", "dashboard", "broker", "archive"])
def test_a_killed_process_restarts_without_loss_or_duplicates(demo: Demo, frauds: dict[int, float], part: str) -> None:
    pid = demo.pids()[part]
    family = [pid, *descendants(pid)]
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not alive(family), 1.5), [Path(f"/proc/{p}/cmdline").read_text() for p in alive(family)]
    assert wait_until(lambda: demo.pids()[part] != pid, 60), demo.explain()
    ready = demo.workdir / ".ready" / part
    assert wait_until(ready.exists, 90), demo.explain()
    assert wait_until(lambda: demo.is_caught_up(ROWS), 120, every=0.5), demo.explain()
    assert {alert["source_row"]: alert["score"] for alert in demo.alerts()} == frauds


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
