"""From when a row was due until its alert is out, at a fixed rate, open loop: the sender waits for nobody.

An alert is out once a consumer of the contender's topic has it, or its API was called with it. One that is not out when
the watch ends counts with the time that it had been due by then, so that falling behind cannot make figures better.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.baselines.preparation import Expected
from benchmarks.baselines.stage import Contender, Stage
from benchmarks.system.percentiles import summary
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import Watermarks

START_SECONDS: Final = 120.0
WARM_UP_SECONDS: Final = 10.0
AFTERWARDS_SECONDS: Final = 10.0
ROWS_READ: Final = 50_000


class Row(NamedTuple):
    """A row of the topic, to be sent again."""

    value: bytes
    is_fraud: bool


def rows_of(bootstrap: str, topic: str, expected: Expected) -> list[Row]:
    """The first rows of the topic, by turns of its partitions as they come."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "peers-rows", "log_level": 0})
    marks = Watermarks(Cluster(bootstrap), topic).read()
    consumer.assign([TopicPartition(topic, partition, first) for partition, (first, _) in marks.items()])
    rows: list[Row] = []
    try:
        while len(rows) < min(ROWS_READ, expected.rows):
            for message in consumer.consume(1000, 5.0):
                if message.error() is None and (value := message.value()) is not None:
                    place = (message.partition() or 0, message.offset() or 0)
                    rows.append(Row(value, place in expected.places))
    finally:
        consumer.close()
    return rows


class Sender:
    """Sends rows at a fixed rate in a thread of its own and keeps when each fraud was due."""

    def __init__(self, bootstrap: str, topic: str, rows: Sequence[Row], rate: float) -> None:
        self.due: dict[tuple[int, int], float] = {}
        self._bootstrap, self._topic, self._rows, self._rate = bootstrap, topic, rows, rate
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Sender:
        """Begin to send."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Send no more."""
        self.stop()

    def stop(self) -> None:
        """Send no more; returns when all is acknowledged."""
        self._stopped.set()
        self._thread.join()

    def _send(self) -> None:
        producer = Producer({"bootstrap.servers": self._bootstrap, "linger.ms": 0, "log_level": 0})
        begun, number = time.time(), 0
        while not self._stopped.is_set():
            due = begun + number / self._rate
            while (wait := due - time.time()) > 0:
                producer.poll(min(wait, 0.05))
            row = self._rows[number % len(self._rows)]

            def acknowledged(error: object, message: Any, due: float = due) -> None:
                if error is None:
                    self.due[message.partition(), message.offset()] = due

            if row.is_fraud:
                producer.produce(self._topic, row.value, on_delivery=acknowledged)
            else:
                producer.produce(self._topic, row.value)
            producer.poll(0)
            number += 1
        producer.flush(30)


def measure_latency(
    contender: Contender, stage: Stage, rows: Sequence[Row], rate: float, seconds: float
) -> dict[str, Any]:
    """Run a contender at a rate and look at the rows that were due within so many seconds once it was warm.

    Returns:
        `rate`, `p50_ms`, `p99_ms`, `latency_alerts` (how many the figures are of) and `latency_missing` (of these, how
        many were not out in the end); `latency_failure` in place of them where it did not come so far.
    """
    with (
        contender.start(stage, "latest") as running,
        Sender(stage.bootstrap_servers, stage.topic, rows, rate) as sender,
    ):
        deadline = time.monotonic() + START_SECONDS
        while not any(place in sender.due for place in running.alerts()):
            if (failure := running.failure()) or time.monotonic() > deadline:
                return {"rate": rate, "latency_failure": failure or f"no alert within {START_SECONDS:.0f} s"}
            time.sleep(0.05)
        begin = time.time() + WARM_UP_SECONDS
        end = begin + seconds
        watched_until = end + AFTERWARDS_SECONDS
        while (now := time.time()) < watched_until:
            if now >= end:
                sender.stop()
                if all(place in running.alerts() for place, due in sender.due.items() if begin <= due < end):
                    break
            if running.is_watched:
                running.alerts()
            time.sleep(0.001 if running.is_watched else 0.2)
        out, now = running.alerts(), time.time()
    due_times = {place: due for place, due in sender.due.items() if begin <= due < end}
    times = summary([out.get(place, now) - due for place, due in due_times.items()])
    return {
        "rate": rate,
        "p50_ms": times["p50_ms"],
        "p99_ms": times["p99_ms"],
        "latency_alerts": len(due_times),
        "latency_missing": sum(place not in out for place in due_times),
    }
