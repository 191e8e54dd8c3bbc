"""A broker, a model and a filled topic for `run.py --self`; a topic that is there already is named to it instead."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from confluent_kafka import Producer

from fraudstream.config import Settings
from fraudstream.errors import BrokerFailed
from fraudstream.kafka.broker import BrokerPlan, start_broker
from fraudstream.model.current import resolve
from fraudstream.runtime.jars import find_jars
from fraudstream.runtime.java import find_java
from fraudstream.runtime.processes import free_port
from fraudstream.transactions.csv_source import open_csv
from fraudstream.transactions.simulator import simulate
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES, Topic

SIMULATED: Final = 60_000
"""Rows that are simulated; the topic holds them again and again."""
SEED: Final = 42


@dataclass(frozen=True)
class Filled:
    """A topic with rows, and the model to judge them with; `shown` says what that is made of."""

    bootstrap_servers: str
    topic: str
    model: Path
    shown: str = ""


@contextmanager
def filled_topic(rows: int, algorithm: str, partitions: int, say: Callable[[str], None]) -> Iterator[Filled]:
    """Start a broker, simulate, train and fill the topic; all of it is gone in the end."""
    settings = Settings.load()
    with tempfile.TemporaryDirectory(prefix="fraudstream-whole-") as folder:
        data = Path(folder) / "payments.csv"
        say(f"simulating and training {algorithm} ...")
        simulate(SIMULATED, SEED, data)
        train: list[str | Path] = [
            sys.executable,
            "-m",
            "fraudstream",
            "train",
            "--data",
            data,
            "--models",
            f"{folder}/models",
        ]
        subprocess.run([*train, "--algorithm", algorithm], check=True, stdout=subprocess.DEVNULL)
        model = Path(folder) / "models" / "current"
        manifest = resolve(model)[0].manifest
        shown = f"{manifest.algorithm}: {', '.join(f'{name} {value}' for name, value in manifest.parameters.items())}"
        plan = BrokerPlan(
            port=free_port(),
            data_dir=Path(folder) / "kafka",
            java=find_java(settings.java_home, settings.cache, os.environ),
            jars=find_jars(settings.cache).broker,
            partitions=partitions,
            max_record_bytes=DEFAULT_MAX_RECORD_BYTES,
        )
        with start_broker(plan, lambda line: None) as broker:
            if broker is None:
                raise BrokerFailed("the broker was stopped before it was ready", where=str(plan.log))
            say(f"filling the topic with {rows:,} rows ...")
            fill(broker.bootstrap_servers, islice(cycle(list(open_csv(data).json_rows())), rows), partitions)
            yield Filled(broker.bootstrap_servers, Topic.TRANSACTIONS.value, model, shown)


def fill(bootstrap: str, rows: Iterator[bytes], partitions: int) -> None:
    """Put rows on the topic, by turns over its partitions."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": 500_000})
    for number, row in enumerate(rows):
        while True:
            try:
                producer.produce(Topic.TRANSACTIONS.value, row, partition=number % partitions)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
    producer.flush(60)
