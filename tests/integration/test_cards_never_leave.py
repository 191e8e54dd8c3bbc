"""No card number or secret that comes in is stored or leaves by any page, answer, export, stream or log."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from werkzeug.routing import Rule

from apps import create_app
from dashboards import EventReader, RunningDashboard, alert, running_dashboard
from dead_letters import dead_letter
from evaluated import deployed_evaluated_model
from fraudstream.config import Settings
from fraudstream.store.changes import Action, Actor, ChangeLog
from fraudstream.store.store import AlertStore
from fraudstream.store.triage import TriageService
from fraudstream.store.triage_state import AlertStatus

CARDS = (
    "4111111111111111",
    "4012888888881881",
    "5555555555554444",
    "5105105105105100",
    "378282246310005",
    "6011000990139424",
    "3530111333300000",
    "30569309025904",
    "2223003122003222",
    "4000056655665556",
    "4917484589897107",
    "6304000000000000",
    "4222222222222",
)
DECLARED = "tok0123456789secret"
SHORT = "60416207185"
"""A number of eleven digits, in a column that is named as one of cards."""

CODE = "zq7391"
TRACK = "29112010000012300077"
PIN_BLOCK = "0412ACFFFFFFEEDD"
SSN = "078-05-1120"
EXPIRY = "11/2931"

SECRETS = (*CARDS, DECLARED, SHORT, CODE, TRACK, PIN_BLOCK, SSN.replace("-", ""), EXPIRY)
QUERIES = (
    "",
    "?outcome=all",
    "?outcome=unscorable",
    "?kind=all",
    "?kind=unscorable",
    "?type=schema",
    "?type=query",
    "?limit=1",
)
ENDLESS = ("/api/stream",)
WHO = {"X-Fraudstream-Actor": "Mia"}


def hostile(number: int, **changes: object) -> dict[str, object]:
    """An alert with a card in every place that a payment has."""
    visa, other = CARDS[0], CARDS[1]
    transaction = {
        "text": f"paid with {visa[:4]} {visa[4:8]} {visa[8:12]} {visa[12:]} today",
        "dashes": f"{other[:4]}-{other[4:8]}-{other[8:12]}-{other[12:]}",
        "number": int(CARDS[2]),
        "float": float(CARDS[3]),
        "nested": {"deeper": [{"card": CARDS[4]}, CARDS[5]], "payer.pan": SHORT},
        CARDS[6]: 1,
        f"column {CARDS[7]}": {CARDS[8]: "x"},
        "cc_num": int(SHORT),
        "Token": DECLARED,
        "cvv": CODE,
        "Prüfziffer": CODE,
        "pinBlock": PIN_BLOCK,
        "track2": f"{visa}={TRACK}",
        "swiped": f"{visa}D{TRACK}",
        "customer": {"ssn": SSN, "card": {"expiry": EXPIRY, "securityCode": CODE}},
        "said": f"cvv: {CODE}, ssn {SSN}",
        "Amount": 12.5,
    }
    return alert(number, transaction=transaction, reason=f"because of {CARDS[9]}", imputed=[CARDS[10]]) | changes


@pytest.fixture
def dashboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningDashboard]:
    monkeypatch.setenv("FRAUDSTREAM_CARD_COLUMNS", "token")
    with running_dashboard(tmp_path) as running:
        yield running


def routes(tmp_path: Path) -> list[Rule]:
    store = AlertStore.open(f"sqlite:///{tmp_path / 'routes.db'}")
    try:
        return [
            rule for rule in create_app(Settings.load(), store).url_map.iter_rules() if "GET" in (rule.methods or ())
        ]
    finally:
        store.close()


def leaks(body: bytes) -> list[str]:
    """What of the secrets a body holds, with whatever separators, and also in base64."""
    inner = b" ".join(decoded(piece) for piece in re.findall(rb"[A-Za-z0-9+/]{12,}={0,2}", body))
    plain = [re.sub(rb"[\s-]|&#x?[0-9a-f]+;|&nbsp;", b"", each).decode("latin-1") for each in (body, inner)]
    return [secret for secret in SECRETS if any(secret in each for each in plain)]


def stored_leaks(directory: Path) -> list[str]:
    """What of the secrets stands in the files of the database."""
    files = sorted(directory.glob("alerts.db*"))
    assert files
    return [secret for path in files for secret in leaks(path.read_bytes())]


def decoded(piece: bytes) -> bytes:
    try:
        return base64.b64decode(piece, validate=True)
    except ValueError:
        return b""


def test_no_card_leaves_by_any_route_stream_or_log(dashboard: RunningDashboard, tmp_path: Path) -> None:
    stream = EventReader(f"{dashboard.url}/api/stream?outcome=all")
    assert stream.wait_for("stats")
    dashboard.post("/api/alerts", [hostile(1), hostile(2, outcome="unscorable", score=None), hostile(3)])
    dashboard.post("/api/alerts", [hostile(1, transaction={"other": CARDS[0]}), hostile(4, score=CARDS[11])])
    event = {"type": "query", "message": f"card {CARDS[0]}", "detail": {"n": int(CARDS[1])}, "event_id": "e-1"}
    sample = {"type": "sample", "topic": "t", "partition": 0, "offset": 1, "columns": {CARDS[12]: "text"}}
    dashboard.post("/api/events", [event, event | {"event_id": "e-2", CARDS[2]: 1}, sample, {"message": CARDS[0]}])
    payloads = [
        f"[{CARDS[0]}]".encode(),
        b"\xff" + CARDS[1].encode(),
        f'{{"cc_num": "{SHORT}", "cvv":"{CODE}", "t'.encode(),
    ]
    posted = [dead_letter(number, payload) for number, payload in enumerate(payloads)]
    more = {
        "key": CARDS[3],
        "headers": {"h": CARDS[4], "event_id": "id-9", "pin": CODE},
        "reason": f"no payment: {CARDS[5]}",
    }
    dashboard.post("/api/dead-letters", [*posted, dead_letter(9, CARDS[2].encode(), **more), {"topic": CARDS[6]}])
    place = "credit_card_transactions/0/9"
    dashboard.post("/api/replays", {"places": [place], "who": "Ada", "why": f"for {CARDS[1]}"})
    assert stream.wait_for("alert", 3)

    entity = dashboard.get("/api/entities?column=cc_num")["entities"][0]
    named = f"cc_num/{entity['value']}"
    requests = 0
    for rule in routes(tmp_path):
        address = rule.rule.replace("<column>/<path:value>", named)
        for path in {address.replace("<path:alert_id>", f"id-{number}") for number in (1, 2)}:
            if rule.rule in ENDLESS or "<" in path:
                assert rule.rule in ENDLESS or rule.endpoint == "static", f"{rule.rule}: say how to ask it"
                continue
            for query in QUERIES:
                answer = dashboard.pool.request("GET", f"{dashboard.url}{path}{query}", redirect=False)
                assert leaks(answer.data) == [], f"{path}{query}"
                requests += answer.status == 200
    assert requests > 40

    assert stream.wait_for("stats", len(stream.of("stats")) + 1)
    stream.close()
    for stream_event in stream.events:
        assert leaks(str(stream_event).encode()) == [], stream_event
    dashboard.end()
    assert leaks((dashboard.directory / "dashboard.log").read_bytes()) == []
    assert stored_leaks(dashboard.directory) == []


def test_masked_columns_are_found_again_in_the_export(dashboard: RunningDashboard) -> None:
    dashboard.post("/api/alerts", [hostile(1)])
    text = dashboard.pool.request("GET", f"{dashboard.url}/api/alerts.csv").data.decode()
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["353011******0000"] == "1"
    assert row["column 305693****5904"] == '{"222300******3222":"x"}'
    assert row["Token"] == "tok012*********cret"


def test_no_card_leaves_by_an_answer_to_what_is_posted(dashboard: RunningDashboard) -> None:
    dashboard.post("/api/alerts", [hostile(1), hostile(2)])
    visa = CARDS[0]
    for path, posted in (
        ("/api/alerts", [hostile(3, outcome=visa), visa, {"alert_id": "x", visa: 1}]),
        ("/api/events", [{"type": visa * 9}, visa, {"type": "position", "positions": {visa: {visa: 1}}}]),
        ("/api/dead-letters", [{"topic": visa}, visa]),
        ("/api/ledger", [{"type": visa}, visa]),
        ("/api/threshold", {"threshold": 0.5, "why": visa, "revision": 7}),
        ("/api/schema/aliases", {"new": visa, "old": f"old {visa}", "why": visa}),
        ("/api/schema/aliases/remove", {"new": visa, "who": visa}),
        ("/api/schema/suggestions/refuse", {"new": visa, "old": CARDS[1], "why": CARDS[2]}),
        ("/api/work/claim", {"alert_ids": ["id-1"]}),
        ("/api/work/verdict", {"alert_ids": ["id-1"], "status": visa}),
        ("/api/work/verdict", {"alert_ids": ["id-1"], "status": "unsure", "note": f"call {visa}"}),
        ("/api/work/note", {"alert_ids": ["id-2"], "text": visa}),
        ("/api/work/undo", {"change_id": visa}),
        ("/api/work/next", {"order": visa}),
        ("/api/work/next", {"order": "loss", "where": [f"{visa}:no:1"], visa: 1}),
        ("/api/work/next", {"order": "loss", "min_score": visa}),
        ("/api/actor", {"name": visa}),
        ("/api/actor", {"name": f"Ann {visa}"}),
        ("/api/replays", {"places": [visa], "who": visa, "why": visa}),
        ("/api/replays", {"filter": f"kind={visa}", "who": visa, "why": visa}),
        ("/api/replays/claim", {"batch": visa, "limit": 0}),
        ("/api/replays/results", {"results": [{"replay_id": visa, "reason": visa}]}),
    ):
        answer = dashboard.pool.request("POST", dashboard.url + path, json=posted, headers=WHO)
        assert leaks(answer.data) == [], path
        assert answer.status < 500, answer.data
    for query in ("where=4111111111111111:no:1", "sort=4111111111111111", "min_score=x4111111111111111", "q=no AND"):
        for path in ("/api/alerts", "/"):
            answer = dashboard.pool.request("GET", f"{dashboard.url}{path}?{query}")
            assert leaks(answer.data) == [] or path == "/", query
    dashboard.end()
    assert leaks((dashboard.directory / "dashboard.log").read_bytes()) == []


def test_a_card_number_is_no_name(dashboard: RunningDashboard) -> None:
    headers = {"X-Fraudstream-Actor": quote(f"Ann {CARDS[0]}")}
    claim = {"alert_ids": ["id-1"]}
    answer = dashboard.pool.request("POST", f"{dashboard.url}/api/work/claim", json=claim, headers=headers)
    assert answer.status == 400
    assert "without a card number" in answer.json()["error"]


def test_a_card_number_that_was_recorded_once_is_masked_in_the_record_of_changes(dashboard: RunningDashboard) -> None:
    dashboard.post("/api/alerts", [hostile(1), hostile(2)])
    store = AlertStore.open(f"sqlite:///{dashboard.directory / 'alerts.db'}")
    note = f"of {CARDS[1]}"
    assert TriageService(store).verdict(Actor("Ann"), ["id-2"], AlertStatus.UNSURE, note=note).done
    ChangeLog(store.database).record(
        Actor(CARDS[0]), Action.EXPORT, CARDS[2], {"filter": {"q": CARDS[4]}, "rows": 1}, CARDS[5]
    )
    store.close()
    for path in (
        "/audit",
        "/api/audit",
        "/api/audit?alert_id=id-2",
        "/api/audit.csv",
        "/alerts/id-2",
        "/api/work/id-2",
    ):
        answer = dashboard.pool.request("GET", dashboard.url + path)
        assert answer.status == 200, path
        assert leaks(answer.data) == [], path


def test_no_card_leaves_by_the_deployment_and_its_reason(tmp_path: Path) -> None:
    models = deployed_evaluated_model(tmp_path / "models").parent
    with running_dashboard(tmp_path, models / "current") as dashboard:
        visa = CARDS[0]
        for path, posted in (
            ("/api/threshold", {"threshold": 0.25, "why": f"because of {visa}", "revision": 1}),
            ("/api/threshold", {"threshold": 0.25, "why": f"because of {visa}", "revision": 1}),
            ("/api/schema/aliases", {"new": visa, "old": "V1", "why": CARDS[1]}),
            ("/api/schema/aliases/remove", {"new": visa, "why": CARDS[1]}),
        ):
            answer = dashboard.pool.request("POST", dashboard.url + path, json=posted, headers=WHO)
            assert answer.status in (200, 409)
            assert leaks(answer.data) == [], path
            for page in ("/what-if", "/schema", "/audit", "/api/what-if", "/api/schemas", "/api/audit", "/activity"):
                assert leaks(dashboard.pool.request("GET", dashboard.url + page).data) == [], page
