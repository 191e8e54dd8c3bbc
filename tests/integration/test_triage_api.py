"""The routes for triage: who acts, what is permitted, and what all others are notified of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from werkzeug.test import TestResponse

from apps import create_app
from dashboards import Clock, alert, json_of, open_store
from fraudstream.config import Settings
from fraudstream.store.store import AlertStore

READ = "read-token-of-tests"
STRANGE = ["Zoë 张伟 🦊", "<script>alert(1)</script>", 'O\'Neill; "x" = 1, %41', "x" * 80]
INVALID_NAMES = ["", "   ", "x" * 81, "a\nb", "a\x00b", "Ann\u200b", "\u202eAnn", 7, None, ["Ann"]]


@pytest.fixture
def store(tmp_path: Path, store_url: Callable[[Path], str]) -> Iterator[AlertStore]:
    with open_store(tmp_path, alerts=4, url=store_url(tmp_path)) as store:
        yield store


@pytest.fixture
def app(store: AlertStore) -> Flask:
    return create_app(Settings(), store, clock=Clock())


@pytest.fixture
def ann(app: Flask) -> FlaskClient:
    return named(app, "Ann")


@pytest.fixture
def ben(app: Flask) -> FlaskClient:
    return named(app, "Ben")


def named(app: Flask, name: str) -> FlaskClient:
    """A browser that has said who it is."""
    client = app.test_client()
    assert client.post("/api/actor", json={"name": name}).status_code == 200
    return client


def test_a_browser_says_once_who_it_is_and_may_take_it_back(app: Flask) -> None:
    client = app.test_client()
    assert json_of(client.get("/api/actor")) == {"actor": None}
    answer = client.post("/api/actor", json={"name": " Ann "})
    assert json_of(answer) == {"actor": {"name": "Ann", "verified": False}}
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("fraudstream_actor=Ann;")
    assert "SameSite=Strict" in cookie
    assert "Max-Age=31536000" in cookie
    assert json_of(client.get("/api/actor")) == json_of(answer)
    assert json_of(client.delete("/api/actor")) == {"actor": None}
    assert json_of(client.get("/api/actor")) == {"actor": None}


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_name_is_stored_unchanged(app: Flask, name: str) -> None:
    client = named(app, name)
    assert json_of(client.get("/api/actor"))["actor"]["name"] == name
    result = json_of(client.post("/api/work/claim", json={"alert_ids": ["id-1"]}))
    assert result["done"][0]["assignee"] == name
    assert json_of(client.get("/api/alerts/id-1"))["work"]["assignee"] == name


@pytest.mark.parametrize("name", INVALID_NAMES)
def test_what_is_no_name_is_refused(app: Flask, name: object) -> None:
    answer = app.test_client().post("/api/actor", json={"name": name})
    assert answer.status_code == 400
    assert json_of(answer)["error"].startswith("name must be")


def test_one_name_typed_in_two_ways_is_one_person(app: Flask) -> None:
    named(app, "Zoe\u0308").post("/api/work/claim", json={"alert_ids": ["id-1"]})
    assert named(app, "Zo\u00eb").post("/api/work/release", json={"alert_ids": ["id-1"]}).status_code == 200


def test_a_script_says_who_it_is_in_a_header(app: Flask, ann: FlaskClient) -> None:
    header = {"X-Fraudstream-Actor": quote("Zoë the 2nd")}
    result = json_of(ann.post("/api/work/claim", json={"alert_ids": ["id-1"]}, headers=header))
    assert result["done"][0]["assignee"] == "Zoë the 2nd"


@pytest.mark.parametrize("header", ["", "%ff%fe", "%0A", "x" * 81])
@pytest.mark.parametrize("route", ["claim", "release", "verdict", "note", "undo", "next"])
def test_a_change_of_alerts_needs_a_name(app: Flask, store: AlertStore, route: str, header: str) -> None:
    posted = {"alert_ids": ["id-1"], "status": "unsure", "text": "x", "change_id": "x"}
    answer = app.test_client().post(f"/api/work/{route}", json=posted, headers={"X-Fraudstream-Actor": header})
    assert answer.status_code == 400
    assert json_of(answer)["error"].startswith("give your name")
    assert store.alerts()[0].document()["work"]["version"] == 0


def test_a_claim_is_answered_with_how_the_alert_stands_and_a_second_one_with_409(
    ann: FlaskClient, ben: FlaskClient, store: AlertStore
) -> None:
    result = json_of(ann.post("/api/work/claim", json={"alert_ids": ["id-1"]}))
    seq = json_of(ann.get("/api/alerts/id-1"))["seq"]
    expected = {"alert_id": "id-1", "seq": seq, "status": "claimed", "assignee": "Ann", "version": 1}
    assert result["done"] == [expected | {"decided_at": None, "since": "2026-01-02T03:04:05+00:00"}]
    assert (result["refused"], len(result["change_id"])) == ([], 32)
    answer = ben.post("/api/work/claim", json={"alert_ids": ["id-1"]})
    assert answer.status_code == 409
    reply = json_of(answer)
    assert reply["refused"][0]["work"] == {
        "status": "claimed",
        "assignee": "Ann",
        "version": 1,
        "decided_at": None,
        "since": "2026-01-02T03:04:05+00:00",
    }
    assert reply["error"] == reply["refused"][0]["reason"]
    assert ben.post("/api/work/claim", json={"alert_ids": ["id-1", "id-2"]}).status_code == 200
    assert ben.post("/api/work/claim", json={"alert_ids": ["id-1"], "take_over": True}).status_code == 200


def test_a_verdict_a_note_and_their_undoing_are_in_the_history(ann: FlaskClient) -> None:
    posted = {"alert_ids": ["id-1", "id-1"], "status": "false_alarm", "note": "a refund"}
    result = json_of(ann.post("/api/work/verdict", json=posted))
    ann.post("/api/work/note", json={"alert_ids": ["id-1"], "text": "<b>checked</b>"})
    json_of(ann.post("/api/work/undo", json={"change_id": result["change_id"]}))
    history = json_of(ann.get("/api/work/id-1"))
    assert history["work"]["status"] == "new"
    assert [(each["action"], each["why"]) for each in history["history"]] == [
        ("undo", ""),
        ("note", "<b>checked</b>"),
        ("verdict", "a refund"),
    ]
    verdict = history["history"][2]
    assert (verdict["actor"], verdict["verified"], verdict["undone_by"]) == (
        "Ann",
        False,
        history["history"][0]["change_id"],
    )
    assert (verdict["before"]["status"], verdict["after"]["status"]) == ("new", "false_alarm")
    assert ann.post("/api/work/undo", json={"change_id": result["change_id"]}).status_code == 409
    assert ann.post("/api/work/undo", json={"change_id": "none"}).status_code == 404
    assert ann.get("/api/work/gone").status_code == 404


def test_a_release_gives_the_alert_back(ann: FlaskClient, ben: FlaskClient) -> None:
    ann.post("/api/work/claim", json={"alert_ids": ["id-1"]})
    assert ben.post("/api/work/release", json={"alert_ids": ["id-1"]}).status_code == 409
    assert json_of(ann.post("/api/work/release", json={"alert_ids": ["id-1"]}))["done"][0]["status"] == "new"


def test_a_stale_version_is_refused_with_what_it_is_now(ann: FlaskClient, ben: FlaskClient) -> None:
    ann.post("/api/work/verdict", json={"alert_ids": ["id-1"], "status": "unsure"})
    posted = {"alert_ids": ["id-1"], "status": "confirmed_fraud", "take_over": True}
    assert ben.post("/api/work/verdict", json=posted | {"versions": {"id-1": 0}}).status_code == 409
    assert ben.post("/api/work/verdict", json=posted | {"versions": {"id-1": 1}}).status_code == 200


def test_next_gives_the_alert_whole_and_claimed(ann: FlaskClient, ben: FlaskClient, store: AlertStore) -> None:
    store.add_alerts([alert(9, score=0.99, transaction={"Amount": 5000.0}), alert(10, score=0.98)])
    claim = json_of(ann.post("/api/work/next", json={"min_score": 0.95}))
    assert (claim["alert"]["alert_id"], claim["alert"]["work"]["assignee"]) == ("id-9", "Ann")
    assert claim["alert"]["reasons"] is None
    assert claim["change_id"] == json_of(ann.get("/api/work/id-9"))["history"][0]["change_id"]
    assert json_of(ben.post("/api/work/next", json={"min_score": 0.95, "skip": ["id-10"]})) == {
        "alert": None,
        "change_id": None,
    }
    assert json_of(ben.post("/api/work/next", json={"order": "oldest"}))["alert"]["alert_id"] == "id-1"


@pytest.mark.parametrize(
    ("route", "posted"),
    [
        ("claim", {}),
        ("claim", {"alert_ids": []}),
        ("claim", {"alert_ids": "id-1"}),
        ("claim", {"alert_ids": ["id-1", 2]}),
        ("claim", {"alert_ids": ["x" * 241]}),
        ("claim", {"alert_ids": [f"id-{n}" for n in range(1001)]}),
        ("claim", {"alert_ids": ["id-1"], "take_over": "yes"}),
        ("claim", ["id-1"]),
        ("verdict", {"alert_ids": ["id-1"]}),
        ("verdict", {"alert_ids": ["id-1"], "status": "claimed"}),
        ("verdict", {"alert_ids": ["id-1"], "status": ["unsure"]}),
        ("verdict", {"alert_ids": ["id-1"], "status": "unsure", "note": 7}),
        ("verdict", {"alert_ids": ["id-1"], "status": "unsure", "note": "x" * 4001}),
        ("verdict", {"alert_ids": ["id-1"], "status": "unsure", "versions": {"id-1": "0"}}),
        ("verdict", {"alert_ids": ["id-1"], "status": "unsure", "versions": {"id-1": True}}),
        ("note", {"alert_ids": ["id-1"]}),
        ("note", {"alert_ids": ["id-1", "id-2"], "text": "x"}),
        ("undo", {}),
        ("undo", {"change_id": 7}),
        ("next", {"order": "best"}),
        ("next", {"order": ["loss"]}),
        ("next", {"skip": "id-1"}),
        ("next", {"min_score": "high"}),
        ("next", {"model_id": {"a": 1}}),
    ],
)
def test_what_makes_no_sense_is_answered_with_400_and_changes_nothing(
    ann: FlaskClient, store: AlertStore, route: str, posted: Any
) -> None:
    assert ann.post(f"/api/work/{route}", json=posted).status_code == 400
    assert json_of(ann.get("/api/audit"))["changes"] == []


def test_who_may_read_may_work_and_nobody_else(store: AlertStore) -> None:
    settings = Settings(read_token=SecretStr(READ), ingest_token=SecretStr("ingest-token-of-tests"))
    app = create_app(settings, store, clock=Clock())
    posted = {"alert_ids": ["id-1"]}
    who = {"X-Fraudstream-Actor": "Ann"}
    stranger, reader = app.test_client(), app.test_client()
    assert stranger.post("/api/work/claim", json=posted, headers=who).status_code == 401
    assert stranger.post("/api/actor", json={"name": "Ann"}).status_code == 401
    assert reader.post("/login", data={"token": READ}).status_code == 303
    assert reader.post("/api/actor", json={"name": "Ben"}).status_code == 200
    assert reader.post("/api/work/claim", json={"alert_ids": ["id-2"]}).status_code == 200
    bearer = who | {"Authorization": f"Bearer {READ}"}
    assert stranger.post("/api/work/claim", json=posted, headers=bearer).status_code == 200
    assert stranger.post("/api/alerts", json=[], headers=bearer).status_code == 401
    foreign = bearer | {"Origin": "https://elsewhere.example"}
    assert stranger.post("/api/work/claim", json=posted, headers=foreign).status_code == 403


def test_work_posted_as_a_form_is_refused(ann: FlaskClient) -> None:
    answer: TestResponse = ann.post("/api/work/claim", data='{"alert_ids":["id-1"]}', content_type="text/plain")
    assert answer.status_code == 415


def test_a_verdict_may_have_a_reason_of_its_own_list_alone(ann: FlaskClient) -> None:
    posted = {"alert_ids": ["id-1"], "status": "false_alarm", "reason_code": "travel"}
    assert json_of(ann.post("/api/work/verdict", json=posted))["done"][0]["reason_code"] == "travel"
    answer = ann.post("/api/work/verdict", json=posted | {"status": "confirmed_fraud"})
    assert answer.status_code == 422
    assert json_of(answer)["error"].startswith("reason_code of confirmed_fraud must be one of stolen_card, ")
    assert "decided: false alarm (Travel)" in " ".join(ann.get("/alerts/id-1/history").text.split())


def test_an_alert_is_escalated_to_a_name_and_waits_until_a_time(ann: FlaskClient, ben: FlaskClient) -> None:
    posted = {"alert_ids": ["id-1"], "to": " Ben ", "note": "large", "versions": {"id-1": 0}}
    (done,) = json_of(ann.post("/api/work/escalate", json=posted))["done"]
    assert (done["status"], done["assignee"], done["escalated_by"]) == ("escalated", "Ben", "Ann")
    assert ann.post("/api/work/escalate", json=posted).status_code == 409, "the version is an earlier one"
    assert ann.post("/api/work/escalate", json=posted | {"to": "4111 1111 1111 1111"}).status_code == 422
    posted = {"alert_ids": ["id-1"], "due_at": "2026-01-03T03:04:05+01:00"}
    (done,) = json_of(ben.post("/api/work/needs-information", json=posted))["done"]
    assert (done["status"], done["due_at"]) == ("needs_information", "2026-01-03T02:04:05+00:00")
    (alert,) = json_of(ben.get("/api/alerts?due_before=2026-01-04T00:00:00Z&sort=due"))["alerts"]
    assert alert["work"]["due_at"] == done["due_at"]
    page = ben.get("/?sort=due").text
    assert page.count("data-id=") == 1
    assert '<span id="totals"><strong>1</strong>' in page
    posted["due_at"] = "9999-12-31T23:59:59-10:00"
    assert ben.post("/api/work/needs-information", json=posted).status_code == 400
    for assignee, expected in (("Ben", ["id-1"]), ("Ann", [])):
        alerts = json_of(ben.get(f"/api/alerts?assignee={assignee}&status=needs_information"))["alerts"]
        assert [each["alert_id"] for each in alerts] == expected


def test_a_team_edits_its_reasons_in_a_form(ann: FlaskClient, app: Flask) -> None:
    assert "Stolen card\nAccount takeover" in ann.get("/reason-codes").text
    form = {"confirmed_fraud": "SIM swap\n\nStolen card\n", "false_alarm": "", "unsure": "Waiting"}
    page = ann.post("/reason-codes", data=form | {"unsure": "Waiting\n?"}).text
    assert "Unsure: &#39;?&#39; has no letter or digit" in page
    assert "Waiting\n?</textarea>" in page, "what was written is there to be corrected"
    assert "Confirmed fraud, reason 2: must have at most 60 characters" in (
        ann.post("/reason-codes", data=form | {"confirmed_fraud": f"a\n{'x' * 61}"}).text
    )
    assert "give your name" in app.test_client().post("/reason-codes", data=form).text
    assert "Customer not reached" in ann.get("/reason-codes").text
    assert "Saved." in ann.post("/reason-codes", data=form).text
    codes = {"confirmed_fraud": ["SIM swap", "Stolen card"], "false_alarm": [], "unsure": ["Waiting"]}
    (change,) = json_of(ann.get("/api/audit?action=reason_codes"))["changes"]
    assert (change["actor"], change["after"]) == ("Ann", codes)
    stale = ann.post("/reason-codes", data=form | {"unsure": "Moved", "former": ""}).text
    assert "somebody else has changed the reasons" in stale
    assert '<input type="hidden" name="former" value="">' in stale, "nor are they replaced at the second attempt"
    page = ann.get("/reason-codes").text
    assert f'<input type="hidden" name="former" value="{change["change_id"]}">' in page
    assert "Waiting</textarea>" in page
