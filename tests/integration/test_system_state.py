"""The state of the whole system: processes that are silent or ill, partitions that are not read, losses."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr

from apps import create_app
from dashboards import Clock, json_of
from fraudstream.config import Settings
from fraudstream.dashboard.services.statistics import DeployedModel
from fraudstream.store.store import AlertStore
from ledgers import batch, ends, loss

TOPIC = "credit_card_transactions"
WHO = {"X-Fraudstream-Actor": "Mia"}
STARVED: dict[str, Any] = {
    "kind": "starved",
    "message": f"{TOPIC}[1] is not read: records are waiting, and two batches have read none",
    "since": "2026-01-02T03:00:00.000+00:00",
    "partition": 1,
}


def status(state: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {"type": "status", "state": state, "message": message, "at": "2026-01-02T03:04:05+00:00"} | more


def system(client: FlaskClient) -> dict[str, Any]:
    answer = client.get("/api/system")
    assert answer.status_code == 200
    return json_of(answer)


def messages(client: FlaskClient) -> list[str]:
    """What is wrong; this process can serve all the same."""
    assert json_of(client.get("/ready")) == {"ready": True, "reasons": []}
    return [problem["message"] for problem in system(client)["problems"]]


def processes(client: FlaskClient) -> dict[str, Any]:
    return {each["process"]: each for each in system(client)["processes"]}


def test_a_silent_relay_is_reported(client: FlaskClient, clock: Clock) -> None:
    clock.forward(3600)
    assert messages(client) == []
    client.post("/api/events", json=[])
    clock.forward(15)
    assert messages(client) == []
    clock.forward(1)
    assert messages(client) == ["the relay has posted nothing for 16 s"]


def test_a_failing_detector_is_reported_with_its_own_message_until_it_runs(client: FlaskClient, clock: Clock) -> None:
    client.post("/api/events", json=[status("failing", "a task failed")])
    assert messages(client) == ["the detector is failing: a task failed"]
    client.post("/api/events", json=[status("running")])
    assert messages(client) == []
    clock.forward(16)
    client.post("/api/events", json=[])
    assert messages(client) == ["the detector has not reported for 16 s"]


def test_kafka_away_is_reported_as_the_relay_says_it(client: FlaskClient, clock: Clock) -> None:
    trouble = {"type": "position", "at": clock().isoformat(), "positions": {}, "trouble": "Local: Timed out"}
    assert json_of(client.post("/api/events", json=[trouble]))["rejected"] == []
    assert messages(client) == ["Kafka does not respond to the relay: Local: Timed out"]
    position = {"type": "position", "at": clock().isoformat(), "positions": {TOPIC: {"0": {"begin": 0, "end": 5}}}}
    client.post("/api/events", json=[position])
    assert messages(client) == []


def test_a_relay_that_posts_while_no_detector_has_ever_reported_is_reported(client: FlaskClient, clock: Clock) -> None:
    client.post("/api/events", json=[])
    clock.forward(31)
    client.post("/api/events", json=[])
    assert messages(client) == ["no detector has reported for 31 s"]


def test_a_dashboard_that_starts_on_a_stream_it_knows_waits_for_its_relay(
    client: FlaskClient, store: AlertStore, clock: Clock
) -> None:
    position = {"type": "position", "at": clock().isoformat(), "positions": {TOPIC: {"0": {"begin": 0, "end": 5}}}}
    client.post("/api/events", json=[position])
    again = create_app(Settings(), store, clock=clock).test_client()
    assert messages(again) == []
    clock.forward(31)
    assert messages(again) == ["no relay has posted anything for 31 s, since this dashboard started"]


def test_the_page_says_what_keeps_alerts_from_arriving(client: FlaskClient) -> None:
    client.post("/api/events", json=[status("failing", "no room <b>left</b>")])
    page = client.get("/").text
    assert "the detector is failing: no room &lt;b&gt;left&lt;/b&gt;" in page
    assert json_of(client.get("/api/stats"))["problems"] == ["the detector is failing: no room <b>left</b>"]


def test_an_empty_page_says_what_is_waited_for_until_a_payment_arrives(store: AlertStore, clock: Clock) -> None:
    models: list[DeployedModel] = []
    client = create_app(Settings(), store, deployment=lambda: next(iter(models), None), clock=clock).test_client()

    def waiting() -> str | None:
        clock.forward(2)
        message: str | None = json_of(client.get("/api/stats"))["waiting_for"]
        assert (message or "<p data-waiting></p>") in client.get("/").text
        return message

    assert waiting() == "Waiting for a trained model (2 s)"
    models.append(DeployedModel("m-1", 0.5))
    assert waiting() == "Waiting for the relay (4 s)"
    client.post("/api/events", json=[])
    assert waiting() == "Waiting for the detector (6 s)"
    client.post("/api/events", json=[status("starting", "Spark is starting")])
    assert waiting() == "Waiting for the detector: Spark is starting (8 s)"
    client.post("/api/events", json=[status("running")])
    assert waiting() == "Waiting for the first payment (10 s)"
    client.post("/api/events", json=[ends(10)])
    assert waiting() is None


def test_each_process_says_how_it_is_and_since_when(client: FlaskClient, clock: Clock) -> None:
    assert {name: each["state"] for name, each in processes(client).items()} == {
        "dashboard": "running",
        "relay": "unknown",
        "detector": "unknown",
    }
    client.post("/api/events", json=[status("starting", "Spark is starting")])
    began = clock().isoformat(timespec="milliseconds")
    clock.forward(5)
    client.post("/api/events", json=[status("running")])
    clock.forward(2)
    client.post("/api/events", json=[status("running")])
    states = processes(client)
    now = clock().isoformat(timespec="milliseconds")
    assert (states["relay"]["state"], states["relay"]["since"], states["relay"]["last_seen"]) == ("running", began, now)
    assert (states["detector"]["state"], states["detector"]["since"]) == ("running", "2026-01-02T03:04:10.000+00:00")
    clock.forward(16)
    assert processes(client)["detector"] == states["detector"] | {
        "state": "silent",
        "since": now,
        "message": "the detector has not reported for 16 s",
    }


def test_a_starved_partition_is_reported_by_route_page_and_metric(client: FlaskClient) -> None:
    client.post("/api/events", json=[ends(10), ends(30, partition=1)])
    report: dict[str, Any] = {"task_slots": 2, "reading": [0], "problems": [STARVED]}
    client.post("/api/events", json=[status("running", **report)])
    assert messages(client) == [STARVED["message"]]
    state = system(client)
    assert state["task_slots"] == 2
    assert [(p["partition"], p["lag"], p["starved_since"], p["reading"]) for p in state["partitions"]] == [
        (0, 10, None, True),
        (1, 30, STARVED["since"], False),
    ]
    assert STARVED["message"] in client.get("/charts").text
    metrics = client.get("/metrics").text
    assert f'fraudstream_partition_starved{{partition="1",topic="{TOPIC}"}} 1.0' in metrics
    assert f'fraudstream_partition_lag{{partition="1",topic="{TOPIC}"}} 30.0' in metrics
    assert 'fraudstream_problems{kind="starved"} 1.0' in metrics
    assert 'fraudstream_process_running{process="detector"} 1.0' in metrics
    assert "fraudstream_task_slots 2.0" in metrics


@pytest.mark.parametrize(
    "odd",
    [
        {"problems": "none"},
        {"problems": [{"kind": "weather", "message": "rain"}]},
        {"problems": [STARVED | {"message": "x" * 501}]},
        {"reading": ["a"], "task_slots": -1},
    ],
)
def test_a_report_that_is_none_breaks_nothing(client: FlaskClient, odd: dict[str, Any]) -> None:
    client.post("/api/events", json=[status("running", **odd)])
    assert messages(client) == []


def test_a_loss_is_an_alarm_until_a_person_acknowledges_it(
    client: FlaskClient, store: AlertStore, clock: Clock
) -> None:
    client.post("/api/ledger", json=[batch(0, 0, 10), loss(10, 25), batch(1, 25, 30)])
    sentence = "15 records are lost: Kafka deleted them before they were read. See the Ledger page"
    assert messages(client) == [sentence]
    assert "fraudstream_lost_unacknowledged 15.0" in client.get("/metrics").text
    losses = system(client)["losses"]
    client.post("/api/ledger", json=[loss(30, 31)])  # a moment later: nobody has seen this one

    body = {"until_seq": losses["until_seq"], "why": "retention was an hour"}
    assert client.post("/api/system/acknowledge", json=body).status_code == 400
    assert client.post("/api/system/acknowledge", json=body | {"until_seq": "1"}, headers=WHO).status_code == 400
    answer = client.post("/api/system/acknowledge", json=body, headers=WHO)
    assert (answer.status_code, json_of(answer)["acknowledged"]) == (200, 15)
    assert client.post("/api/system/acknowledge", json=body, headers=WHO).status_code == 409
    assert messages(client) == [sentence.replace("15 records are", "1 record is")]

    (change,) = json_of(client.get("/api/audit"))["changes"]
    assert (change["actor"], change["action"], change["why"]) == ("Mia", "acknowledge", "retention was an hour")
    assert change["after"] == {"until_seq": losses["until_seq"], "records": 15}
    assert json_of(client.get("/api/ledger"))["totals"]["lost"] == 16

    client.post("/api/system/acknowledge", json={"until_seq": 10**15}, headers=WHO)
    assert messages(client) == []
    client.post("/api/ledger", json=[loss(31, 33)])
    assert len(messages(client)) == 1
    again = create_app(Settings(), store, clock=clock).test_client()
    assert len(messages(again)) == 1


def test_the_state_is_read_and_acknowledged_with_the_read_token_alone(store: AlertStore) -> None:
    tokens = Settings(ingest_token=SecretStr("ingest-token-of-tests"), read_token=SecretStr("read-token-of-tests"))
    client = create_app(tokens, store).test_client()
    assert client.get("/api/system").status_code == 401
    reader = {"Authorization": "Bearer read-token-of-tests"}
    assert client.get("/api/system", headers=reader).status_code == 200


def test_pages_that_anybody_may_open_tell_no_problem(store: AlertStore) -> None:
    tokens = Settings(ingest_token=SecretStr("ingest-token-of-tests"), read_token=SecretStr("read-token-of-tests"))
    client = create_app(tokens, store).test_client()
    ingest = {"Authorization": "Bearer ingest-token-of-tests"}
    client.post("/api/events", json=[status("failing", "a secret host name")], headers=ingest)
    for path in ("/login", "/no-such-page"):
        assert "a secret host name" not in client.get(path).text
    assert "a secret host name" in client.get("/", headers={"Authorization": "Bearer read-token-of-tests"}).text


def test_the_times_without_reading_are_kept_when_the_detector_is_started_again(client: FlaskClient) -> None:
    past = STARVED | {"until": "2026-01-02T03:01:05.000+00:00"}
    client.post("/api/events", json=[status("running", past_problems=[past])])
    client.post("/api/events", json=[status("starting"), status("running", past_problems=[])])
    client.post("/api/events", json=[status("running", past_problems=[past])])
    assert system(client)["past_problems"] == [past]
    assert system(client)["problems"] == []
