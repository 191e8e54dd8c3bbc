"""Measures finding among many alerts: a real dashboard process on databases of 1,000 to 1,000,000 generated alerts.

    python -m benchmarks.alert_search build --folder DIR      once, by the store's own insert and its own index
    python -m benchmarks.alert_search measure --folder DIR    writes benchmarks/results/alert_search.json

Each figure is the time of a whole request over HTTP, from asking to the last byte, one request after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import orjson
import urllib3

from benchmarks.alert_search_questions import SORTS, Asking, Questions
from benchmarks.alert_search_store import build
from benchmarks.system.resources import resident_mib
from fraudstream.runtime.processes import free_port, spawn, stop, wait_until

RESULT = Path(__file__).parent / "results" / "alert_search.json"
SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
MANY: Final = 1_000_000
"""So many alerts are not all read within the time of a page."""


@contextmanager
def dashboard(database: Path, log: Path) -> Iterator[tuple[str, int]]:
    """The command, and the pid of the process that answers."""
    port = free_port()
    ready = log.with_suffix(".ready")
    ready.unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "fraudstream", "dashboard", "--port", str(port), "--database", f"sqlite:///{database}",
    ]  # fmt: skip
    environment = {**os.environ, "FRAUDSTREAM_READY_FILE": str(ready), "FRAUDSTREAM_EXPLAIN_ALERTS": "false"}
    process = spawn(command, log=log, env=environment)
    try:
        assert wait_until(ready.exists, 60), log.read_text()
        yield f"http://127.0.0.1:{port}", orjson.loads(ready.read_bytes())["pid"]
    finally:
        stop(process, 5)


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def exported(asking: Asking, pid: int, ending: str) -> dict[str, Any]:
    """All alerts as a file: rows a second, until the first byte, and the memory that it took."""
    before = resident_mib(pid)
    peak = [before]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            peak[0] = max(peak[0], resident_mib(pid))

    watching = threading.Thread(target=watch)
    watching.start()
    began = time.perf_counter()
    answer = asking.pool.request("GET", f"{asking.url}/api/alerts.{ending}?outcome=all", preload_content=False)
    lines, size, first = 0, 0, None
    for piece in answer.stream(1 << 16):
        first = first or time.perf_counter() - began
        lines += piece.count(b"\n")
        size += len(piece)
    took = time.perf_counter() - began
    answer.release_conn()
    done.set()
    watching.join()
    rows = lines - (1 if ending == "csv" else 2)
    return {
        "rows": rows,
        "seconds": round(took, 1),
        "rows_per_second": round(rows / took),
        "bytes": size,
        "first_byte_ms": round((first or 0) * 1000, 1),
        "resident_mib_before": before,
        "resident_mib_peak": peak[0],
    }


def scanned(asking: Asking, pid: int) -> dict[str, Any]:
    """A scan that no index narrows: first line, first match, the whole, and a cancelled one that all match.

    Asked is `.0` in the digits of a column of integers: the index has them as doubles, each of which ends so, and every
    alert has to be read to see how its JSON writes it.
    """
    route = f"{asking.url}/api/alerts/scan?" + urlencode([("where", "Time:has:.0"), ("outcome", "all")])
    began = time.perf_counter()
    answer = asking.pool.request("GET", route, preload_content=False)
    first_line = first_match = None
    last: dict[str, Any] = {}
    rest = b""
    for piece in answer.stream(1 << 14):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            first_line = first_line or time.perf_counter() - began
            last = orjson.loads(line)
            if "alert_id" in last:
                first_match = first_match or time.perf_counter() - began
    took = time.perf_counter() - began
    answer.release_conn()
    found = orjson.loads(asking.pool.request("GET", route.replace("/scan", "")).data)
    assert not found["complete"] or found["of"] < MANY, "an index has answered: ask something else here"
    began = time.perf_counter()
    # One that all alerts match, so that there is a middle.
    cancelled = asking.pool.request(
        "GET", f"{asking.url}/api/alerts/scan?where=V7:has:.&outcome=all", preload_content=False
    )
    cancelled.read(64)
    cancelled.close()  # in the middle of it: the connection ends
    idle = _idle_after(pid)
    return {
        "first_line_ms": round((first_line or 0) * 1000, 1),
        "first_match_ms": None if first_match is None else round(first_match * 1000, 1),
        "seconds": round(took, 2),
        "scanned": last["scanned"],
        "matches": last["matches"],
        "idle_seconds_after_cancel": idle,
        "page_within_its_time": {key: found[key] for key in ("complete", "scanned", "of")},
    }


def _idle_after(pid: int) -> float:
    """Seconds until a process takes no more than a fifth of a core."""
    began = time.perf_counter()
    while True:
        before = cpu_seconds(pid)
        time.sleep(0.1)
        if cpu_seconds(pid) - before <= 0.02:
            return round(time.perf_counter() - began - 0.1, 1)


def measure(folder: Path, size: int, count: int) -> dict[str, Any]:
    """All figures of one database."""
    made = json.loads((folder / f"{size}.json").read_text())
    with (
        dashboard(folder / f"{size}.db", folder / f"{size}.log") as (url, pid),
        urllib3.PoolManager(retries=False, timeout=120) as pool,
    ):
        asking, questions = Asking(url, pool), Questions(size)
        time.sleep(2)  # the newest segment is read into memory
        asking.get([])
        every = questions.filters()
        result: dict[str, Any] = {
            "built": made,
            "resident_mib": resident_mib(pid),
            "list": asking.times(list, count),
            "next_page": asking.next_pages(questions.several, count),
            "filter": {name: asking.times(make, count // 2) for name, make in every.items()},
            "sort": {sort: asking.times(partial(_in_order, sort), count // 2) for sort in SORTS},
            "several_filters_and_a_sort": asking.times(questions.several, 3 * count),
            "text": asking.times(questions.text, count),
            "text_filters_and_a_sort": asking.times(lambda: questions.several() + questions.text(), 2 * count),
            "scan": scanned(asking, pid),
        }
        result["export"] = {ending: exported(asking, pid, ending) for ending in ("csv", "json")}
        return result


def _in_order(sort: str) -> list[tuple[str, str]]:
    return [("sort", sort)]


def main() -> None:
    """Build the databases, or measure and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("build", "measure"))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    if arguments.action == "build":
        build(arguments.folder, arguments.sizes)
        return
    result = {
        "machine": {"cpu": platform.machine(), "cores": os.cpu_count(), "system": platform.system()},
        "versions": {name: version(name) for name in ("fraudstream", "flask", "gunicorn", "sqlalchemy", "numpy")}
        | {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version},
        "alerts": {str(size): measure(arguments.folder, size, arguments.count) for size in arguments.sizes},
    }
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
