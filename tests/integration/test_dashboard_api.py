"""Each route of the API, asked as the relay, a script and the page ask it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from apps import create_app
from dashboards import Clock, alert, json_of
from fraudstream.config import Settings
from fraudstream.dashboard.services.statistics import DeployedModel
from fraudstream.store.store import AlertStore

TOPIC = "credit_card_transactions"


@pytest.fixture
def client(store: AlertStore, clock: Clock) -> FlaskClient:
    app = create_app(
        Settings(),
        store,
        clock=clock,
        deployment=lambda: DeployedModel("m-1", 0.5, 1000, "f-1"),
        notice="Simulated data",
    )
    return app.test_client()


@pytest.fixture
def client_without_model(store: AlertStore, clock: Clock) -> FlaskClient:
    return create_app(Settings(), store, clock=clock).test_client()


def position(clock: Clock, *ends: int) -> dict[str, Any]:
    partitions = {str(number): {"begin": 0, "end": end} for number, end in enumerate(ends)}
    return {"type": "position", "at": clock().isoformat(), "positions": {TOPIC: partitions}}


def listed(client: FlaskClient, query: str = "") -> list[str]:
    return [alert["alert_id"] for alert in json_of(client.get(f"/api/alerts{query}"))["alerts"]]


def test_posting_alerts_tells_what_became_of_each(client: FlaskClient) -> None:
    client.post("/api/alerts", json=[alert(1)])
    answer = client.post("/api/alerts", json=[alert(1), alert(2), alert(2, transaction={}), {"alert_id": "x"}])
    assert answer.status_code == 200
    assert json_of(answer) == {
        "accepted": 1,
        "duplicates": 1,
        "conflicts": 1,
        "rejected": [{"index": 3, "reason": "transaction is missing"}],
    }


def test_a_nan_for_a_score_costs_its_alert_and_half_a_surrogate_pair_none(client: FlaskClient) -> None:
    good, bad = orjson.dumps(alert(1)), orjson.dumps(alert(2))
    body = b"[%s,%s,%s]" % (bad.replace(b"0.9", b"NaN"), bad.replace(b"m-1", rb"\ud800"), good)
    answer = client.post("/api/alerts", data=body, content_type="application/json")
    assert [rejection["index"] for rejection in json_of(answer)["rejected"]] == [0]
    assert sorted(listed(client)) == ["id-1", "id-2"]
    assert json_of(client.get("/api/alerts/id-2"))["as_text"] == ["model_id"]
    assert client.get("/activity").status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{}", 400), (b"not json", 400), (b"", 400), (b"[" * 100_000, 400), (b"[" + b"1," * 10_000 + b"1]", 413)],
)
def test_what_is_no_list_of_records_is_refused_in_json(client: FlaskClient, body: bytes, status: int) -> None:
    answer = client.post("/api/alerts", data=body, content_type="application/json")
    assert answer.status_code == status
    assert json_of(answer)["error"]


def test_a_body_beyond_the_limit_is_refused(client: FlaskClient) -> None:
    answer = client.post("/api/alerts", data=b" " * (16 * 1024 * 1024 + 1), content_type="application/json")
    assert answer.status_code == 413


def test_a_post_that_is_not_declared_json_is_refused(client: FlaskClient) -> None:
    assert client.post("/api/alerts", data=b"[]", content_type="text/plain").status_code == 415


def test_a_store_that_fails_answers_503_so_that_the_relay_posts_again(client: FlaskClient, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "alerts.db") as connection:
        connection.execute("DROP TABLE alerts")
    connection.close()
    posted, read = client.post("/api/alerts", json=[alert(1)]), client.get("/api/alerts")
    assert (posted.status_code, read.status_code) == (503, 503)
    assert "Traceback" not in posted.text + read.text


def test_alerts_are_listed_newest_first_and_the_cursor_leads_on(client: FlaskClient) -> None:
    client.post("/api/alerts", json=[alert(number) for number in range(5)])
    first = json_of(client.get("/api/alerts?limit=3"))
    rest = json_of(client.get(f"/api/alerts?limit=3&cursor={first['next_cursor']}"))
    assert [document["alert_id"] for document in first["alerts"] + rest["alerts"]] == [
        f"id-{n}" for n in (4, 3, 2, 1, 0)
    ]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["id-3", "id-1"]),
        ("?outcome=unscorable", ["id-2"]),
        ("?outcome=all", ["id-3", "id-2", "id-1"]),
        ("?min_score=0.8", ["id-3"]),
        ("?model_id=m-1", ["id-3", "id-1"]),
        ("?source=elsewhere", []),
        ("?since=2026-01-02T05:04:06+02:00", ["id-3"]),
        ("?since=2026-01-02T05:04:06%2B02:00", ["id-3"]),
        ("?until=2026-01-02 03:04:06", ["id-1"]),
    ],
)
def test_a_query_narrows_the_list(client: FlaskClient, query: str, expected: list[str]) -> None:
    later = "2026-01-02T03:04:06Z"
    client.post("/api/alerts", json=[alert(1, score=0.6), alert(2, outcome="unscorable", score=None)])
    client.post("/api/alerts", json=[alert(3, produced_at=later)])
    assert listed(client, query) == expected


@pytest.mark.parametrize(
    "query",
    ["outcome=clear", "limit=0", "limit=1001", "limit=x", "cursor=-1", "min_score=nan", "min_score=high", "since=noon"],
)
def test_a_query_that_means_nothing_is_refused(client: FlaskClient, query: str) -> None:
    answer = client.get(f"/api/alerts?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in json_of(answer)["error"]


@pytest.mark.parametrize("alert_id", ["id-1", "topic/0/17", "a//b", "50% <b>ü", "x~y"])
def test_one_alert_is_found_by_its_id_whatever_is_in_it(client: FlaskClient, alert_id: str) -> None:
    client.post("/api/alerts", json=[alert(1, alert_id=alert_id)])
    answer = client.get(f"/api/alerts/{alert_id.replace('%', '%25')}")
    assert json_of(answer)["transaction"] == alert(1)["transaction"]


def test_an_unknown_alert_is_not_found(client: FlaskClient) -> None:
    answer = client.get("/api/alerts/nobody")
    assert (answer.status_code, json_of(answer)["status"]) == (404, 404)


def test_a_stream_without_a_payment_for_a_minute_is_quiet(client: FlaskClient, clock: Clock) -> None:
    assert json_of(client.get("/api/stats"))["quiet_seconds"] is None
    client.post("/api/events", json=[position(clock, 60, 40)])
    clock.forward(600)
    client.post("/api/events", json=[position(clock, 60, 40)])
    stats = json_of(client.get("/api/stats"))
    assert (stats["quiet_seconds"], stats["texts"]["quiet"]) == (600, "No payments for 10 min")
    clock.forward(2)
    client.post("/api/events", json=[position(clock, 61, 40)])
    stats = json_of(client.get("/api/stats"))
    assert (stats["quiet_seconds"], stats["texts"]["quiet"]) == (None, "")


def test_the_queue_counts_the_alerts_that_nobody_has_decided(client: FlaskClient) -> None:
    client.post("/api/alerts", json=[alert(1), alert(2), alert(3, outcome="unscorable", score=None)])
    verdict = {"alert_ids": ["id-1"], "status": "false_alarm", "who": "Mia"}
    assert client.post("/api/work/verdict", json=verdict).status_code == 200
    stats = json_of(client.get("/api/stats"))
    assert (stats["to_do"], stats["texts"]["badges"]["queue"]) == (1, "1")


def test_the_counters_come_from_positions_samples_and_alerts(client: FlaskClient, clock: Clock) -> None:
    sample = {"type": "sample", "topic": TOPIC, "partition": 1, "offset": 29, "model_id": "m-9", "threshold": 0.1}
    client.post("/api/events", json=[position(clock, 0, 0)])
    clock.forward(2)
    client.post("/api/events", json=[position(clock, 60, 40), sample])
    client.post("/api/alerts", json=[alert(49), alert(10, outcome="unscorable", score=None)])
    client.post("/api/dead-letters", json=[{"topic": TOPIC, "partition": 0, "offset": 5, "reason": "empty"}])
    stats = json_of(client.get("/api/stats"))
    assert (stats["payments_seen"], stats["scored"], stats["lag"]) == (100, 78, 20)
    assert (stats["alerts"], stats["unscorable"], stats["dead_letters"]) == (1, 1, 1)
    assert stats["rate"] == 50.0
    assert (stats["model_id"], stats["threshold"], stats["unseen_from_row"]) == ("m-1", 0.5, 1000)
    assert stats["data_fingerprint"] == "f-1"


def test_latency_runs_to_the_store_while_nobody_watches(client: FlaskClient, clock: Clock) -> None:
    clock.forward(0.020)
    client.post("/api/alerts", json=[alert(number) for number in range(99)])
    clock.forward(1)
    client.post("/api/alerts", json=[alert(100)])
    stats = json_of(client.get("/api/stats"))
    assert (stats["p50_ms"], stats["p99_ms"], stats["latency_to"]) == (20.0, 20.0, "store")
    clock.forward(61)
    stats = json_of(client.get("/api/stats"))
    assert (stats["p50_ms"], stats["p99_ms"], stats["latency_to"]) == (None, None, None)


def test_the_rate_is_that_of_the_last_ten_seconds_and_falls_to_zero_without_news(
    client: FlaskClient, clock: Clock
) -> None:
    end = 0
    for _ in range(30):
        clock.forward(1)
        end += 500 if end < 5000 else 100
        client.post("/api/events", json=[position(clock, end)])
    clock.forward(0.1)
    client.post("/api/events", json=[position(clock, end - 10)])  # of another relay, which read it earlier
    assert json_of(client.get("/api/stats"))["rate"] == 100.0
    clock.forward(11)
    assert json_of(client.get("/api/stats"))["rate"] == 0.0


def test_events_are_listed_by_kind(client: FlaskClient) -> None:
    client.post(
        "/api/events", json=[{"type": "model", "message": "swapped"}, {"type": "query", "message": "started"}, 5]
    )
    assert [event["message"] for event in json_of(client.get("/api/events"))["events"]] == ["started", "swapped"]
    assert [event["message"] for event in json_of(client.get("/api/events?type=model"))["events"]] == ["swapped"]


def test_dead_letters_are_listed_as_they_came(client: FlaskClient) -> None:
    dead_letter = {"topic": TOPIC, "partition": 0, "offset": 5, "reason": "empty", "payload_base64": None}
    client.post("/api/dead-letters", json=[dead_letter, {"topic": TOPIC}])
    listed = json_of(client.get("/api/dead-letters"))["dead_letters"]
    assert listed[0] | dead_letter == listed[0]
    assert json_of(client.get("/api/stats"))["rejected"] == 1


def test_it_is_healthy_while_the_database_answers(client: FlaskClient) -> None:
    assert client.get("/health").status_code == 200


def test_the_metrics_show_the_counters(client: FlaskClient) -> None:
    client.post("/api/alerts", json=[alert(1)])
    metrics = client.get("/metrics").text
    assert "fraudstream_alerts 1.0" in metrics
    assert 'fraudstream_alert_latency_seconds_count{to="store"} 1.0' in metrics


def test_numbers_that_json_cannot_carry_never_leave(client: FlaskClient) -> None:
    body = orjson.dumps([alert(1)]).replace(b"-1.5", b"Infinity")
    client.post("/api/alerts", data=body, content_type="application/json")
    for route in ("/api/alerts?outcome=all", "/api/stats", "/api/events", "/api/dead-letters"):
        orjson.loads(client.get(route).data)


@pytest.mark.parametrize("odd", [{"model_id": 7, "threshold": 0.1}, {"model_id": "m", "threshold": "high"}, {}])
def test_an_odd_sample_does_not_break_the_page(client_without_model: FlaskClient, odd: dict[str, Any]) -> None:
    sample = {"type": "sample", "topic": TOPIC, "partition": 0, "offset": 1}
    client_without_model.post("/api/events", json=[sample | {"model_id": "m-2", "threshold": 0.25}])
    client_without_model.post("/api/events", json=[sample | odd, {"type": "position", "positions": {TOPIC: 7}}])
    assert client_without_model.get("/").status_code == 200


def test_without_a_deployed_model_the_newest_sample_or_alert_names_it(client_without_model: FlaskClient) -> None:
    client_without_model.post("/api/alerts", json=[alert(1, model_id="m-3", threshold=0.125)])
    stats = json_of(client_without_model.get("/api/stats"))
    assert (stats["model_id"], stats["threshold"], stats["unseen_from_row"]) == ("m-3", 0.125, None)
    sample = {"type": "sample", "topic": TOPIC, "partition": 0, "offset": 1, "model_id": "m-4", "threshold": 0.25}
    client_without_model.post("/api/events", json=[sample])
    stats = json_of(client_without_model.get("/api/stats"))
    assert (stats["model_id"], stats["threshold"]) == ("m-4", 0.25)
