"""Columns that change while the stream runs: reported within seconds, and a renamed one read again without a loss."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer

from commands import Command
from fraudstream.runtime.processes import wait_until
from fraudstream.transactions.wire import Topic
from running_demo import Demo

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark]

log = logging.getLogger(__name__)

FRAUD_EVERY = 20
FLOOD = 300.0
PREFIX = "payment-"


@dataclass
class Stream:
    """Sends payments in a thread, at a rate and with columns that may be changed meanwhile."""

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
            name = f"{PREFIX}{self.sent}"
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


@pytest.fixture
def stream(demo: Demo) -> Iterator[Stream]:
    """Payments that flow through the demo's topic at one a second until a test changes that."""
    stream = Stream(demo.bootstrap)
    thread = threading.Thread(target=stream.run)
    thread.start()
    try:
        yield stream
    finally:
        stream.ended.set()
        thread.join()


def rename(row: dict[str, Any]) -> dict[str, Any]:
    return {"third" if name == "V3" else name: value for name, value in row.items()} | {"note": "hello"}


def event_of_the_change(demo: Demo, rows_per_second: str, missing: list[str], added: list[str]) -> dict[str, Any]:
    """Wait for the event of the last change."""

    def events() -> list[dict[str, Any]]:
        every = demo.json("/api/events?type=schema")["events"]
        return [each for each in every if each.get("missing") == missing and each.get("added") == added]

    changed = time.monotonic()
    assert wait_until(lambda: bool(events()), 60, every=0.1), demo.explain()
    log.info("shown after %.2f s at %s rows a second", time.monotonic() - changed, rows_per_second)
    return events()[0]


def test_a_changed_column_is_reported_and_an_alias_restores_it_without_a_loss(
    demo: Demo, stream: Stream, run: Command
) -> None:
    def columns() -> dict[str, Any]:
        columns: dict[str, Any] = demo.json("/api/stats")["columns"]
        return columns

    scored_before = demo.stats()["scored"]
    assert wait_until(lambda: stream.sent > 0 and columns()["as_trained"] is True, 60), demo.explain()
    runs = demo.query_runs()

    stream.change = rename
    event = event_of_the_change(demo, "1", ["V3"], ["note", "third"])
    assert "column V3 missing: the training median is used" in event["message"]
    assert wait_until(lambda: "V3" in columns()["imputed"], 60)
    assert columns()["sentences"][0]["before"] == "Column V3 is missing since about "
    assert demo.query_runs() == runs

    stream.rate = 60.0
    assert wait_until(lambda: columns()["suggestions"] == ["third=V3"], 60), demo.json("/api/schemas")
    assert demo.query_runs() == runs
    done = run("schema", "accept", "third=V3", "--api", demo.url)
    accepted = time.monotonic()
    assert done.returncode == 0, done.stderr
    assert wait_until(lambda: len(demo.query_runs()) == len(runs) + 1, 60, every=0.1), demo.explain()
    log.info("active after %.2f s", time.monotonic() - accepted)
    assert wait_until(lambda: columns()["as_trained"] is True, 60), demo.json("/api/schemas")
    assert columns()["imputed"] == {}
    after = stream.sent
    assert wait_until(lambda: stream.sent > after + 3 * FRAUD_EVERY, 60)

    stream.ended.set()
    assert wait_until(lambda: demo.stats().get("scored") == scored_before + stream.sent, 60), demo.stats()
    ids = [alert["alert_id"] for alert in demo.alerts("all")]
    assert len(ids) == len(set(ids))
    assert set(stream.frauds) <= set(ids)
    assert demo.json("/api/stats")["conflicts"] == 0
    late = [
        alert
        for alert in demo.alerts("all")
        if alert["alert_id"].startswith(PREFIX) and int(alert["alert_id"].removeprefix(PREFIX)) > after
    ]
    assert late
    assert all(alert["revision"] == 2 and alert["imputed"] == [] for alert in late)


@pytest.mark.nightly
def test_a_changed_column_is_reported_in_a_flood_too(demo: Demo, stream: Stream) -> None:
    stream.rate = 1_000.0
    assert wait_until(lambda: demo.json("/api/stats")["rate"] > FLOOD, 60), demo.stats()
    runs = demo.query_runs()
    stream.change = lambda row: row | {"late": True}
    event_of_the_change(demo, str(demo.json("/api/stats")["rate"]), [], ["late"])
    assert demo.query_runs() == runs
