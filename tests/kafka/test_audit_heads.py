"""The head of the audit trail on a real topic: published as soon as there is one, and checked by the audit."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import urllib3
from flask import Flask

from apps import create_app
from dashboards import file_of, json_of, open_store
from fraudstream.audit.comparison import audit
from fraudstream.audit.report import Kind
from fraudstream.config import Settings
from fraudstream.errors import DashboardFailed
from fraudstream.kafka.broker import RunningBroker
from fraudstream.kafka.client import Cluster
from fraudstream.relay import service
from fraudstream.relay.api_client import DashboardClient
from fraudstream.relay.service import publish_heads
from fraudstream.runtime.processes import wait_until
from fraudstream.store.changes import Action, Actor, ChangeLog
from fraudstream.transactions.wire import Topic
from offsets import end_offsets

pytestmark = pytest.mark.kafka


class Dashboard(DashboardClient):
    """Asks an app in this process, which is away the first time."""

    def __init__(self, app: Flask) -> None:
        super().__init__(urllib3.PoolManager(), "http://127.0.0.1:1", None, None)
        self._client = app.test_client()
        self.requests = 0

    def get(self, route: str) -> dict[str, Any]:
        self.requests += 1
        if self.requests == 1:
            raise DashboardFailed("the dashboard does not answer")
        return json_of(self._client.get(route))


def altered(broker: RunningBroker, database: Path) -> list[str]:
    report = audit(Settings(bootstrap_servers=broker.bootstrap_servers, database=f"sqlite:///{database}"))
    return [finding.what for finding in report.findings if finding.kind is Kind.ALTERED]


def test_a_head_is_published_and_tells_of_a_trail_that_was_chained_anew(
    broker: RunningBroker, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "RETRY_SECONDS", 0.01)
    before = end_offsets(broker.bootstrap_servers, Topic.EVENTS)[0]
    stop = threading.Event()
    with open_store(tmp_path) as store:
        dashboard = Dashboard(create_app(Settings(), store))
        arguments = (dashboard, cluster, lambda: datetime.now(UTC), stop)
        publishing = threading.Thread(target=publish_heads, args=arguments)
        publishing.start()
        try:
            assert wait_until(lambda: dashboard.requests > 2, 60), "an empty trail is asked for again"
            for name in ("Ann", "Ben"):
                ChangeLog(store.database).record(Actor(name), Action.EXPORT, "alerts.csv", None)
            assert wait_until(lambda: end_offsets(broker.bootstrap_servers, Topic.EVENTS)[0] > before, 60)
        finally:
            stop.set()
            publishing.join(30)
        assert not publishing.is_alive()
        assert altered(broker, file_of(store)) == []
        with sqlite3.connect(file_of(store)) as database:
            database.execute("DROP TRIGGER changes_no_delete")
            database.execute("DELETE FROM changes")
        for name in ("Mallory", "Ben"):
            ChangeLog(store.database).record(Actor(name), Action.EXPORT, "alerts.csv", None)
        (finding,) = altered(broker, file_of(store))
        assert finding.startswith("the head published at ")
        assert finding.endswith("is not in the trail")
