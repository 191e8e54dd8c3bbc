"""`fraudstream demo` from its first line to its last: chooses the data, starts the system, shows it, stops it."""

from __future__ import annotations

import shutil
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import urllib3
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from urllib3.exceptions import HTTPError

from fraudstream.demo.child import Child, State
from fraudstream.demo.system import LOOK_SECONDS, DemoRequest, DemoSystem, own_workdir
from fraudstream.runtime.processes import LOOPBACK
from fraudstream.simulator.simulate import TERMINAL_COLUMN, simulate
from fraudstream.transactions.csv_source import ColumnSpans, open_csv

LINE_SECONDS: Final = 10.0
REFRESH_SECONDS: Final = 1.0

_COLOURS: Final = {State.RUNNING: "green", State.DONE: "green", State.RESTARTING: "yellow", State.STARTING: "cyan"}

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


def fetch_stats(pool: urllib3.PoolManager, url: str) -> Mapping[str, Any]:
    """The dashboard's figures; empty while it does not answer."""
    try:
        answer = pool.request("GET", f"{url}/api/stats", timeout=1.0, retries=False)
        stats = orjson.loads(answer.data) if answer.status == 200 else {}
    except (HTTPError, orjson.JSONDecodeError):
        return {}
    return stats if isinstance(stats, dict) else {}


class Screen:
    """Shows the state of a demo, at most once a second."""

    def __init__(self, console: Console, url: str, stats: Callable[[], Mapping[str, Any]]) -> None:
        self._console = console
        self._url = url
        self._stats = stats
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._shown_at = 0.0
        self._line = ""

    def __enter__(self) -> Screen:
        """Begin to show."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Leave the last state on the terminal."""
        if self._live is not None:
            self._live.stop()

    def say(self, message: str) -> None:
        """One line that stays."""
        self._console.print(message, highlight=False)

    def show(self, children: Mapping[str, Child]) -> None:
        """Show the state now, unless it was shown a moment ago."""
        now = time.monotonic()
        every = REFRESH_SECONDS if self._live is not None else LINE_SECONDS
        states = ", ".join(f"{name} {child.state.value}" for name, child in children.items())
        if now - self._shown_at < every and (self._live is not None or states == self._line):
            return
        self._shown_at, self._line = now, states
        stats = self._stats()
        if self._live is not None:
            self._live.update(_panel(self._url, children, stats), refresh=True)
        else:
            self._console.print(f"{self._url}  {_figures(stats)}  [{states}]", highlight=False, markup=False)


def _figures(stats: Mapping[str, Any]) -> str:
    if not stats:
        return "no figures yet"
    return (
        f"payments {stats.get('payments_seen', 0):,}  alerts {stats.get('alerts', 0):,}  "
        f"{stats.get('rate') or 0:.0f}/s  p50 {_ms(stats.get('p50_ms'))}  p99 {_ms(stats.get('p99_ms'))}"
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _panel(url: str, children: Mapping[str, Child], stats: Mapping[str, Any]) -> Panel:
    table = Table.grid(padding=(0, 3))
    for name, child in children.items():
        colour = _COLOURS.get(child.state, "dim")
        again = f"started {child.starts} times" if child.starts > 1 else ""
        table.add_row(name, Text(child.state.value, style=colour), str(child.pid or ""), Text(again, style="yellow"))
    return Panel(
        Group(Text(f"Live page: {url}", style="bold"), Text(_figures(stats)), Text(""), table),
        title="fraudstream demo",
        subtitle="Ctrl-C stops everything",
        expand=False,
        padding=(1, 2),
    )


def run_demo(request: DemoRequest, stop: threading.Event) -> None:
    """Run until `stop` is set, or `duration` seconds after the first row was sent.

    Raises FraudstreamError where the data cannot be used, a port is in use, or a process never became ready.
    """
    console = Console()
    with own_workdir(request.workdir):
        if request.fresh:
            forget_stream(request.workdir)
        pool = urllib3.PoolManager()
        source, is_simulated = open_csv(_data(request, console)), request.data is None
        notice, spans = (SIMULATED_NOTICE, SIMULATED_SPANS) if is_simulated else (None, ColumnSpans())
        with Screen(console, request.url, lambda: fetch_stats(pool, f"http://{LOOPBACK}:{request.port}")) as screen:
            _run(DemoSystem(request, source, notice, spans, screen.say), screen, stop)


def forget_stream(workdir: Path) -> None:
    """Remove what an earlier demo streamed and stored in its folder; models and simulated data stay."""
    for name in STREAMED:
        shutil.rmtree(workdir / name, ignore_errors=True)
    for name in STREAMED_FILES:
        (workdir / name).unlink(missing_ok=True)


def _run(system: DemoSystem, screen: Screen, stop: threading.Event) -> None:
    began, request = time.monotonic(), system.request
    try:
        if not system.start(stop, lambda: screen.show(system.children)):
            return
        screen.say(f"ready after {time.monotonic() - began:.0f} s: {request.url}")
        if request.browser:
            open_page(request.url, request.environment)
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
