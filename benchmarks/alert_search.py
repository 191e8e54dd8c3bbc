"""Measures finding among many alerts: a real dashboard process on databases of 1,000 to 1,000,000 generated alerts.

    python benchmarks/alert_search.py build --folder DIR      once, by the store's own insert and its own index
    python benchmarks/alert_search.py measure --folder DIR    writes benchmarks/results/alert_search.json

Each figure is the time of a whole request over HTTP, from asking to the last byte, one request after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import numpy as np
import orjson
import urllib3

from fraudstream.alerts.finding.indexer import AlertIndexer
from fraudstream.alerts.store import AlertStore
from fraudstream.runtime.processes import free_port, spawn, stop, wait_until

RESULT = Path(__file__).parent / "results" / "alert_search.json"
SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
TOGETHER: Final = 2_000
BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
DAYS: Final = 90
CATEGORIES: Final = ("grocery", "fuel", "travel", "cash machine", "Café & bar", "electronics", "gaming", "jewellery")
COUNTRIES: Final = ("DE", "FR", "PL", "US", "GB", "NL", "RO", "BR", "CN", "NG")
MODELS: Final = ("logistic-regression-0123456789ab", "gradient-boosted-trees-ba9876543210")
SCHEMAS: Final = ("0123456789abcdef", "fedcba9876543210", "00ff00ff00ff00ff")
ANALYSTS: Final = ("Ana", "Bo", "Chidi", "Dana")
SORTS: Final = ("newest", "oldest", "score", "amount", "loss")
Query = list[tuple[str, str]]


def alert(number: int, total: int, chance: random.Random) -> dict[str, Any]:
    """An alert in the columns of creditcard.csv and six more, as the relay posts it."""
    at = (BEGIN + timedelta(days=DAYS) * (number / total)).isoformat()
    row: dict[str, Any] = {"Time": number, **{f"V{column}": chance.gauss(0, 3) for column in range(1, 29)}}
    row["Amount"] = round(chance.lognormvariate(3.5, 1.5), 2)
    row["category"] = chance.choice(CATEGORIES)
    row["country"] = chance.choices(COUNTRIES, range(len(COUNTRIES), 0, -1))[0]
    row["customer"] = f"c{chance.randrange(200_000):06d}"
    row["terminal"] = f"t{chance.randrange(5_000):04d}"
    unscorable = chance.random() < 0.05
    return {
        "alert_id": f"{chance.getrandbits(128):032x}",
        "topic": "credit_card_transactions",
        "partition": number % 2,
        "offset": number // 2,
        "source_row": number,
        "produced_at": at,
        "detected_at": at,
        "outcome": "unscorable" if unscorable else "alert",
        "reason": "6 of 30 columns are missing" if unscorable else None,
        "score": None if unscorable else 1 - chance.random() ** 2 / 2,
        "threshold": 0.5,
        "model_id": MODELS[number * 3 // total > 0],
        "revision": 2,
        "schema_id": SCHEMAS[number * 5 // total % 3],
        "imputed": [],
        "transaction": row,
    }


def build(folder: Path, sizes: list[int]) -> None:
    """Make the databases, one for each number of alerts, and index them."""
    folder.mkdir(parents=True, exist_ok=True)
    for size in sizes:
        path = folder / f"{size}.db"
        for old in folder.glob(f"{size}.db*"):
            old.unlink()
        store = AlertStore.open(f"sqlite:///{path}")
        chance = random.Random(size)
        began = time.monotonic()
        for start in range(0, size, TOGETHER):
            some = range(start, min(start + TOGETHER, size))
            added = store.add_alerts([alert(number, size, chance) for number in some])
            assert added.accepted == len(some)
        inserted = time.monotonic()
        bare = _bytes(path)
        AlertIndexer(store).catch_up()
        indexed = time.monotonic()
        _decide(store, size, chance)
        AlertIndexer(store).catch_up()
        store.close()
        made = {
            "alerts": size,
            "bytes": bare,
            "index_bytes": _bytes(path) - bare,
            "insert_seconds": round(inserted - began, 1),
            "index_seconds": round(indexed - inserted, 1),
        }
        (folder / f"{size}.json").write_text(json.dumps(made))
        print(made)


def _decide(store: AlertStore, size: int, chance: random.Random) -> None:
    """A third of the older half has a verdict, some of the newest are claimed."""
    with store.writing() as connection:
        for status, low, high, every in (
            ("false_alarm", 0.0, 0.5, 4),
            ("confirmed_fraud", 0.0, 0.5, 25),
            ("unsure", 0.0, 0.5, 100),
            ("claimed", 0.97, 1.0, 50),
        ):
            for at, name in enumerate(ANALYSTS):
                connection.exec_driver_sql(
                    "UPDATE alerts SET status = ?, assignee = ?, version = version + 1, decided_us = received_us "
                    "WHERE seq BETWEEN ? AND ? AND (seq * 7919) % ? = ?",
                    (status, name, int(size * low), int(size * high), every * len(ANALYSTS), at + chance.randrange(1)),
                )


def _bytes(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path.stat().st_size


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


class Questions:
    """Makes requests at random, as many kinds as there are filters, orders and texts."""

    def __init__(self, size: int) -> None:
        self.chance = random.Random(7)
        self._size = size

    def filters(self) -> dict[str, Callable[[], Query]]:
        """A condition of each kind."""
        chance = self.chance
        return {
            "time": lambda: [
                ("since", (at := self._time(0.9)).isoformat()),
                ("until", (at + self._span()).isoformat()),
            ],
            "amount": lambda: [
                ("min_amount", str(low := chance.choice([0, 5, 50, 400, 1500]))),
                ("max_amount", str(low * 1.3 + 1)),
            ],
            "score": lambda: [("min_score", str(round(chance.uniform(0.5, 1), 4)))],
            "status": lambda: [
                ("status", chance.choice(["new", "claimed", "confirmed_fraud", "false_alarm", "unsure"]))
            ],
            "assignee": lambda: [("assignee", chance.choice(ANALYSTS))],
            "model": lambda: [("model_id", chance.choice(MODELS))],
            "schema": lambda: [("schema_id", chance.choice(SCHEMAS))],
            "outcome": lambda: [("outcome", chance.choice(["alert", "unscorable", "all"]))],
            "source": lambda: [("source", "credit_card_transactions")],
            "a feature": lambda: [
                ("where", f"V{chance.randrange(1, 29)}:{chance.choice(['gt', 'le'])}:{chance.uniform(-12, 12):.3f}")
            ],
            "a category": lambda: [("where", f"category:eq:{chance.choice(CATEGORIES)}")],
            "a customer": lambda: [("where", f"customer:eq:c{chance.randrange(200_000):06d}")],
        }

    def several(self) -> Query:
        """Two to five conditions, in some order."""
        filters = self.filters()
        query: Query = [("sort", self.chance.choice(SORTS))]
        for name in self.chance.sample(sorted(filters), self.chance.randrange(2, 6)):
            query += filters[name]()
        return query

    def text(self) -> Query:
        """Something typed: rare, common, a beginning, a phrase, a number."""
        chance = self.chance
        return [("q", chance.choice([
            f"c{chance.randrange(200_000):06d}",
            f"t{chance.randrange(5_000):04d}",
            f"{chance.getrandbits(12):03x}",
            f"{chance.getrandbits(8):02x}",
            chance.choice(CATEGORIES).split()[0],
            "credit_card_transactions",
            "transact",
            "missing",
            '"cash machine"',
            f"cash machine t{chance.randrange(5_000):04d}",
            f"{chance.lognormvariate(3.5, 1.5):.2f}",
            str(chance.randrange(self._size)),
            "nothing like it",
            "V14 amount jewellery",
        ]))]  # fmt: skip

    def _time(self, share: float) -> datetime:
        return BEGIN + timedelta(days=DAYS * share * self.chance.random())

    def _span(self) -> timedelta:
        return timedelta(hours=self.chance.choice([1, 24, 24 * 7, 24 * 30]))


class Asking:
    """Sends requests to one dashboard and keeps their times."""

    def __init__(self, url: str, pool: urllib3.PoolManager) -> None:
        self.url = url
        self.pool = pool

    def get(self, query: Query, route: str = "/api/alerts") -> tuple[float, dict[str, Any]]:
        """The milliseconds that a request took, and its answer."""
        began = time.perf_counter()
        answer = self.pool.request("GET", f"{self.url}{route}?{urlencode(query)}")
        took = (time.perf_counter() - began) * 1000
        assert answer.status == 200, answer.data
        found: dict[str, Any] = orjson.loads(answer.data)
        assert found["complete"], query
        return took, found

    def times(self, make: Callable[[], Query], count: int) -> dict[str, Any]:
        """Median, 99th percentile and worst of so many requests, and what the worst one was."""
        taken = []
        for _ in range(count):
            query = make()
            taken.append((self.get(query)[0], query))
        worst = max(taken, key=lambda each: each[0])
        return quantiles([took for took, _ in taken]) | {"worst": urlencode(worst[1])}

    def next_pages(self, make: Callable[[], Query], count: int) -> dict[str, float]:
        """The times of following pages, from one cursor to the next."""
        taken: list[float] = []
        while len(taken) < count:
            query = make()
            cursor = self.get(query)[1]["next_cursor"]
            for _ in range(5):
                if cursor is None:
                    break
                took, found = self.get([*query, ("cursor", cursor)])
                cursor = found["next_cursor"]
                taken.append(took)
        return quantiles(taken)


def quantiles(values: list[float]) -> dict[str, float]:
    """Median, 99th percentile and worst, of so many."""
    figures = {f"p{p}": round(float(np.percentile(values, p)), 1) for p in (50, 99)}
    return figures | {"max": round(max(values), 1), "count": len(values)}


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


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
    """A scan for digits of a number: first line, first match, the whole, and a cancelled one that all match."""
    route = f"{asking.url}/api/alerts/scan?" + urlencode([("where", "V7:has:.12345"), ("outcome", "all")])
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
    page = asking.pool.request("GET", route.replace("/scan", "").replace(".12345", ".123456789"))
    found = orjson.loads(page.data)
    began = time.perf_counter()
    # One that all alerts match, so that there is a middle.
    cancelled = asking.pool.request("GET", route.replace(".12345", "."), preload_content=False)
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
            "sort": {sort: asking.times(lambda sort=sort: [("sort", sort)], count // 2) for sort in SORTS},  # type: ignore[misc]
            "several_filters_and_a_sort": asking.times(questions.several, 3 * count),
            "text": asking.times(questions.text, count),
            "text_filters_and_a_sort": asking.times(lambda: questions.several() + questions.text(), 2 * count),
            "scan": scanned(asking, pid),
        }
        result["export"] = {ending: exported(asking, pid, ending) for ending in ("csv", "json")}
        return result


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
