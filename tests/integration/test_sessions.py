"""Tokens that are refused at start, guesses that are limited, and sessions that end on sign-out and expiry."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from structlog.testing import capture_logs

from apps import create_app
from dashboards import Clock, file_of, json_of, open_store
from fraudstream.cli.entry import cli
from fraudstream.config import Settings
from fraudstream.dashboard.web import security
from fraudstream.dashboard.web.security import WRONG_TOKENS, validate_binding
from fraudstream.errors import SettingsError
from fraudstream.store.sessions import Sessions
from fraudstream.store.store import AlertStore

READ, INGEST = "read-token-of-tests", "ingest-token-of-tests"
TOKENS: dict[str, Any] = {"read_token": SecretStr(READ), "ingest_token": SecretStr(INGEST)}
FAR = "10.9.8.7"


@pytest.fixture
def store(tmp_path: Path, store_url: Callable[[Path], str]) -> Iterator[AlertStore]:
    with open_store(tmp_path, alerts=2, url=store_url(tmp_path)) as store:
        yield store


@pytest.fixture
def app(store: AlertStore) -> Flask:
    return create_app(Settings(**TOKENS), store, clock=Clock())


def signed_in(app: Flask) -> FlaskClient:
    client = app.test_client()
    assert client.post("/login", data={"token": READ}).status_code == 303
    return client


def ask(app: Flask, token: str, address: str = "127.0.0.1", route: str = "/api/stats") -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return app.test_client().get(route, headers=headers, environ_base={"REMOTE_ADDR": address}).status_code


def guess(app: Flask, times: int, address: str = "127.0.0.1", route: str = "/api/stats") -> list[int]:
    return [ask(app, f"guess-{number}-of-many", address, route) for number in range(times)]


@pytest.mark.parametrize(("only", "other"), [("read_token", "ingest_token"), ("ingest_token", "read_token")])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_one_token_without_the_other_is_refused(only: str, other: str, host: str) -> None:
    with pytest.raises(SettingsError, match=f"{only} is set and {other} is not") as error:
        validate_binding(Settings(host=host, **{only: TOKENS[only]}))
    assert f"FRAUDSTREAM_{other.upper()}" in error.value.where
    assert "set both" in error.value.remedy


def test_a_token_of_fewer_than_16_characters_is_refused() -> None:
    with pytest.raises(SettingsError, match="read_token must have at least 16 characters"):
        validate_binding(Settings(**TOKENS | {"read_token": SecretStr("x" * 15)}))
    validate_binding(Settings(**TOKENS | {"read_token": SecretStr("x" * 16)}))


@pytest.mark.parametrize("route", ["/api/stats", "/api/nowhere", "/api/audit/head"])
def test_wrong_tokens_are_answered_with_429_after_some(app: Flask, route: str) -> None:
    assert guess(app, WRONG_TOKENS, FAR, route) == [401] * WRONG_TOKENS
    headers = {"Authorization": "Bearer one-guess-too-many"}
    answer = app.test_client().get(route, headers=headers, environ_base={"REMOTE_ADDR": FAR})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
    assert guess(app, 1, "10.9.8.6", route) == [401]


def test_guesses_on_loopback_lock_nobody_out(app: Flask) -> None:
    assert guess(app, WRONG_TOKENS + 5)[-1] == 429
    assert ask(app, READ) == 200
    posted = app.test_client().post("/api/alerts", json=[], headers={"Authorization": f"Bearer {INGEST}"})
    assert posted.status_code == 200
    assert signed_in(app).get("/api/stats").status_code == 200


def test_a_guess_is_not_even_compared_while_the_limit_is_exceeded(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(app, INGEST, FAR, "/api/audit/head") == 200
    guess(app, WRONG_TOKENS, FAR)
    assert ask(app, INGEST, FAR, "/api/audit/head") == 200, "who was let in before from there still is"
    assert ask(app, READ, FAR) == 429
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert ask(app, READ, FAR) == 200


def test_a_session_is_let_through_beside_guesses_from_its_address(app: Flask) -> None:
    client = signed_in(app)
    guess(app, WRONG_TOKENS + 1, FAR)
    assert client.get("/api/stats", environ_base={"REMOTE_ADDR": FAR}).status_code == 200


def test_wrong_tokens_are_logged_with_address_and_count_and_do_not_fill_the_log(app: Flask) -> None:
    with capture_logs() as lines:
        guess(app, 20, FAR)
        app.test_client().post("/login", data={"token": "wrong"}, environ_base={"REMOTE_ADDR": FAR})
    entries = [line for line in lines if line["event"] == "wrong token"]
    assert [line["failures_this_hour"] for line in entries] == [1, 2, 4, 8, 16]
    assert {(line["what"], line["address"], line["log_level"]) for line in entries} == {
        ("bearer token", FAR, "warning")
    }


def test_sign_in_is_limited_and_takes_a_small_body_only(app: Flask) -> None:
    statuses = [app.test_client().post("/login", data={"token": "wrong"}).status_code for _ in range(WRONG_TOKENS + 1)]
    assert statuses == [401] * WRONG_TOKENS + [429]
    assert app.test_client().post("/login", data={"token": "x" * 5_000}).status_code == 413


def test_signing_out_ends_the_session_for_whoever_has_its_cookie(app: Flask) -> None:
    client = signed_in(app)
    cookie = client.get_cookie("fraudstream_session")
    assert cookie is not None
    assert "Sign out</button>" in client.get("/").text
    assert client.post("/logout").headers["Location"] == "/login"
    assert client.get_cookie("fraudstream_session") is None
    client.set_cookie("fraudstream_session", cookie.value)
    assert client.get("/api/stats").status_code == 401
    assert client.post("/logout", headers={"Origin": "https://evil.example"}).status_code == 403


def test_every_session_is_revoked_by_one_command(app: Flask, store: AlertStore) -> None:
    clients = [signed_in(app), signed_in(app)]
    result = CliRunner().invoke(cli, ["dashboard", "--revoke-sessions", "--database", store.database.backend.url])
    assert result.output == "2 sessions ended; everyone has to sign in again\n"
    assert [client.get("/api/stats").status_code for client in clients] == [401, 401]


def test_a_restart_keeps_sessions_and_another_token_ends_them(app: Flask, store: AlertStore) -> None:
    cookie = signed_in(app).get_cookie("fraudstream_session")
    assert cookie is not None
    for token, status in ((READ, 200), ("another-token-of-tests", 401)):
        client = create_app(Settings(**TOKENS | {"read_token": SecretStr(token)}), store, clock=Clock()).test_client()
        client.set_cookie("fraudstream_session", cookie.value)
        assert client.get("/api/stats").status_code == status


@pytest.mark.sqlite
def test_the_database_opens_no_session(app: Flask, store: AlertStore) -> None:
    cookie = signed_in(app).get_cookie("fraudstream_session")
    assert cookie is not None
    content = b"".join(path.read_bytes() for path in file_of(store).parent.glob("alerts.db*"))
    assert cookie.value.encode() not in content
    with store.database.read() as connection:
        (digest,) = connection.exec_driver_sql("SELECT digest FROM sessions").one()
    assert Sessions(store.database, READ, Clock()).find(digest) is None


def test_a_live_stream_ends_with_its_session(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "SESSION_CHECK_SECONDS", 0.0)
    client = signed_in(app)
    stream = client.get("/api/stream", buffered=False)
    pieces = iter(stream.response)
    assert next(pieces)
    assert client.post("/logout").status_code == 303
    # What was under way is sent; the stream would go on for ever otherwise.
    assert len(list(pieces)) <= 1
    stream.close()


def test_a_session_acts_under_its_first_name_alone(app: Flask) -> None:
    client = signed_in(app)
    claim = {"alert_ids": ["id-1"]}
    assert client.post("/api/work/claim", json=claim).status_code == 400
    assert client.post("/api/actor", json={"name": "Ann"}).status_code == 200
    assert client.post("/api/actor", json={"name": "ann "}).status_code == 200
    renamed = client.post("/api/actor", json={"name": "Ben"})
    assert (renamed.status_code, json_of(renamed)["error"]) == (
        409, "this session acts as Ann: sign out to act under another name"
    )  # fmt: skip
    assert client.delete("/api/actor").status_code == 409
    as_ben = {"X-Fraudstream-Actor": "Ben"}
    assert json_of(client.post("/api/work/claim", json=claim, headers=as_ben))["done"][0]["assignee"] == "Ann"
    (change,) = json_of(client.get("/api/audit"))["changes"]
    assert (change["actor"], len(change["session"])) == ("Ann", 12)
    client.post("/logout")
    client.post("/login", data={"token": READ})
    assert json_of(client.get("/api/actor"))["actor"] is None, "another person may sit there now"


def test_a_name_declared_in_another_session_does_not_undo(app: Flask) -> None:
    ann, other = signed_in(app), signed_in(app)
    for client in (ann, other):
        client.post("/api/actor", json={"name": "Ann"})
    decided = json_of(ann.post("/api/work/verdict", json={"alert_ids": ["id-1"], "status": "false_alarm"}))
    undo = {"change_id": decided["change_id"]}
    script = {"Authorization": f"Bearer {READ}", "X-Fraudstream-Actor": "Ann"}
    refusal = [
        other.post("/api/work/undo", json=undo),
        app.test_client().post("/api/work/undo", json=undo, headers=script),
    ]
    assert [answer.status_code for answer in refusal] == [409, 409]
    assert "made this change in another session" in json_of(refusal[0])["error"]
    assert other.post("/api/work/undo", json=undo | {"take_over": True}).status_code == 200
    newest = json_of(ann.get("/api/audit"))["changes"][0]
    assert (newest["undoes"], newest["after"]["taken_over"]) == (decided["change_id"], 1)
    assert newest["session"] == json_of(other.get("/api/audit"))["changes"][0]["session"]
    again = json_of(ann.post("/api/work/verdict", json={"alert_ids": ["id-2"], "status": "unsure"}))
    assert ann.post("/api/work/undo", json={"change_id": again["change_id"]}).status_code == 200


FORWARDED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Prefix": "/fraud",
    "Forwarded": "for=203.0.113.9;host=evil.example;proto=https",
}


@pytest.mark.parametrize("trusted", ["", "10.0.0.0/8, ::1"])
def test_forwarded_headers_of_nobody_else_than_a_declared_proxy_count(store: AlertStore, trusted: str) -> None:
    app = create_app(Settings(**TOKENS | {"trusted_proxies": trusted, "public_hosts": ("board.example",)}), store)
    client = app.test_client()
    plain = client.get("/", headers=FORWARDED, environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert (plain.status_code, plain.headers["Location"]) == (303, "/login")
    proxied = FORWARDED | {"X-Forwarded-Host": "board.example"}
    answer = client.get("/", headers=proxied, environ_base={"REMOTE_ADDR": "10.0.0.5"})
    assert answer.headers["Location"] == ("/fraud/login" if trusted else "/login")
    form = {"token": READ}
    signed = client.post("/login", data=form, headers=proxied, environ_base={"REMOTE_ADDR": "10.0.0.5"})
    assert ("Secure" in signed.headers["Set-Cookie"]) is bool(trusted)


def test_a_proxy_that_is_no_address_is_refused() -> None:
    with pytest.raises(SettingsError, match="trusted_proxies"):
        Settings.load(trusted_proxies="proxy.example")
