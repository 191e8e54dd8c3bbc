"""Measures how long `fraudstream detect` takes to its first scored row, and what those seconds consist of.

    python benchmarks/startup.py --repeats 5
    python benchmarks/startup.py --sources before=../old/src after=src --repeats 5

Real broker, real command, a topic that holds rows already. Sources, folders with a package `fraudstream`, take turns;
`first` is a start on a cache without archives, the others are what a user meets from the second start on. Then the
detector is killed -9 under a steady rate of rows, just before a batch would have ended, and the time is taken until
rows are judged within a second of their production again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
from confluent_kafka import Consumer, TopicPartition

from fraudstream.transactions.wire import EventType, Topic

RESULT = Path(__file__).parent / "results" / "startup.json"
HERE = Path(__file__).parents[1] / "src"
PARTITIONS: Final = 2
ROWS: Final = 2_000
STEPS: Final = ("starting Spark", "Spark is there", "the model is loaded", "the query is running")
"""What the detector logs on its way, in order; the first scored row comes last."""
FIRST_SECONDS: Final = 10
CAUGHT_UP_SECONDS: Final = 1.0


@dataclass(frozen=True)
class System:
    """One code to measure.

    Args:
        name: Of the code.
        source: Folder of its package.
        java_home: A Java of its own; None for the one that is found.
    """

    name: str
    source: Path
    java_home: str | None = None

    def environment(self, cache: Path) -> dict[str, str]:
        """That of its commands."""
        own = {"FRAUDSTREAM_JAVA_HOME": self.java_home} if self.java_home else {}
        return {**os.environ, "PYTHONPATH": str(self.source), "FRAUDSTREAM_CACHE": str(cache), **own}


@contextmanager
def detector(system: System, cache: Path, bootstrap: str, model: Path, folder: Path) -> Iterator[tuple[float, Path]]:
    """A detector on a checkpoint in `folder`; yields when it was started and its log."""
    log = folder / "detector.log"
    with log.open("ab") as output:
        began = time.time()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "fraudstream", "detect", "--model", str(model)),
                *("--bootstrap-servers", bootstrap, "--checkpoint", str(folder / "checkpoint")),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=system.environment(cache),
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


def start_once(system: System, cache: Path, bootstrap: str, model: Path, settle: float) -> dict[str, float]:
    """Seconds from the command to each of its steps and to the first scored row, on a new checkpoint."""
    since = events_end(bootstrap)
    with tempfile.TemporaryDirectory() as folder, detector(system, cache, bootstrap, model, Path(folder)) as (at, log):
        scored = next((when for when, _ in samples(bootstrap, since, 90)), None)
        if scored is None:
            raise SystemExit(f"no row was scored: {log.read_text()[-2000:]}")
        time.sleep(1.0 + settle)
        steps = {step: when - at for step, when in logged(log).items()}
    return {name: round(seconds, 2) for name, seconds in {**steps, "first scored row": scored - at}.items()}


def logged(log: Path) -> dict[str, float]:
    """When each of the steps was logged first."""
    found: dict[str, float] = {}
    for line in log.read_text().splitlines():
        if line.startswith("{"):
            entry = orjson.loads(line)
            if entry["event"] in STEPS and entry["event"] not in found:
                found[entry["event"]] = datetime.fromisoformat(entry["timestamp"]).timestamp()
    return found
