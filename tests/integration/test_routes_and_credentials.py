"""Every route asked with every kind of credential: a new route fails here until it is listed with who may use it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count

import pytest
from flask import Flask
from pydantic import SecretStr

from apps import create_app
from dashboards import Clock, open_store
from fraudstream.config import Settings
from fraudstream.store.sessions import revoke_sessions

READ, INGEST = "read-token-of-tests", "ingest-token-of-tests"
CREDENTIALS = ("none", "wrong token", "read token", "ingest token", "session", "revoked session")
ANSWER = 0
"""In place of the answer that the route gives to who may use it."""

WHO_MAY = {
    "everybody": (ANSWER,) * 6,
    "readers": (401, 401, ANSWER, 401, ANSWER, 401),
    "readers of pages": (303, 303, ANSWER, 303, ANSWER, 303),
    "machines": (401, 401, 401, ANSWER, 401, 401),
    "readers and machines": (401, 401, ANSWER, ANSWER, ANSWER, 401),
}
READERS, PAGES, MACHINES = "readers", "readers of pages", "machines"

# Method, path, who may use it, and what an empty request is answered. `{}` is posted to /api.
ROUTES = [
    ("GET", "/health", "everybody", 200),
    ("GET", "/ready", "everybody", 200),
    ("GET", "/login", "everybody", 200),
    ("POST", "/logout", "everybody", 303),
    ("POST", "/preferences", "everybody", 303),
    ("GET", "/static/<path:filename>", "everybody", 404),
    ("GET", "/api/alerts", READERS, 200),
    ("GET", "/api/alerts/scan", READERS, 200),
    ("GET", "/api/alerts.csv", READERS, 200),
    ("GET", "/api/alerts.json", READERS, 200),
    ("GET", "/api/alerts/<path:alert_id>", READERS, 404),
    ("GET", "/api/alerts/<path:alert_id>/rescore", READERS, 404),
    ("GET", "/api/entities", READERS, 200),
    ("GET", "/api/entities/<column>/<path:value>", READERS, 404),
    ("GET", "/api/stream", READERS, 200),
    ("GET", "/api/stats", READERS, 200),
    ("GET", "/api/system", READERS, 200),
    ("POST", "/api/system/acknowledge", READERS, 400),
    ("GET", "/api/events", READERS, 200),
    ("GET", "/api/ledger", READERS, 200),
    ("GET", "/api/what-if", READERS, 409),
    ("GET", "/api/schemas", READERS, 200),
    ("GET", "/api/dead-letters", READERS, 200),
    ("GET", "/api/dead-letters.csv", READERS, 200),
    ("GET", "/api/dead-letters.jsonl", READERS, 200),
    ("GET", "/api/replays", READERS, 200),
    ("GET", "/api/charts", READERS, 200),
    ("GET", "/api/openapi.json", READERS, 200),
    ("GET", "/api/audit", READERS, 200),
    ("GET", "/api/audit.csv", READERS, 200),
    ("GET", "/api/audit/head", "readers and machines", 200),
    ("GET", "/metrics", READERS, 200),
    ("GET", "/api/actor", READERS, 200),
    ("POST", "/api/actor", READERS, 400),
    ("DELETE", "/api/actor", READERS, 200),
    ("GET", "/api/labels", READERS, 200),
    ("GET", "/api/labels.csv", READERS, 200),
    ("GET", "/api/views", READERS, 200),
    ("POST", "/api/views", READERS, 400),
    ("DELETE", "/api/views/<path:name>", READERS, 200),
    ("GET", "/api/work/<path:alert_id>", READERS, 404),
    ("POST", "/api/work/claim", READERS, 400),
    ("POST", "/api/work/release", READERS, 400),
    ("POST", "/api/work/verdict", READERS, 400),
    ("POST", "/api/work/note", READERS, 400),
    ("POST", "/api/work/escalate", READERS, 400),
    ("POST", "/api/work/needs-information", READERS, 400),
    ("POST", "/api/work/undo", READERS, 400),
    ("POST", "/api/work/next", READERS, 400),
    ("POST", "/api/alerts", MACHINES, 400),
    ("POST", "/api/events", MACHINES, 400),
    ("POST", "/api/dead-letters", MACHINES, 400),
    ("POST", "/api/ledger", MACHINES, 400),
    ("POST", "/api/labels", MACHINES, 400),
    ("POST", "/api/threshold", MACHINES, 400),
    ("POST", "/api/schema/aliases", MACHINES, 400),
    ("POST", "/api/schema/aliases/remove", MACHINES, 400),
    ("POST", "/api/schema/suggestions/refuse", MACHINES, 400),
    ("POST", "/api/replays", MACHINES, 400),
    ("POST", "/api/replays/claim", MACHINES, 400),
    ("POST", "/api/replays/results", MACHINES, 400),
    ("POST", "/api/verdicts/unpublished", MACHINES, 400),
    ("GET", "/", PAGES, 200),
    ("GET", "/unscorable", PAGES, 308),
    ("GET", "/alerts/<path:alert_id>", PAGES, 404),
    ("GET", "/panels/<path:alert_id>", PAGES, 404),
    ("GET", "/entities/<column>/<path:value>", PAGES, 404),
    ("GET", "/alerts/<path:alert_id>/history", PAGES, 404),
    ("GET", "/reason-codes", PAGES, 200),
    ("POST", "/reason-codes", PAGES, 200),
    ("GET", "/what-if", PAGES, 200),
    ("GET", "/queue", PAGES, 308),
    ("GET", "/rows", PAGES, 200),
    ("GET", "/suggestions", PAGES, 200),
    ("GET", "/activity", PAGES, 200),
    ("GET", "/charts", PAGES, 200),
    ("GET", "/charts/fragment", PAGES, 200),
    ("GET", "/dead-letters", PAGES, 308),
    ("GET", "/rejected", PAGES, 200),
    ("GET", "/schema", PAGES, 200),
    ("GET", "/ledger", PAGES, 200),
    ("GET", "/audit", PAGES, 200),
]
SIGN_IN = ("POST", "/login")
"""Takes its own credential, which `test_sessions.py` tries."""

_addresses = count(1)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    directory = tmp_path_factory.mktemp("routes")
    settings = Settings(
        read_token=SecretStr(READ), ingest_token=SecretStr(INGEST), model=directory / "models" / "current"
    )
    with open_store(directory) as store:
        app = create_app(settings, store, clock=Clock())
        app.config["REVOKED"] = sign_in(app)
        revoke_sessions(store.database)
        app.config["SESSION"] = sign_in(app)
        yield app


def sign_in(app: Flask) -> str:
    client = app.test_client()
    assert client.post("/login", data={"token": READ}).status_code == 303
    cookie = client.get_cookie("fraudstream_session")
    assert cookie is not None
    return str(cookie.value)


def status(app: Flask, method: str, rule: str, credential: str) -> int:
    client = app.test_client()
    headers = {}
    if credential.endswith("token"):
        token = {"read token": READ, "ingest token": INGEST}.get(credential, "a-wrong-token-of-tests")
        headers["Authorization"] = f"Bearer {token}"
    elif credential.endswith("session"):
        lasting = app.config["REVOKED" if credential == "revoked session" else "SESSION"]
        client.set_cookie("fraudstream_session", sign_in(app) if rule == "/logout" else lasting)
    # An address of its own for each request: otherwise they are too many wrong tokens.
    number = next(_addresses)
    with client.open(
        re.sub("<.*?>", "nothing", rule),
        method=method,
        json={} if method == "POST" and rule.startswith("/api/") else None,
        headers=headers,
        environ_base={"REMOTE_ADDR": f"10.1.{number // 250}.{number % 250 + 1}"},
        buffered=False,
    ) as answer:
        return answer.status_code


@pytest.mark.parametrize(("method", "rule", "who", "answer"), ROUTES, ids=lambda value: str(value))
def test_a_route_is_for_whom_it_says(app: Flask, method: str, rule: str, who: str, answer: int) -> None:
    expected = [answer if each == ANSWER else each for each in WHO_MAY[who]]
    statuses = [status(app, method, rule, credential) for credential in CREDENTIALS]
    assert dict(zip(CREDENTIALS, statuses, strict=True)) == dict(zip(CREDENTIALS, expected, strict=True))


def test_every_route_is_listed(app: Flask) -> None:
    registered = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {(method, rule) for method, rule, _, _ in ROUTES} | {SIGN_IN} == registered
