"""Columns that change while the stream runs: seen within seconds, and a renamed one read again without a loss."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import urllib3
from confluent_kafka import Producer

from commands import Command, command_line
from fraudstream.kafka.broker import BrokerPlan, RunningBroker, start_broker
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java
from fraudstream.runtime.processes import free_port, stop, wait_until
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES, Topic

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark]

log = logging.getLogger(__name__)

FRAUD_EVERY = 20
FLOOD = 300.0


@dataclass
class Payments:
    """Sends payments in a thread, as fast and with such columns as it is told."""

    bootstrap: str
    rate: float = 1.0
    change: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: row
    sent: int = 0
    frauds: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 0})
        rng = np.random.default_rng(8)
        began, before = time.monotonic(), 0
        pace = self.rate
        while not self.ended.wait(max(0.0, began + (self.sent - before) / pace - time.monotonic())):
            if pace != self.rate:
                began, before, pace = time.monotonic(), self.sent, self.rate
            is_fraud = self.sent % FRAUD_EVERY == 0 and pace < FLOOD
            values = rng.normal(size=5) + (np.array([9.0, -6.0, 0.0, 5.0, 0.0]) if is_fraud else 0.0)
            row = {f"V{i + 1}": float(value) for i, value in enumerate(values)} | {"Amount": float(rng.lognormal(3))}
            name = f"payment-{self.sent}"
            if is_fraud:
                self.frauds.append(name)
            producer.produce(
                Topic.TRANSACTIONS.value,
                json.dumps(self.change({"Time": self.sent, **row})).encode(),
                partition=self.sent % 2,
                headers=[("event_id", name.encode())],
            )
            producer.poll(0)
            self.sent += 1
        assert producer.flush(30) == 0


@dataclass
class System:
    """A broker, a detector, a relay and a dashboard, each a process of its own."""

    url: str
    model: Path
    payments: Payments
    logs: Path

    def get(self, route: str) -> dict[str, Any]:
        told: dict[str, Any] = urllib3.request("GET", self.url + route).json()
        return told

    def alerts(self) -> list[dict[str, Any]]:
        """All alerts and unscorable transactions, page by page."""
        found: list[dict[str, Any]] = []
        page = self.get("/api/alerts?limit=1000&outcome=all")
        while page["alerts"]:
            found += page["alerts"]
            if page["next_cursor"] is None:
                break
            page = self.get(f"/api/alerts?limit=1000&outcome=all&cursor={page['next_cursor']}")
        return found

    def columns(self) -> dict[str, Any]:
        told: dict[str, Any] = self.get("/api/stats")["columns"]
        return told

    def runs(self) -> list[str]:
        """The runs of Spark's query so far, the newest first."""
        return [event["run_id"] for event in self.get("/api/events?type=query")["events"] if "run_id" in event]

    def explain(self) -> str:
        return "".join(f"\n== {log.name}\n{log.read_text()[-2000:]}" for log in self.logs.glob("*.log"))


@pytest.fixture
def system(tmp_path: Path, models: Path, java: Java, jars: Jars) -> Iterator[System]:
    own = copytree(models, tmp_path / "models")
    plan = BrokerPlan(free_port(), tmp_path / "kafka", java, jars.broker, 2, DEFAULT_MAX_RECORD_BYTES, heap="256m")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        broker: RunningBroker | None = stack.enter_context(start_broker(plan, lambda line: None))
        assert broker is not None
        kafka = ("--bootstrap-servers", broker.bootstrap_servers)

        def begin(name: str, *arguments: object) -> Path:
            ready = tmp_path / f"{name}.ready"
            environment = {**os.environ, "FRAUDSTREAM_READY_FILE": str(ready)}
            with (tmp_path / f"{name}.log").open("wb") as log:
                process = subprocess.Popen(
                    command_line(name, *arguments), stdout=log, stderr=log, env=environment, cwd=tmp_path
                )
            stack.callback(stop, process, 30)
            return ready

        model = ("--model", own / "current")
        waited = [
            begin("dashboard", "--port", port, "--database", f"sqlite:///{tmp_path / 'alerts.db'}", *model),
            begin("detect", *kafka, *model, "--checkpoint", tmp_path / "checkpoint", "--sample-every", 8),
        ]
        assert wait_until(waited[0].exists, 60)
        waited.append(begin("relay", *kafka, "--api", url))
        payments = Payments(broker.bootstrap_servers)
        running = System(url, own / "current", payments, tmp_path)
        assert wait_until(lambda: all(ready.exists() for ready in waited), 120), running.explain()
        thread = threading.Thread(target=payments.run)
        thread.start()
        try:
            yield running
        finally:
            payments.ended.set()
            thread.join()


def rename(row: dict[str, Any]) -> dict[str, Any]:
    return {"third" if name == "V3" else name: value for name, value in row.items()} | {"note": "hello"}


def test_a_changed_column_is_reported_and_an_alias_restores_it_without_a_loss(system: System, run: Command) -> None:
    payments = system.payments

    def event_of_the_change(rows_a_second: str, missing: list[str], added: list[str]) -> dict[str, Any]:
        """Wait for the event of what has just been changed."""

        def told() -> list[dict[str, Any]]:
            events = system.get("/api/events?type=schema")["events"]
            return [e for e in events if e.get("missing") == missing and e.get("added") == added]

        changed = time.monotonic()
        assert wait_until(lambda: bool(told()), 60, every=0.1), system.explain()
        log.info("shown after %.2f s at %s rows a second", time.monotonic() - changed, rows_a_second)
        return told()[0]

    assert wait_until(lambda: system.columns()["as_trained"] is True, 60), system.explain()
    (first_run,) = system.runs()

    payments.change = rename
    event = event_of_the_change("1", ["V3"], ["note", "third"])
    assert "column V3 missing: the training median is used" in event["message"]
    assert wait_until(lambda: "V3" in system.columns()["imputed"], 60)
    assert system.columns()["sentences"][0]["before"] == "Column V3 is missing since about "
    assert system.runs() == [first_run]

    payments.rate = 60.0
    assert wait_until(lambda: system.columns()["suggestions"] == ["third=V3"], 60), system.get("/api/schemas")
    assert system.runs() == [first_run]
    done = run("schema", "accept", "third=V3", "--api", system.url)
    accepted = time.monotonic()
    assert done.returncode == 0, done.stderr
    assert wait_until(lambda: len(system.runs()) == 2, 60, every=0.1), system.explain()
    log.info("in force after %.2f s", time.monotonic() - accepted)
    assert wait_until(lambda: system.columns()["as_trained"] is True, 60), system.get("/api/schemas")
    assert system.columns()["imputed"] == {}
    after = payments.sent
    assert wait_until(lambda: payments.sent > after + 3 * FRAUD_EVERY, 60)

    payments.rate = 5_000.0
    assert wait_until(lambda: system.get("/api/stats")["rate"] > FLOOD, 60), system.get("/api/stats")
    two_runs = system.runs()
    payments.change = lambda row: rename(row) | {"late": True}
    event_of_the_change(str(system.get("/api/stats")["rate"]), [], ["late", "note"])
    assert system.runs() == two_runs

    payments.ended.set()
    assert wait_until(lambda: system.get("/api/stats")["scored"] == payments.sent, 60), system.get("/api/stats")
    found = system.alerts()
    ids = [alert["alert_id"] for alert in found]
    assert len(ids) == len(set(ids))
    assert set(payments.frauds) <= set(ids)
    assert system.get("/api/stats")["conflicts"] == 0
    late = [alert for alert in found if int(alert["alert_id"].removeprefix("payment-")) > after]
    assert late
    assert all(alert["revision"] == 2 and alert["imputed"] == [] for alert in late)
