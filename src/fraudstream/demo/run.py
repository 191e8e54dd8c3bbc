"""`fraudstream demo` from its first line to its last: chooses the data, starts the system, shows it, stops it."""

from __future__ import annotations

import shutil
import sys
import threading
import time
import webbrowser
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import urllib3
from rich.console import Console

from fraudstream.demo.screen import Screen, fetch_stats
from fraudstream.demo.system import LOOK_SECONDS, DemoPlan, DemoSystem, own_workdir
from fraudstream.runtime.processes import LOOPBACK
from fraudstream.transactions.column_spans import ColumnSpans
from fraudstream.transactions.csv_source import open_csv
from fraudstream.transactions.simulation.writer import TERMINAL_COLUMN
from fraudstream.transactions.simulator import simulate

STREAMED: Final = ("kafka", "checkpoint", "logs", ".ready")
STREAMED_FILES: Final = ("alerts.db", "alerts.db-wal", "alerts.db-shm", "produced.json", "pids.json")

SIMULATED_ROWS: Final = 60_000
SIMULATED_SEED: Final = 42
SIMULATED_NOTICE: Final = (
    "Simulated payments: made up by fraudstream, no card of anybody. Halfway the stream changes: a column comes, a "
    "column goes, and at one terminal card after card is emptied."
)
SIMULATED_CHANGE: Final = SIMULATED_ROWS // 2
SIMULATED_SPANS: Final = ColumnSpans(
    # The terminal's name arrives just in time to tell that the burst is at one of them.
    begins={TERMINAL_COLUMN: SIMULATED_CHANGE},
    ends={"V26": SIMULATED_CHANGE},
)


@dataclass(frozen=True)
class DemoRequest:
    """What the user asked for; see `fraudstream demo --help`."""

    data: Path | None
    rate: float
    duration: float | None
    port: int
    workdir: Path
    algorithm: str
    legitimate_share: float
    trigger: str
    fresh: bool
    browser: bool
    bootstrap_servers: str | None
    environment: Mapping[str, str]


def run_demo(request: DemoRequest, stop: threading.Event) -> None:
    """Run until `stop` is set, or `duration` seconds after the first row was sent.

    Raises:
        FraudstreamError: The data cannot be used, a port is in use, or a process never became ready.
    """
    console = Console()
    with own_workdir(request.workdir):
        if request.fresh:
            forget_stream(request.workdir)
        plan = DemoPlan(
            source=open_csv(_data(request, console)),
            workdir=request.workdir,
            port=request.port,
            rate=request.rate,
            algorithm=request.algorithm,
            trigger=request.trigger,
            legitimate_share=request.legitimate_share,
            bootstrap_servers=request.bootstrap_servers,
            notice=None if request.data is not None else SIMULATED_NOTICE,
            environment=request.environment,
            spans=ColumnSpans() if request.data is not None else SIMULATED_SPANS,
        )
        pool = urllib3.PoolManager()
        with Screen(console, plan.url, lambda: fetch_stats(pool, f"http://{LOOPBACK}:{plan.port}")) as screen:
            _run(DemoSystem(plan, screen.say), screen, request, stop)


def forget_stream(workdir: Path) -> None:
    """Remove what an earlier demo streamed and stored in its folder; models and simulated data stay."""
    for name in STREAMED:
        shutil.rmtree(workdir / name, ignore_errors=True)
    for name in STREAMED_FILES:
        (workdir / name).unlink(missing_ok=True)


def _run(system: DemoSystem, screen: Screen, request: DemoRequest, stop: threading.Event) -> None:
    began = time.monotonic()
    try:
        if not system.start(stop, lambda: screen.show(system.children)):
            return
        screen.say(f"ready after {time.monotonic() - began:.0f} s: {system.plan.url}")
        if request.browser:
            open_page(system.plan.url, request.environment)
        end = None if request.duration is None else time.monotonic() + request.duration
        while not stop.wait(LOOK_SECONDS) and (end is None or time.monotonic() < end):
            system.look()
            screen.show(system.children)
    finally:
        screen.say("stopping ...")
        system.stop()
        screen.say("everything is stopped")


def open_page(url: str, environment: Mapping[str, str]) -> None:
    """Open the page where there is a screen; a text browser would take the terminal away."""
    if sys.platform == "darwin" or environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"):
        webbrowser.open(url)


def _data(request: DemoRequest, console: Console) -> Path:
    if request.data is not None:
        return request.data
    simulated = request.workdir / "payments.csv"
    if not simulated.exists():
        console.print(f"no data was named: simulating {SIMULATED_ROWS:,} payments", highlight=False)
        simulate(SIMULATED_ROWS, SIMULATED_SEED, simulated, with_ids=True, burst_at=SIMULATED_CHANGE / SIMULATED_ROWS)
    return simulated
