"""Readiness with a real SQLite: locked, full, removed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pytest
import structlog
from flask.testing import FlaskClient

from dashboards import Clock, alert, file_of, json_of
from fraudstream.dashboard.services import system_state
from fraudstream.store.store import AlertStore

FULL = """
import resource, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from dashboards import alert
from fraudstream.store.store import AlertStore
from fraudstream.config import Settings
from apps import create_app

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
answers = [post(range(30 * k, 30 * k + 30)).status_code for k in range(1, 4)]
assert 503 in answers, answers
ready = client.get("/ready")
assert ready.status_code == 503 and ready.json["reasons"], ready.json
assert client.get("/health").status_code == 503
assert client.get("/api/alerts").status_code == 200
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
for k, status in enumerate(answers, 1):
    assert post(range(30 * k, 30 * k + 30)).status_code == 200
assert client.get("/ready").json == {"ready": True, "reasons": []}
assert client.get("/health").status_code == 200
assert store.totals()["alert"] == 100
print(ready.json["reasons"][0])
"""


def reasons(client: FlaskClient) -> list[str]:
    answer = client.get("/ready")
    texts: list[str] = json_of(answer)["reasons"]
    assert answer.status_code == (503 if texts else 200)
    return texts


def test_a_locked_database_is_reported_and_recovers_by_itself(
    client: FlaskClient, store: AlertStore, clock: Clock
) -> None:
    holder = sqlite3.connect(file_of(store), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    (reason,) = reasons(client)
    assert time.monotonic() - began < 60
    assert "locked" in reason
    assert client.get("/health").status_code == 503
    holder.execute("ROLLBACK")
    holder.close()
    clock.forward(2)
    assert reasons(client) == []
    assert json_of(client.get("/health")) == {"status": "ok", "checks": {"database": "ok"}}


def test_a_full_disk_is_reported_and_posts_succeed_once_there_is_space(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "alerts.db"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=Path(__file__).parents[1] / "support",
    )
    assert process.returncode == 0, process.stderr[-3000:]
    assert "a write to the alert store failed" in process.stdout


def test_a_failing_write_is_logged_once_and_not_with_each_retry(
    client: FlaskClient, store: AlertStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = StringIO()
    monkeypatch.setattr(system_state, "log", structlog.wrap_logger(structlog.PrintLogger(logged)))
    elsewhere = file_of(store).rename(file_of(store).with_name("elsewhere.db"))
    for _ in range(5):
        assert client.post("/api/alerts", json=[alert(1)]).status_code == 503
    assert logged.getvalue().count("accepts no writes") == 1
    clock.forward(11)
    assert client.post("/api/alerts", json=[alert(1)]).status_code == 503
    assert logged.getvalue().count("accepts no writes") == 2
    elsewhere.rename(file_of(store))
    assert client.post("/api/alerts", json=[alert(1)]).status_code == 200
    assert logged.getvalue().count("accepts writes again") == 1


def test_a_file_that_was_removed_takes_no_alert_and_is_reported(client: FlaskClient, store: AlertStore) -> None:
    file_of(store).unlink()
    assert client.post("/api/alerts", json=[alert(1)]).status_code == 503
    (reason,) = reasons(client)
    assert "removed or replaced" in reason
