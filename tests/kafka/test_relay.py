"""The relay on a real broker, with an API that refuses or is away; the real API is in tests/e2e."""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from dashboards import RunningDashboard
from fraudstream.audit.gather import OUTCOME_TOPICS
from fraudstream.kafka.broker import RunningBroker
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import committed_offsets, open_reader
from fraudstream.relay import carrier
from fraudstream.relay.carrier import REFUSED_RECORD, open_consumer
from fraudstream.relay.records import Route
from fraudstream.relay.service import post_positions
from fraudstream.runtime.processes import stop as stop_process
from fraudstream.runtime.processes import wait_until
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES, RELAYED_TOPICS, Topic
from offsets import end_offsets
from relays import RELAY, SECOND, Api, relaying, send_to_all, shares, start_relay

pytestmark = pytest.mark.kafka


def relay_until(
    bootstrap: str, api: Api, enough: str, *, from_beginning: bool = False, first: dict[str, Any] | None = None
) -> None:
    if first is not None:
        send(bootstrap, first)
    with relaying(bootstrap, api, from_beginning=from_beginning):
        assert wait_until(lambda: enough in api.ids(), 60)


def send(bootstrap: str, *alerts: dict[str, Any]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for each in alerts:
        producer.produce(Topic.ALERTS.value, orjson.dumps(each))
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
    api = Api()
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    with relaying(broker.bootstrap_servers, api):
        for number in range(20):
            producer.produce(Topic.EVENTS.value, orjson.dumps({"type": "sample", "event_id": f"sample-{number}"}))
        assert producer.flush(30) == 0
        send(broker.bootstrap_servers, {"alert_id": "behind-events"})
        assert wait_until(lambda: "behind-events" in api.ids(), 60)
        assert wait_until(lambda: len(events_of(api)) == 20, 60)
        producer.produce(Topic.EVENTS.value, orjson.dumps({"type": "sample", "event_id": "sample-last"}))
        send(broker.bootstrap_servers, {"alert_id": "after-the-last"})
        assert producer.flush(30) == 0
        assert wait_until(lambda: "after-the-last" in api.ids(), 60)
    later = Api()
    relay_until(broker.bootstrap_servers, later, "new-one", first={"alert_id": "new-one"})
    events = events_of(api) + events_of(later)
    assert events.count("sample-last") == 1
    assert sorted(events) == sorted([*(f"sample-{number}" for number in range(20)), "sample-last"])


def events_of(api: Api) -> list[str]:
    """The samples of these tests: other tests on this broker write events too."""
    ids = [str(item["event_id"]) for route, item in api.posts if route is Route.EVENTS]
    return [each for each in ids if each.startswith("sample-")]


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


# Kafka counts a relay as a member for ten seconds after it ended. The tests below use two ids alternately, so that only
# those wait for it that are about it.


def both_share(bootstrap: str) -> bool:
    """Whether the two relays have all topics between them, each some."""
    first, second = (shares(bootstrap).get(name, set()) for name in (RELAY, SECOND))
    return bool(first and second) and not first & second and first | second == {topic.value for topic in RELAYED_TOPICS}


def test_two_relays_share_the_topics_and_each_record_is_posted_once(broker: RunningBroker) -> None:
    bootstrap, first, second = broker.bootstrap_servers, Api(), Api()
    with relaying(bootstrap, first):
        before = send_to_all(bootstrap, "alone")
        assert wait_until(lambda: set(first.names("alone")) == set(before), 60)
        with relaying(bootstrap, second, SECOND):
            assert wait_until(lambda: both_share(bootstrap), 60)
            names = send_to_all(bootstrap, "shared", range(50))
            assert wait_until(lambda: len(first.names("shared")) + len(second.names("shared")) >= len(names), 60)
            assert sorted(first.names("shared") + second.names("shared")) == sorted(names)
            assert first.names("shared")
            assert second.names("shared")
            assert second.names("alone") == []


@pytest.mark.nightly
def test_partitions_that_are_assigned_later_too_are_relayed_from_the_beginning(broker: RunningBroker) -> None:
    bootstrap, first, second, assignments = broker.bootstrap_servers, Api(), Api(), list[None]()
    with relaying(bootstrap, first), relaying(bootstrap, second, SECOND):
        names = send_to_all(bootstrap, "again")
        assert wait_until(lambda: set(first.names("again") + second.names("again")) == set(names), 60)
    again = Api()
    with relaying(bootstrap, again, SECOND, from_beginning=True, ready=lambda: assignments.append(None)):
        assert wait_until(lambda: set(again.names("again")) == set(names), 60)
    assert len(assignments) > 1, "the topics of the first relay are assigned when its session has expired"


@pytest.mark.nightly  # a dashboard that is away: test_relay_posts.py and, in every change, the short chaos run
def test_a_relay_that_cannot_post_gives_its_partitions_up_and_gets_them_back(broker: RunningBroker) -> None:
    bootstrap, first, second = broker.bootstrap_servers, Api(), Api(away=math.inf)
    with relaying(bootstrap, second, SECOND):
        names = send_to_all(bootstrap, "away")
        assert wait_until(lambda: second.attempts > 3, 60)
        with relaying(bootstrap, first):
            assert wait_until(lambda: both_share(bootstrap), 60)
            share = {name for name in names if name.split()[1] in shares(bootstrap)[RELAY]}
            assert wait_until(lambda: set(first.names("away")) == share, 60)
            second.away = 0
            assert wait_until(lambda: len(second.names("away")) + len(share) >= len(names), 60)
        assert sorted(first.names("away") + second.names("away")) == sorted(names)
        names = send_to_all(bootstrap, "back")
        assert wait_until(lambda: set(second.names("back")) == set(names), 60)


def test_a_second_relay_with_the_same_id_ends_the_first(broker: RunningBroker) -> None:
    bootstrap, first, second = broker.bootstrap_servers, Api(), Api()
    with relaying(bootstrap, first, SECOND) as failures:
        send(bootstrap, {"alert_id": "c1"})
        assert wait_until(lambda: "c1" in first.ids(), 60)
        with relaying(bootstrap, second, SECOND):
            assert wait_until(lambda: bool(failures), 60)
            assert "another relay has taken the id" in failures[0].what
            assert "FRAUDSTREAM_RELAY_ID" in failures[0].remedy
            send(bootstrap, {"alert_id": "c2"})
            assert wait_until(lambda: "c2" in second.ids(), 60)
    assert "c2" not in first.ids()


def test_a_relay_that_is_fenced_once_as_after_a_kill_of_kafka_goes_on(broker: RunningBroker) -> None:
    bootstrap, api = broker.bootstrap_servers, Api()
    with relaying(bootstrap, api, SECOND) as failures:
        send(bootstrap, {"alert_id": "d1"})
        assert wait_until(lambda: "d1" in api.ids(), 60)
        fencing = open_consumer(Cluster(bootstrap), SECOND, DEFAULT_MAX_RECORD_BYTES)
        fencing.subscribe([topic.value for topic in RELAYED_TOPICS])
        assert wait_until(lambda: fencing.poll(0.1) is None and bool(fencing.assignment()), 60)
        fencing.close()
        send(bootstrap, {"alert_id": "d2"})
        assert wait_until(lambda: "d2" in api.ids(), 60)
        assert not failures


class Stranded:
    """A consumer that loses its partitions as soon as it is stranded, and gets none again."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer, self.is_stranded = consumer, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.consumer, name)

    def subscribe(self, topics: list[str], **callbacks: Callable[..., None]) -> None:
        self.on_lost = callbacks["on_lost"]
        self.consumer.subscribe(topics, **callbacks)

    def poll(self, seconds: float) -> Message | None:
        if self.is_stranded and (partitions := self.consumer.assignment()):
            self.consumer.unsubscribe()
            self.on_lost(self.consumer, partitions)
        return self.consumer.poll(seconds)


def test_a_consumer_that_gets_no_partitions_back_is_replaced(
    broker: RunningBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a pause of Kafka: librdkafka forgets all brokers if Kafka, until it is well again, names none."""
    monkeypatch.setattr(carrier, "REJOIN_SECONDS", 0.5)
    api, ready, opened = Api(), threading.Event(), list[Stranded]()

    def open_one() -> Consumer:
        consumer = open_consumer(Cluster(broker.bootstrap_servers), RELAY, DEFAULT_MAX_RECORD_BYTES)
        opened.append(Stranded(consumer))
        return cast(Consumer, opened[-1])

    with relaying(broker.bootstrap_servers, api, ready=ready.set, consumers=open_one):
        assert ready.wait(30)
        ready.clear()
        opened[0].is_stranded = True
        assert ready.wait(60)
        names = send_to_all(broker.bootstrap_servers, "after it was stranded")
        assert wait_until(lambda: sorted(api.names("after it was stranded")) == sorted(names), 60)
    assert len(opened) == 2


def test_a_killed_relay_that_is_restarted_gets_its_partitions_without_a_rebalance(
    broker: RunningBroker, dashboard: RunningDashboard, tmp_path: Path
) -> None:
    bootstrap, api, assignments = broker.bootstrap_servers, Api(), list[None]()
    process = start_relay(bootstrap, dashboard.url, SECOND, tmp_path)
    try:
        with relaying(bootstrap, api, ready=lambda: assignments.append(None)):
            assert wait_until(lambda: both_share(bootstrap), 60)
            before, count = shares(bootstrap), len(assignments)
            process.kill()
            process.wait()
            names = send_to_all(bootstrap, "restarted")
            process = start_relay(bootstrap, dashboard.url, SECOND, tmp_path)
            assert wait_until(lambda: stored(dashboard, "restarted") + len(api.names("restarted")) == len(names), 60)
            assert shares(bootstrap) == before
            assert len(assignments) == count
    finally:
        stop_process(process, grace=10)


def test_a_relay_that_is_killed_for_good_loses_and_doubles_nothing(
    broker: RunningBroker, dashboard: RunningDashboard, tmp_path: Path
) -> None:
    bootstrap, url = broker.bootstrap_servers, dashboard.url
    processes = [start_relay(bootstrap, url, name, tmp_path) for name in (RELAY, SECOND)]
    try:
        assert wait_until(lambda: both_share(bootstrap), 60)
        numbers = range(500)
        send_to_all(bootstrap, "killed", numbers[:250])
        assert wait_until(lambda: stored(dashboard, "killed") > 0, 60)
        processes[1].kill()
        send_to_all(bootstrap, "killed", numbers[250:])
        assert wait_until(lambda: stored(dashboard, "killed") >= 2_000, 60)
        assert stored(dashboard, "killed") == 2_000
        ends = {topic.value: end_offsets(bootstrap, topic)[0] for topic in OUTCOME_TOPICS}
        wait_until(lambda: committed(bootstrap) == ends, 60)  # a commit may come later than its post
        assert committed(bootstrap) == ends
    finally:
        for process in processes:
            stop_process(process, grace=10)


@pytest.mark.nightly
def test_a_relay_without_partitions_is_ready_and_takes_over(broker: RunningBroker) -> None:
    bootstrap, last, count = broker.bootstrap_servers, Api(), len(RELAYED_TOPICS)
    ready = [threading.Event() for _ in range(count + 1)]
    with relaying(bootstrap, last, ready=ready[0].set):
        with ExitStack() as others:
            for number in range(1, count + 1):
                others.enter_context(relaying(bootstrap, Api(), f"relay-{number}", ready=ready[number].set))
            assert all(each.wait(60) for each in ready)
            assert wait_until(lambda: sorted(map(len, shares(bootstrap).values())) == [0, *[1] * count], 60)
        names = send_to_all(bootstrap, "last")
        assert wait_until(lambda: set(last.names("last")) == set(names), 60)


def stored(dashboard: RunningDashboard, prefix: str) -> int:
    """How many records of `send_to_all` the store holds."""
    with sqlite3.connect(dashboard.directory / "alerts.db") as database:
        queries = (
            "SELECT count(*) FROM alerts WHERE alert_id LIKE ?",
            "SELECT count(*) FROM events WHERE event_id LIKE ?",
            "SELECT count(*) FROM dead_letters WHERE json_extract(body, '$.key') LIKE ?",
        )
        return sum(database.execute(query, (f"{prefix} %",)).fetchone()[0] for query in queries)


def committed(bootstrap: str) -> dict[str, int]:
    """What the group has committed, read as `fraudstream audit` does: without joining it."""
    consumer = open_reader(Cluster(bootstrap))
    try:
        offsets = committed_offsets(consumer, [TopicPartition(topic.value, 0) for topic in OUTCOME_TOPICS])
    finally:
        consumer.close()
    return {each.topic: each.offset for each in offsets}


def test_while_kafka_does_not_answer_the_relay_says_so_each_second() -> None:
    api, stop = Api(), threading.Event()

    def ends() -> Mapping[int, tuple[int, int]]:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - the client's name for it

    now = datetime(2026, 1, 1, tzinfo=UTC)
    posting = threading.Thread(target=post_positions, args=(api, Topic.TRANSACTIONS.value, ends, lambda: now, stop))
    posting.start()
    assert wait_until(lambda: len(api.posts) >= 1, 60)
    stop.set()
    posting.join()
    route, event = api.posts[0]
    assert route is Route.EVENTS
    assert (event["positions"], event["trouble"]) == ({}, "Local: Timed out")
