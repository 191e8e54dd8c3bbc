"""The calm status screen of a demo: what runs, rates, alerts, the address; plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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

LINE_SECONDS: Final = 10.0
REFRESH_SECONDS: Final = 1.0

_COLOURS: Final = {State.RUNNING: "green", State.DONE: "green", State.RESTARTING: "yellow", State.STARTING: "cyan"}


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
