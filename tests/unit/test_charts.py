"""What each minute came to: counted, kept across a restart, and given by the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dashboards import Clock, alert, open_store, told
from fraudstream.alerts.minutes import BINS, Label
from fraudstream.alerts.store import AlertStore
from fraudstream.config import Settings
from fraudstream.dashboard.app import create_app
from fraudstream.dashboard.charts import Charts
from fraudstream.dashboard.minutes import MinuteTally


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[AlertStore]:
    with open_store(tmp_path, clock) as store:
        yield store


def charts(store: AlertStore, tally: MinuteTally, clock: Clock) -> Charts:
    return Charts(store, tally, label=lambda: Label("Class", "1"), threshold=lambda: 0.5, clock=clock)


def paid(number: int, amount: float, label: object = None) -> dict[str, object]:
    own = {} if label is None else {"Class": label}
    return alert(number, transaction={"Amount": amount} | own)


def test_a_minute_holds_what_came_in_it_and_a_restart_keeps_it(store: AlertStore, clock: Clock) -> None:
    tally = MinuteTally()
    first = charts(store, tally, clock)
    tally.end(clock(), 100)
    tally.end(clock() + timedelta(seconds=1), 130)
    tally.score(clock(), 0.0)
    tally.score(clock(), 1.0)
    tally.latencies(clock(), "store", [0.9])
    tally.latencies(clock(), "page", [0.002, 0.004])
    store.add_alerts([paid(1, 10.0, 1), paid(2, 2.5, "0"), paid(3, 1.5)])
    before = first.report(3)
    clock.forward(60)
    store.add_alerts([paid(4, 4.0, 1.0)])
    first.flush()
    first.flush()
    report = charts(store, MinuteTally(), clock).report(3)
    assert before["minutes"]["alerts"] == [0, 0, 3]
    assert report["minutes"]["alerts"] == [0, 3, 1]
    assert report["minutes"]["payments"] == [None, 30, None]
    assert report["minutes"]["at_risk"] == [0, 14.0, 4.0]
    assert report["minutes"]["p50_ms"] == [None, 2.0, None]
    assert report["minutes"]["latency_to"] == [None, "page", None]
    assert report["scores"]["samples"] == [1, *[0] * (BINS - 2), 1]
    assert report["precision"]["label"] == {"column": "Class", "alerts": 3, "frauds": 2, "share": 0.666667}


def test_minutes_older_than_a_day_are_forgotten(store: AlertStore, clock: Clock) -> None:
    tally = MinuteTally()
    kept = charts(store, tally, clock)
    tally.score(clock(), 0.5)
    clock.forward(60)
    kept.flush()
    assert sum(kept.report(2)["scores"]["samples"]) == 1
    clock.forward(24 * 3600)
    tally.score(clock(), 0.5)
    clock.forward(60)
    kept.flush()
    assert sum(kept.report(1440)["scores"]["samples"]) == 1


def test_the_api_gives_the_minutes_asked_for(store: AlertStore) -> None:
    client = create_app(Settings.load(), store, clock=lambda: datetime.now(UTC)).test_client()
    assert len(told(client.get("/api/charts"))["minutes"]["at"]) == 60
    assert len(told(client.get("/api/charts?minutes=1440"))["minutes"]["alerts"]) == 1440
    assert client.get("/api/charts?minutes=1441").status_code == 400
    assert client.get("/charts").status_code == 200
