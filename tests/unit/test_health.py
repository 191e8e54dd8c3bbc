"""Readiness with a real SQLite: locked, full, removed; a relay and a detector that are silent or ill."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog
from flask.testing import FlaskClient

from dashboards import Clock, alert, told
from fraudstream.alerts.store import AlertStore
from fraudstream.config import Settings
from fraudstream.dashboard import health
from fraudstream.dashboard.app import create_app

TOPIC = "credit_card_transactions"

FULL = """
import resource, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from dashboards import alert
from fraudstream.alerts.store import AlertStore
from fraudstream.config import Settings
from fraudstream.dashboard.app import create_app

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = Path(sys.argv[1])
store = AlertStore.open(f"sqlite:///{file}")
client = create_app(Settings(), store).test_client()
note = "x" * 20_000
def post(numbers):
    alerts = [alert(n, transaction={"Amount": n, "note": note}) for n in numbers]
    return client.post("/api/alerts", json=alerts)
assert post(range(10)).status_code == 200
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (file.with_name(file.name + "-wal").stat().st_size + 8192, hard))
answers = [post(range(100 * k, 100 * k + 100)).status_code for k in range(1, 4)]
assert 503 in answers, answers
ready = client.get("/ready")
assert ready.status_code == 503 and ready.json["reasons"], ready.json
assert client.get("/health").status_code == 503
assert client.get("/api/alerts").status_code == 200
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
for k, status in enumerate(answers, 1):
    assert post(range(100 * k, 100 * k + 100)).status_code == 200
assert client.get("/ready").json == {"ready": True, "reasons": []}
assert client.get("/health").status_code == 200
assert store.totals()["alert"] == 310
print(ready.json["reasons"][0])
"""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[AlertStore]:
    store = AlertStore.open(f"sqlite:///{tmp_path / 'alerts.db'}", clock=clock)
    yield store
    store.close()


@pytest.fixture
def client(store: AlertStore, clock: Clock) -> FlaskClient:
    return create_app(Settings(), store, clock=clock).test_client()


def reasons(client: FlaskClient) -> list[str]:
    answer = client.get("/ready")
    found: list[str] = told(answer)["reasons"]
    assert answer.status_code == (503 if found else 200)
    return found


def status(state: str, message: str = "") -> dict[str, Any]:
    return {"type": "status", "state": state, "message": message, "at": "2026-01-02T03:04:05+00:00"}


def test_a_database_that_another_process_holds_is_told_within_ten_seconds_and_well_again_by_itself(
    client: FlaskClient, store: AlertStore, clock: Clock
) -> None:
    holder = sqlite3.connect(store.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    (reason,) = reasons(client)
    assert time.monotonic() - began < 10
    assert "locked" in reason
    assert client.get("/health").status_code == 503
    holder.execute("ROLLBACK")
    holder.close()
    clock.forward(2)
    assert reasons(client) == []
    assert told(client.get("/health")) == {"status": "ok", "checks": {"database": "ok"}}


def test_a_full_disk_is_told_and_what_was_refused_is_taken_once_there_is_room(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "alerts.db"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "did not take a write" in done.stdout


def test_a_failing_write_is_logged_once_and_not_with_each_retry(
    client: FlaskClient, store: AlertStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = StringIO()
    monkeypatch.setattr(health, "log", structlog.wrap_logger(structlog.PrintLogger(logged)))
    elsewhere = store.path.rename(store.path.with_name("elsewhere.db"))
    for _ in range(5):
        assert client.post("/api/alerts", json=[alert(1)]).status_code == 503
    assert logged.getvalue().count("takes no writes") == 1
    clock.forward(11)
    assert client.post("/api/alerts", json=[alert(1)]).status_code == 503
    assert logged.getvalue().count("takes no writes") == 2
    elsewhere.rename(store.path)
    assert client.post("/api/alerts", json=[alert(1)]).status_code == 200
    assert logged.getvalue().count("takes writes again") == 1


def test_a_file_that_was_removed_takes_no_alert_and_is_told(client: FlaskClient, store: AlertStore) -> None:
    store.path.unlink()
    assert client.post("/api/alerts", json=[alert(1)]).status_code == 503
    (reason,) = reasons(client)
    assert "removed or replaced" in reason


def test_a_detector_that_is_ill_is_told_with_its_own_words_until_it_runs(client: FlaskClient, clock: Clock) -> None:
    client.post("/api/events", json=[status("failing", "a task failed")])
    assert reasons(client) == ["the detector is failing: a task failed"]
    client.post("/api/events", json=[status("running")])
    assert reasons(client) == []
    clock.forward(16)
    client.post("/api/events", json=[])
    assert reasons(client) == ["the detector has said nothing for 16 s"]


def test_kafka_away_is_told_as_the_relay_says_it(client: FlaskClient, clock: Clock) -> None:
    trouble = {"type": "position", "at": clock().isoformat(), "positions": {}, "trouble": "Local: Timed out"}
    assert told(client.post("/api/events", json=[trouble]))["rejected"] == []
    assert reasons(client) == ["Kafka does not answer the relay: Local: Timed out"]
    position = {"type": "position", "at": clock().isoformat(), "positions": {TOPIC: {"0": {"begin": 0, "end": 5}}}}
    client.post("/api/events", json=[position])
    assert reasons(client) == []


def test_a_relay_that_posts_while_no_detector_has_ever_spoken_is_told(client: FlaskClient, clock: Clock) -> None:
    client.post("/api/events", json=[])
    clock.forward(31)
    client.post("/api/events", json=[])
    assert reasons(client) == ["no detector has said anything for 31 s"]


def test_a_dashboard_that_starts_on_a_stream_it_knows_waits_for_its_relay(
    client: FlaskClient, store: AlertStore, clock: Clock
) -> None:
    position = {"type": "position", "at": clock().isoformat(), "positions": {TOPIC: {"0": {"begin": 0, "end": 5}}}}
    client.post("/api/events", json=[position])
    again = create_app(Settings(), store, clock=clock).test_client()
    assert reasons(again) == []
    clock.forward(31)
    assert reasons(again) == ["no relay has posted anything for 31 s, since this dashboard began"]


def test_the_page_says_what_keeps_alerts_from_arriving(client: FlaskClient) -> None:
    client.post("/api/events", json=[status("failing", "no room <b>left</b>")])
    page = client.get("/").text
    assert "the detector is failing: no room &lt;b&gt;left&lt;/b&gt;" in page
    assert told(client.get("/api/stats"))["problems"] == ["the detector is failing: no room <b>left</b>"]
