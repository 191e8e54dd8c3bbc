"""Measures an alert storm: each row an alert, a real dashboard process, and its page open in a real Chromium.

    python -m benchmarks.alert_storm --rate 1000 --seconds 300

Alerts are posted as the relay posts them, in lists, with a position each second. In the page a control outside of the
table is clicked over and over, and a row is opened and closed; a click's time is that from the browser's own time stamp
of the input until the frame after it is drawn. At the end the store is held against what was posted.
"""

from __future__ import annotations

import json
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

LIST: Final = 500
ROW_EVERY: Final = 8
"""One click in so many opens a row of the table and closes it again; the others are on controls beside the table."""

WATCH = (
    """() => {
  const seen = (window.seen = { clicks: [], gaps: [] });
  const drawn = (then) => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = then;
    channel.port2.postMessage(0);
  });
  document.addEventListener("click", (event) => {
    const kind = event.target.closest("#list") ? "row" : "control";
    drawn(() => seen.clicks.push([kind, performance.now() - event.timeStamp]));
  }, true);
"""
    + COUNT_FRAMES
    + "}"
)
"""Counts frames, and times each click; the list of gaps grows by 0.5 KiB a second and is taken away every second."""

TAKE = """() => {
  const { clicks, gaps } = window.seen;
  window.seen.clicks = [];
  window.seen.gaps = [];
  return [clicks, gaps];
}"""


class Poster(threading.Thread):
    """Posts alerts in lists, at a rate or as fast as they are taken; keeps the time of each post."""

    def __init__(self, url: str, first: int, rate: float | None, seconds: float) -> None:
        super().__init__()
        self._url = url
        self._rate = rate
        self._seconds = seconds
        self._first = first
        self.posted = first
        self.milliseconds: list[float] = []
        self.late_seconds = 0.0
        self.took_seconds = 0.0
        self.failure: Exception | None = None

    def run(self) -> None:
        """Post until the time is over."""
        try:
            with urllib3.PoolManager(retries=False, timeout=60) as pool:
                self._post_all(pool)
        except Exception as e:
            self.failure = e

    def _post_all(self, pool: urllib3.PoolManager) -> None:
        began = time.monotonic()
        position_due = began
        while (now := time.monotonic()) < began + self._seconds:
            if self._rate is not None:
                due = began + (self.posted - self._first) / self._rate
                self.late_seconds = max(self.late_seconds, now - due)
                time.sleep(max(0.0, due - now))
            body = orjson.dumps([alert(number) for number in range(self.posted, self.posted + LIST)])
            sent = time.perf_counter()
            answer = self._post(pool, "/api/alerts", body)
            self.milliseconds.append((time.perf_counter() - sent) * 1000)
            assert answer["accepted"] == LIST, answer
            self.posted += LIST
            if time.monotonic() >= position_due:
                self._post(pool, "/api/events", orjson.dumps([position(self.posted)]))
                position_due += 1
        self.took_seconds = time.monotonic() - began

    def _post(self, pool: urllib3.PoolManager, route: str, body: bytes) -> dict[str, Any]:
        answer = pool.request("POST", self._url + route, body=body, headers={"Content-Type": "application/json"})
        assert answer.status == 200, answer.data
        result: dict[str, Any] = orjson.loads(answer.data)
        return result


def heap(session: CDPSession) -> dict[str, Any]:
    """What the page holds after a collection of garbage."""
    session.send("HeapProfiler.collectGarbage")
    used = session.send("Runtime.getHeapUsage")["usedSize"]
    return {"heap_mib": round(used / 2**20, 2), "dom_nodes": session.send("Memory.getDOMCounters")["nodes"]}


def use(page: Page, poster: Poster) -> dict[str, Any]:
    """Click about while the poster posts."""
    chance = random.Random(7)
    clicks: list[tuple[str, float]] = []
    gaps: list[float] = []
    banner_after = None
    turn = 0
    began = time.monotonic()
    hint = page.locator("[data-tile=rate] .hint")
    row = page.locator("#list tbody.alert .toggle")
    hint.hover()
    while poster.is_alive():
        turn += 1
        if turn % ROW_EVERY:
            click(page, hint.bounding_box())
        else:
            click(page, row.nth(2).bounding_box())
            page.wait_for_timeout(300)
            opened = page.locator(".toggle[aria-expanded=true]")
            if opened.count():
                click(page, opened.first.bounding_box(timeout=2000))
            hint.hover()
        page.wait_for_timeout(chance.uniform(100, 700))
        samples = page.evaluate(TAKE)
        clicks += samples[0]
        gaps += samples[1]
        if banner_after is None and page.locator("#storm").is_visible():
            banner_after = round(time.monotonic() - began, 1)
    took = time.monotonic() - began
    return {
        "click_to_frame_ms": {kind: quantiles([ms for of, ms in clicks if of == kind]) for kind in ("control", "row")},
        "frames_per_second": round(len(gaps) / took, 1),
        "between_frames_ms": quantiles(gaps),
        "banner_after_seconds": banner_after,
        "banner": page.locator("#storm [data-sentence]").inner_text(),
        "rows_in_the_table": page.locator("#list tbody.alert").count(),
    }


def run(folder: Path, rate: float, seconds: float, peak_seconds: float) -> dict[str, Any]:
    """The storm with a page, then no pace without one, then the count."""
    with study.dashboard(folder) as (url, worker), sync_playwright() as playwright:
        browser = open_browser(playwright)
        warm = Poster(url, 0, rate, 5)
        page = browser.new_page(viewport={"width": 1360, "height": 900})
        page.goto(f"{url}/?view=live")
        page.wait_for_selector("#connection[data-state=live]")
        warm.start()
        warm.join()
        session = page.context.new_cdp_session(page)
        page.evaluate(WATCH)
        page.wait_for_timeout(1000)
        before = heap(session) | {"dashboard_mib": resident_mib(worker)}
        poster = Poster(url, warm.posted, rate, seconds)
        poster.start()
        used = use(page, poster)
        check(warm, poster)
        after = heap(session) | {"dashboard_mib": resident_mib(worker)}
        newest = f"#list tbody[data-id='storm-{poster.posted - 1}']"
        page.wait_for_selector(newest, timeout=10_000)
        chromium = browser.version
        browser.close()
        peak = Poster(url, poster.posted, None, peak_seconds)
        peak.start()
        peak.join()
        check(peak)
    return {
        "chromium": chromium,
        "posted": peak.posted,
        "post_ms": quantiles(poster.milliseconds),
        "longest_behind_the_pace_seconds": round(poster.late_seconds, 2),
        "page": used,
        "start": before,
        "end": after,
        "no_pace": {
            "seconds": round(peak.took_seconds, 1),
            "alerts_per_second": round((peak.posted - poster.posted) / peak.took_seconds),
            "post_ms": quantiles(peak.milliseconds),
        },
        "store": held_against(folder / "alerts.db", peak.posted),
    }


def check(*posters: Poster) -> None:
    """Nothing that was posted may have failed."""
    for poster in posters:
        if poster.failure is not None:
            raise poster.failure


def held_against(database: Path, posted: int) -> dict[str, int]:
    """What the store lacks of `storm-0` to `storm-<posted - 1>`, and what it has more than once or beside them."""
    with sqlite3.connect(database) as connection:
        rows = [json.loads(body)["offset"] for (body,) in connection.execute("SELECT body FROM alerts")]
    missing = set(rows)
    expected = set(range(posted))
    return {
        "alerts": len(rows),
        "missing": len(expected - missing),
        "doubled": len(rows) - len(missing),
        "other": len(missing - expected),
    }


def main() -> None:
    """Run the storm and write the JSON."""
    parser = study.parser(__doc__, "alert_storm")
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--peak-seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measured = run(Path(name), arguments.rate, arguments.seconds, arguments.peak_seconds)
    result = {
        **circumstances(chromium=measured.pop("chromium"), sqlite=sqlite3.sqlite_version),
        "rate": arguments.rate,
        "seconds": arguments.seconds,
        "list": LIST,
        "alert_bytes": len(orjson.dumps(alert(100_000))),
    } | measured
    write_result(arguments.output, result)


if __name__ == "__main__":
    main()
