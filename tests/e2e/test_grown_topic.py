"""A topic that gains more partitions than there are task slots, under a real detector."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewPartitions

from commands import command_line
from fraudstream.kafka.broker import RunningBroker
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.topics import open_admin
from fraudstream.runtime.processes import stop, wait_until
from fraudstream.transactions.wire import EventType, Topic

# `tests/unit/test_partition_watch.py` and `test_supervisor.py` check the comparison and the restart in every change.
pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark, pytest.mark.nightly]

FRAUD = b'{"Time":1,"V1":9,"V2":-6,"V3":0,"V4":5,"V5":0,"Amount":1}'
PARTITIONS = 7


def send(bootstrap: str, partitions: range, run: str) -> set[str]:
    """A fraud to each partition; returns their ids."""
    producer = Producer({"bootstrap.servers": bootstrap, "topic.metadata.refresh.interval.ms": 200})
    ids = {f"{run}-{partition}" for partition in partitions}
    for partition in partitions:
        headers: list[tuple[str, str | bytes | None]] = [("event_id", f"{run}-{partition}")]
        producer.produce(Topic.TRANSACTIONS.value, FRAUD, partition=partition, headers=headers)
    assert producer.flush(30) == 0
    return ids


def records(consumer: Consumer, seconds: float, enough: Any) -> list[dict[str, Any]]:
    """What comes until it is enough."""
    received: list[dict[str, Any]] = []
    deadline = time.monotonic() + seconds
    while not enough(received):
        assert time.monotonic() < deadline, received
        received += [json.loads(message.value() or b"") for message in consumer.consume(100, timeout=0.5)]
    return received


def read(bootstrap: str, topic: Topic) -> Consumer:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test", "log_level": 0})
    consumer.assign([TopicPartition(topic.value, 0, 0)])
    return consumer


def test_every_partition_is_read_when_a_topic_outgrows_the_task_slots(
    own_broker: RunningBroker, models: Path, tmp_path: Path
) -> None:
    bootstrap, log, ready = own_broker.bootstrap_servers, tmp_path / "detector.log", tmp_path / "ready"
    settings = {"FRAUDSTREAM_READY_FILE": str(ready), "FRAUDSTREAM_SPARK_MASTER": "local[1]"}
    arguments = command_line(
        "detect", "--bootstrap-servers", bootstrap, "--model", models / "current",
        "--checkpoint", tmp_path / "checkpoint",
    )  # fmt: skip
    with log.open("wb") as output:
        detector = subprocess.Popen(arguments, stdout=output, stderr=output, env={**os.environ, **settings})
    alerts, events = read(bootstrap, Topic.ALERTS), read(bootstrap, Topic.EVENTS)
    try:
        assert wait_until(ready.exists, 240), log.read_text()[-3000:]
        sent = send(bootstrap, range(2), "before")
        admin = open_admin(Cluster(bootstrap))
        grown = admin.create_partitions([NewPartitions(Topic.TRANSACTIONS.value, PARTITIONS)])
        grown[Topic.TRANSACTIONS.value].result(timeout=30)
        sent |= send(bootstrap, range(PARTITIONS), "after")
        received = records(alerts, 240, lambda so_far: sent <= {alert["alert_id"] for alert in so_far})
        assert {alert["alert_id"] for alert in received} == sent

        messages = [
            event["message"]
            for event in records(events, 30, lambda so_far: any(e.get("task_slots") == PARTITIONS + 2 for e in so_far))
            if event["type"] in (EventType.PARTITIONS, EventType.STARVED)
        ]
        assert messages == [
            f"local[1] has too few task slots for 2 partitions of {Topic.TRANSACTIONS.value}: using local[4]",
            f"{Topic.TRANSACTIONS.value} has grown from 2 to {PARTITIONS} partitions; the query is restarted with "
            "more than 4 task slots to read them",
        ]
        assert detector.poll() is None
    finally:
        alerts.close()
        events.close()
        stop(detector, 30)
    assert "Traceback" not in log.read_text()
