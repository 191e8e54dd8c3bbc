"""Spark on a standalone cluster: training, scoring, and a detector whose executors, worker and driver are killed."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from commands import ROWS, Command, command_line, read_scores
from fraudstream.interface import load
from fraudstream.kafka.broker import RunningBroker
from fraudstream.messages.ledger import PartitionReport, Problem
from fraudstream.runtime.java import Java
from fraudstream.runtime.processes import spawn, stop, wait_until
from fraudstream.transactions.csv_source import open_csv
from fraudstream.transactions.wire import EventType, Topic
from spark_clusters import SparkCluster, spark_cluster

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark]

ONE, TWO = "127.0.0.2", "127.0.0.3"
PREFIX = "cluster-"
PARTITIONS = 3
ROWS_PER_SECOND = 300
SETTINGS = """\
batch_interval = "5 seconds"
driver_memory = "512m"
partitions = 3
spark_master = "MASTER"

[kafka]
topic_prefix = "cluster-"

[spark]
spark.driver.host = "127.0.0.1"
spark.executor.extraJavaOptions = "-Dset.by=toml"
"""
DEFAULTS = "spark.executor.memory 512m\nspark.executor.extraJavaOptions -Dset.by=defaults\n"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, java: Java) -> Iterator[SparkCluster]:
    with spark_cluster(tmp_path_factory.mktemp("cluster"), java, (ONE, TWO)) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def folder(cluster: SparkCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with the settings, and what Spark reads of its user's own files."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "fraudstream.toml").write_text(SETTINGS.replace("MASTER", cluster.url))
    (folder / "spark-defaults.conf").write_text(DEFAULTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_CONF_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def models(folder: Path, payments: Path, run: Command) -> Path:
    """A model that the cluster trained."""
    done = run("train", "--data", payments, "--algorithm", "logistic-regression", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "models"


@pytest.fixture(scope="module")
def scores(models: Path, folder: Path, payments: Path, run: Command) -> dict[int, tuple[str, float | None]]:
    """What the cluster makes of the rows with that model."""
    done = run("score", "--data", payments, "--output", "scores.csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    return read_scores(folder / "scores.csv")


def test_a_cluster_trains_a_model_and_scores_with_it(
    models: Path, payments: Path, scores: dict[int, tuple[str, float | None]]
) -> None:
    model = load(models)
    alerts = [row for row, (outcome, _) in scores.items() if outcome == "alert"]
    assert len(alerts) > 20
    for row in (0, alerts[0], alerts[-1]):  # explained without Spark
        assert model.explain(payments, row).score == pytest.approx(scores[row][1], rel=1e-9)


class Reader:
    """Reads a topic from its first record, as far as a test asks."""

    def __init__(self, bootstrap: str, topic: Topic) -> None:
        self.records: list[dict[str, Any]] = []
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test", "log_level": 0})
        self._consumer.assign([TopicPartition(f"{PREFIX}{topic.value}", 0, 0)])

    def read(self) -> list[dict[str, Any]]:
        while messages := self._consumer.consume(1000, timeout=0.1):
            self.records += [json.loads(message.value() or b"{}") for message in messages if message.error() is None]
        return self.records

    def close(self) -> None:
        self._consumer.close()


class Sender(threading.Thread):
    """Sends the rows again and again, each with an id of its own, to the partitions in turn."""

    def __init__(self, bootstrap: str, rows: list[bytes]) -> None:
        super().__init__(name="sender")
        self.sent = 0
        self.ended = threading.Event()
        self._producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "log_level": 0})
        self._rows = rows

    def run(self) -> None:
        topic = f"{PREFIX}{Topic.TRANSACTIONS.value}"
        while not self.ended.wait(0.1):
            for number in range(self.sent, self.sent + ROWS_PER_SECOND // 10):
                headers: list[tuple[str, str | bytes | None]] = [("event_id", str(number))]
                row = self._rows[number % len(self._rows)]
                self._producer.produce(topic, row, partition=number % PARTITIONS, headers=headers)
            self._producer.flush()
            self.sent += ROWS_PER_SECOND // 10


def past_problems(events: list[dict[str, Any]]) -> list[Problem]:
    """Those of the latest status."""
    latest = [each for each in events if each["type"] == EventType.STATUS][-1]
    return PartitionReport.model_validate(latest).past_problems


# The tests of the watch in `tests/unit` check in every change what is reported.
@pytest.mark.nightly
def test_no_alert_is_lost_when_executor_worker_and_driver_are_killed(
    cluster: SparkCluster,
    folder: Path,
    payments: Path,
    scores: dict[int, tuple[str, float | None]],
    broker: RunningBroker,
) -> None:
    bootstrap, ready, log = broker.bootstrap_servers, folder / "ready", folder / "detector.log"
    environment = {**os.environ, "FRAUDSTREAM_READY_FILE": str(ready)}

    def detector() -> subprocess.Popen[bytes]:
        ready.unlink(missing_ok=True)
        started = spawn(command_line("detect", "--bootstrap-servers", bootstrap), log=log, env=environment, cwd=folder)
        assert wait_until(ready.exists, 120), log.read_text()[-3000:]
        return started

    running = detector()
    alerts, events = Reader(bootstrap, Topic.ALERTS), Reader(bootstrap, Topic.EVENTS)
    sender = Sender(bootstrap, list(open_csv(payments).json_rows()))
    sender.start()

    def reported(kind: EventType, text: str) -> Callable[[], bool]:
        return lambda: any(each["type"] == kind and text in each.get("message", "") for each in events.read())

    def await_report(kind: EventType, text: str) -> None:
        assert wait_until(reported(kind, text), 60), (text, log.read_text()[-3000:])

    try:
        assert wait_until(lambda: bool(alerts.read()), 60), log.read_text()[-3000:]
        (executor,) = cluster.executors(ONE)
        assert {"-Xmx512M", "-Dset.by=toml"} <= set(executor.cmdline())
        before = len(alerts.records)
        assert wait_until(lambda: len(alerts.read()) > before, 60)  # a batch is running, which has tasks on each
        executor.kill()
        await_report(EventType.CLUSTER, f"Spark lost an executor at {ONE}")
        await_report(EventType.CLUSTER, f"Spark has a new executor at {ONE}")
        await_report(EventType.CLUSTER, "will be tried again")

        cluster.kill_worker(TWO)
        await_report(EventType.CLUSTER, f"Spark lost an executor at {TWO}")
        await_report(EventType.STARVED, "Spark has 2 task slots for 3 partitions")
        cluster.start_worker(TWO)
        await_report(EventType.PARTITIONS, "some were not read from")
        assert wait_until(lambda: None in {each.partition for each in past_problems(events.read())}, 30)
        assert all(each.since and each.until and each.since < each.until for each in past_problems(events.records))

        running.kill()
        running.wait()
        running = detector()
        sender.ended.set()
        sender.join()
        expected = {str(number) for number in range(sender.sent) if scores[number % ROWS][0] == "alert"}
        assert expected
        assert wait_until(lambda: {each["alert_id"] for each in alerts.read()} >= expected, 60), log.read_text()[-3000:]
        assert {each["alert_id"] for each in alerts.records} == expected
    finally:
        sender.ended.set()
        stop(running, 30)
        events.read()
        alerts.close()
        events.close()
