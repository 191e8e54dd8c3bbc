"""Verdicts on a real topic: each at least once, with the same id each time, and the relay starts without the topic."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import urllib3
from confluent_kafka import Consumer, TopicPartition
from flask import Flask

from apps import create_app
from dashboards import json_of, open_store
from fraudstream.config import Settings
from fraudstream.errors import DashboardFailed
from fraudstream.kafka.broker import RunningBroker
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.topics import ensure_topics
from fraudstream.kafka_settings import KafkaSettings
from fraudstream.messages.verdicts import VerdictMessage
from fraudstream.relay import service
from fraudstream.relay.api_client import DashboardClient
from fraudstream.relay.service import publish_verdicts
from fraudstream.runtime.processes import wait_until
from fraudstream.store.changes import Actor
from fraudstream.store.triage import TriageService
from fraudstream.store.triage_state import AlertStatus
from fraudstream.transactions.wire import Topic
from offsets import end_offsets

pytestmark = pytest.mark.kafka

ANN = Actor("Ann")


class Dashboard(DashboardClient):
    """Asks an app in this process, which does not answer that verdicts are published as long as it `forgets`."""

    def __init__(self, app: Flask, forgets: bool = False) -> None:
        super().__init__(urllib3.PoolManager(), "http://127.0.0.1:1", None, None)
        self._client = app.test_client()
        self.forgets = forgets
        self.until = 0

    def post(self, route: str, content: Any) -> dict[str, Any]:
        if self.forgets and content["until"]:
            raise DashboardFailed("the dashboard does not answer")
        self.until = content["until"]
        return json_of(self._client.post(route, json=content))


@contextmanager
def publishing(dashboard: Dashboard, cluster: Cluster) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=publish_verdicts, args=(dashboard, cluster, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def read(broker: RunningBroker, begin: int) -> list[tuple[str, VerdictMessage]]:
    """The verdicts from an offset on, with their keys."""
    end = end_offsets(broker.bootstrap_servers, Topic.VERDICTS)[0]
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "v", "enable.auto.commit": False})
    consumer.assign([TopicPartition(Topic.VERDICTS, 0, begin)])
    records: list[tuple[str, VerdictMessage]] = []
    while len(records) < end - begin:
        message = consumer.poll(30)
        assert message is not None
        key, value = message.key(), message.value()
        assert key is not None
        assert value is not None
        verdict = VerdictMessage.model_validate_json(value)
        assert dict(message.headers() or [])["event_id"] == verdict.event_id.encode()
        records.append((key.decode(), verdict))
    consumer.close()
    return records


def has_verdicts(broker: RunningBroker, end: int) -> bool:
    return end_offsets(broker.bootstrap_servers, Topic.VERDICTS)[0] >= end


def test_each_verdict_is_published_at_least_once_with_one_id(
    broker: RunningBroker, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "RETRY_SECONDS", 0.01)
    begin = end_offsets(broker.bootstrap_servers, Topic.VERDICTS)[0]
    with open_store(tmp_path, alerts=3) as store:
        app, triage = create_app(Settings(), store), TriageService(store)
        verdict = triage.verdict(ANN, ["id-1", "id-2"], AlertStatus.CONFIRMED_FRAUD, code="scam")
        for number in (2, 4):
            # Killed after Kafka has acknowledged them, and before the dashboard knows.
            with publishing(Dashboard(app, forgets=True), cluster):
                assert wait_until(partial(has_verdicts, broker, begin + number), 60)
        triage.undo(ANN, str(verdict.change_id))
        dashboard = Dashboard(app)
        with publishing(dashboard, cluster):
            assert wait_until(lambda: dashboard.until >= 2, 60)
        records = read(broker, begin)
    assert [key for key, _ in records] == [verdict.alert_id for _, verdict in records]
    copies = {each.event_id: each for _, each in records}
    assert [(each.alert_id, each.verdict, each.reason_code) for each in copies.values()] == [
        ("id-1", "confirmed_fraud", "scam"),
        ("id-2", "confirmed_fraud", "scam"),
        ("id-1", None, None),
        ("id-2", None, None),
    ]
    assert [each for _, each in records] == [copies[each.event_id] for _, each in records], "copies are the same"
    assert len(records) == 8


def test_a_relay_starts_without_the_topic_of_verdicts(broker: RunningBroker) -> None:
    settings = KafkaSettings(topic_verdicts="none.of.verdicts", create_topics=False)
    topics = ensure_topics(Cluster(broker.bootstrap_servers, settings), 2, 1_048_588, "relay")
    assert Topic.VERDICTS not in topics
    assert topics[Topic.ALERTS] == 1
