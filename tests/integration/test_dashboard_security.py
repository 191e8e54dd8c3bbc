"""Who is let in: binding, tokens, the cookie, Host and Origin, and the headers of every answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr

from apps import create_app
from dashboards import Clock, alert, json_of
from fraudstream.config import Settings
from fraudstream.dashboard.web.security import validate_binding
from fraudstream.errors import SettingsError
from fraudstream.store.store import AlertStore

INGEST, READ = "ingest-secret-of-tests", "read-secret-of-tests"
TOKENS: dict[str, Any] = {"ingest_token": SecretStr(INGEST), "read_token": SecretStr(READ)}
ClientOf = Callable[..., FlaskClient]


@pytest.fixture
def client_of(tmp_path: Path, clock: Clock) -> Iterator[ClientOf]:
    store = AlertStore.open(f"sqlite:///{tmp_path / 'alerts.db'}")
    yield lambda **settings: create_app(Settings(**settings), store, clock=clock).test_client()
    store.close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("missing", [("ingest_token",), ("read_token",), ("ingest_token", "read_token")])
def test_a_network_address_needs_both_tokens(missing: tuple[str, ...]) -> None:
    tokens = {name: token for name, token in TOKENS.items() if name not in missing}
    with pytest.raises(SettingsError, match=missing[0]):
        validate_binding(Settings(host="0.0.0.0", **tokens))


def test_an_empty_token_is_none() -> None:
    with pytest.raises(SettingsError):
        validate_binding(Settings(host="::", ingest_token=SecretStr(""), read_token=SecretStr("x" * 16)))


@pytest.mark.parametrize(
    "settings", [{"host": "127.0.0.1"}, {"host": "::1"}, {"host": "localhost"}, {"host": "0.0.0.0"} | TOKENS]
)
def test_loopback_or_both_tokens_will_do(settings: dict[str, Any]) -> None:
    validate_binding(Settings(**settings))


def test_the_app_itself_refuses_an_open_binding(client_of: ClientOf) -> None:
    with pytest.raises(SettingsError):
        client_of(host="0.0.0.0")


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:5000", "", "[::1", "10.0.0.7"]
)
def test_a_name_that_is_not_ours_is_misdirected(client_of: ClientOf, host: str) -> None:
    answer = client_of().get("/api/alerts", headers={"Host": host})
    assert answer.status_code in (400, 421)
    assert "alerts" not in json_of(answer)


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1:5000", "[::1]:5000", "Board.Example:443"])
def test_our_own_names_are_served(client_of: ClientOf, host: str) -> None:
    assert client_of(public_hosts=("board.example",)).get("/api/alerts", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:6000"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_page_of_another_origin_may_not_post(client_of: ClientOf, headers: dict[str, str]) -> None:
    client = client_of()
    answer = client.post("/api/alerts", json=[alert(1)], headers={"Host": "localhost:5000"} | headers)
    assert answer.status_code == 403
    assert json_of(client.get("/api/alerts"))["alerts"] == []


def test_our_own_page_may_post(client_of: ClientOf) -> None:
    headers = {"Host": "localhost:5000", "Origin": "http://localhost:5000"}
    assert client_of().post("/api/alerts", json=[alert(1)], headers=headers).status_code == 200


@pytest.mark.parametrize("route", ["/api/alerts", "/api/events", "/api/dead-letters"])
@pytest.mark.parametrize("headers", [{}, bearer("wrong"), bearer(READ), {"Authorization": INGEST}, bearer("")])
def test_posting_needs_the_ingest_token(client_of: ClientOf, route: str, headers: dict[str, str]) -> None:
    client = client_of(**TOKENS)
    answer = client.post(route, json=[], headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert client.post(route, json=[], headers=bearer(INGEST)).status_code == 200


@pytest.mark.parametrize(
    "route", ["/api/alerts", "/api/alerts/x", "/api/alerts.csv", "/api/stats", "/api/stream", "/api/events", "/metrics"]
)
def test_reading_needs_the_read_token(client_of: ClientOf, route: str) -> None:
    client = client_of(**TOKENS)
    assert client.get(route).status_code == 401
    assert client.get(route, headers=bearer(INGEST)).status_code == 401
    with client.get(route, headers=bearer(READ)) as answer:
        assert answer.status_code in (200, 404)


def test_a_person_signs_in_and_gets_a_cookie_that_scripts_and_other_sites_cannot_use(client_of: ClientOf) -> None:
    client = client_of(**TOKENS)
    assert client.get("/").headers["Location"] == "/login"
    assert client.post("/login", data={"token": "wrong"}).status_code == 401
    signed_in = client.post("/login", data={"token": READ})
    cookie = signed_in.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert READ not in cookie
    assert client.get("/").status_code == 200
    assert client.post("/api/alerts", json=[]).status_code == 401


def test_a_session_ends_by_itself_and_cannot_be_forged(client_of: ClientOf, clock: Clock) -> None:
    client = client_of(**TOKENS)
    client.post("/login", data={"token": READ})
    value = client.get_cookie("fraudstream_session")
    assert value is not None
    assert client.get("/api/stats").status_code == 200
    for forged in (value.value[:-1], value.value + "x", "x.y", "", "\xff"):
        client.set_cookie("fraudstream_session", forged)
        assert client.get("/api/stats").status_code == 401
    client.set_cookie("fraudstream_session", value.value)
    clock.forward(12 * 3600 + 1)
    assert client.get("/api/stats").status_code == 401


def test_without_a_read_token_nobody_can_sign_in(client_of: ClientOf) -> None:
    assert client_of().post("/login", data={"token": ""}).status_code == 401


def test_liveness_needs_no_token(client_of: ClientOf) -> None:
    client = client_of(**TOKENS)
    assert (client.get("/health").status_code, client.get("/ready").status_code) == (200, 200)


@pytest.mark.parametrize(
    "route", ["/", "/login", "/activity", "/api/alerts", "/nowhere", "/static/css/app.css", "/static/no"]
)
def test_every_answer_is_fenced_in(client_of: ClientOf, route: str) -> None:
    with client_of().get(route) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("route", ["/", "/rejected", "/activity", "/login"])
def test_no_page_holds_inline_script_or_style(client_of: ClientOf, route: str) -> None:
    page = client_of().get(route).text
    assert "<style" not in page
    assert " style=" not in page
    assert page.count("<script") == len(re.findall('<script (type="module" )?src="/static/', page))
    assert " on" not in " ".join(part.split(">")[0] for part in page.split("<") if "=" in part)
