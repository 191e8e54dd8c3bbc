"""The OpenAPI description is valid, describes every route and no other, and real answers are as it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from dashboards import alert
from fraudstream.alerts.store import AlertStore
from fraudstream.config import Settings
from fraudstream.dashboard.app import create_app
from fraudstream.dashboard.openapi.document import document

DOCUMENT = document()
WHO = {"X-Fraudstream-Actor": "Mia"}
ENDLESS = "/api/stream"
READ = [path for path, methods in DOCUMENT["paths"].items() if "get" in methods and path != ENDLESS]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    store = AlertStore.open(f"sqlite:///{tmp_path / 'alerts.db'}")
    client = create_app(Settings(model=tmp_path / "models" / "current"), store).test_client()
    client.post("/api/alerts", json=[alert(number) for number in range(3)])
    client.post("/api/events", json=[{"type": "schema", "event_id": "e-1", "at": "2026-01-02T03:04:05Z"}])
    client.post("/api/dead-letters", json=[{"topic": "t", "partition": 0, "offset": 7, "reason": "no JSON"}])
    client.post("/api/work/verdict", json={"alert_ids": ["id-1"], "status": "false_alarm"}, headers=WHO)
    yield client
    store.close()


def check(path: str, method: str, status: int, kind: str | None, body: Any) -> None:
    """Hold an answer to what the description says of its status and media type."""
    responses = DOCUMENT["paths"][path][method]["responses"]
    assert str(status) in responses, f"{method} {path} answered {status}"
    content = responses[str(status)]["content"]
    assert kind in content, f"{method} {path} answered {kind}"
    schema = dict(content[kind]["schema"]) | {"components": DOCUMENT["components"]}
    if kind == "application/json":
        Draft202012Validator(schema).validate(body)


def test_the_description_is_valid() -> None:
    validate(DOCUMENT)


def test_every_route_is_described_and_no_other(client: FlaskClient) -> None:
    routes = {
        (rule.rule.replace("<path:alert_id>", "{alert_id}"), method.lower())
        for rule in client.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/") or rule.rule in ("/health", "/ready", "/metrics")
    }
    described = {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert described == routes


@pytest.mark.parametrize("path", READ)
def test_what_is_read_is_as_described(client: FlaskClient, path: str) -> None:
    answer = client.get(path.replace("{alert_id}", "id-1"))
    check(path, "get", answer.status_code, answer.mimetype, answer.get_json(silent=True))


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        (path, parameter)
        for path in READ
        for parameter in DOCUMENT["paths"][path]["get"].get("parameters", ())
        if parameter["in"] == "query"
    ],
    ids=lambda value: value if isinstance(value, str) else value["name"],
)
def test_each_parameter_is_taken_and_an_unknown_choice_refused(
    client: FlaskClient, path: str, parameter: dict[str, Any]
) -> None:
    place = path.replace("{alert_id}", "id-1")
    value = parameter["example"]
    if parameter["name"] == "cursor":
        listed = client.get(place.removesuffix("/scan"), query_string={"limit": 1})
        value = listed.get_json()["next_cursor"] or value
    answer = client.get(place, query_string={parameter["name"]: value})
    assert answer.status_code in (200, 409), answer.get_json(silent=True)
    check(path, "get", answer.status_code, answer.mimetype, answer.get_json(silent=True))
    schema = parameter["schema"].get("items", parameter["schema"])
    if "enum" in schema:
        refused = client.get(place, query_string={parameter["name"]: "no such choice"})
        assert refused.status_code == 400
        check(path, "get", 400, refused.mimetype, refused.get_json())


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/alerts", [alert(9)], 200),
        ("/api/alerts", {"no": "list"}, 400),
        ("/api/events", [], 200),
        ("/api/dead-letters", [{"topic": "t", "partition": 0, "offset": 8}], 200),
        ("/api/ledger", [], 200),
        ("/api/work/claim", {"alert_ids": ["id-0"]}, 200),
        ("/api/work/claim", {"alert_ids": ["nobody knows it"]}, 409),
        ("/api/work/claim", {}, 400),
        ("/api/work/release", {"alert_ids": ["id-2"]}, 200),
        ("/api/work/verdict", {"alert_ids": ["id-2"], "status": "confirmed_fraud", "note": "called"}, 200),
        ("/api/work/verdict", {"alert_ids": ["id-2"], "status": "perhaps"}, 400),
        ("/api/work/note", {"alert_ids": ["id-2"], "text": "called"}, 200),
        ("/api/work/undo", {"change_id": "no such change"}, 404),
        ("/api/work/next", {"order": "loss"}, 200),
        ("/api/actor", {"name": "Mia"}, 200),
        ("/api/actor", {"name": ""}, 400),
        ("/api/replays/claim", {"sender": "s", "limit": 0}, 200),
    ],
)
def test_what_is_posted_is_answered_as_described(client: FlaskClient, path: str, body: Any, status: int) -> None:
    if status == 200:
        operation = DOCUMENT["paths"][path]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        Draft202012Validator(dict(schema) | {"components": DOCUMENT["components"]}).validate(body)
    answer = client.post(path, json=body, headers=WHO)
    assert answer.status_code == status, answer.get_json()
    check(path, "post", status, answer.mimetype, answer.get_json())


def test_it_is_served(client: FlaskClient) -> None:
    assert client.get("/api/openapi.json").get_json() == DOCUMENT
