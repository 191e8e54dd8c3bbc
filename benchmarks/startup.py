"""Measures how long `fraudstream detect` takes to its first scored row, and until it has caught up after a kill -9.

    python -m benchmarks.startup --repeats 5
    python -m benchmarks.startup --sources before=../old/src after=src --repeats 5

Real broker, real command, a topic that holds rows already. Sources, folders with a package `fraudstream`, take turns.
Then the detector is killed -9 under a steady rate of rows, when so many seconds of a batch are to be scored again, with
the demo's own supervision; the time is taken until rows are scored within a second of their production, and stay so.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks import study
from benchmarks.system.backlog import fill
from benchmarks.system.machine import circumstances, write_result
from benchmarks.system.material import prepare
from fraudstream.config import Settings
from fraudstream.demo.child import Child
from fraudstream.demo.system import POLL_SECONDS
from fraudstream.runtime.engines import java_for
from fraudstream.transactions.wire import EventField, EventType, Topic

HERE = Path(__file__).parents[1] / "src"
PARTITIONS: Final = 2
ROWS: Final = 2_000
STEPS: Final = ("starting Spark", "Spark is there", "the model is loaded", "the query is running")
"""What the detector logs on its way, in order; the first scored row comes last."""
CAUGHT_UP_SECONDS: Final = 1.0
STAYS_SECONDS: Final = 8.0
"""For so long rows must be scored in time until the detector has caught up."""


@dataclass(frozen=True)
class System:
    """One code to measure.

    Args:
        name: Of the code.
        source: Folder of its package.
    """

    name: str
    source: Path

    def environment(self) -> dict[str, str]:
        """That of its commands."""
        return {**os.environ, "PYTHONPATH": str(self.source.absolute())}

    def command(self, bootstrap: str, model: Path, folder: Path) -> list[str]:
        """A detector with its checkpoint in `folder`."""
        return [
            *(sys.executable, "-m", "fraudstream", "detect", "--model", str(model)),
            *("--bootstrap-servers", bootstrap, "--checkpoint", str(folder / "checkpoint")),
        ]


@contextmanager
def detector(system: System, bootstrap: str, model: Path, folder: Path) -> Iterator[tuple[float, Path]]:
    """A detector on a checkpoint in `folder`; yields when it was started and its log."""
    log = folder / "detector.log"
    with log.open("ab") as output:
        began = time.time()
        process = subprocess.Popen(
            system.command(bootstrap, model, folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=system.environment(),
            cwd=folder,
        )
        try:
            yield began, log
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def samples(bootstrap: str, since: int, seconds: float) -> Iterator[tuple[float, dict[str, Any]]]:
    """Sampled rows on the topic of events with when they were scored, from offset `since` on, as they come."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "log_level": 0})
    consumer.assign([TopicPartition(Topic.EVENTS.value, 0, since)])
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            message = consumer.poll(0.2)
            if message is None or message.error() is not None:
                continue
            event = orjson.loads(message.value() or b"{}")
            if event["type"] == EventType.SAMPLE:
                yield message.timestamp()[1] / 1000, event
    finally:
        consumer.close()


def events_end(bootstrap: str) -> int:
    """Where the topic of events ends."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "log_level": 0})
    try:
        end: int = consumer.get_watermark_offsets(TopicPartition(Topic.EVENTS.value, 0), timeout=10)[1]
        return end
    finally:
        consumer.close()


def start_once(system: System, bootstrap: str, model: Path) -> dict[str, float]:
    """Seconds from the command to each of its steps and to the first scored row, on a new checkpoint."""
    since = events_end(bootstrap)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with detector(system, bootstrap, model, folder) as (began, log):
            scored = next((when for when, _ in samples(bootstrap, since, 90)), None)
            if scored is None:
                raise SystemExit(f"no row was scored: {log.read_text()[-2000:]}")
            time.sleep(0.5)
            steps = {step: when - began for step, when in logged(log).items()}
    return {name: round(seconds, 2) for name, seconds in {**steps, "first scored row": scored - began}.items()}


def logged(log: Path) -> dict[str, float]:
    """When each of the steps was logged first."""
    times: dict[str, float] = {}
    for line in log.read_text().splitlines():
        if line.startswith("{"):
            entry = orjson.loads(line)
            if entry["event"] in STEPS and entry["event"] not in times:
                times[entry["event"]] = datetime.fromisoformat(entry["timestamp"]).timestamp()
    return times


@contextmanager
def load(bootstrap: str, rows: list[bytes], rate: float) -> Iterator[None]:
    """Rows at a steady rate, by turns over the partitions, for the length of a `with` block."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "acks": "all"})
    ended = threading.Event()

    def send() -> None:
        began = time.monotonic()
        for number in itertools.count():
            if ended.wait(max(began + number / rate - time.monotonic(), 0.0)):
                return
            producer.produce(Topic.TRANSACTIONS.value, rows[number % len(rows)], partition=number % PARTITIONS)
            if number % 100 == 0:
                producer.poll(0)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        ended.set()
        sender.join()
        producer.flush(30)


def recover_once(system: System, model: Path, rows: list[bytes], rate: float, behind: float) -> Any:
    """Seconds from a kill -9 to the first row scored in time, after which all are; a broker of its own."""
    with tempfile.TemporaryDirectory() as name, study.broker(Path(name), PARTITIONS) as bootstrap:
        folder = Path(name)
        command = system.command(bootstrap, model, folder)
        child = Child("detector", command, folder / "detector.log", folder / "ready", system.environment())
        with load(bootstrap, rows, rate):
            child.start()
            try:
                first = next(samples(bootstrap, 0, 90))
                watch(child, behind)
                since, killed = events_end(bootstrap), time.time()
                os.kill(child.pid or 0, signal.SIGKILL)
                in_time, scored = None, None
                watching = threading.Thread(target=watch, args=(child, 60.0, stop := threading.Event()))
                watching.start()
                for when, event in samples(bootstrap, since, 60):
                    if when < killed + 0.2:
                        continue
                    scored = scored or when
                    late = when - datetime.fromisoformat(event[EventField.PRODUCED_AT]).timestamp()
                    in_time = (in_time or when) if late < CAUGHT_UP_SECONDS else None
                    if in_time is not None and when > in_time + STAYS_SECONDS:
                        break
                stop.set()
                watching.join()
            finally:
                child.stop()
    if scored is None or in_time is None:
        raise SystemExit(f"it has not caught up after 60 s; first row {first}")
    return {
        "rate": rate,
        "judged_again_seconds": behind,
        "first_scored_row": round(scored - killed, 1),
        "caught_up": round(in_time - killed, 1),
    }


def watch(child: Child, seconds: float, stop: threading.Event | None = None) -> None:
    """Look after the detector as the demo does."""
    stop, deadline = stop or threading.Event(), time.monotonic() + seconds
    while time.monotonic() < deadline and not stop.wait(POLL_SECONDS):
        child.poll()


def main() -> None:
    """Measure and write the JSON."""
    parser = study.parser(__doc__, "startup")
    parser.add_argument("--sources", nargs="+", default=[f"now={HERE}"], help="NAME=FOLDER of a package each.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--algorithm", default="logistic-regression")
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--behind", type=float, default=110.0, help="Seconds of rows that are judged again.")
    parser.add_argument("--recoveries", type=int, default=1, help="Of each source.")
    arguments = parser.parse_args()
    systems = [System(name, Path(source)) for name, _, source in (each.partition("=") for each in arguments.sources)]
    settings = Settings.load()
    result: dict[str, Any] = {
        **circumstances(java_for(settings)),
        "algorithm": arguments.algorithm,
        "partitions": PARTITIONS,
        "starts": [],
        "recoveries": [],
    }
    if arguments.output.exists():
        # What is not measured again stays: the two parts take minutes each.
        former = json.loads(arguments.output.read_text())
        for part, measured in (("starts", arguments.repeats), ("recoveries", arguments.recoveries)):
            result[part] = [] if measured else former[part]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        material = prepare(folder, None, arguments.algorithm, os.environ, study.say)
        rows = list(material.source.json_rows())
        with study.broker(folder, PARTITIONS) as bootstrap:
            fill(bootstrap, PARTITIONS, rows[:ROWS], lambda done: None)
            for _, system in itertools.product(range(arguments.repeats), systems):
                steps = start_once(system, bootstrap, material.model)
                result["starts"].append({"system": system.name, "steps": steps, "load": round(os.getloadavg()[0], 1)})
                print(json.dumps(result["starts"][-1]), flush=True)
        for _, system in itertools.product(range(arguments.recoveries), systems):
            recovery = recover_once(system, material.model, rows, arguments.rate, arguments.behind)
            result["recoveries"].append({"system": system.name, **recovery})
            print(json.dumps(result["recoveries"][-1]), flush=True)
    write_result(arguments.output, result)


if __name__ == "__main__":
    main()
