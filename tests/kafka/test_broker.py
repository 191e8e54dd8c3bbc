"""Our broker, really run: its data outlives a kill -9, its JVM does not outlive it."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
from chaos.proxy import running
from confluent_kafka import Producer

from brokers import broker_plan
from fraudstream.errors import BrokerFailed, PortInUse
from fraudstream.kafka.broker import BrokerPlan, Listener, RunningBroker, start_broker
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.topics import open_admin, require_broker
from fraudstream.kafka_settings import KafkaSettings
from fraudstream.runtime.files import exclusive_lock
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java
from fraudstream.runtime.processes import LOOPBACK, check_port_free, free_port, port_owner, spawn, stop, wait_until
from fraudstream.transactions.wire import RELAYED_TOPICS, Topic
from offsets import end_offsets

pytestmark = pytest.mark.kafka

READY_SECONDS = 120
DAY_MS = 86_400_000


@pytest.fixture
def plan(tmp_path: Path, java: Java, jars: Jars) -> BrokerPlan:
    return broker_plan(tmp_path, java, jars)


@contextmanager
def command(plan: BrokerPlan) -> Iterator[subprocess.Popen[bytes]]:
    """`fraudstream broker`, ready, in a process of its own."""
    ready = plan.data_dir.with_name("ready.json")
    ready.unlink(missing_ok=True)
    log = plan.data_dir.with_name("command.log")
    process = spawn(
        [sys.executable, "-m", "fraudstream", "broker", "--port", str(plan.port), "--data-dir", plan.data_dir],
        log=log,
        env={**os.environ, "FRAUDSTREAM_READY_FILE": str(ready)},
    )
    try:
        assert wait_until(lambda: ready.exists() or process.poll() is not None, READY_SECONDS)
        assert ready.exists(), log.read_text()
        assert orjson.loads(ready.read_bytes()) == {"pid": process.pid, "port": plan.port}
        yield process
    finally:
        stop(process, grace=20)


def send(plan: BrokerPlan, count: int) -> None:
    client = Producer({"bootstrap.servers": plan.bootstrap_servers, "acks": "all"})
    for number in range(count):
        client.produce(Topic.TRANSACTIONS.value, str(number).encode(), partition=number % 2)
    assert client.flush(30) == 0


@pytest.mark.nightly  # the short chaos run kills the broker in every change
def test_its_records_outlive_a_kill_and_its_jvm_does_not(plan: BrokerPlan) -> None:
    with command(plan) as process:
        assert set(require_broker(plan.cluster).list_topics(timeout=30).topics) >= {Topic.TRANSACTIONS, *RELAYED_TOPICS}
        send(plan, 100)
        process.kill()
        process.wait()
        assert wait_until(lambda: port_owner(plan.port) is None, 1.0)
    with command(plan) as process:
        assert end_offsets(plan.bootstrap_servers, Topic.TRANSACTIONS) == {0: 50, 1: 50}
        send(plan, 10)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        check_port_free(LOOPBACK, plan.port)
    assert "stopped" in plan.data_dir.with_name("command.log").read_text()
    with start_broker(plan, lambda line: None) as again:
        assert again is not None
        assert end_offsets(plan.bootstrap_servers, Topic.TRANSACTIONS) == {0: 55, 1: 55}


def test_it_listens_on_loopback_only(broker: RunningBroker) -> None:
    port = int(broker.bootstrap_servers.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5)


@pytest.mark.nightly  # all clients of the short chaos run connect so in every change
def test_a_client_of_another_listener_gets_another_advertised_port(plan: BrokerPlan) -> None:
    with running() as proxies:
        listening = free_port()
        proxy = proxies.add(listening)
        with start_broker(
            dataclasses.replace(plan, listeners=(Listener(listening, proxy.port),)), lambda line: None
        ) as broker:
            assert broker is not None
            through = f"{LOOPBACK}:{proxy.port}"
            brokers = open_admin(Cluster(through)).list_topics(timeout=30).brokers.values()
            assert [f"{node.host}:{node.port}" for node in brokers] == [through]
            send(dataclasses.replace(plan, port=proxy.port), 10)
            assert end_offsets(broker.bootstrap_servers, Topic.TRANSACTIONS) == {0: 5, 1: 5}


def test_a_record_from_a_clock_that_is_a_day_off_is_taken(broker: RunningBroker, new_topic: Callable[..., str]) -> None:
    failed = []
    client = Producer({"bootstrap.servers": broker.bootstrap_servers})
    topic, now = new_topic(), int(time.time() * 1000)
    for shift in (-DAY_MS, 0, DAY_MS):
        client.produce(topic, b"{}", timestamp=now + shift, on_delivery=lambda error, _: failed.append(error))
    assert client.flush(30) == 0
    assert failed == [None, None, None]


def test_it_takes_the_names_of_the_settings_but_nothing_that_one_node_cannot_do(plan: BrokerPlan) -> None:
    names = {"topic_prefix": "acme.", "topic_alerts": "frauds"}
    company = {"security_protocol": "SSL", "create_topics": False, "replication_factor": 3, "min_insync_replicas": 2}
    settings = KafkaSettings.model_validate(names | company | {"librdkafka": {"acks": "1"}})
    assert dataclasses.replace(plan, kafka=settings).cluster.settings == KafkaSettings.model_validate(names)


def test_a_port_in_use_is_refused_before_anything_is_written(plan: BrokerPlan) -> None:
    with socket.create_server((LOOPBACK, plan.port)), pytest.raises(PortInUse, match=f"pid {os.getpid()}"):
        start_broker(plan, lambda line: None).__enter__()
    assert [path.name for path in plan.data_dir.iterdir()] == ["broker.lock"]


def test_a_data_directory_in_use_is_refused(plan: BrokerPlan) -> None:
    with (
        exclusive_lock(plan.data_dir / "broker.lock"),
        pytest.raises(BrokerFailed, match="another broker uses this data directory") as error,
    ):
        start_broker(plan, lambda line: None).__enter__()
    assert "--data-dir" in error.value.remedy


def test_a_jvm_that_cannot_start_is_said_in_one_message(plan: BrokerPlan) -> None:
    with pytest.raises(BrokerFailed, match="cannot format"):
        start_broker(dataclasses.replace(plan, heap="nonsense"), lambda line: None).__enter__()


def test_a_broker_that_ends_before_it_is_ready_says_why(plan: BrokerPlan, broker: RunningBroker) -> None:
    storage = plan.data_dir / "log"
    storage.mkdir(parents=True)
    (storage / "meta.properties").write_text("version=1\nnode.id=77\ncluster.id=MkU3OEVBNTcwNTJENDM2Qg\n")
    with pytest.raises(BrokerFailed, match="77") as failed:
        start_broker(plan, lambda line: None).__enter__()
    assert failed.value.where == str(plan.log)
    assert wait_until(lambda: port_owner(plan.port) is None, 1.0)
