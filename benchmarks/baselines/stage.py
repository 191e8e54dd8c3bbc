"""What a contender is started on and what is seen of it while it runs; the contenders are in `contenders.py`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.baselines.measuring import Sample, read_lines
from benchmarks.system.system import ROOT
from fraudstream.config import Settings
from fraudstream.errors import KafkaFailure, TopicMissing
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import Watermarks
from fraudstream.runtime.processes import spawn, stop, wait_until
from fraudstream.transactions.wire import OUTPUT_TOPICS, output_limit

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
        reads_own_topic: Whether it knows no other input topic than fraudstream's.
    """

    name: str
    start: Start
    version: Callable[[], Mapping[str, str]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    baseline: str | None = None
    reads_own_topic: bool = False


@dataclass(frozen=True)
class AlertTopic:
    """Reads the alerts that a contender produces, from where the topic ended when it was opened."""

    consumer: Consumer
    first_times: dict[tuple[int, int], float] = field(default_factory=dict)

    def read(self) -> dict[tuple[int, int], float]:
        """Take what is there and return all so far, each with the time at which it was first seen."""
        while messages := self.consumer.consume(1000, 0.001):
            now = time.time()
            for message in messages:
                if message.error() is None:
                    alert = orjson.loads(message.value() or b"{}")
                    self.first_times.setdefault((alert["partition"], alert["offset"]), now)
        return self.first_times


@contextmanager
def reader_at_end(bootstrap: str, topic: str) -> Iterator[Consumer]:
    """A consumer that reads a topic from its present end on."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "peers-watch", "fetch.wait.max.ms": 10, "log_level": 0}
    )
    marks = Watermarks(Cluster(bootstrap), topic).read()
    consumer.assign([TopicPartition(topic, partition, end) for partition, (_, end) in marks.items()])
    try:
        yield consumer
    finally:
        consumer.close()


@contextmanager
def own_topics(bootstrap: str, name: str) -> Iterator[str]:
    """Output topics of a baseline's own; yields the prefix of their names and deletes them in the end."""
    prefix = f"peer-{name}-{uuid4().hex[:8]}-"
    limit = {"max.message.bytes": str(output_limit(Settings.load().max_record_bytes))}
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    names = [f"{prefix}{topic.value}" for topic in OUTPUT_TOPICS]
    for future in admin.create_topics([NewTopic(each, 1, 1, config=limit) for each in names]).values():
        future.result(10)

    def all_answer() -> bool:
        try:
            return all(Watermarks(Cluster(bootstrap), each).read() for each in names)
        except (KafkaException, TopicMissing):  # no leader yet
            return False

    if not wait_until(all_answer, 20):
        raise KafkaFailure("the topics of a baseline were created and are not listed", where=bootstrap)
    try:
        yield prefix
    finally:
        for deleted in admin.delete_topics(names).values():
            deleted.result(10)


def started(
    stack: ExitStack, name: str, commands: list[list[str | Path]], stage: Stage, env: Mapping[str, str]
) -> tuple[tuple[int, ...], Callable[[], list[list[Sample]]], Callable[[], str | None]]:
    """Start commands that report in lines, and end them with the stack."""
    logs = [stage.folder / f"{name}-{number}-{uuid4().hex[:4]}.log" for number in range(len(commands))]
    processes = []
    for command, log in zip(commands, logs, strict=True):
        process = spawn(command, log=log, env=env, cwd=ROOT)
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
