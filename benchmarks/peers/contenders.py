"""The contenders: how each is started, where it tells how far it is, and where its alerts come out."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from environments import PEERS, python_of, versions_in
from exported import ARRAYS, PLAIN
from fraudstream.config import Settings
from fraudstream.errors import KafkaFailure, TopicMissing
from fraudstream.kafka.watermarks import Watermarks
from fraudstream.runtime.jars import find_jars
from fraudstream.runtime.java import find_java
from fraudstream.runtime.processes import free_port, spawn, stop, wait_until
from fraudstream.transactions.wire import OUTPUT_TOPICS, Topic, output_limit
from measuring import Sample, merged, read_lines

FRAUDSTREAM: Final = (sys.executable, "-m", "fraudstream")
OURS: Final = "fraudstream"
STOP_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Stage:
    """What all contenders are started on.

    Attributes:
        bootstrap_servers: Kafka's address.
        topic: The input topic.
        model: The model path, as fraudstream takes it.
        folder: Of what `preparation.py` wrote; logs and checkpoints go there too.
        first_offsets: Sum of the topic's first offsets.
    """

    bootstrap_servers: str
    topic: str
    model: Path
    folder: Path
    first_offsets: int


@dataclass
class Running:
    """A contender at work.

    Attributes:
        pids: Of the processes that were started.
        samples: How far it is, all samples so far.
        alerts: Partition and offset of each row with an alert, and when it came out; all so far.
        failure: Why it cannot go on, None while it can.
        is_watched: Whether the time of an alert is that at which `alerts` first sees it, so that one must look often.
    """

    pids: tuple[int, ...]
    samples: Callable[[], list[Sample]]
    alerts: Callable[[], dict[tuple[int, int], float]]
    failure: Callable[[], str | None]
    is_watched: bool = True


Start = Callable[[Stage, str], AbstractContextManager[Running]]


@dataclass(frozen=True)
class Contender:
    """A system to be measured.

    Attributes:
        name: As `--only` takes it.
        start: Starts it on a stage, at the "earliest" or the "latest" offset.
        version: What it is made of.
        settings: What was set, for the record.
        peer: The folder with its own environment; None where it runs in ours.
    """

    name: str
    start: Start
    version: Callable[[], Mapping[str, str]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    peer: str | None = None


@dataclass(frozen=True)
class AlertTopic:
    """Reads the alerts that a contender produces, from where the topic ended when it was opened."""

    consumer: Consumer
    found: dict[tuple[int, int], float] = field(default_factory=dict)

    def read(self) -> dict[tuple[int, int], float]:
        """Take what is there and return all so far, each with the time at which it was first seen."""
        while messages := self.consumer.consume(1000, 0.001):
            now = time.time()
            for message in messages:
                if message.error() is None:
                    alert = orjson.loads(message.value() or b"{}")
                    self.found.setdefault((alert["partition"], alert["offset"]), now)
        return self.found


@contextmanager
def reader_at_end(bootstrap: str, topic: str) -> Iterator[Consumer]:
    """A consumer that reads a topic from its present end on."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "peers-watch", "fetch.wait.max.ms": 10, "log_level": 0}
    )
    marks = Watermarks(bootstrap, topic).read()
    consumer.assign([TopicPartition(topic, partition, end) for partition, (_, end) in marks.items()])
    try:
        yield consumer
    finally:
        consumer.close()


@contextmanager
def own_topics(bootstrap: str, name: str) -> Iterator[str]:
    """Output topics of a peer's own; yields the prefix of their names and deletes them in the end."""
    prefix = f"peer-{name}-{uuid4().hex[:8]}-"
    limit = {"max.message.bytes": str(output_limit(Settings.load().max_record_bytes))}
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    names = [f"{prefix}{topic.value}" for topic in OUTPUT_TOPICS]
    for made in admin.create_topics([NewTopic(each, 1, 1, config=limit) for each in names]).values():
        made.result(10)

    def all_answer() -> bool:
        try:
            return all(Watermarks(bootstrap, each).read() for each in names)
        except (KafkaException, TopicMissing):  # no leader yet
            return False

    if not wait_until(all_answer, 20):
        raise KafkaFailure("the topics that were made for a peer do not show", where=bootstrap)
    try:
        yield prefix
    finally:
        for deleted in admin.delete_topics(names).values():
            deleted.result(10)


def _commands_running(
    stack: ExitStack, name: str, commands: list[list[str | Path]], stage: Stage, env: Mapping[str, str]
) -> tuple[tuple[int, ...], Callable[[], list[list[Sample]]], Callable[[], str | None]]:
    """Start commands that report in lines, and end them with the stack."""
    logs = [stage.folder / f"{name}-{number}-{uuid4().hex[:4]}.log" for number in range(len(commands))]
    processes = []
    for command, log in zip(commands, logs, strict=True):
        process = spawn(command, log=log, env=env, cwd=PEERS)
        stack.callback(stop, process, STOP_SECONDS)
        processes.append(process)

    def failure() -> str | None:
        for process, log in zip(processes, logs, strict=True):
            if process.poll() is not None:
                return (
                    f"exit code {process.returncode}: {' / '.join(log.read_text(errors='replace').splitlines()[-3:])}"
                )
        return None

    return tuple(each.pid for each in processes), lambda: [read_lines(log) for log in logs], failure


def _peer_environment() -> dict[str, str]:
    """Ours, with the peers' folder alone to import from."""
    return {**os.environ, "PYTHONPATH": str(PEERS)}


def plain_consumer(variant: str, processes: int) -> Contender:
    """confluent-kafka, orjson and numpy."""
    name = f"plain_consumer_{variant}_{processes}"

    @contextmanager
    def start(stage: Stage, offset: str) -> Iterator[Running]:
        python = python_of("plain_consumer")
        with ExitStack() as stack:
            prefix = stack.enter_context(own_topics(stage.bootstrap_servers, name))
            alerts = stack.enter_context(reader_at_end(stage.bootstrap_servers, f"{prefix}{Topic.ALERTS.value}"))
            commands: list[list[str | Path]] = [
                [
                    python, "-m", "plain_consumer.consumer", "--bootstrap-servers", stage.bootstrap_servers,
                    "--topic", stage.topic, "--model", stage.folder / ARRAYS, "--variant", variant,
                    "--share", f"{number + 1}/{processes}", "--group", prefix, "--prefix", prefix, "--start", offset,
                ]
                for number in range(processes)
            ]  # fmt: skip
            pids, lines, failure = _commands_running(stack, name, commands, stage, _peer_environment())
            yield Running(pids, lambda: merged(lines()), AlertTopic(alerts).read, failure)

    def version() -> Mapping[str, str]:
        return versions_in(python_of("plain_consumer"), "confluent-kafka", "orjson", "numpy")

    return Contender(name, start, version, {"variant": variant, "processes": processes}, "plain_consumer")


def quix_streams() -> Contender:
    """Quix Streams."""
    name = "quix_streams"

    @contextmanager
    def start(stage: Stage, offset: str) -> Iterator[Running]:
        python = python_of(name)
        with ExitStack() as stack:
            prefix = stack.enter_context(own_topics(stage.bootstrap_servers, name))
            alerts = stack.enter_context(reader_at_end(stage.bootstrap_servers, f"{prefix}{Topic.ALERTS.value}"))
            command: list[str | Path] = [
                python, "-m", "quix_streams.application", "--bootstrap-servers", stage.bootstrap_servers,
                "--topic", stage.topic, "--model", stage.folder / PLAIN,
                "--group", prefix, "--prefix", prefix, "--start", offset,
            ]  # fmt: skip
            pids, lines, failure = _commands_running(stack, name, [command], stage, _peer_environment())
            yield Running(pids, lambda: merged(lines()), AlertTopic(alerts).read, failure)

    return Contender(name, start, lambda: versions_in(python_of(name), "quixstreams", "orjson"), {"processes": 1}, name)


def four_scripts() -> Contender:
    """The four-script system as usually written."""
    name = "four_scripts"

    @contextmanager
    def start(stage: Stage, offset: str) -> Iterator[Running]:
        settings, python = Settings.load(), python_of(name)
        port = free_port()
        api = f"http://127.0.0.1:{port}"
        env = _peer_environment()
        env["JAVA_HOME"] = str(find_java(settings.java_home, settings.cache, os.environ).home)
        jars = ",".join(str(jar) for jar in find_jars(settings.cache).connector)
        with ExitStack() as stack:
            checkpoint = stack.enter_context(tempfile.TemporaryDirectory(dir=stage.folder))
            commands: list[list[str | Path]] = [
                [python, "-m", "four_scripts.api", "--port", str(port)],
                [
                    python, "-m", "four_scripts.detector", "--bootstrap-servers", stage.bootstrap_servers,
                    "--topic", stage.topic, "--model", stage.folder, "--jars", jars, "--api", api,
                    "--checkpoint", checkpoint, "--first-offsets", str(stage.first_offsets), "--start", offset,
                ],
            ]  # fmt: skip
            pids, lines, failure = _commands_running(stack, name, commands, stage, env)

            def alerts() -> dict[tuple[int, int], float]:
                try:
                    with urllib.request.urlopen(f"{api}/api/frauds", timeout=10) as answer:
                        told = json.load(answer)
                except OSError:  # not up yet
                    return {}
                found: dict[tuple[int, int], float] = {}
                for each in told:
                    found.setdefault((each["partition"], each["offset"]), each["at"])
                return found

            yield Running(pids, lambda: lines()[1], alerts, failure, is_watched=False)

    return Contender(
        name,
        start,
        lambda: versions_in(python_of(name), "pyspark", "flask", "requests"),
        {"master": "local[2]", "memory": "2g", "max_offsets_per_trigger": 100_000},
        name,
    )


def detector(name: str, trigger: str) -> Contender:
    """`fraudstream detect`; its checkpoint serves again for the latency, so that the backlog is not read twice."""

    @contextmanager
    def start(stage: Stage, offset: str) -> Iterator[Running]:
        checkpoint = stage.folder / f"checkpoint-{trigger}-{uuid4().hex[:4] if offset == 'earliest' else 'kept'}"
        kept = stage.folder / f"checkpoint-{trigger}-kept"
        with ExitStack() as stack:
            alerts = stack.enter_context(reader_at_end(stage.bootstrap_servers, Topic.ALERTS.value))
            events = stack.enter_context(reader_at_end(stage.bootstrap_servers, Topic.EVENTS.value))
            command: list[str | Path] = [
                *FRAUDSTREAM, "detect", "--model", stage.model.absolute(), "--trigger", trigger,
                "--bootstrap-servers", stage.bootstrap_servers, "--checkpoint", checkpoint,
            ]  # fmt: skip
            pids, _, failure = _commands_running(stack, name, [command], stage, os.environ)
            found: list[Sample] = []

            def samples() -> list[Sample]:
                while messages := events.consume(1000, 0.001):
                    for message in messages:
                        event = orjson.loads(message.value() or b"{}")
                        if event.get("type") == "progress":
                            positions = event["positions"][stage.topic].values()
                            read = sum(each["position"] for each in positions) - stage.first_offsets
                            found.append(Sample(message.timestamp()[1] / 1000, read))
                return found

            yield Running(pids, samples, AlertTopic(alerts).read, failure)
        if offset == "earliest" and not kept.exists():
            checkpoint.rename(kept)

    def version() -> Mapping[str, str]:
        return versions_in(Path(sys.executable), "fraudstream", "pyspark")

    return Contender(name, start, version, {"trigger": trigger, "command": "fraudstream detect"})


def peers() -> list[Contender]:
    """All of them, without ours."""
    return [
        four_scripts(),
        detector("micro_batch", "micro-batch"),
        *(plain_consumer(variant, processes) for variant in ("bare", "contract") for processes in (1, 2)),
        quix_streams(),
    ]
