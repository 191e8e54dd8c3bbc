"""Measures an alert storm: each row an alert, a real dashboard process, and its page open in a real Chromium.

    python benchmarks/alert_storm.py --rate 1000 --seconds 300

Alerts are posted as the relay posts them, in lists, with a position each second. In the page a control outside of the
table is clicked over and over, and a row is opened and closed; a click's time is that from the browser's own time stamp
of the input until the frame after it is drawn. At the end the store is held against what was posted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import urllib3
from playwright.sync_api import CDPSession, Page, sync_playwright

from fraudstream.runtime.processes import free_port, spawn, stop, wait_until

RESULT = Path(__file__).parent / "results" / "alert_storm.json"
TOPIC: Final = "credit_card_transactions"
LIST: Final = 500
BODY_BYTES: Final = 1500
ROW_EVERY: Final = 8
"""One click in so many opens a row of the table and closes it again; the others are on controls beside the table."""

WATCH = """() => {
  const seen = (window.seen = { clicks: [], gaps: [] });
  const drawn = (then) => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = then;
    channel.port2.postMessage(0);
  });
  document.addEventListener("click", (event) => {
    const kind = event.target.closest("#alerts") ? "row" : "control";
    drawn(() => seen.clicks.push([kind, performance.now() - event.timeStamp]));
  }, true);
  let last = performance.now();
  const frame = (now) => {
    seen.gaps.push(now - last);
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""
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
        told: dict[str, Any] = orjson.loads(answer.data)
        return told


def alert(number: int) -> dict[str, Any]:
    """An alert of about 1.5 KB, as the relay posts it."""
    now = datetime.now(UTC).isoformat()
    row = {"Time": number, **{f"V{column}": VALUES[(number + column) % len(VALUES)] for column in range(1, 29)}}
    return {
        "alert_id": f"storm-{number}",
        "topic": TOPIC,
        "partition": 0,
        "offset": number,
        "source_row": number,
        "produced_at": now,
        "detected_at": now,
        "outcome": "alert",
        "score": 0.9,
        "threshold": 0.0,
        "model_id": "logistic-regression-0123456789ab",
        "revision": 2,
        "schema_id": "0123456789abcdef",
        "imputed": [],
        "transaction": row | {"Amount": 12.5, "Merchant": "m" * FILL},
    }


def position(end: int) -> dict[str, Any]:
    """The relay's position, once a second."""
    partitions = {"0": {"begin": 0, "end": end, "position": end}}
    return {"type": "position", "at": datetime.now(UTC).isoformat(), "positions": {TOPIC: partitions}}


VALUES: Final = [round(random.Random(7).gauss(0, 3), 15) for _ in range(1009)]
FILL = 0
FILL = BODY_BYTES - len(orjson.dumps(alert(100_000)))


@contextmanager
def dashboard(folder: Path) -> Iterator[tuple[str, int]]:
    """The command, and the pid of the process that answers."""
    port = free_port()
    ready = folder / "ready"
    command = [
        sys.executable, "-m", "fraudstream", "dashboard", "--port", str(port),
        "--database", f"sqlite:///{folder / 'alerts.db'}",
    ]  # fmt: skip
    environment = {**os.environ, "FRAUDSTREAM_READY_FILE": str(ready)}
    process = spawn(command, log=folder / "dashboard.log", env=environment)
    try:
        assert wait_until(ready.exists, 60), (folder / "dashboard.log").read_text()
        yield f"http://127.0.0.1:{port}", orjson.loads(ready.read_bytes())["pid"]
    finally:
        stop(process, 5)


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def heap(session: CDPSession) -> dict[str, Any]:
    """What the page holds after a collection of garbage."""
    session.send("HeapProfiler.collectGarbage")
    used = session.send("Runtime.getHeapUsage")["usedSize"]
    return {"heap_mib": round(used / 2**20, 2), "dom_nodes": session.send("Memory.getDOMCounters")["nodes"]}


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and worst, of so many; only how many where there are none."""
    if not values:
        return {"count": 0}
    figures = {f"p{p}": round(float(np.percentile(values, p)), 1) for p in (50, 99)}
    return figures | {"max": round(float(max(values)), 1), "count": len(values)}


def use(page: Page, poster: Poster) -> dict[str, Any]:
    """Click about while the poster posts."""
    chance = random.Random(7)
    clicks: list[tuple[str, float]] = []
    gaps: list[float] = []
    banner_after = None
    turn = 0
    began = time.monotonic()
    hint = page.locator("[data-tile=rate] .hint")
    row = page.locator("#alerts tbody.alert .toggle")
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
        taken = page.evaluate(TAKE)
        clicks += taken[0]
        gaps += taken[1]
        if banner_after is None and page.locator("#storm").is_visible():
            banner_after = round(time.monotonic() - began, 1)
    took = time.monotonic() - began
    return {
        "click_to_frame_ms": {kind: quantiles([ms for of, ms in clicks if of == kind]) for kind in ("control", "row")},
        "frames_per_second": round(len(gaps) / took, 1),
        "between_frames_ms": quantiles(gaps),
        "banner_after_seconds": banner_after,
        "banner": page.locator("#storm [data-sentence]").inner_text(),
        "rows_in_the_table": page.locator("#alerts tbody.alert").count(),
    }


def click(page: Page, box: Any) -> None:
    """A click where something is, without waiting for it to stand still; none where it has just gone."""
    if box is None:
        return
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def run(folder: Path, rate: float, seconds: float, peak_seconds: float) -> dict[str, Any]:
    """The storm with a page, then no pace without one, then the count."""
    with dashboard(folder) as (url, worker), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu", "--no-first-run"]
        )
        warm = Poster(url, 0, rate, 5)
        page = browser.new_page(viewport={"width": 1360, "height": 900})
        page.goto(url)
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
        newest = f"#alerts tbody[data-id='storm-{poster.posted - 1}']"
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
    found = set(rows)
    expected = set(range(posted))
    return {
        "alerts": len(rows),
        "missing": len(expected - found),
        "doubled": len(rows) - len(found),
        "other": len(found - expected),
    }


def main() -> None:
    """Run the storm and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--peak-seconds", type=float, default=20.0)
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measured = run(Path(name), arguments.rate, arguments.seconds, arguments.peak_seconds)
    result = {
        "machine": {"cpu": platform.machine(), "cores": os.cpu_count(), "system": platform.system()},
        "versions": {name: version(name) for name in ("fraudstream", "flask", "gunicorn", "sqlalchemy", "playwright")}
        | {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version, "chromium": measured.pop("chromium")},
        "rate": arguments.rate,
        "seconds": arguments.seconds,
        "list": LIST,
        "alert_bytes": len(orjson.dumps(alert(100_000))),
    } | measured
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
