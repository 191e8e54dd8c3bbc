"""Measures how fast the detector catches up on a topic, with some of its rows drifted: real broker, real command.

    python benchmarks/catch_up.py --rows 400000 --kinds "as trained" "1 % text" "100 % missing"
    python benchmarks/catch_up.py --data payments.csv --models models/A models/B --kinds "as trained" --output FILE

The same simulated rows are put on a topic of their own for each kind, then `fraudstream detect` reads them from the
earliest offset. The rate is that of the steady state: from the first progress to the last, samples of one second. With
`--models`, each of these artifacts reads the rows of a CSV in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any, Final

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from fraudstream.config import Settings
from fraudstream.kafka.broker import BrokerPlan, start_broker
from fraudstream.model.artifact import load_artifact
from fraudstream.runtime.jars import find_jars
from fraudstream.runtime.java import find_java
from fraudstream.runtime.processes import free_port
from fraudstream.transactions.csv_source import open_csv
from fraudstream.transactions.simulator import simulate
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES, Topic

RESULT = Path(__file__).parent / "results" / "catch_up.json"
FRAUDSTREAM = (sys.executable, "-m", "fraudstream")
PARTITIONS: Final = 4
SKIPPED_SECONDS: Final = 4
"""Of progress, while the JVM still compiles."""

Change = Callable[[dict[str, Any]], None]


def lose(row: dict[str, Any]) -> None:
    """A column has gone."""
    del row["V26"]


def null(row: dict[str, Any]) -> None:
    """A column has no value."""
    row["V26"] = None


def text(row: dict[str, Any]) -> None:
    """A number comes as text."""
    row["V26"] = str(row["V26"])


def gain(row: dict[str, Any]) -> None:
    """A column more."""
    row["Channel"] = "web"


CHANGES: Final[Mapping[str, Change]] = {"missing": lose, "null": null, "text": text, "added": gain}


def rows_of(kind: str, source: list[bytes], count: int) -> Iterator[bytes]:
    """The rows with a share of them changed: "10 % text" changes each tenth."""
    plain = islice(cycle(source), count)
    if kind == "as trained":
        yield from plain
        return
    percent, _, name = kind.partition(" % ")
    every, change = round(100 / float(percent)), CHANGES[name]
    changed = []
    for row in source:
        parsed = orjson.loads(row)
        change(parsed)
        changed.append(orjson.dumps(parsed))
    for number, (row, other) in enumerate(zip(plain, cycle(changed), strict=False)):
        yield other if number % every == 0 else row


def fill(bootstrap: str, rows: Iterator[bytes]) -> None:
    """Put rows on the topic, by turns over its partitions."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": 500_000})
    for number, row in enumerate(rows):
        while True:
            try:
                producer.produce(Topic.TRANSACTIONS.value, row, partition=number % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
    producer.flush(60)


def progress(bootstrap: str, rows: int, timeout: float) -> list[tuple[float, int]]:
    """Time and rows read, once a second, until all are read."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "log_level": 0})
    consumer.assign([TopicPartition(Topic.EVENTS.value, 0, 0)])
    found: list[tuple[float, int]] = []
    deadline = time.monotonic() + timeout
    try:
        while time.monotonic() < deadline and (not found or found[-1][1] < rows):
            message = consumer.poll(1.0)
            if message is None or message.error() is not None:
                continue
            event = orjson.loads(message.value() or b"{}")
            if event["type"] == "progress":
                positions = event["positions"][Topic.TRANSACTIONS.value].values()
                found.append((message.timestamp()[1] / 1000, sum(each["position"] for each in positions)))
    finally:
        consumer.close()
    return found


def steady_rate(found: list[tuple[float, int]], rows: int) -> float:
    """Rows a second between the first seconds and the last full one."""
    inside = [(at, position) for at, position in found if 0 < position < rows][SKIPPED_SECONDS:]
    if len(inside) < 2:
        return 0.0
    (first_at, first), (last_at, last) = inside[0], inside[-1]
    return (last - first) / (last_at - first_at)


def run(kind: str, source: list[bytes], rows: int, model: Path) -> dict[str, Any]:
    """One catch-up on a broker of its own."""
    settings = Settings.load()
    with tempfile.TemporaryDirectory() as folder:
        plan = BrokerPlan(
            port=free_port(),
            data_dir=Path(folder) / "kafka",
            java=find_java(None, settings.cache, os.environ),
            jars=find_jars(settings.cache).broker,
            partitions=PARTITIONS,
            max_record_bytes=DEFAULT_MAX_RECORD_BYTES,
        )
        with start_broker(plan, lambda line: None) as broker:
            if broker is None:
                raise SystemExit("no broker")
            fill(broker.bootstrap_servers, rows_of(kind, source, rows))
            log = (Path(folder) / "detector.log").open("wb")
            detector = subprocess.Popen(
                [
                    *FRAUDSTREAM, "detect", "--model", str(model), "--bootstrap-servers", broker.bootstrap_servers,
                    "--checkpoint", str(Path(folder) / "checkpoint"),
                ],
                stdout=log,
                stderr=log,
            )  # fmt: skip
            try:
                found = progress(broker.bootstrap_servers, rows, 60 + rows / 1000)
            finally:
                detector.send_signal(signal.SIGTERM)
                detector.wait(60)
    return {"kind": kind, "rows": rows, "rows_per_second": round(steady_rate(found, rows))}


def shown(model: Path) -> str:
    """What the artifact's model is made of."""
    manifest = load_artifact(model).manifest
    return f"{manifest.algorithm}: {', '.join(f'{name} {value}' for name, value in manifest.parameters.items())}"


def main() -> None:
    """Run every kind and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--algorithm", default="logistic-regression")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--data", type=Path, default=None, help="The rows to send; simulated ones when not given.")
    parser.add_argument("--models", type=Path, nargs="+", default=(), help="Artifacts; one is trained when not given.")
    parser.add_argument(
        "--kinds",
        nargs="+",
        default=["as trained", "100 % added", "1 % text", "10 % text", "100 % text", "1 % missing", "100 % missing"],
    )
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "machine": {"cpu": platform.machine(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in ("fraudstream", "pyspark")},
        "algorithm": arguments.algorithm,
        "partitions": PARTITIONS,
        "runs": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        data, models = arguments.data or Path(folder) / "payments.csv", list(arguments.models)
        if arguments.data is None:
            simulate(60_000, 42, data)
        if not models:
            train = [*FRAUDSTREAM, "train", "--data", str(data), "--models", f"{folder}/models"]
            subprocess.run([*train, "--algorithm", arguments.algorithm], check=True, stdout=subprocess.DEVNULL)
            models = [Path(folder) / "models" / "current"]
        source = list(open_csv(data).json_rows())
        for _ in range(arguments.repeats):
            for kind, model in product(arguments.kinds, models):
                slow = kind in ("10 % text", "100 % text")
                measured = run(kind, source, arguments.rows // (4 if slow else 1), model)
                named = {"model": shown(model), "load": round(os.getloadavg()[0], 1)} if arguments.models else {}
                result["runs"].append(measured | named)
                print(json.dumps(result["runs"][-1]), flush=True)
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
