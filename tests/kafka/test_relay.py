"""The relay on a real broker, with an API that refuses or is away; the real API is in tests/e2e."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from fraudstream.kafka.broker import RunningBroker
from fraudstream.relay.api_client import ApiRefused, ApiUnavailable, DashboardClient
from fraudstream.relay.carrier import REFUSED_RECORD, Relay, post_positions
from fraudstream.relay.records import Route
from fraudstream.runtime.processes import wait_until
from fraudstream.transactions.wire import RELAYED_TOPICS, Topic

pytestmark = pytest.mark.kafka


class Api(DashboardClient):
    """Refuses every request that holds a record with `refuse_me`, and is away for the first `away` requests."""

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.posts: list[tuple[str, dict[str, Any]]] = []

    def post_records(self, route: str, records: Sequence[bytes]) -> None:
        posted = [orjson.loads(record) for record in records]
        if self.away:
            self.away -= 1
            raise ApiUnavailable("nobody answers")
        if any("refuse_me" in item for item in posted):
            raise ApiRefused("413 too much for me")
        self.posts += [(route, item) for item in posted]

    def ids(self) -> list[str]:
        return [str(item.get("alert_id")) for route, item in self.posts if route == Route.ALERTS]


def relay_until(
    bootstrap: str, api: Api, enough: str, *, from_beginning: bool = False, first: dict[str, Any] | None = None
) -> None:
    if first is not None:
        send(bootstrap, first)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "fraudstream-relay", "enable.auto.commit": False})
    relay = Relay(consumer, api, dict.fromkeys(RELAYED_TOPICS, 1))
    stop = threading.Event()
    assert relay.assign(stop, from_beginning=from_beginning)
    running = threading.Thread(target=relay.run, args=(stop,))
    running.start()
    try:
        assert wait_until(lambda: enough in api.ids(), 60)
    finally:
        stop.set()
        running.join()
        consumer.close()


def send(bootstrap: str, *alerts: dict[str, Any]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for alert in alerts:
        producer.produce(Topic.ALERTS.value, orjson.dumps(alert))
    assert producer.flush(30) == 0


def test_a_record_that_the_api_refuses_is_kept_there_and_holds_up_none_that_follow(broker: RunningBroker) -> None:
    send(broker.bootstrap_servers, {"alert_id": "a1"}, {"alert_id": "a2", "refuse_me": True}, {"alert_id": "a3"})
    api = Api(away=2)
    relay_until(broker.bootstrap_servers, api, "a3")
    assert {"a1", "a3"} <= set(api.ids())
    (rejected,) = [item for _, item in api.posts if REFUSED_RECORD in item]
    assert '"alert_id":"a2"' in rejected[REFUSED_RECORD]
    assert rejected["refused_because"] == "413 too much for me"


def test_an_alert_does_not_wait_for_an_event_and_none_is_lost_at_the_end(broker: RunningBroker) -> None:
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap_servers, "group.id": "fraudstream-relay", "enable.auto.commit": False}
    )
    api = Api()
    relay = Relay(consumer, api, dict.fromkeys(RELAYED_TOPICS, 1))
    stop = threading.Event()
    assert relay.assign(stop)
    running = threading.Thread(target=relay.run, args=(stop,))
    running.start()
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    try:
        for number in range(20):
            producer.produce(Topic.EVENTS.value, orjson.dumps({"type": "sample", "event_id": f"e{number}"}))
        assert producer.flush(30) == 0
        send(broker.bootstrap_servers, {"alert_id": "behind-events"})
        assert wait_until(lambda: "behind-events" in api.ids(), 60)
        assert wait_until(lambda: len(events_of(api)) == 20, 60)
        producer.produce(Topic.EVENTS.value, orjson.dumps({"type": "sample", "event_id": "last"}))
        send(broker.bootstrap_servers, {"alert_id": "after-the-last"})
        assert producer.flush(30) == 0
        assert wait_until(lambda: "after-the-last" in api.ids(), 60)
    finally:
        stop.set()
        running.join()
        consumer.close()
    later = Api()
    relay_until(broker.bootstrap_servers, later, "new-one", first={"alert_id": "new-one"})
    events = events_of(api) + events_of(later)
    assert events.count("last") == 1
    assert sorted(events) == sorted([*(f"e{number}" for number in range(20)), "last"])


def events_of(api: Api) -> list[str]:
    return [str(item["event_id"]) for route, item in api.posts if route is Route.EVENTS]


def test_it_goes_on_behind_what_was_taken_and_from_the_beginning_on_request(broker: RunningBroker) -> None:
    send(broker.bootstrap_servers, {"alert_id": "b1"})
    relay_until(broker.bootstrap_servers, Api(), "b1")
    send(broker.bootstrap_servers, {"alert_id": "b2"})
    later = Api()
    relay_until(broker.bootstrap_servers, later, "b2")
    assert "b1" not in later.ids()
    again = Api()
    relay_until(broker.bootstrap_servers, again, "b2", from_beginning=True)
    assert {"b1", "b2"} <= set(again.ids())


def test_while_kafka_does_not_answer_the_relay_says_so_each_second() -> None:
    api, stop = Api(), threading.Event()

    def ends() -> Mapping[int, tuple[int, int]]:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - the client's name for it

    now = datetime(2026, 1, 1, tzinfo=UTC)
    posting = threading.Thread(target=post_positions, args=(api, ends, lambda: now, stop))
    posting.start()
    assert wait_until(lambda: len(api.posts) >= 1, 60)
    stop.set()
    posting.join()
    route, event = api.posts[0]
    assert route is Route.EVENTS
    assert (event["positions"], event["trouble"]) == ({}, "Local: Timed out")
