"""The routes and the page of the stream's columns, on a real store and a real `current`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr

from apps import create_app
from columns import MODEL_ID, TOPIC, model_with_contract, row, samples
from dashboards import Clock, alert, json_of
from fraudstream.config import Settings
from fraudstream.dashboard.services.revisions import deployed_model
from fraudstream.model.deployment.current import read_current
from fraudstream.store.store import AlertStore
from fraudstream.transactions.drift import schema_id

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def current(tmp_path: Path) -> Path:
    return model_with_contract(tmp_path / "models")


def asking(store: AlertStore, model: Path, **settings: Any) -> FlaskClient:
    app = create_app(Settings(model=model, **settings), store, clock=Clock(), deployment=deployed_model(model))
    return app.test_client()


@pytest.fixture
def client(store: AlertStore, current: Path) -> FlaskClient:
    return asking(store, current)


def renamed(number: int) -> dict[str, Any]:
    return row(number, V3=None, third=row(number)["V3"])


def send(client: FlaskClient, *rows: dict[str, Any], start: int = 0) -> None:
    assert json_of(client.post("/api/events", json=samples(rows, start=start)))["rejected"] == []


def test_the_report_tells_contract_sets_current_rows_and_suggestions(client: FlaskClient) -> None:
    send(client, *(row(n) for n in range(5)))
    send(client, *(renamed(n) for n in range(5, 80)), start=5)
    report = json_of(client.get("/api/schemas"))
    assert report["contract"]["features"][0] == {"name": "V1", "type": "number"}
    assert (report["contract"]["model_id"], report["contract"]["changeable"]) == (MODEL_ID, True)
    newest, first = report["schemas"]
    assert first["changes"] == []
    assert newest["schema_id"] == schema_id(renamed(1))
    assert (newest["added"], newest["missing"]) == (["third"], ["V3"])
    assert newest["first"] | {"at": ""} == {"at": "", "topic": TOPIC, "partition": 0, "offset": 5}
    assert newest["estimated_rows"] == 75
    assert report["current"]["as_trained"] is False
    by_name = {column["name"]: column for column in report["current"]["columns"]}
    assert (by_name["V3"]["imputed"], by_name["V3"]["treatment"]) == ("100 %", "the training median is used")
    assert by_name["third"]["treatment"] == "kept and shown"
    assert by_name["Class"]["treatment"] == "kept and shown; not a feature of the model"
    (suggestion,) = report["suggestions"]
    assert (suggestion["new"], suggestion["old"], suggestion["values"]) == ("third", "V3", 75)
    assert "no sampled transaction had both columns" in suggestion["evidence"]


def test_the_counters_carry_what_the_banner_needs(client: FlaskClient) -> None:
    assert json_of(client.get("/api/stats"))["columns"]["as_trained"] is None
    send(client, *(row(n) for n in range(5)))
    assert json_of(client.get("/api/stats"))["columns"]["as_trained"] is True
    send(client, *(row(n, V3=None) for n in range(5, 80)), start=5)
    stats = json_of(client.get("/api/stats"))
    assert stats["columns"]["imputed"] == {"V3": 1.0}
    assert stats["columns"]["sentences"][0]["after"] == ": the training median is used; 100 % of recent transactions"
    assert "columns" in stats["sampled"]


def test_a_new_schema_is_an_event_with_a_message(client: FlaskClient) -> None:
    send(client, row(1, V3=None))
    (event,) = json_of(client.get("/api/events?type=schema"))["events"]
    assert event["message"] == (
        f"new schema since about {TOPIC}[0] 0 (from samples): column V3 missing: the training median is used"
    )
    assert (event["missing"], event["added"], event["retyped"]) == (["V3"], [], {})


def test_an_alias_is_declared_and_taken_back(client: FlaskClient, current: Path) -> None:
    answer = client.post("/api/schema/aliases", json={"new": "third", "old": "V3", "why": "renamed"})
    assert json_of(answer) == {"aliases": {"third": "V3"}, "model_id": MODEL_ID, "revision": 2}
    assert (read_current(current).who, read_current(current).why) == ("dashboard", "renamed")
    assert json_of(client.get("/api/schemas"))["contract"]["aliases"] == {"third": "V3"}
    assert json_of(client.post("/api/schema/aliases/remove", json={"new": "third"}))["aliases"] == {}


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"new": "x", "old": "V9"}, 422),
        ({"new": "V1", "old": "V3"}, 422),
        ({"new": "x"}, 400),
        ({"new": 7, "old": "V3"}, 400),
        ({"new": "x" * 1001, "old": "V3"}, 400),
        ([], 400),
    ],
)
def test_an_alias_that_cannot_be_is_refused_in_words(client: FlaskClient, content: Any, status: int) -> None:
    answer = client.post("/api/schema/aliases", json=content)
    assert answer.status_code == status
    assert json_of(answer)["error"]


def test_a_post_that_is_no_json_is_refused(client: FlaskClient) -> None:
    route = "/api/schema/aliases/remove"
    assert client.post(route, data=b"{", content_type="application/json").status_code == 400
    assert client.post(route, data=b"new=x", content_type="text/plain").status_code == 415
    assert client.post(route, json={"new": "x"}).status_code == 422
    assert client.get("/api/schemas?limit=0").status_code == 400


def test_beside_a_named_artifact_aliases_cannot_be_changed(store: AlertStore, current: Path) -> None:
    client = asking(store, current.parent / MODEL_ID)
    answer = client.post("/api/schema/aliases", json={"new": "third", "old": "V3"})
    assert answer.status_code == 409
    assert "named directly" in json_of(answer)["error"]
    assert json_of(client.get("/api/schemas"))["contract"]["changeable"] is False
    assert "aliases cannot be changed here" in client.get("/schema").text


def test_a_refusal_stays_after_a_restart(store: AlertStore, current: Path) -> None:
    for attempt in range(2):
        client = asking(store, current)
        send(client, *(renamed(n) for n in range(60)), start=attempt * 1000)
        suggested = json_of(client.get("/api/schemas"))["suggestions"]
        assert len(suggested) == (1 if attempt == 0 else 0)
        client.post("/api/schema/suggestions/refuse", json={"new": "third", "old": "V3", "why": "another thing"})
        assert json_of(client.get("/api/schemas"))["suggestions"] == []
    assert json_of(client.get("/api/schemas"))["refused"][0]["why"] == "another thing"


def test_a_spell_that_began_before_a_restart_keeps_its_beginning(store: AlertStore, current: Path) -> None:
    send(asking(store, current), *(row(n, V3=None) for n in range(10)))
    client = asking(store, current)
    send(client, row(11, V3=None), start=500)
    assert json_of(client.get("/api/stats"))["columns"]["sentences"][0]["at"] == "2026-01-02T03:04:05.000Z"


def test_another_origin_or_a_missing_ingest_token_changes_nothing(store: AlertStore, current: Path) -> None:
    client = asking(store, current, read_token=SecretStr("r" * 16), ingest_token=SecretStr("i" * 16))
    alias = {"new": "third", "old": "V3"}
    for headers, status in (
        ({"Authorization": f"Bearer {'r' * 16}"}, 401),
        ({"Authorization": f"Bearer {'i' * 16}", "Origin": "http://evil.example"}, 403),
        ({"Authorization": f"Bearer {'i' * 16}"}, 200),
    ):
        assert client.post("/api/schema/aliases", json=alias, headers=headers).status_code == status
    page = client.get("/schema", headers={"Authorization": f"Bearer {'r' * 16}"}).text
    assert "Ingest token, to change aliases" in page


def test_the_page_and_the_banner_say_it_as_first_served(client: FlaskClient) -> None:
    assert "No transaction sampled yet" in client.get("/schema").text
    send(client, *(row(n) for n in range(3)))
    assert "Scoring matches training" in client.get("/schema").text
    assert '<section class="drift" id="drift" aria-labelledby="drift-heading" hidden>' in client.get("/").text
    send(client, *(renamed(n) | {SCRIPT: 1} for n in range(3, 80)), start=3)
    for route in ("/", "/schema"):
        page = client.get(route).text
        assert "Column V3 is missing since about" in page
        assert ": the training median is used; 100 % of recent transactions." in page
        assert SCRIPT not in page
    page = client.get("/schema").text
    assert "looks like the missing" in page
    assert page.index("<code>V3</code>") < page.index("<code>V1</code>")


def test_a_column_that_only_an_alert_had_is_shown_as_added(client: FlaskClient) -> None:
    send(client, *(row(n) for n in range(5)))
    transaction = row(5, shop="Kiosk")
    client.post("/api/alerts", json=[alert(5, transaction=transaction, schema_id=schema_id(transaction))])
    columns = {each["name"]: each for each in json_of(client.get("/api/schemas"))["current"]["columns"]}
    assert (columns["shop"]["came"], columns["shop"]["is_added"]) == ("text", True)
    page = client.get("/schema").text
    assert '<code>shop</code> <span class="badge added">added</span>' in page
    assert "Column shop was added since the training: kept and shown, but not scored." in page


def test_without_a_model_the_page_lists_what_was_seen(store: AlertStore, tmp_path: Path) -> None:
    client = asking(store, tmp_path / "nothing" / "current")
    send(client, row(1))
    page = client.get("/schema").text
    assert "No active model" in page
    assert schema_id(row(1)) in page
    assert json_of(client.get("/api/schemas"))["contract"] is None
