"""Avro from `produce --avro` to the ledger, with a real schema registry, broker and detector."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.system.schema_registry import running_registry
from confluent_kafka import Consumer, Producer

from commands import ROWS, Command, command_line
from fraudstream.config import Settings
from fraudstream.kafka.broker import RunningBroker
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import KafkaLedger
from fraudstream.kafka.schema_registry import SchemaRegistry, prefix_of
from fraudstream.runtime.java import Java
from fraudstream.runtime.processes import stop, wait_until
from fraudstream.store.store import AlertStore
from fraudstream.transactions.wire import Topic

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark, pytest.mark.nightly]

UNKNOWN_ID = 4_711


@pytest.fixture
def registry(cache: Path, java: Java, tmp_path: Path) -> Iterator[str]:
    with running_registry(cache, java, tmp_path / "registry.log") as url:
        yield url


def read(bootstrap: str, topic: Topic) -> list[bytes]:
    """All values of a topic, from the beginning."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "test",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe([topic.value])
    values: list[bytes] = []
    partitions = len(consumer.list_topics(topic.value, timeout=30).topics[topic.value].partitions)
    ended: set[int | None] = set()
    while len(ended) < partitions:
        message = consumer.poll(30)
        assert message is not None
        if message.error() is not None:
            ended.add(message.partition())
        elif (value := message.value()) is not None:
            values.append(value)
    consumer.close()
    return values


def test_a_new_schema_id_in_the_stream_is_read_and_every_fraud_arrives(
    registry: str,
    own_broker: RunningBroker,
    payments: Path,
    models: Path,
    frauds: dict[int, float],
    run: Command,
    tmp_path: Path,
) -> None:
    bootstrap = own_broker.bootstrap_servers
    settings = {"FRAUDSTREAM_SCHEMA_REGISTRY": registry, "FRAUDSTREAM_BOOTSTRAP_SERVERS": bootstrap}
    # From the middle on, rows have a column more: that is another schema.
    source = payments.with_name("payments_with_channel.csv")
    header, *rows = payments.read_text().splitlines()
    source.write_text("\n".join([f'{header},"channel"', *(f"{row},web" for row in rows)]) + "\n")
    half = ROWS // 2
    produce = (
        "produce",
        "--data",
        source,
        "--avro",
        "--column-from",
        f"channel={half}",
        "--progress-file",
        tmp_path / "p",
    )
    produced = run(*produce, "--limit", half, env=settings)
    assert produced.returncode == 0, produced.stderr
    ready, log = tmp_path / "ready", tmp_path / "detector.log"
    detect = command_line(
        "detect",
        "--model",
        models / "current",
        "--checkpoint",
        tmp_path / "checkpoint",
        "--batch-interval",
        "5 seconds",
    )

    def records() -> int:
        return sum(entry.records for entry in KafkaLedger(Cluster(bootstrap)).read())

    with log.open("ab") as output:
        detector = subprocess.Popen(
            detect, stdout=output, stderr=output, env={**os.environ, **settings, "FRAUDSTREAM_READY_FILE": str(ready)}
        )
    try:
        assert wait_until(ready.exists, 300), log.read_text()[-3000:]
        produced = run(*produce, "--resume", env=settings)
        assert produced.returncode == 0, produced.stderr
        producer = Producer({"bootstrap.servers": bootstrap})
        producer.produce(Topic.TRANSACTIONS.value, prefix_of(UNKNOWN_ID) + b"\2a", partition=0)
        assert producer.flush(30) == 0
        assert wait_until(lambda: records() == ROWS + 1, 300, every=0.5), log.read_text()[-3000:]
    finally:
        stop(detector, 30)
    alerts = [json.loads(value) for value in read(bootstrap, Topic.ALERTS)]
    by_row = {alert["source_row"]: alert for alert in alerts}
    assert by_row.keys() == frauds.keys()
    assert all(alert["score"] == pytest.approx(frauds[row], abs=1e-12) for row, alert in by_row.items())
    assert {("channel" in alert["transaction"]) == (row >= half) for row, alert in by_row.items()} == {True}
    assert len(read(bootstrap, Topic.DEAD_LETTERS)) == 1
    events = [json.loads(value) for value in read(bootstrap, Topic.EVENTS)]
    messages = [event["message"] for event in events if event["type"] == "query"]
    ids = SchemaRegistry.of(Settings.load(schema_registry=registry)).versions("credit_card_transactions-value", 9)
    assert len(ids) == 2
    for schema_id in (max(ids), UNKNOWN_ID):
        assert messages.count(f"schema id {schema_id} is new: the query restarts with it") == 1
    assert f"schema id {UNKNOWN_ID} is not in the schema registry at {registry}" in messages
    assert not [message for message in messages if "failed" in message]
    database = f"sqlite:///{tmp_path / 'alerts.db'}"
    AlertStore.open(database).close()
    audit = run("audit", "--deep", "--json", "--model", models / "current", "--database", database, env=settings)
    # Nothing was posted to a store, which the audit says; that apart, each record is scored again as it was.
    kinds = Counter(each["kind"] for each in json.loads(audit.stdout)["findings"])
    assert not kinds.keys() & {"missing", "different", "doubled", "unaccounted"}, audit.stdout
