"""Two real dashboards on one PostgreSQL: each page is live, whichever dashboard it is connected to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from dashboards import EventReader, RunningDashboard, alert, running_dashboard, start
from fraudstream.runtime.processes import wait_until
from postgres import PostgresServer, running_postgres

Pair = tuple[RunningDashboard, RunningDashboard]


@pytest.fixture
def pair(tmp_path: Path, store_url: Callable[[Path], str]) -> Iterator[Pair]:
    url = store_url(tmp_path)
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    with running_dashboard(folders[0], database=url) as first, running_dashboard(folders[1], database=url) as second:
        yield first, second


def event(number: int) -> dict[str, Any]:
    at = {"topic": "credit_card_transactions", "partition": 0, "offset": number, "produced_at": "2026-01-02T03:04:05Z"}
    sample = {"schema_id": "s-1", "columns": {"Amount": "number"}, "column_count": 1, "model_id": "m-1"}
    return {"type": "sample", "event_id": f"sample-{number}", "score": 0.25, "threshold": 0.5, **at, **sample}


def test_alerts_that_either_dashboard_stores_are_on_both_pages_in_one_order(
    pair: Pair, postgres: PostgresServer
) -> None:
    assert pair[0].database is not None
    for nonsense in ("", "nonsense", "{}", '{"from":"x","kind":"work","items":[[1]]}', '{"kind":"triage","items":7}'):
        postgres.execute(f"NOTIFY fraudstream, '{nonsense}'", database=pair[0].database.rpartition("/")[2])
    readers = [EventReader(f"{each.url}/api/stream") for each in pair]
    assert all(reader.wait_for("stats") for reader in readers)

    def post(dashboard: RunningDashboard, first: int) -> None:
        for number in range(first, first + 25):
            dashboard.post("/api/alerts", [alert(number)])

    threads = [threading.Thread(target=post, args=(each, 100 * n)) for n, each in enumerate(pair)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(reader.wait_for("alert", 50) for reader in readers)
    orders = [[int(each["id"]) for each in reader.of("alert")] for reader in readers]
    assert orders[0] == orders[1] == sorted(orders[0])
    assert len(set(orders[0])) == 50
    for reader in readers:
        reader.close()


def test_a_verdict_is_shown_on_the_other_page_and_taken_by_one_person(pair: Pair) -> None:
    first, second = pair
    reader = EventReader(f"{second.url}/api/stream")
    assert reader.wait_for("stats")
    first.post("/api/alerts", [alert(1)])
    assert reader.wait_for("alert")
    statuses = []
    for dashboard, name in ((first, "Ann"), (second, "Ben")):
        headers = {"Content-Type": "application/json", "X-Fraudstream-Actor": quote(name)}
        body = orjson.dumps({"alert_ids": ["id-1"]})
        answer = dashboard.pool.request("POST", f"{dashboard.url}/api/work/claim", body=body, headers=headers)
        statuses.append(answer.status)
    assert statuses == [200, 409]
    assert reader.wait_for("work")
    (news,) = (orjson.loads(each["data"]) for each in reader.of("work"))
    assert news["actor"] == "Ann"
    assert [(each["alert_id"], each["status"], each["assignee"]) for each in news["changes"]] == [
        ("id-1", "claimed", "Ann")
    ]
    reader.close()


def test_what_a_relay_posts_to_one_is_counted_on_both(pair: Pair) -> None:
    first, second = pair
    ends = {"credit_card_transactions": {"0": {"begin": 0, "end": 40}}}
    position = {"type": "position", "event_id": "p", "at": "2026-01-02T03:04:05+00:00", "positions": ends}
    first.post("/api/events", [position, *(event(number) for number in range(30))])

    def states(dashboard: RunningDashboard) -> list[str]:
        return [each["state"] for each in dashboard.get("/api/system")["processes"] if each["process"] == "relay"]

    for dashboard in pair:
        assert wait_until(lambda on=dashboard: states(on) == ["running"], 10)  # type: ignore[misc]
        charts = dashboard.get("/api/charts")
        assert sum(charts["scores"]["samples"]) == 30
    assert second.get("/api/stats")["payments_seen"] == 40


def test_a_dashboard_whose_database_is_away_is_not_ready_says_why_and_heals(tmp_path: Path) -> None:
    with running_postgres() as server:
        server.execute("CREATE DATABASE store")
        with running_dashboard(tmp_path, database=server.url("store")) as dashboard:
            dashboard.post("/api/alerts", [alert(1)])
            server.kill()
            headers = {"Content-Type": "application/json"}
            body = orjson.dumps([alert(2)])
            answer = dashboard.pool.request("POST", f"{dashboard.url}/api/alerts", body=body, headers=headers)
            assert answer.status == 503
            ready = dashboard.pool.request("GET", f"{dashboard.url}/ready")
            assert ready.status == 503
            assert b"alert store" in ready.data
            assert b"Traceback" not in ready.data
            server.start()
            dashboard.post("/api/alerts", [alert(2)])
            assert dashboard.pool.request("GET", f"{dashboard.url}/ready").status == 200
            # A stream may end while the store is away, when figures are due on it; a page then connects again.
            reader = EventReader(f"{dashboard.url}/api/stream?last_event_id=1")
            assert reader.wait_for("alert")
            dashboard.post("/api/alerts", [alert(3)])
            assert reader.wait_for("alert", 2)
            assert reader.alerts() == ["id-2", "id-3"]
            reader.close()


def test_the_minutes_of_all_are_written_by_one(pair: Pair, postgres: PostgresServer) -> None:
    first, second = pair
    for dashboard, numbers in ((first, range(10)), (second, range(10, 30))):
        dashboard.post("/api/events", [event(number) for number in numbers])
    for dashboard in pair:
        assert wait_until(lambda on=dashboard: sum(on.get("/api/charts")["scores"]["samples"]) == 30, 10)  # type: ignore[misc]
    first.end()  # it writes its minute, of what both have counted, if it is the one that writes
    third = start(first.directory, first.port, database=first.database)
    try:
        for dashboard in pair:
            assert wait_until(lambda on=dashboard: sum(on.get("/api/charts")["scores"]["samples"]) == 30, 10)  # type: ignore[misc]
    finally:
        third.terminate()
        third.wait(10)
