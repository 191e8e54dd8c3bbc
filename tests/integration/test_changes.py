"""The record of changes by API, page and file: what each kind leaves, that it is found again, and only once."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from apps import create_app
from columns import NOW, model_with_contract
from dashboards import Clock, alert, json_of, open_store
from fraudstream.config import Settings
from fraudstream.dashboard.app import Dashboard
from fraudstream.dashboard.services.revisions import deployed_model
from fraudstream.model.evaluation.thresholds import set_threshold
from fraudstream.store.changes import Action, Actor, ChangeLog
from fraudstream.store.store import AlertStore

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def store(tmp_path: Path, clock: Clock, store_url: Callable[[Path], str]) -> Iterator[AlertStore]:
    with open_store(tmp_path, clock, 7, store_url(tmp_path)) as store:
        yield store


@pytest.fixture
def client(store: AlertStore, clock: Clock) -> FlaskClient:
    client = create_app(Settings(), store, clock=clock).test_client()
    client.post("/api/actor", json={"name": "Ann"})
    return client


def decide(client: FlaskClient, *numbers: int, note: str = "") -> str:
    posted = {"alert_ids": [f"id-{n}" for n in numbers], "status": "false_alarm", "note": note}
    change_id: str = json_of(client.post("/api/work/verdict", json=posted))["change_id"]
    return change_id


def changes(client: FlaskClient, query: str = "") -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json_of(client.get(f"/api/audit{query}"))["changes"]
    return listed


def lines(client: FlaskClient, query: str = "") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(client.get(f"/api/audit.csv{query}").text, newline="")))


def dashboard_of(store: AlertStore, current: Path) -> Dashboard:
    return Dashboard(Settings(model=current), store, deployed_model(current), Clock())


def with_model(store: AlertStore, current: Path) -> FlaskClient:
    app = create_app(Settings(model=current), store, clock=Clock(), deployment=deployed_model(current))
    return app.test_client()


def test_a_change_is_found_with_who_when_before_and_after(client: FlaskClient) -> None:
    change_id = decide(client, 1, note="a refund")
    (change,) = changes(client)
    assert len(change.pop("hash")) == 64
    seq = json_of(client.get("/api/alerts/id-1"))["seq"]
    untouched = {"status": "new", "assignee": None, "version": 0, "decided_at": None, "since": None}
    at = "2026-01-02T03:04:05+00:00"
    decided = {"status": "false_alarm", "assignee": "Ann", "version": 1, "decided_at": at, "since": at}
    assert change == {
        "seq": 1,
        "change_id": change_id,
        "at": at,
        "actor": "Ann",
        "verified": False,
        "action": "verdict",
        "subject": "id-1",
        "before": untouched,
        "after": decided,
        "why": "a refund",
        "undoes": None,
        "undone_by": None,
        "session": None,
        "alerts": 1,
        "touched": [{"seq": seq, "alert_id": "id-1", "before": untouched, "after": decided}],
    }


def test_changes_are_filtered_and_paged(client: FlaskClient, clock: Clock) -> None:
    decide(client, 1)
    clock.forward(3600)
    client.post("/api/work/claim", json={"alert_ids": ["id-2"]}, headers={"X-Fraudstream-Actor": "Ben"})
    decide(client, 1, 3, 4, 5, 6, 7, note="all of one merchant")
    assert [each["action"] for each in changes(client)] == ["verdict", "claim", "verdict"]
    assert [each["actor"] for each in changes(client, "?action=claim")] == ["Ben"]
    assert len(changes(client, "?actor=Ann")) == 2
    assert changes(client, "?actor=ann") == []
    assert [each["seq"] for each in changes(client, "?since=2026-01-02T04:00:00Z")] == [3, 2]
    assert [each["seq"] for each in changes(client, "?until=2026-01-02T04:00:00Z&action=&actor=")] == [1]
    of_one = changes(client, "?alert_id=id-7")
    assert [(each["alerts"], [one["alert_id"] for one in each["touched"]]) for each in of_one] == [(6, ["id-7"])]
    assert changes(client, "?alert_id=gone") == []
    assert len(changes(client, "?alert_id=id-3")[0]["touched"]) == 1
    first = json_of(client.get("/api/audit?limit=2"))
    rest = json_of(client.get(f"/api/audit?limit=2&cursor={first['next_cursor']}"))
    assert [each["seq"] for each in first["changes"] + rest["changes"]] == [3, 2, 1]
    assert rest["next_cursor"] is None
    assert len(changes(client)[0]["touched"]) == 5


@pytest.mark.parametrize("query", ["action=delete", "since=yesterday", "cursor=x", "limit=0", "limit=1001"])
def test_a_question_that_makes_no_sense_is_answered_with_400(client: FlaskClient, query: str) -> None:
    assert client.get(f"/api/audit?{query}").status_code == 400
    assert client.get("/audit?action=delete").status_code == 400


def test_the_file_has_a_line_for_each_alert_and_its_export_is_recorded_before_it(client: FlaskClient) -> None:
    decide(client, 1, 2, note="=cmd()")
    client.post("/api/work/note", json={"alert_ids": ["id-3"], "text": "seen"})
    rows = lines(client, "?actor=Ann")
    assert [(line["action"], line["alert_id"], line["why"]) for line in rows] == [
        ("verdict", "id-1", "'=cmd()"),
        ("verdict", "id-2", "'=cmd()"),
        ("note", "id-3", "seen"),
    ]
    assert orjson.loads(rows[0]["after"])["status"] == "false_alarm"
    assert (rows[2]["before"], rows[2]["after"]) == ("", "")
    (export,) = changes(client, "?action=export")
    assert (export["subject"], export["after"]) == ("changes.csv", {"filter": {"actor": "Ann"}, "rows": 2})
    assert [line["alert_id"] for line in lines(client, "?alert_id=id-2")] == ["id-2"]


def test_a_long_file_is_whole_and_in_order(client: FlaskClient, store: AlertStore) -> None:
    log = ChangeLog(store.database)
    for number in range(3):
        log.record(Actor("Ben"), Action.EXPORT, f"file {number}", None)
        store.add_alerts([alert(n) for n in range(number * 800 + 1000, number * 800 + 1800)])
        ids = [f"id-{n}" for n in range(number * 800 + 1000, number * 800 + 1800)]
        client.post("/api/work/claim", json={"alert_ids": ids})
    exported_ids = [line["alert_id"] or line["subject"] for line in lines(client)]
    assert len(exported_ids) == 3 * 801
    assert [name for name in exported_ids if name.startswith("file")] == ["file 0", "file 1", "file 2"]
    assert [name for name in exported_ids if name.startswith("id")] == [f"id-{n}" for n in range(1000, 3400)]


@pytest.mark.parametrize(
    ("route", "subject", "rows"),
    [
        ("/api/alerts.csv?min_score=0.5&model_id=m-1", "fraudulent_transactions.csv", 7),
        ("/api/alerts.csv?min_score=0.5&model_id=m-2", "fraudulent_transactions.csv", 0),
        ("/api/dead-letters.csv?kind=all", "dead_letters.csv", 0),
        ("/api/dead-letters.jsonl", "dead_letters.jsonl", 0),
    ],
)
def test_what_leaves_as_a_file_is_recorded_with_its_filter_and_rows(
    client: FlaskClient, store: AlertStore, route: str, subject: str, rows: int
) -> None:
    client.get(route)
    nameless = client.application.test_client()
    nameless.head(route)
    nameless.get(route)
    unnamed, named = changes(client)
    assert (named["actor"], unnamed["actor"]) == ("Ann", None)
    assert (named["action"], named["subject"], named["after"]["rows"]) == ("export", subject, rows)
    assert named["after"]["filter"] == dict(part.split("=") for part in route.partition("?")[2].split("&") if part)
    assert changes(client, "?actor=-") == [unnamed]


def test_of_a_filter_on_what_is_inside_the_most_rows_are_recorded(client: FlaskClient) -> None:
    client.get("/api/alerts.csv?where=Amount:gt:100")
    (change,) = changes(client)
    assert change["after"] == {"filter": {"where": "Amount:gt:100"}, "rows_at_most": 7}
    assert "at most 7 rows, where=Amount:gt:100" in client.get("/audit").text


@pytest.mark.sqlite
def test_what_cannot_be_recorded_does_not_leave(client: FlaskClient, store: AlertStore) -> None:
    with store.database.write() as connection:
        connection.exec_driver_sql("CREATE TRIGGER b BEFORE INSERT ON changes BEGIN SELECT RAISE(ABORT, 'full'); END")
    assert client.get("/api/alerts.csv").status_code == 503


def test_each_revision_is_recorded_once_by_who_made_it_and_by_what_differs(store: AlertStore, tmp_path: Path) -> None:
    current = model_with_contract(tmp_path / "models")
    client = with_model(store, current)
    deployments = dashboard_of(store, current).deployments
    deployments.record()
    set_threshold(current, value=0.75, who="Zoë", why=f"fewer alarms {SCRIPT}", now=NOW)
    set_threshold(current, value=0.8, who="Ben", why="fewer still", now=NOW)
    for _ in range(3):
        deployments.record()
    dashboard_of(store, current).deployments.record()  # a restart
    recorded = changes(client)
    assert [(each["action"], each["actor"], each["why"]) for each in recorded] == [
        ("threshold", "Ben", "fewer still"),
        ("threshold", "Zoë", f"fewer alarms {SCRIPT}"),
        ("model", "test", ""),
    ]
    second = recorded[0]
    assert (second["before"]["threshold"], second["after"]["threshold"]) == (0.75, 0.8)
    assert (second["before"]["revision"], second["after"]["revision"]) == (2, 3)
    assert recorded[2]["before"] is None
    assert second["at"].startswith(NOW.date().isoformat())


def test_what_came_while_the_dashboard_was_away_is_recorded_when_it_is_back(store: AlertStore, tmp_path: Path) -> None:
    current = model_with_contract(tmp_path / "models")
    for threshold in (0.6, 0.7):
        set_threshold(current, value=threshold, who="Ann", why="", now=NOW)
    client = with_model(store, current)
    dashboard_of(store, current).deployments.record()
    assert [each["after"]["threshold"] for each in changes(client)] == [0.7, 0.6, 0.5]


def test_a_threshold_of_another_process_is_sent_to_every_viewer(store: AlertStore, tmp_path: Path) -> None:
    current = model_with_contract(tmp_path / "models")
    dashboard = dashboard_of(store, current)
    dashboard.deployments.record()
    before, _ = dashboard.hub.position()
    set_threshold(current, value=0.75, who="Zoë", why="on the command line", now=NOW)
    dashboard.deployments.record()
    (event,) = dashboard.hub.after(before, 0) or []
    assert event.frame.startswith(b"event: stats\n")
    assert b'"threshold":0.75' in event.frame
    dashboard.deployments.record()
    assert dashboard.hub.position()[0] == before + 1


def test_aliases_are_recorded_with_the_name_of_who_declared_or_refused_them(store: AlertStore, tmp_path: Path) -> None:
    client = with_model(store, model_with_contract(tmp_path / "models"))
    client.post("/api/actor", json={"name": "Zoë"})
    client.post("/api/schema/aliases", json={"new": "third", "old": "V3", "why": "renamed"})
    script = {"X-Fraudstream-Actor": "a script"}
    client.post("/api/schema/aliases/remove", json={"new": "third", "who": "a script"}, headers=script)
    for _ in range(2):
        client.post("/api/schema/suggestions/refuse", json={"new": SCRIPT, "old": "V3", "why": "no"})
    recorded = changes(client, "?action=alias")
    assert [(each["actor"], each["why"]) for each in recorded] == [
        ("Zoë", "no"),
        ("a script", "removed on the dashboard"),
        ("Zoë", "renamed"),
    ]
    assert [each["after"].get("aliases") for each in recorded] == [None, {}, {"third": "V3"}]
    page = client.get("/audit").text
    assert "third as V3" in page
    assert SCRIPT not in page


@pytest.mark.sqlite
def test_a_revision_that_cannot_be_recorded_is_recorded_later(store: AlertStore, tmp_path: Path) -> None:
    current = model_with_contract(tmp_path / "models")
    deployments = dashboard_of(store, current).deployments
    with store.database.write() as connection:
        connection.exec_driver_sql("CREATE TRIGGER b BEFORE INSERT ON changes BEGIN SELECT RAISE(ABORT, 'full'); END")
    assert not deployments.record()
    with store.database.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER b")
    assert deployments.record()
    assert len(changes(with_model(store, current))) == 1


def test_the_page_shows_each_kind_of_change_and_leads_to_its_alert(client: FlaskClient) -> None:
    assert "No changes yet" in client.get("/audit").text
    name = f"Ann {SCRIPT}"
    client.post("/api/actor", json={"name": name})
    change_id = decide(client, 1, 2, 3, 4, 5, 6, note=SCRIPT)
    client.post("/api/work/undo", json={"change_id": change_id})
    client.get("/api/alerts.csv?min_score=0.25")
    page = client.get("/audit").text
    assert SCRIPT not in page
    assert '<a href="/alerts/id-1">' in page
    assert "false alarm by Ann &lt;script&gt;" in page
    assert "and 1 more; the CSV lists all" in page
    assert "undone later" in page
    assert "7 rows, min_score=0.25" in page
    assert "No matches" in client.get("/audit?actor=Ben").text
    assert "/api/audit.csv?action=verdict" in client.get("/audit?action=verdict&actor=").text


def test_the_page_has_pages(client: FlaskClient) -> None:
    for _ in range(26):
        client.post("/api/work/claim", json={"alert_ids": ["id-1"]})
        client.post("/api/work/release", json={"alert_ids": ["id-1"]})
    page = client.get("/audit?alert_id=id-1").text
    assert page.count("data-change=") == 50
    assert "/audit?alert_id=id-1&amp;cursor=3" in page
    older = client.get("/audit?alert_id=id-1&cursor=3").text
    assert older.count("data-change=") == 2
    assert 'rel="next"' not in older
