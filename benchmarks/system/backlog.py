"""A topic full of rows, and how fast a detector gets through it; at a fixed rate it is `latency.py` that measures."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, Final

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.system.resources import Usage
from benchmarks.system.system import BenchSystem
from fraudstream.demo.system import DETECTOR
from fraudstream.errors import ProcessFailed
from fraudstream.transactions.wire import EventField, EventType, Header, Topic

WARM_UP_SAMPLES: Final = 4
"""Of a second each, while the JVM still compiles."""

LEAST_STEADY_SECONDS: Final = 10.0
WARM_UP_SHARE: Final = 0.1
QUIET_SECONDS: Final = 120.0
"""A detector that says nothing of its progress for so long does not move."""

Progress = tuple[float, int]


def fill(bootstrap: str, partitions: int, rows: Iterable[bytes], report: Callable[[int], None]) -> int:
    """Put rows on the topic, by turns over its partitions, with the headers of `fraudstream produce`; how many.

    Raises:
        ProcessFailed: Kafka did not take all of them.
    """
    client = Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": 500_000, "log_level": 0}
    )
    number = 0
    for number, row in enumerate(rows, start=1):
        headers: list[tuple[str, str | bytes | None]] = [
            (Header.EVENT_ID.value, hashlib.blake2b(b"%d" % number, digest_size=16).hexdigest()),
            (Header.SOURCE_ROW.value, str(number - 1)),
        ]
        while True:
            try:
                client.produce(Topic.TRANSACTIONS.value, row, partition=number % partitions, headers=headers)
                break
            except BufferError:
                client.poll(0.1)
        if number % 1000 == 0:
            client.poll(0)
            report(number)
    left = client.flush(60)
    if left:
        raise ProcessFailed(
            f"Kafka did not take {left:,} of {number:,} rows within a minute",
            where=f"topic {Topic.TRANSACTIONS.value} at {bootstrap}",
            remedy="see the broker's log; fewer --rows need less disk",
        )
    report(number)
    return number


def repeated(source: Sequence[bytes], rows: int) -> Iterable[bytes]:
    """So many rows: the source's, over and over."""
    return islice(cycle(source), rows)


@dataclass(frozen=True)
class CatchUp:
    """How a detector got through a backlog.

    Attributes:
        progress: Time and rows read, once a second.
        started: When the process was started.
        usage: Of the detector, from its start on.
        rows: Of the backlog.
    """

    progress: list[Progress]
    started: float
    usage: Usage
    rows: int

    def summary(self) -> dict[str, Any]:
        """For a result file: the steady state, the whole, and what it took."""
        rate, seconds, steady = steady_rate(self.progress, self.rows)
        return {
            "rows_per_second": round(rate, 1),
            "steady": steady,
            "steady_seconds": round(seconds, 1),
            "whole_seconds": round(self.progress[-1][0] - self.started, 1),
            "cpu_seconds_per_1000_rows": self.usage.cpu_per_1000(self.rows),
            "memory": self.usage.memory(),
        }


def steady_rate(progress: Sequence[Progress], rows: int) -> tuple[float, float, bool]:
    """Rows a second in the steady state, over how many seconds, and whether there was one.

    The warm-up (the first seconds, and the first tenth of the rows) and the last sample, after which the backlog was
    at its end for a part of a second, are left out. A backlog too short for that is measured whole. What lasted less
    than `LEAST_STEADY_SECONDS` is not called steady.
    """
    moving = [(at, position) for at, position in progress if position > 0]
    inside = [(at, position) for at, position in moving[WARM_UP_SAMPLES:] if WARM_UP_SHARE * rows <= position < rows]
    chosen = inside if len(inside) >= 2 else [(at, position) for at, position in progress if position >= 0]
    if len(chosen) < 2:
        return 0.0, 0.0, False
    (first_at, first), (last_at, last) = chosen[0], chosen[-1]
    seconds = last_at - first_at
    is_steady = chosen is inside and seconds >= LEAST_STEADY_SECONDS
    return ((last - first) / seconds if seconds > 0 else 0.0), seconds, is_steady


def catch_up(system: BenchSystem, checkpoint: str, rows: int) -> CatchUp:
    """Start a detector at the earliest offset and await that it has read all rows; its system runs a broker.

    Raises:
        ProcessFailed: It stopped moving.
    """
    consumer = Consumer({"bootstrap.servers": system.bootstrap, "group.id": "fraudstream-bench", "log_level": 0})
    place = TopicPartition(Topic.EVENTS.value, 0)
    _, place.offset = consumer.get_watermark_offsets(place, timeout=10)
    consumer.assign([place])
    system.checkpoint = checkpoint
    started = time.time()
    progress: list[Progress] = [(started, 0)]
    usage = Usage()
    try:
        system.start_detector()
        usage.begin(system.pids(DETECTOR))
        heard = time.monotonic()
        while progress[-1][1] < rows:
            system.look()
            message = consumer.poll(0.2)
            if time.monotonic() - heard > QUIET_SECONDS:
                raise ProcessFailed(
                    f"the detector read {progress[-1][1]:,} of {rows:,} rows and then nothing for {QUIET_SECONDS:g} s",
                    where=f"log: {system.children[DETECTOR].log}",
                    remedy="see its log",
                )
            if message is None or message.error() is not None:
                continue
            event = orjson.loads(message.value() or b"{}")
            if event.get(EventField.TYPE) == EventType.PROGRESS:
                positions = event[EventField.POSITIONS].get(Topic.TRANSACTIONS.value, {}).values()
                position = sum(each["position"] for each in positions)
                if position > progress[-1][1]:
                    heard = time.monotonic()
                progress.append((message.timestamp()[1] / 1000, position))
                usage.look(system.pids(DETECTOR))
        usage.end(system.pids(DETECTOR))
    finally:
        consumer.close()
        system.stop(DETECTOR)
    return CatchUp(progress, started, usage, rows)
