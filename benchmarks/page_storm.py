"""Measures the live page while alerts arrive: 50 a second into a store of 100,000, read in a real Chromium.

    python -m benchmarks.page_storm --rate 50 --seconds 300

A click's time is the browser's own, from the input to the next paint (Event Timing, the measure of "Interaction to
Next Paint"); frame times are those of requestAnimationFrame, memory is the heap after a forced collection of garbage.
In turn a row is opened and closed, the page is paused and resumed, and it is left alone. `alert_storm.py` measures a
storm beyond what people can look at.
"""

from __future__ import annotations

import random
import sqlite3
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

import orjson
import urllib3
from playwright.sync_api import CDPSession, Page, sync_playwright

from benchmarks import study
from benchmarks.storm_parts import (
    COUNT_FRAMES,
    alert,
    click,
    open_browser,
    position,
)
from benchmarks.system.machine import circumstances, write_result
from benchmarks.system.percentiles import quantiles
from benchmarks.system.resources import resident_mib

STORED_AT_ONCE: Final = 5_000
LISTS_A_SECOND: Final = 10
MEMORY_EVERY: Final = 15.0
BOUND_MS: Final = 100.0
"""An interaction that is answered within this time feels immediate (RAIL); the issue's bound."""

WATCH = (
    """() => {
  const seen = (window.seen = { events: [], gaps: [] });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.interactionId) seen.events.push([entry.name, entry.duration, entry.processingStart - entry.startTime]);
    }
  }).observe({ type: "event", durationThreshold: 16, buffered: false });
"""
    + COUNT_FRAMES
    + "}"
)

TAKE = """() => {
  const { events, gaps } = window.seen;
  window.seen.events = [];
  window.seen.gaps = [];
  return [events, gaps];
}"""


class Feed(threading.Thread):
    """Posts alerts at a steady rate, in ten lists a second, until it is to end."""

    def __init__(self, url: str, first: int, rate: float) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._first = first
        self._rate = rate
        self._end = threading.Event()
        self.posted = first
        self.late_seconds = 0.0
        self.failure: Exception | None = None

    def run(self) -> None:
        """Post until the end; what was missed while a post took long is made up for."""
        try:
            with urllib3.PoolManager(retries=False, timeout=60) as pool:
                began = time.monotonic()
                while not self._end.wait(1 / LISTS_A_SECOND):
                    due = self._first + int((time.monotonic() - began) * self._rate)
                    if due > self.posted:
                        post(pool, self._url, range(self.posted, due))
                        self.posted = due
                    behind = (time.monotonic() - began) - (self.posted - self._first) / self._rate
                    self.late_seconds = max(self.late_seconds, behind)
        except Exception as e:
            self.failure = e

    def end(self) -> None:
        """Stop, and raise what went wrong."""
        self._end.set()
        self.join(60)
        if self.failure is not None:
            raise self.failure


def post(pool: urllib3.PoolManager, url: str, numbers: range) -> None:
    """Store these alerts, and the position that goes with them."""
    headers = {"Content-Type": "application/json"}
    for route, body in (("alerts", [alert(number) for number in numbers]), ("events", [position(numbers.stop)])):
        answer = pool.request("POST", f"{url}/api/{route}", body=orjson.dumps(body), headers=headers)
        assert answer.status == 200, answer.data


def memory(session: CDPSession) -> dict[str, float]:
    """What the page holds after a collection of garbage."""
    session.send("HeapProfiler.collectGarbage")
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    return {
        "heap_mib": round(metrics["JSHeapUsedSize"] / 2**20, 2),
        "dom_nodes": int(metrics["Nodes"]),
        "listeners": int(metrics["JSEventListeners"]),
    }


def use(page: Page, session: CDPSession, seconds: float) -> dict[str, Any]:
    """Read the page for so long as a person would: open, close, pause, look at what waited, leave it alone."""
    chance = random.Random(7)
    events: list[tuple[str, float, float]] = []
    gaps: list[float] = []
    held: list[dict[str, float]] = []
    began = time.monotonic()
    turn = 0
    while (now := time.monotonic() - began) < seconds:
        if now >= len(held) * MEMORY_EVERY:
            held.append({"at_seconds": round(now, 1)} | memory(session))
        turn += 1
        if turn % 3 == 1:
            press(page, page.locator("#list tbody.alert .toggle").nth(2))
            page.wait_for_timeout(chance.uniform(400, 900))
            for opened in page.locator(".toggle[aria-expanded=true]").all()[:1]:
                press(page, opened)
        elif turn % 3 == 2:
            press(page, page.locator("#pause"))
            page.wait_for_timeout(chance.uniform(400, 900))
            press(page, page.locator("#fresh"))
            press(page, page.locator("#pause"))
        page.wait_for_timeout(chance.uniform(300, 900))
        samples = page.evaluate(TAKE)
        events += samples[0]
        gaps += samples[1]
    held.append({"at_seconds": round(time.monotonic() - began, 1)} | memory(session))
    clicks = [duration for name, duration, _ in events if name == "click"]
    return {
        "interactions": {
            "click_to_paint_ms": quantiles(clicks),
            "any_event_to_paint_ms": quantiles([duration for _, duration, _ in events]),
            "input_delay_ms": quantiles([delay for _, _, delay in events]),
            "over_100_ms": sum(duration > BOUND_MS for _, duration, _ in events),
            "resolution_ms": 8,
            "note": "durations below 16 ms are not reported by the browser and are not among them",
        },
        "between_frames_ms": quantiles(gaps),
        "frames_over_50_ms": sum(gap > 50 for gap in gaps),
        "frames_per_second": round(len(gaps) / seconds, 1),
        "memory": held,
        "rows_in_the_table": page.locator("#list tbody.alert").count(),
    }


def press(page: Page, target: Any) -> None:
    """A click on something that may move."""
    click(page, target.bounding_box(timeout=5000))


def run(folder: Path, stored: int, rate: float, seconds: float) -> dict[str, Any]:
    """Fill the store, open the page, and use it while alerts arrive."""
    with study.dashboard(folder) as (url, worker), sync_playwright() as playwright:
        with urllib3.PoolManager(retries=False, timeout=60) as pool:
            for first in range(0, stored, STORED_AT_ONCE):
                post(pool, url, range(first, min(first + STORED_AT_ONCE, stored)))
        browser = open_browser(playwright)
        page = browser.new_page(viewport={"width": 1360, "height": 900})
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        page.goto(f"{url}/?view=live")
        page.wait_for_selector("#connection[data-state=live]")
        feed = Feed(url, stored, rate)
        feed.start()
        page.wait_for_timeout(5000)
        page.evaluate(WATCH)
        server = resident_mib(worker)
        used = use(page, session, seconds)
        feed.end()
        page.wait_for_selector(f"#list tbody[data-id='storm-{feed.posted - 1}']", timeout=10_000)
        result = {
            "chromium": browser.version,
            "posted": feed.posted - stored,
            "longest_behind_the_pace_seconds": round(feed.late_seconds, 2),
            "page": used,
            "dashboard_mib": {"start": server, "end": resident_mib(worker)},
        }
        browser.close()
    return result


def main() -> None:
    """Run it and write the JSON."""
    parser = study.parser(__doc__, "page_storm")
    parser.add_argument("--stored", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=300.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measured = run(Path(name), arguments.stored, arguments.rate, arguments.seconds)
    result = {
        **circumstances(chromium=measured.pop("chromium"), sqlite=sqlite3.sqlite_version),
        "stored": arguments.stored,
        "rate": arguments.rate,
        "seconds": arguments.seconds,
    } | measured
    write_result(arguments.output, result)


if __name__ == "__main__":
    main()
