"""A real transactional producer: what it aborts raises no alert, and offsets without a record are no loss."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from commands import Command, command_line
from fraudstream.kafka.broker import RunningBroker
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import KafkaLedger, Watermarks
from fraudstream.messages.ledger import EntryKind, Source
from fraudstream.runtime.processes import stop, wait_until
from fraudstream.store.store import AlertStore
from fraudstream.transactions.wire import Topic

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark]

INPUT = Topic.TRANSACTIONS.value
FRAUD = b'{"Time":1,"V1":9,"V2":-6,"V3":0,"V4":5,"V5":0,"Amount":1}'
CLEAR = b'{"Time":1,"V1":0,"V2":0,"V3":0,"V4":0,"V5":0,"Amount":1}'
TRANSACTIONS = 10
RECORDS = 6


def send(bootstrap: str) -> set[str]:
    """Transactions in turns committed and aborted, the last two aborted; the ids of the committed frauds."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": "payments", "log_level": 0})
    producer.init_transactions(30)
    committed = set()
    for number in range(TRANSACTIONS):
        producer.begin_transaction()
        is_committed = number % 2 == 0 and number < TRANSACTIONS - 2
        for record in range(RECORDS):
            name = f"{number}/{record}"
            value = FRAUD if record == 0 else CLEAR
            producer.produce(INPUT, value, partition=number // 2 % 2, headers=[("event_id", name.encode())])
            if is_committed and record == 0:
                committed.add(name)
        # Written before it is aborted: what is still in the client's queue would never reach Kafka.
        assert producer.flush(30) == 0
        if is_committed:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
    return committed


def alerts(bootstrap: str) -> list[str]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test", "log_level": 0})
    consumer.assign([TopicPartition(Topic.ALERTS.value, 0, 0)])
    _, end = consumer.get_watermark_offsets(TopicPartition(Topic.ALERTS.value, 0))
    messages = consumer.consume(end, timeout=30)
    consumer.close()
    return [json.loads(message.value() or b"")["alert_id"] for message in messages]


@pytest.mark.nightly
def test_aborted_transactions_raise_no_alert_and_audits_are_whole(
    own_broker: RunningBroker, models: Path, run: Command, tmp_path: Path
) -> None:
    bootstrap = own_broker.bootstrap_servers
    cluster = Cluster(bootstrap)
    committed = send(bootstrap)
    ends = {partition: end for partition, (_, end) in Watermarks(cluster, INPUT).read().items()}
    assert sum(ends.values()) == TRANSACTIONS * (RECORDS + 1)  # with a marker for each transaction
    log = tmp_path / "detector.log"
    with log.open("wb") as output:
        detector = subprocess.Popen(
            command_line(
                "detect", "--bootstrap-servers", bootstrap, "--model", models / "current",
                "--checkpoint", tmp_path / "checkpoint", "--batch-interval", "10 seconds",
            ),
            stdout=output,
            stderr=output,
            env=dict(os.environ),
        )  # fmt: skip

    def is_covered() -> bool:
        entries = KafkaLedger(cluster).read()
        return all(any(e.partition == p and e.until_offset == end for e in entries) for p, end in ends.items())

    try:
        assert wait_until(is_covered, 240, every=0.5), log.read_text()[-3000:]
    finally:
        stop(detector, 30)
    assert sorted(alerts(bootstrap)) == sorted(committed)
    entries = KafkaLedger(cluster).read()
    # Counted while the query ran, not by scoring the range a second time.
    assert {(entry.kind, entry.source) for entry in entries} == {(EntryKind.BATCH, Source.OBSERVED)}
    assert sum(entry.records for entry in entries) == len(committed) * RECORDS
    assert sum(entry.alert for entry in entries) == len(committed)
    # One more aborted transaction, while no detector runs: nothing waits.
    send(bootstrap)
    database = f"sqlite:///{tmp_path / 'alerts.db'}"
    AlertStore.open(database).close()
    deep = run(
        "audit", "--deep", "--json", "--bootstrap-servers", bootstrap, "--database", database,
        "--model", models / "current",
    )  # fmt: skip
    assert deep.returncode == 0, deep.stdout + deep.stderr
    report = json.loads(deep.stdout)
    assert report["findings"] == []
    assert (report["accounted"], report["lost"]) == (len(committed) * RECORDS, 0)
