"""What the store holds of secrets: nothing, whoever posts them, whichever release stored them; no filter tells any."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine, text

from apps import create_app
from dashboards import Clock, alert, json_of, open_store, take_back
from dead_letters import INPUT, dead_letter
from fraudstream.config import Settings
from fraudstream.store.dead_letters import DeadLetterFilter, DeadLetterReader
from fraudstream.store.store import AlertStore
from fraudstream.transactions.masking import DataMask

VISA = "4111111111111111"
CODE = "zq7391"
SSN = "078-05-1120"
TOKEN = "tok0123456789secret"
SECRETS = (VISA, CODE, SSN, TOKEN)
PAYMENT = {
    "Amount": 9.0,
    "card_number": VISA,
    "cvv": CODE,
    "customer": {"ssn": SSN},
    "note": f"card {VISA}",
    "token": TOKEN,
    VISA: 1,
}


@pytest.fixture
def app(store: AlertStore, clock: Clock) -> Flask:
    return create_app(Settings(card_columns=("token",)), store, clock=clock)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def in_the_files(directory: Path) -> list[str]:
    content = b"".join(path.read_bytes() for path in sorted(directory.glob("alerts.db*")))
    assert content
    return [secret for secret in SECRETS if secret.encode() in content]


def test_whoever_posts_a_secret_none_is_stored(client: FlaskClient, tmp_path: Path) -> None:
    client.post("/api/alerts", json=[alert(1, transaction=PAYMENT), {"alert_id": VISA, "cvv": CODE, "x": SSN}, VISA])
    client.post("/api/events", json=[{"type": "query", "message": f"of {VISA}", "pin": CODE}, {"type": VISA * 9}])
    posted = dead_letter(1, f'["{VISA}", {{"cvv":"{CODE}"'.encode(), key=VISA, headers={"cvv": CODE, "ssn": SSN})
    client.post("/api/dead-letters", json=[posted, {"topic": VISA}])
    client.post("/api/ledger", json=[{"type": VISA, "pin": CODE}])
    stored = json_of(client.get("/api/alerts/id-1"))
    assert stored["transaction"] == {
        "Amount": 9.0,
        "card_number": "411111******1111",
        "customer": {"ssn": "***-**-****"},
        "note": "card 411111******1111",
        "token": "tok012*********cret",
        "411111******1111": 1,
    }
    assert stored["removed"] == ["cvv"]
    assert json_of(client.get("/api/stats"))["rejected"] == 5
    odd = [alert(number, removed=removed, schema_id="s") for number, removed in enumerate((5, "x", {"a": 1}, [7]), 2)]
    assert json_of(client.post("/api/alerts", json=odd))["accepted"] == 4
    assert in_the_files(tmp_path) == []


def test_no_filter_finds_out_what_is_masked(client: FlaskClient) -> None:
    client.post("/api/alerts", json=[alert(1, transaction=PAYMENT)])
    client.post(
        "/api/alerts", json=[alert(2, transaction=PAYMENT, outcome="unscorable", score=None, reason=f"of {VISA}")]
    )
    client.post("/api/dead-letters", json=[dead_letter(3, reason=f"no object: ssn {SSN}")])

    def finds(query: str) -> bool:
        return bool(json_of(client.get(f"/api/alerts?{query}"))["alerts"])

    assert finds(f"where=card_number:eq:{VISA}"), "all of a number is found as it is stored"
    assert all(map(finds, ("where=card_number:has:411111*", "q=411111*", f"q={VISA}")))
    parts = [SSN[:end] for end in range(1, len(SSN) + 1)] + list("0123456789")
    for part in parts:
        assert not finds(f"where=customer.ssn:has:{part}")
        assert not finds(f"where=customer.ssn:ge:{part}") or finds("where=customer.ssn:ge:"), part
        assert not any(json_of(client.get(f"/api/dead-letters?kind=all&reason=ssn {part}"))["dead_letters"])
    for end in range(7, 13):
        assert not finds(f"where=card_number:has:{VISA[:end]}")
        assert not finds(f"q={VISA[:end]}*")
        assert not any(json_of(client.get(f"/api/dead-letters?kind=all&reason={VISA[:end]}"))["dead_letters"])
    for condition in ("has:z", "eq:zq7391", "ne:x", "lt:~"):
        assert not finds(f"where=cvv:{condition}"), "what was removed is not there to be compared"


def test_a_corrected_payload_is_given_whole_to_its_sender_and_then_forgotten(
    client: FlaskClient, store: AlertStore
) -> None:
    client.post("/api/dead-letters", json=[dead_letter(1, b"[1")])
    payload = base64.b64encode(f'{{"card_number": "{VISA}"}}'.encode()).decode()
    body = {"places": [f"{INPUT}/0/1"], "who": "Ann", "why": f"of {VISA}", "payload_base64": payload}
    assert client.post("/api/replays", json=body).status_code == 200
    (claimed,) = json_of(client.post("/api/replays/claim", json={"limit": 10}))["replays"]
    assert claimed["payload_base64"] == payload
    result = {"replay_id": claimed["replay_id"], "place": f"{INPUT}/0/2"}
    assert json_of(client.post("/api/replays/results", json={"results": [result]})) == {"recorded": 1}
    (replay,) = json_of(client.get("/api/replays"))["replays"]
    assert (replay["corrected"], replay["why"]) == (True, "of 411111******1111")
    with store.database.read() as connection:
        assert connection.execute(text("SELECT payload FROM replays")).scalars().all() == [""]


def test_what_an_earlier_release_stored_is_masked_when_the_database_is_opened(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'alerts.db'}"
    originals = [alert(1, transaction=PAYMENT), alert(1, transaction=PAYMENT | {"Amount": 10.0}), alert(2)]
    rejected: list[Any] = [{"alert_id": "r", "cvv": CODE, "transaction": VISA}]
    dead = [dead_letter(1, f'["{VISA}", {{"cvv":"{CODE}"'.encode(), key=VISA, headers={"ssn": SSN})]
    with open_store(tmp_path) as store:
        added = store.add_alerts(originals + rejected)
        assert (added.accepted, added.conflicts, len(added.rejected)) == (2, 1, 1)
        store.add_dead_letters(dead)
        store.add_events([{"type": "query", "event_id": "e", "message": f"of {VISA}", "pin": CODE}])
    assert in_the_files(tmp_path) == list(SECRETS)
    take_back(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in (
            "DROP TABLE sessions",
            "ALTER TABLE changes DROP COLUMN hash",
            "ALTER TABLE changes DROP COLUMN session",
            "UPDATE alembic_version SET version_num = '0008'",
        ):
            connection.execute(text(statement))
    engine.dispose()

    store = AlertStore.open(url, clock=Clock(), card_columns=("token",))
    try:
        mask = DataMask(("token",))
        again = store.add_alerts([mask.record(each) for each in originals])
        assert (again.accepted, again.conflicts, again.duplicates) == (0, 0, 3), "they are the same records still"
        assert store.totals()["alert"] == 3
        assert store.add_dead_letters([mask.record(each) for each in dead]).duplicates == 1
        (stored,), _ = DeadLetterReader(store.database).page(DeadLetterFilter(), after=None, limit=9)
        assert stored.document["key"] == "411111******1111"
        assert store.alert("id-1").document()["removed"] == ["cvv"]  # type: ignore[union-attr]
        (event,) = store.events(kind="query")
        assert event.document["message"] == "of 411111******1111"
    finally:
        store.close()
    assert in_the_files(tmp_path) == []
