"""What the tests of the relay share: a relay in a thread or a process, its group, and records to relay."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaException, Producer

from dashboards import alert
from fraudstream.errors import KafkaFailure
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.topics import open_admin
from fraudstream.relay.api_client import ApiRefused, ApiUnavailable, DashboardClient
from fraudstream.relay.carrier import open_consumer, relay_records
from fraudstream.relay.records import Route
from fraudstream.runtime.processes import spawn
from fraudstream.transactions.masking import DataMask
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES, OUTPUT_TOPICS, Topic

RELAY, SECOND = "relay", "second"
"""Ids of relays. With the same one, a relay takes over at once from that of the test before."""


class Api(DashboardClient):
    """Refuses every request that holds a record with `refuse_me`, and is away for the first `away` requests."""

    def __init__(self, away: float = 0) -> None:
        self.away = away
        self.attempts = 0
        self.posts: list[tuple[str, dict[str, Any]]] = []

    def post_records(self, route: str, records: Sequence[bytes]) -> None:
        posted = [orjson.loads(record) for record in records]
        self.attempts += 1
        if self.away > 0:
            self.away -= 1
            raise ApiUnavailable("nobody answers")
        if any("refuse_me" in item for item in posted):
            raise ApiRefused("413 too much for me")
        self.posts += [(route, item) for item in posted]

    def ids(self) -> list[str]:
        return [str(item.get("alert_id")) for route, item in self.posts if route == Route.ALERTS]

    def names(self, prefix: str) -> list[str]:
        """Of the records of `send_to_all`, as posted."""
        names = [str(item.get("alert_id") or item.get("key") or item.get("event_id")) for _, item in self.posts]
        return [name for name in names if name.startswith(f"{prefix} ")]


@contextmanager
def relaying(
    bootstrap: str,
    api: DashboardClient,
    relay_id: str = RELAY,
    *,
    mask: DataMask | None = None,
    from_beginning: bool = False,
    ready: Callable[[], None] = lambda: None,
    consumers: Callable[[], Consumer] | None = None,
) -> Iterator[list[KafkaFailure]]:
    """A relay in a thread; yields a list to which the error that ends it is added."""
    cluster = Cluster(bootstrap)
    consumers = consumers or partial(open_consumer, cluster, relay_id, DEFAULT_MAX_RECORD_BYTES)
    stop, failures = threading.Event(), list[KafkaFailure]()

    def run() -> None:
        try:
            relay_records(consumers, cluster, api, stop, mask, from_beginning=from_beginning, ready=ready)
        except KafkaFailure as e:
            failures.append(e)

    running = threading.Thread(target=run)
    running.start()
    try:
        yield failures
    finally:
        stop.set()
        running.join()


def start_relay(bootstrap: str, url: str, relay_id: str, directory: Path) -> Popen[bytes]:
    """`fraudstream relay` in a process of its own."""
    options = ("--bootstrap-servers", bootstrap, "--api", url, "--relay-id", relay_id)
    log = directory / f"{relay_id}.log"
    return spawn([sys.executable, "-m", "fraudstream", "relay", *options], log=log, cwd=directory)


def send_to_all(bootstrap: str, prefix: str, numbers: Sequence[int] = (0,)) -> list[str]:
    """Send a record for each number to each of the output topics; returns their names, `<prefix> <topic> <number>`."""
    producer, names = Producer({"bootstrap.servers": bootstrap}), list[str]()
    for number in numbers:
        for topic in OUTPUT_TOPICS:
            name = f"{prefix} {topic.value} {number}"
            record: dict[str, Any] = alert(number, alert_id=name)
            if topic is Topic.UNSCORABLE:
                record |= {"outcome": "unscorable", "score": None}
            elif topic is Topic.EVENTS:
                record = {"event_id": name, "type": "query", "message": name}
            value = b"{" if topic is Topic.DEAD_LETTERS else orjson.dumps(record)
            producer.produce(topic.value, value, key=name)
            names.append(name)
    assert producer.flush(30) == 0
    return names


def shares(bootstrap: str) -> dict[str, set[str]]:
    """The topics of each relay of the group by its id, as Kafka has it."""
    cluster = Cluster(bootstrap)
    admin = open_admin(cluster)  # a client that is not referred to ends with its requests unanswered
    try:
        group = admin.describe_consumer_groups([cluster.group])[cluster.group].result(timeout=30)
    except KafkaException:  # a broker that has just started has no group coordinator for a moment
        return {}
    return {
        str(member.group_instance_id): {each.topic for each in member.assignment.topic_partitions}
        for member in group.members
    }
