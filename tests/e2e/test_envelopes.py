"""A detector on records of every envelope in turn: each fraud arrives once, and audits account for every offset."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from commands import Command, command_line
from fraudstream.kafka.broker import RunningBroker
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import KafkaLedger, Watermarks, open_reader, read_topics
from fraudstream.relay.records import PostedRecord, to_payload
from fraudstream.runtime.processes import stop, wait_until
from fraudstream.store.filters import AlertFilter
from fraudstream.store.store import AlertStore
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.wire import Topic

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark, pytest.mark.nightly]

INPUT = Topic.TRANSACTIONS.value
LISTS = "notificationItems[].item"
APART: list[Any] = [{"before": {"V1": 1}, "after": None, "op": "d"}, None, {"ts_ms": 1}, {"status": "END", "id": "1"}]


def debezium(number: int, row: Any) -> Any:
    change = {"before": None, "after": row, "op": "cu"[number % 2], "ts_ms": number}
    return change if number % 3 else {"schema": {"type": "struct"}, "payload": change}


def records(envelope: str, rows: list[tuple[int, Any]]) -> list[tuple[str, Any]]:
    """Records with their event ids; a row of a list has the id of its record and its index."""
    if envelope == LISTS:
        groups = [rows[start : start + 3] for start in range(0, len(rows), 3)]
        lists = [{"live": "false", "notificationItems": [{"item": row} for _, row in group]} for group in groups]
        return [(f"list {number}", value) for number, value in enumerate(lists)]
    wrap = debezium if envelope == "debezium" else lambda _, row: {"specversion": "1.0", "id": "a", "data": row}
    return [(f"{envelope} {number}", wrap(number, row)) for number, row in rows]


def send(bootstrap: str, sent: list[tuple[str, Any]]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
    for number, (name, value) in enumerate(sent):
        encoded = None if value is None else json.dumps(value).encode()
        producer.produce(INPUT, encoded, partition=number % 2, headers=[("event_id", name.encode())])
    assert producer.flush(30) == 0


@contextmanager
def detector(bootstrap: str, models: Path, folder: Path, envelope: str) -> Iterator[None]:
    arguments = ("--bootstrap-servers", bootstrap, "--model", models / "current", "--batch-interval", "5 seconds")
    line = command_line("detect", *arguments, "--checkpoint", folder / "checkpoint", "--envelope", envelope)
    with (folder / "detector.log").open("ab") as output:
        process = subprocess.Popen(line, stdout=output, stderr=output, env=dict(os.environ))
    try:
        yield
    finally:
        stop(process, 30)


def test_frauds_of_every_envelope_arrive_and_audits_are_whole(
    own_broker: RunningBroker, payments: Path, models: Path, frauds: dict[int, float], run: Command, tmp_path: Path
) -> None:
    bootstrap = own_broker.bootstrap_servers
    cluster = Cluster(bootstrap)
    rows = [(n, json.loads(row)) for n, row in enumerate(open_data(payments).json_rows()) if n in frauds or n < 50]

    def is_covered() -> bool:
        ends = {partition: end for partition, (_, end) in Watermarks(cluster, INPUT).read().items()}
        entries = KafkaLedger(cluster).read()
        return all(any(e.partition == p and e.until_offset == end for e in entries) for p, end in ends.items())

    apart = [(f"apart {number}", value) for number, value in enumerate(APART)]
    for envelope in ("debezium", "cloudevents", LISTS):
        send(bootstrap, records(envelope, rows) + (apart if envelope == "debezium" else []))
        with detector(bootstrap, models, tmp_path, envelope):
            assert wait_until(is_covered, 240, every=0.5), (tmp_path / "detector.log").read_text()[-3000:]
    expected = {f"{envelope} {number}" for envelope in ("debezium", "cloudevents") for number in frauds}
    expected |= {f"list {at // 3}/{at % 3}" for at, (number, _) in enumerate(rows) if number in frauds}

    database = f"sqlite:///{tmp_path / 'alerts.db'}"
    store = AlertStore.open(database)
    consumer = open_reader(cluster)
    posted = [to_payload(PostedRecord.of(each, Topic.ALERTS)) for each in read_topics(consumer, Topic.ALERTS.value)]
    consumer.close()
    assert store.add_alerts(posted).conflicts == 0
    assert {each["alert_id"] for each in posted} == expected
    assert store.count(AlertFilter()) == len(expected)
    store.close()

    counts: dict[str, Counter[str]] = {}
    for entry in KafkaLedger(cluster).read():
        figures = {name: getattr(entry, name) for name in ("records", "alert", "without_transaction", "additional")}
        counts.setdefault(entry.envelope, Counter()).update(figures)
    of_lists = len(records(LISTS, rows))
    assert counts == {
        "debezium": Counter(records=len(rows) + 4, alert=len(frauds), without_transaction=4, additional=0),
        "cloudevents": Counter(records=len(rows), alert=len(frauds), without_transaction=0, additional=0),
        LISTS: Counter(records=of_lists, alert=len(frauds), without_transaction=0, additional=len(rows) - of_lists),
    }
    options = ("--json", "--bootstrap-servers", bootstrap, "--database", database, "--model", models / "current")
    for arguments in (("audit",), ("audit", "--deep")):
        done = run(*arguments, *options)
        assert done.returncode == 0, done.stdout + done.stderr
        report = json.loads(done.stdout)
        assert report["findings"] == []
        assert (report["without_transaction"], report["additional"]) == (4, len(rows) - of_lists)
        assert report["outcomes"]["dead_letter"] == 0
