"""Latency by stage at a fixed rate, memory and processor time of the same run: the kinds `latency` and `memory`."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from benchmarks.system.load import LoadSpec, Sent
from benchmarks.system.machine import load
from benchmarks.system.material import Material
from benchmarks.system.page import PageWatcher, why_no_page
from benchmarks.system.percentiles import summary
from benchmarks.system.resources import Usage
from benchmarks.system.schedule import Times
from benchmarks.system.system import LOAD, BenchSystem, stopped_at_the_end
from benchmarks.system.watchers import Arrivals, StoreWatcher, StreamWatcher, TopicWatcher, Watcher, watching
from fraudstream.kafka.secured import ADMIN

STAGES: Final = ("acknowledged", "alert_topic", "posted", "store", "sse", "page")
"""In the order of a payment's way; `acknowledged` is of every row, the others of those that raise an alert."""

BESIDE: Final = ("alert_topic_stamped", "page_inserted")
"""The record's own time, in whole milliseconds; and the row in the page's table before it is drawn."""

COMPARED: Final = ("p50_ms", "p99_ms")
"""The percentiles of which a secured broker's are compared with an open one's."""

ARRIVAL_SECONDS: Final = 30.0
SAMPLE_SECONDS: Final = 10.0


@dataclass(frozen=True)
class LatencyRequest:
    """What is measured.

    Attributes:
        rate: Rows a second.
        duration: Seconds of the steady state.
        warm_up: Seconds before it, reported separately.
        repeats: How often, each with a system of its own.
        alert_share: Share of rows that raise an alert.
        linger_ms: Of the load generator's client.
        partitions: Of the topics.
        page: Whether the live page is open in a browser.
        secure: Whether Kafka requires TLS and a login.
    """

    rate: float
    duration: float
    warm_up: float
    repeats: int
    alert_share: float
    linger_ms: float
    partitions: int
    page: bool = True
    secure: bool = False


@dataclass
class Run:
    """What one repeat found: by stage, seconds since a row was due, in the warm-up and in the steady state."""

    warm_up: dict[str, Times]
    steady: dict[str, Times]
    details: dict[str, Any] = field(default_factory=dict)


def measure_latency(
    request: LatencyRequest,
    material: Material,
    rows: tuple[Path, Path],
    environment: Mapping[str, str],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Measure, and give what the result file holds: each stage at its top level.

    Args:
        request: What is measured.
        material: The model that scores.
        rows: Files of rows that raise no alert, and that do.
        environment: That the processes inherit.
        say: Takes one line on each step.
    """
    no_page = _reason_without_page(request, say)
    runs = []
    for number in range(1, request.repeats + 1):
        say(f"run {number} of {request.repeats}: starting the system ...")
        runs.append(_run(request, material, rows, environment, say, with_page=no_page is None))
    return _result(request, runs, no_page)


def measure_secured(
    request: LatencyRequest,
    material: Material,
    rows: tuple[Path, Path],
    environment: Mapping[str, str],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Measure an open and a secured broker by turns, so that what else the machine does meets both alike.

    Returns what the result file holds: `plain` and `secured`, each as of `measure_latency`, and `compared`, by stage.
    """
    no_page = _reason_without_page(request, say)
    runs: dict[str, list[Run]] = {"plain": [], "secured": []}
    for number in range(1, request.repeats + 1):
        for name, finished in runs.items():
            say(f"run {number} of {request.repeats}, {name}: starting the system ...")
            variant = replace(request, secure=name == "secured")
            finished.append(_run(variant, material, rows, environment, say, with_page=no_page is None))
    plain, secured = (_result(request, finished, no_page) for finished in runs.values())
    return {
        "kind": "secured_latency",
        "compared": compare(plain, secured),
        "held": plain["held"] and secured["held"],
        "plain": plain,
        "secured": secured,
    }


def compare(plain: Mapping[str, Any], secured: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By stage and percentile: plain, secured and their ratio, each of all repeats together and of every repeat."""

    def entry(stage: str, name: str) -> dict[str, Any]:
        both = [[part[stage][name], *(run[stage][name] for run in part["repeats"])] for part in (plain, secured)]
        # A stage without a time has no percentile.
        ratio = [round(after / before, 3) if before and after else None for before, after in zip(*both, strict=True)]
        columns = {"plain": both[0], "secured": both[1], "ratio": ratio}
        return {column: {"together": values[0], "repeats": values[1:]} for column, values in columns.items()}

    return {stage: {name: entry(stage, name) for name in COMPARED} for stage in STAGES if stage in plain}


def _reason_without_page(request: LatencyRequest, say: Callable[[str], None]) -> str | None:
    reason = why_no_page() if request.page else "--no-page was given"
    if reason:
        say(f"without the stage `page`: {reason}")
    return reason


def _result(request: LatencyRequest, runs: Sequence[Run], no_page: str | None) -> dict[str, Any]:
    names = [name for name in (*STAGES, *BESIDE) if name in runs[0].steady]
    return {
        **{name: summary(np.concatenate([run.steady[name] for run in runs])) for name in names},
        "warm_up": {
            "seconds": request.warm_up,
            **{name: summary(np.concatenate([run.warm_up[name] for run in runs])) for name in names},
        },
        "rate": request.rate,
        "duration": request.duration,
        "alert_share": request.alert_share,
        "linger_ms": request.linger_ms,
        "partitions": request.partitions,
        "page_left_out": no_page,
        "held": all(run.details["load"]["held"] for run in runs),
        "missing": {name: sum(run.details["missing"][name] for run in runs) for name in runs[0].details["missing"]},
        "load": runs[-1].details["load"],
        "memory": runs[-1].details["memory"],
        "cpu_seconds_per_1000_rows": runs[-1].details["cpu_seconds_per_1000_rows"],
        "repeats": [{**{name: summary(run.steady[name]) for name in names}, **run.details} for run in runs],
    }


def load_spec(
    request: LatencyRequest, system: BenchSystem, rows: tuple[Path, Path], seconds: float, seed: int = 7
) -> LoadSpec:
    """The parameters of the load generator."""
    return LoadSpec(
        bootstrap_servers=system.bootstrap,
        partitions=request.partitions,
        clear=str(rows[0]),
        alerts=str(rows[1]),
        rate=request.rate,
        seconds=seconds,
        alert_share=request.alert_share,
        seed=seed,
        linger_ms=request.linger_ms,
        ready=str(system.folder / "load-ready.json"),
        output=str(system.folder / "load.npz"),
    )


@contextmanager
def running(
    material: Material, partitions: int, environment: Mapping[str, str], *, secure: bool = False
) -> Iterator[BenchSystem]:
    """A whole system in a temporary folder, ready; without a load."""
    with tempfile.TemporaryDirectory(prefix="fraudstream-bench-") as folder:
        system = BenchSystem(Path(folder), material.model.absolute(), partitions, environment, secure=secure)
        with stopped_at_the_end(system):
            system.start_all()
            yield system


def _run(
    request: LatencyRequest,
    material: Material,
    rows: tuple[Path, Path],
    environment: Mapping[str, str],
    say: Callable[[str], None],
    *,
    with_page: bool,
) -> Run:
    load_before = load()
    with running(material, request.partitions, environment, secure=request.secure) as system:
        under_way = threading.Event()
        topic = TopicWatcher(system.cluster(ADMIN), request.partitions, under_way)
        store, stream = StoreWatcher(system.database, topic, under_way), StreamWatcher(system.port)
        page = PageWatcher(system.url) if with_page else None
        watchers: list[Watcher] = [topic, store, stream, *([page] if page else [])]
        # Four observers share this process: none may keep Python from the others for the usual 5 ms.
        sys.setswitchinterval(0.0005)
        with watching(*watchers):
            spec = load_spec(request, system, rows, request.warm_up + request.duration)
            system.start_load(spec)
            usage = _under_load(request, system, Path(spec.ready), say)
            sent = Sent.read(Path(spec.output))
            expected = int(sent.alert.sum())
            last = watchers[-1]
            system.wait(
                ARRIVAL_SECONDS, lambda: all(len(each.arrivals) >= expected for each in watchers) or bool(last.failure)
            )
        restarts = system.restarts()
    at = {
        "alert_topic": topic.arrivals, "posted": store.posted, "store": store.arrivals, "sse": stream.arrivals,
        **({"page": page.arrivals} if page else {}), "alert_topic_stamped": topic.stamped,
        **({"page_inserted": page.inserted} if page else {}),
    }  # fmt: skip
    steady_from = round(request.rate * request.warm_up)
    stage_times = {"acknowledged": _of_all(sent)} | {name: _of_alerts(sent, arrivals) for name, arrivals in at.items()}
    steady_rows = sent.schedule.rows - steady_from
    details = {
        "load": sent.schedule.lateness(sent.sent),
        "alerts": expected,
        "missing": {
            name: expected - len(set(arrivals) & set(np.flatnonzero(sent.alert).tolist()))
            for name, arrivals in at.items()
        }
        | {"acknowledged": int(np.isnan(sent.acknowledged).sum())},
        "not_expected": len(set(topic.arrivals) - set(np.flatnonzero(sent.alert).tolist())),
        "seen_again": {each.stage: each.again for each in watchers},
        "failed_watchers": {each.stage: str(each.failure) for each in watchers if each.failure},
        "restarts": restarts,
        "browser": page.version if page else None,
        "memory": usage.memory(),
        "cpu_seconds_per_1000_rows": usage.cpu_per_1000(steady_rows),
        "load_average": {"before": load_before, "after": load()},
    }
    return Run(
        warm_up={name: _between(times, 0, steady_from) for name, times in stage_times.items()},
        steady={name: _between(times, steady_from, sent.schedule.rows) for name, times in stage_times.items()},
        details=details,
    )


def _under_load(request: LatencyRequest, system: BenchSystem, ready: Path, say: Callable[[str], None]) -> Usage:
    """Look at the processes while the load lasts."""
    start = float(orjson.loads(ready.read_bytes())["start"])
    steady, end = start + request.warm_up, start + request.warm_up + request.duration
    say(f"warming up for {request.warm_up:g} s at {request.rate:g} rows/s ...")
    system.wait(max(0.0, steady - time.time()))
    usage = Usage()
    usage.begin(system.pids())
    say(f"measuring for {request.duration:g} s ...")
    while (left := end - time.time()) > 0:
        system.wait(min(left, SAMPLE_SECONDS))
        if left > SAMPLE_SECONDS:
            usage.look(system.pids())
            say(f"{end - time.time():,.0f} s left, {usage.total():,.0f} MiB in all")
    usage.end(system.pids())
    system.wait(120.0, lambda: LOAD not in system.pids())
    return usage


def _of_all(sent: Sent) -> tuple[np.ndarray[Any, Any], Times]:
    rows = np.flatnonzero(~np.isnan(sent.acknowledged))
    return rows, (sent.acknowledged - sent.schedule.due)[rows]


def _of_alerts(sent: Sent, arrivals: Arrivals) -> tuple[np.ndarray[Any, Any], Times]:
    rows = np.array([row for row in sorted(arrivals) if row < sent.schedule.rows], dtype=int)
    at = np.array([arrivals[int(row)] for row in rows], dtype=float)
    return rows, at - sent.schedule.due[rows]


def _between(times: tuple[np.ndarray[Any, Any], Times], first: int, end: int) -> Times:
    rows, seconds = times
    return seconds[(rows >= first) & (rows < end)]
