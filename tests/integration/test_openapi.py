"""The OpenAPI description is valid, describes every route and no other, and real answers are as it says."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from apps import create_app
from columns import row
from dashboards import alert
from evaluated import deployed_evaluated_model, scored_alert, scored_samples
from fraudstream.config import Settings
from fraudstream.dashboard.app import APIS
from fraudstream.dashboard.services.revisions import deployed_model
from fraudstream.dashboard.web.openapi import document
from fraudstream.store.store import AlertStore
from ledgers import loss

DOCUMENT = document(APIS)
WHO = {"X-Fraudstream-Actor": "Mia"}
ENDLESS = "/api/stream"
READ = [path for path, methods in DOCUMENT["paths"].items() if "get" in methods and path != ENDLESS]


@contextmanager
def open_client(directory: Path) -> Iterator[FlaskClient]:
    """A dashboard's client whose store has alerts, an event, a dead letter, a loss and a verdict."""
    store = AlertStore.open(f"sqlite:///{directory / 'alerts.db'}")
    client = create_app(Settings(model=directory / "models" / "current"), store).test_client()
    client.post("/api/alerts", json=[alert(number, transaction=row(number, card_id="C1")) for number in range(3)])
    client.post("/api/events", json=[{"type": "schema", "event_id": "e-1", "at": "2026-01-02T03:04:05Z"}])
    client.post("/api/dead-letters", json=[{"topic": "t", "partition": 0, "offset": 7, "reason": "no JSON"}])
    client.post("/api/ledger", json=[loss(0, 3)])
    client.post("/api/work/verdict", json={"alert_ids": ["id-1"], "status": "false_alarm"}, headers=WHO)
    yield client
    store.close()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """For tests that only read."""
    with open_client(tmp_path_factory.mktemp("read")) as client:
        yield client


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    with open_client(tmp_path) as client:
        yield client


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


def test_every_route_is_described_and_no_other(reader: FlaskClient) -> None:
    routes = {
        (re.sub("<(?:path:)?(.*?)>", r"{\1}", rule.rule), method.lower())
        for rule in reader.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/") or rule.rule in ("/health", "/ready", "/metrics")
    }
    described = {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert described == routes


@pytest.mark.parametrize("path", READ)
def test_what_is_read_is_as_described(reader: FlaskClient, path: str) -> None:
    answer = reader.get(path.format(alert_id="id-1", column="card_id", value="C1"))
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
    reader: FlaskClient, path: str, parameter: dict[str, Any]
) -> None:
    place = path.format(alert_id="id-1")
    value = parameter["example"]
    if parameter["name"] == "cursor":
        listed = reader.get(place.removesuffix("/scan"), query_string={"limit": 1})
        value = listed.get_json()["next_cursor"] or value
    answer = reader.get(place, query_string={parameter["name"]: value})
    is_refused = path == "/api/entities" and parameter["name"] in ("q", "where")  # nothing to count by there
    assert answer.status_code in ((400,) if is_refused else (200, 409)), answer.get_json(silent=True)
    check(path, "get", answer.status_code, answer.mimetype, answer.get_json(silent=True))
    schema = parameter["schema"].get("items", parameter["schema"])
    if "enum" in schema:
        refusal = reader.get(place, query_string={parameter["name"]: "no such choice"})
        assert refusal.status_code == 400
        check(path, "get", 400, refusal.mimetype, refusal.get_json())


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
        ("/api/labels", {"labels": [{"event_id": "clear-1", "label": "fraud"}]}, 200),
        ("/api/labels", {"labels": [{"event_id": "clear-1", "label": "perhaps"}]}, 400),
        ("/api/views", {"name": "Large", "query": "min_amount=500"}, 200),
        ("/api/views", {"name": " ", "query": ""}, 400),
        ("/api/work/release", {"alert_ids": ["id-2"]}, 200),
        ("/api/work/verdict", {"alert_ids": ["id-2"], "status": "confirmed_fraud", "note": "called"}, 200),
        ("/api/work/verdict", {"alert_ids": ["id-2"], "status": "perhaps"}, 400),
        ("/api/work/note", {"alert_ids": ["id-2"], "text": "called"}, 200),
        ("/api/work/undo", {"change_id": "no such change"}, 404),
        ("/api/work/next", {"order": "loss"}, 200),
        ("/api/actor", {"name": "Mia"}, 200),
        ("/api/actor", {"name": ""}, 400),
        ("/api/system/acknowledge", {"until_seq": 10, "why": "seen"}, 200),
        ("/api/system/acknowledge", {"until_seq": 0}, 409),
        ("/api/system/acknowledge", {}, 400),
        ("/api/replays/claim", {"limit": 0}, 200),
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


@pytest.fixture
def evaluated_client(tmp_path: Path) -> Iterator[FlaskClient]:
    """With an active model, alerts of its own, samples and a verdict."""
    current = deployed_evaluated_model(tmp_path / "models")
    store = AlertStore.open(f"sqlite:///{tmp_path / 'judged.db'}")
    client = create_app(Settings(model=current), store, deployment=deployed_model(current)).test_client()
    client.post("/api/alerts", json=[scored_alert(current.parent, number) for number in range(2)])
    client.post("/api/alerts", json=[alert(7, outcome="unscorable", score=None, transaction={"Time": 1})])
    client.post("/api/events", json=scored_samples(50))
    client.post("/api/work/verdict", json={"alert_ids": ["id-1"], "status": "confirmed_fraud"}, headers=WHO)
    yield client
    store.close()


def checked_answer(
    client: FlaskClient, method: str, path: str, status: int, body: Any = None, described: str = ""
) -> Any:
    """What is answered, held to the description, as what is posted is."""
    described = described or path.partition("?")[0]
    if body is not None and status == 200:
        schema = DOCUMENT["paths"][described][method]["requestBody"]["content"]["application/json"]["schema"]
        Draft202012Validator(dict(schema) | {"components": DOCUMENT["components"]}).validate(body)
    answer = client.open(path, method=method.upper(), json=body, headers=WHO)
    assert answer.status_code == status, answer.get_json()
    document = answer.get_json()
    check(described, method, status, answer.mimetype, document)
    return document


def test_what_if_and_a_threshold_put_and_undone_are_as_described(evaluated_client: FlaskClient) -> None:
    estimate = checked_answer(evaluated_client, "get", "/api/what-if?threshold=0.25&review_cost=3&curve=1", 200)
    assert [each["key"] for each in estimate["sources"]] == ["test", "live", "verdicts"]
    assert all(each["then"] is not None for each in estimate["sources"][:2])
    assert estimate["curve"]
    was = estimate["in_force"]
    constraint = {"threshold": 0.25, "why": "fewer", "revision": was["revision"]}
    put = checked_answer(evaluated_client, "post", "/api/threshold", 200, constraint)
    assert (put["threshold"], put["former_threshold"]) == (0.25, was["threshold"])
    checked_answer(evaluated_client, "post", "/api/threshold", 409, constraint)
    checked_answer(
        evaluated_client, "post", "/api/threshold", 422, constraint | {"threshold": 7, "revision": put["revision"]}
    )
    back = {"threshold": put["former_threshold"], "why": "undo", "revision": put["revision"]}
    assert checked_answer(evaluated_client, "post", "/api/threshold", 200, back)["threshold"] == was["threshold"]
    changes = checked_answer(evaluated_client, "get", "/api/audit?action=threshold", 200)["changes"]
    assert [each["change_id"] for each in changes][1] == put["change_id"]


def test_a_score_again_is_as_described(evaluated_client: FlaskClient) -> None:
    described = "/api/alerts/{alert_id}/rescore"
    rescore = checked_answer(evaluated_client, "get", "/api/alerts/id-1/rescore", 200, described=described)
    assert rescore["same_model"]
    assert len(rescore["features"]) == 5
    unscorable = checked_answer(evaluated_client, "get", "/api/alerts/id-7/rescore", 200, described=described)
    assert (unscorable["now"]["score"], unscorable["now"]["outcome"]) == (None, "unscorable")
    checked_answer(evaluated_client, "get", "/api/alerts/no/rescore", 404, described=described)


def test_aliases_and_a_refused_suggestion_are_as_described(evaluated_client: FlaskClient) -> None:
    document = checked_answer(
        evaluated_client, "post", "/api/schema/aliases", 200, {"new": "third", "old": "V3", "why": "renamed"}
    )
    assert document["aliases"] == {"third": "V3"}
    checked_answer(evaluated_client, "post", "/api/schema/aliases", 422, {"new": "x", "old": "V9"})
    checked_answer(evaluated_client, "post", "/api/schema/aliases/remove", 200, {"new": "third"})
    checked_answer(evaluated_client, "post", "/api/schema/suggestions/refuse", 200, {"new": "third", "old": "V3"})
    checked_answer(evaluated_client, "get", "/api/schemas", 200)


def test_a_replay_is_as_described_from_the_request_to_the_result(client: FlaskClient) -> None:
    constraint = {"places": ["t/0/7"], "who": "Mia", "why": "mended upstream"}
    counted = checked_answer(client, "post", "/api/replays", 200, constraint | {"dry_run": True})
    assert (counted["batch"], counted["letters"]) == (None, 1)
    corrected = base64.b64encode(b'{"Time": 1}').decode()
    batch = checked_answer(client, "post", "/api/replays", 200, constraint | {"payload_base64": corrected})["batch"]
    checked_answer(client, "post", "/api/replays", 409, constraint)
    checked_answer(client, "post", "/api/replays", 404, constraint | {"places": ["t/0/8"]})
    claim = {"limit": 0, "batch": batch}
    assert checked_answer(client, "post", "/api/replays/claim", 200, claim) == {"waiting": 1}
    (claimed,) = checked_answer(client, "post", "/api/replays/claim", 200, claim | {"limit": 5})["replays"]
    assert (claimed["origin"], claimed["payload_base64"]) == ("t/0/7", corrected)
    body = {"results": [{"replay_id": claimed["replay_id"], "place": "t/0/9"}]}
    assert checked_answer(client, "post", "/api/replays/results", 200, body) == {"recorded": 1}
    listed = checked_answer(client, "get", "/api/replays?state=sent", 200)
    assert [(each["place"], each["corrected"]) for each in listed["replays"]] == [("t/0/9", True)]
    again = checked_answer(
        client, "post", "/api/replays", 200, {"filter": "kind=dead_letter", "who": "Mia", "why": "y", "again": True}
    )
    assert again["replayed"] == 1


def test_every_answer_that_is_json_says_what_it_holds() -> None:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            for kind, content in operation["responses"]["200"]["content"].items():
                assert content["schema"], f"{method} {path} {kind}"


def test_it_is_served(reader: FlaskClient) -> None:
    assert reader.get("/api/openapi.json").get_json() == DOCUMENT
