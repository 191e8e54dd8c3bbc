"""Spark on a standalone cluster: training, scoring, and a detector whose executors, worker and driver are killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from shutil import copytree

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from commands import ROWS, Command, alive, command_line, descendants, read_scores
from fraudstream.interface import load
from fraudstream.kafka.broker import RunningBroker
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java
from fraudstream.runtime.processes import free_port, spawn, stop, wait_until
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.wire import EventType, Topic
from running_demo import Demo
from spark_clusters import SparkCluster, spark_cluster

# What the settings make of a session, and how its executors are watched, `tests/unit` checks in every change.
pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark, pytest.mark.nightly]

Scores = dict[int, tuple[str, float | None]]

ONE, TWO = "127.0.0.2", "127.0.0.3"
PREFIX = "cluster-"
PARTITIONS = 3
ROWS_PER_SECOND = 300
SCRIPTS = Path(__file__).parents[2] / "fraud_detection_project"
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
    with spark_cluster(tmp_path_factory.mktemp("cluster"), java, (ONE,)) as cluster:
        yield cluster


@pytest.fixture
def both_workers(cluster: SparkCluster) -> SparkCluster:
    """The cluster with a task slot for each partition."""
    if TWO not in cluster.processes:
        cluster.start_worker(TWO)
    return cluster


@pytest.fixture
def folder(cluster: SparkCluster, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a model and the settings, and what Spark reads of its user's own files."""
    copytree(models, tmp_path / "models")
    (tmp_path / "fraudstream.toml").write_text(SETTINGS.replace("MASTER", cluster.url))
    (tmp_path / "spark-defaults.conf").write_text(DEFAULTS)
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def system(folder: Path, own_broker: RunningBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Demo]:
    """`fraudstream dashboard` with a store of its own; the broker and the addresses of all commands."""
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", folder / "logs" / "dashboard.log"
    for name, value in {"BOOTSTRAP_SERVERS": own_broker.bootstrap_servers, "PORT": str(port), "API": url}.items():
        monkeypatch.setenv(f"FRAUDSTREAM_{name}", value)
    process = spawn(command_line("dashboard"), log=log, cwd=folder)
    system = Demo(process, url, folder, log)
    try:
        assert wait_until(lambda: bool(system.stats()), 60), log.read_text()
        yield system
    finally:
        stop(process, 10)


def score(run: Command, payments: Path, folder: Path, *arguments: object) -> Scores:
    done = run("score", "--data", payments, "--output", "scores.csv", *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    return read_scores(folder / "scores.csv")


def test_a_cluster_scores_each_row_as_this_machine_does(
    folder: Path, payments: Path, scores: Scores, cluster: SparkCluster, run: Command
) -> None:
    assert score(run, payments, folder) == scores
    assert "Launching executor" in cluster.log("master")


def test_a_model_that_a_cluster_trained_is_whole(folder: Path, payments: Path, run: Command) -> None:
    arguments = ("--data", payments, "--algorithm", "logistic-regression", "--models", "trained")
    done = run("train", *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    scores, model = score(run, payments, folder, "--model", "trained/current"), load(folder / "trained")
    alerts = [row for row, (outcome, _) in scores.items() if outcome == "alert"]
    assert len(alerts) > 20
    for row in (0, alerts[0], alerts[-1]):  # explained without Spark
        assert model.explain(payments, row).score == pytest.approx(scores[row][1], rel=1e-9)


class Sender(threading.Thread):
    """Sends the rows again and again, each with an id of its own, to the partitions in turn."""

    def __init__(self, bootstrap: str, rows: list[bytes]) -> None:
        super().__init__(name="sender")
        self.sent = 0
        self.ended = threading.Event()
        self.seconds = 0.0
        self._producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "log_level": 0})
        self._rows = rows

    def run(self) -> None:
        topic, started = f"{PREFIX}{Topic.TRANSACTIONS.value}", time.monotonic()
        while not self.ended.wait(0.1):
            self.seconds = time.monotonic() - started
            until = int(self.seconds * ROWS_PER_SECOND)
            for number in range(self.sent, until):
                headers: list[tuple[str, str | bytes | None]] = [("event_id", str(number))]
                row = self._rows[number % len(self._rows)]
                self._producer.produce(topic, row, partition=number % PARTITIONS, headers=headers)
            self._producer.flush()
            self.sent = until

    def end(self) -> None:
        self.ended.set()
        self.join()

    def expected(self, scores: Scores) -> list[str]:
        """The ids of the rows that raise an alert."""
        return sorted(str(number) for number in range(self.sent) if scores[number % ROWS][0] == "alert")


@pytest.fixture
def sender(own_broker: RunningBroker, payments: Path) -> Iterator[Sender]:
    """A sender, which a test starts once there is a topic."""
    sender = Sender(own_broker.bootstrap_servers, list(open_data(payments).json_rows()))
    yield sender
    if sender.is_alive():
        sender.end()


def ids_on_topic(bootstrap: str) -> list[str]:
    """The id of each record of the topic of alerts."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test", "log_level": 0})
    topic = TopicPartition(f"{PREFIX}{Topic.ALERTS.value}", 0, 0)
    _, end = consumer.get_watermark_offsets(topic, timeout=30)
    consumer.assign([topic])
    messages = consumer.consume(end, timeout=60)
    consumer.close()
    assert len(messages) == end
    return [json.loads(message.value() or b"")["alert_id"] for message in messages]


def stored_ids(system: Demo) -> list[str]:
    return sorted(alert["alert_id"] for alert in system.alerts())


def test_no_alert_is_lost_when_executor_worker_and_driver_are_killed(
    both_workers: SparkCluster,
    folder: Path,
    system: Demo,
    sender: Sender,
    scores: Scores,
    own_broker: RunningBroker,
    run: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = both_workers
    relay = spawn(command_line("relay"), log=folder / "logs" / "relay.log", cwd=folder)
    ready = folder / "ready"
    monkeypatch.setenv("FRAUDSTREAM_READY_FILE", str(ready))

    def detector() -> subprocess.Popen[bytes]:
        ready.unlink(missing_ok=True)
        started = spawn(command_line("detect"), log=folder / "logs" / "detector.log", cwd=folder)
        assert wait_until(ready.exists, 120), system.explain()
        return started

    def await_alerts() -> None:
        """Await another alert: then a batch is running, which has tasks on each executor."""
        before = system.stats()["alerts"]
        assert system.wait(60, lambda: system.stats().get("alerts", 0) > before), system.explain()

    def kinds() -> set[str]:
        """Of the problems that have ended."""
        return {each["kind"] for each in system.json("/api/system")["past_problems"]}

    def await_report(kind: EventType, text: str) -> None:
        def is_reported() -> bool:
            return any(text in event["message"] for event in system.json(f"/api/events?type={kind}")["events"])

        assert wait_until(is_reported, 60, every=0.2), (text, system.explain())

    running = detector()
    try:
        sender.start()
        await_alerts()
        (executor,) = cluster.executors(ONE)
        assert {"-Xmx512M", "-Dset.by=toml"} <= set(executor.cmdline())
        await_alerts()
        executor.kill()
        await_report(EventType.CLUSTER, f"Spark lost an executor at {ONE}")
        await_report(EventType.CLUSTER, f"Spark has a new executor at {ONE}")
        await_report(EventType.CLUSTER, "will be tried again")

        cluster.kill_worker(TWO)
        await_report(EventType.CLUSTER, f"Spark lost an executor at {TWO}")
        await_report(EventType.STARVED, "Spark has 2 task slots for 3 partitions")
        await_report(EventType.STARVED, "is not read: records are waiting")
        cluster.start_worker(TWO)
        await_report(EventType.PARTITIONS, "some were not read from")
        await_report(EventType.PARTITIONS, "is read again; it was not read from")
        # The driver publishes them with its next status; the dashboard has those of a driver that is killed then.
        assert system.wait(30, lambda: kinds() >= {"slots", "starved"}), system.json("/api/system")

        below = descendants(running.pid)
        running.kill()
        running.wait()
        assert wait_until(lambda: not alive(below), 30)  # the JVM with Spark's driver
        running = detector()
        await_alerts()
        sender.end()
        assert system.wait(90, lambda: system.is_caught_up(sender.sent)), (sender.sent, system.stats())

        def audit() -> subprocess.CompletedProcess[str]:
            return run("audit", "--json", cwd=folder)

        assert system.wait(60, lambda: bool(json.loads(audit().stdout)["complete"])), audit().stdout
        audited = audit()
        assert audited.returncode == 0, audited.stdout + audited.stderr
        report = json.loads(audited.stdout)
        assert (report["acknowledged"], report["accounted"]) == (sender.sent, sender.sent)

        past = system.json("/api/system")["past_problems"]
        spans = [
            (each["kind"], each["partition"], (time_of(each["until"]) - time_of(each["since"])).total_seconds())
            for each in past
        ]
        assert {kind for kind, _, _ in spans} >= {"slots", "starved"}
        assert all(seconds > 0 for _, _, seconds in spans)

        expected, stored, on_topic = (
            sender.expected(scores),
            stored_ids(system),
            ids_on_topic(own_broker.bootstrap_servers),
        )
        figures = {
            "rows sent": sender.sent,
            "rows per second": sender.sent / sender.seconds,
            "alerts expected": len(expected),
            "alerts stored": len(stored),
            "lost": len(set(expected) - set(stored)),
            "doubled": len(stored) - len(set(stored)),
            "duplicates on the topic": len(on_topic) - len(set(on_topic)),
            "not read: kind, partition, seconds": spans,
        }
        (folder / "figures.json").write_text(json.dumps(figures, indent=1))
        assert stored == expected
        assert set(on_topic) == set(expected)
    finally:
        stop(running, 30)
        stop(relay, 10)


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_spark_submit_with_jars_detects_on_a_cluster(
    both_workers: SparkCluster, folder: Path, system: Demo, sender: Sender, scores: Scores, jars: Jars
) -> None:
    (folder / "spark_consumer.py").write_bytes((SCRIPTS / "spark_consumer.py").read_bytes())
    connector, log = ",".join(map(str, jars.connector)), folder / "logs" / "consumer.log"
    submit = ("spark-submit", "--master", both_workers.url, "--driver-memory", "512m", "--jars", connector)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    running = spawn([*submit, folder / "spark_consumer.py"], log=log, env=environment, cwd=folder)
    try:
        assert system.wait(120, lambda: "the query is running" in log.read_text()), system.explain()
        sender.start()
        assert system.wait(60, lambda: system.stats().get("alerts", 0) > 20), system.explain()
        sender.end()
        assert system.wait(60, lambda: system.is_caught_up(sender.sent)), system.explain()
        assert stored_ids(system) == sender.expected(scores)
    finally:
        stop(running, 30)
