"""How soon a detector that was killed has caught up again, and how soon a new one scores: the kind `recovery`."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from confluent_kafka import Consumer, TopicPartition

from benchmarks.system.backlog import fill
from benchmarks.system.latency import ARRIVAL_SECONDS, LatencyRequest, load_spec, running
from benchmarks.system.load import Sent
from benchmarks.system.material import Material
from benchmarks.system.percentiles import of_repeats
from benchmarks.system.system import LOAD, BenchSystem, stopped_at_the_end
from benchmarks.system.watchers import TopicWatcher, watching
from fraudstream.demo.system import DETECTOR
from fraudstream.errors import ProcessFailed
from fraudstream.kafka.secured import ADMIN
from fraudstream.transactions.wire import Topic

ON_TIME_SECONDS: Final = 1.0
"""A detector has caught up when every alert that was due so long ago has come."""

DYING_SECONDS: Final = 0.5
"""What is due so soon after the kill may still have been scored before it."""

FIRST_ROW_SECONDS: Final = 180.0


def caught_up_at(killed: float, alerts: Iterable[tuple[float, float]]) -> float | None:
    """The first moment after a kill at which no alert that was due a second ago was outstanding; None if never.

    Args:
        killed: When.
        alerts: When each was due, and when it came.
    """
    latest = killed
    for due, arrival in sorted(alerts):
        latest = max(latest, arrival)
        if due > killed + DYING_SECONDS and latest <= due + ON_TIME_SECONDS:
            return latest
    return None


def measure_recovery(
    request: LatencyRequest,
    material: Material,
    rows: tuple[Path, Path],
    environment: Mapping[str, str],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Kill the detector once in each stretch of `request.duration`, and start new ones; what the result file holds."""
    first = [_first_row(request, material, rows, environment, say, number) for number in range(1, request.repeats + 1)]
    with running(material, request.partitions, environment) as system:
        topic = TopicWatcher(system.cluster(ADMIN), request.partitions, threading.Event())
        with watching(topic):
            spec = load_spec(request, system, rows, request.warm_up + request.repeats * request.duration)
            system.start_load(spec)
            start = float(orjson.loads(Path(spec.ready).read_bytes())["start"])
            killed = []
            for number in range(request.repeats):
                system.wait(max(0.0, start + request.warm_up + number * request.duration - time.time()))
                os.kill(system.pids(DETECTOR)[DETECTOR], signal.SIGKILL)
                killed.append(time.time())
                say(f"kill -9 of the detector, {number + 1} of {request.repeats} ...")
            system.wait(request.duration + 120.0, lambda: LOAD not in system.pids())
            sent = Sent.read(Path(spec.output))
            expected = int(sent.alert.sum())
            system.wait(ARRIVAL_SECONDS, lambda: len(topic.arrivals) >= expected)
    due = sent.schedule.due
    ends = [*killed[1:], float("inf")]
    took = []
    for at, end in zip(killed, ends, strict=True):
        alerts = [(float(due[row]), arrival) for row, arrival in topic.arrivals.items() if at - 60 <= due[row] < end]
        caught_up = caught_up_at(at, alerts)
        took.append(None if caught_up is None else round(caught_up - at, 2))
    known = [each for each in took if each is not None]
    return {
        "caught_up_seconds": of_repeats(known),
        "never_caught_up": len(took) - len(known),
        "first_scored_row_seconds": of_repeats(first),
        "rate": request.rate,
        "duration": request.duration,
        "partitions": request.partitions,
        "alert_share": request.alert_share,
        "alerts": expected,
        "missing": len(set(np.flatnonzero(sent.alert).tolist()) - set(topic.arrivals)),
        "load": sent.schedule.lateness(sent.sent),
        "held": sent.schedule.lateness(sent.sent)["held"],
    }


def _first_row(
    request: LatencyRequest,
    material: Material,
    rows: tuple[Path, Path],
    environment: Mapping[str, str],
    say: Callable[[str], None],
    number: int,
) -> float:
    """Seconds from the start of `fraudstream detect` to the first alert on its topic, with rows waiting."""
    with tempfile.TemporaryDirectory(prefix="fraudstream-bench-") as folder:
        system = BenchSystem(Path(folder), material.model.absolute(), request.partitions, environment)
        with stopped_at_the_end(system):
            system.start_broker()
            waiting = rows[1].read_bytes().splitlines()[:100]
            fill(system.bootstrap, request.partitions, waiting, lambda rows: None)
            consumer = Consumer({"bootstrap.servers": system.bootstrap, "group.id": "fraudstream-bench"})
            try:
                consumer.assign([TopicPartition(Topic.ALERTS.value, each, 0) for each in range(request.partitions)])
                began = time.monotonic()
                system.start_detector()
                while (message := consumer.poll(0.05)) is None or message.error() is not None:
                    system.look()
                    if time.monotonic() - began > FIRST_ROW_SECONDS:
                        raise ProcessFailed(
                            f"no row was scored within {FIRST_ROW_SECONDS:g} s",
                            where=f"log: {system.children[DETECTOR].log}",
                            remedy="see its log",
                        )
                took = round(time.monotonic() - began, 2)
            finally:
                consumer.close()
    say(f"first scored row, {number} of {request.repeats}: {took:g} s after the start")
    return took
