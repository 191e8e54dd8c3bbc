"""Measures the search among generated alerts, on the store that the dashboard uses, and what it costs to post them.

    python -m benchmarks.alert_search --folder DIR --sizes 10000 200000 [--server postgresql+psycopg://postgres@host]

A store of each size is built in DIR unless it is there, and with `--server` also on PostgreSQL, to compare both in one
run. Each figure is the time of a whole call of the store, JSON of the alerts included, one call after the other; `cpu`
is the processor time of the same calls in this process, which a busy machine lengthens less.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from sqlalchemy import create_engine, update
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool
from werkzeug.datastructures import MultiDict

from benchmarks.study import parser
from benchmarks.system.machine import circumstances, load, write_result
from fraudstream.dashboard.web.queries import AlertList
from fraudstream.store.changes import Actor
from fraudstream.store.filters import AlertFilter, Sort
from fraudstream.store.search import SearchPage
from fraudstream.store.store import AlertStore
from fraudstream.store.tables import alerts
from fraudstream.store.triage import Order, TriageService

TOGETHER: Final = 2_000
BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
DAYS: Final = 90
PAGE: Final = 50
CATEGORIES: Final = ("grocery", "fuel", "travel", "cash machine", "Café & bar", "electronics", "gaming", "jewellery")
COUNTRIES: Final = ("DE", "FR", "PL", "US", "GB", "NL", "RO", "BR", "CN", "NG")
MODELS: Final = ("logistic-regression-0123456789ab", "gradient-boosted-trees-ba9876543210")
SCHEMAS: Final = ("0123456789abcdef", "fedcba9876543210", "00ff00ff00ff00ff")
ANALYSTS: Final = ("Ana", "Bo", "Chidi", "Dana")
STATUSES: Final = ("new", "claimed", "confirmed_fraud", "false_alarm", "unsure")
OPEN: Final = [("status", "new"), ("status", "claimed")]

Query = list[tuple[str, str]]


def alert(number: int, total: int, chance: random.Random) -> dict[str, Any]:
    """An alert in the columns of creditcard.csv and four more, as the relay posts it."""
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


class Files:
    """Stores on SQLite, in a folder."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def url(self, name: str) -> str:
        """Return the URL of a store."""
        return f"sqlite:///{self._folder / name}.db"

    def built(self, name: str) -> int:
        """Finish a store that was filled; returns its bytes."""
        path = self._folder / f"{name}.db"
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        return path.stat().st_size

    def copy(self, name: str, to: str) -> None:
        """Copy a store that is closed."""
        for file in self._folder.glob(f"{to}.db*"):
            file.unlink()
        shutil.copyfile(self._folder / f"{name}.db", self._folder / f"{to}.db")


class Databases:
    """Stores on a PostgreSQL server."""

    name = "postgresql"

    def __init__(self, server: str) -> None:
        self._server = make_url(server)
        engine = create_engine(self._server.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        self._admin = engine.connect()

    def url(self, name: str) -> str:
        """Return the URL of a store, whose database is made if necessary."""
        known = self._admin.exec_driver_sql("SELECT 1 FROM pg_database WHERE datname = %s", (f"search_{name}",))
        if known.first() is None:
            self._admin.exec_driver_sql(f"CREATE DATABASE search_{name}")
        return self._server.set(database=f"search_{name}").render_as_string(hide_password=False)

    def built(self, name: str) -> int:
        """Finish a store that was filled, as autovacuum does within a minute; returns its bytes."""
        engine = create_engine(self.url(name), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
            size: int = connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
        return size

    def copy(self, name: str, to: str) -> None:
        """Copy a store that is closed."""
        self._admin.exec_driver_sql(f"DROP DATABASE IF EXISTS search_{to}")
        self._admin.exec_driver_sql(f"CREATE DATABASE search_{to} TEMPLATE search_{name}")


def build(place: Files | Databases, size: int) -> dict[str, Any]:
    """Fill a store: a third of its older half has a verdict, some of the newest are claimed."""
    chance = random.Random(size)
    store = AlertStore.open(place.url(str(size)))
    began = time.monotonic()
    for start in range(0, size, TOGETHER):
        some = range(start, min(start + TOGETHER, size))
        assert store.add_alerts([alert(number, size, chance) for number in some]).accepted == len(some)
    took = time.monotonic() - began
    with store.database.write() as connection:
        for status, low, high, every in (
            ("false_alarm", 0.0, 0.5, 4), ("confirmed_fraud", 0.0, 0.5, 25), ("unsure", 0.0, 0.5, 100),
            ("claimed", 0.97, 1.0, 50),
        ):  # fmt: skip
            for at, name in enumerate(ANALYSTS):
                seq = alerts.c.seq
                connection.execute(
                    update(alerts)
                    .where(seq.between(int(size * low), int(size * high)), (seq * 7919) % (every * len(ANALYSTS)) == at)
                    .values(status=status, assignee=name, version=alerts.c.version + 1, decided_us=alerts.c.received_us)
                )
    store.close()
    return {"build_seconds": round(took, 1), "ingested_per_second": round(size / took), "bytes": place.built(str(size))}


class Questions:
    """Makes queries at random, of each kind."""

    def __init__(self, size: int) -> None:
        self._chance = random.Random(7)
        self._size = size

    def filters(self) -> dict[str, Callable[[], Query]]:
        """A filter of each kind that has a column of its own."""
        chance = self._chance

        def time_range() -> Query:
            at = BEGIN + timedelta(days=DAYS * 0.9 * chance.random())
            until = at + timedelta(hours=chance.choice([1, 24, 24 * 7, 24 * 30]))
            return [("since", at.isoformat()), ("until", until.isoformat())]

        def amounts() -> Query:
            low = chance.choice([0, 5, 50, 400, 1500])
            return [("min_amount", str(low)), ("max_amount", str(low * 1.3 + 1))]

        return {
            "time": time_range,
            "amount": amounts,
            "score": lambda: [("min_score", str(round(chance.uniform(0.5, 1), 4)))],
            "status": lambda: [("status", chance.choice(STATUSES))],
            "assignee": lambda: [("assignee", chance.choice(ANALYSTS))],
            "model": lambda: [("model_id", chance.choice(MODELS))],
            "schema": lambda: [("schema_id", chance.choice(SCHEMAS))],
            "outcome": lambda: [("outcome", chance.choice(["alert", "unscorable", "all"]))],
        }

    def order(self) -> Query:
        """One of the orders."""
        return [("sort", self._chance.choice(list(Sort)))]

    def several(self) -> Query:
        """Two to five filters."""
        every = self.filters()
        names = self._chance.sample(sorted(every), self._chance.randrange(2, 6))
        return [pair for name in names for pair in every[name]()]

    def words(self) -> Query:
        """Something typed: rare, common, a beginning, a phrase, a number."""
        chance = self._chance
        return [("q", chance.choice([
            f"c{chance.randrange(200_000):06d}",
            f"t{chance.randrange(5_000):04d}",
            f"{chance.getrandbits(12):03x}",
            chance.choice(CATEGORIES).split()[0] + " ",
            "jew",
            "missing",
            '"cash machine"',
            f"cash machine t{chance.randrange(5_000):04d}",
            f"{chance.lognormvariate(3.5, 1.5):.2f}",
            str(chance.randrange(self._size)),
            "nothing like it",
        ]))]  # fmt: skip


class Asking:
    """Asks one store, and keeps the times."""

    def __init__(self, store: AlertStore) -> None:
        self._store = store

    def page(self, query: Query, **more: Any) -> SearchPage:
        """A page of the queue, as the API reads the query."""
        request = AlertList.read(MultiDict({"sort": "loss"} | dict(query)))
        return self._store.search.page(request.filter(), sort=request.sort, limit=PAGE, **more)

    def times(self, make: Callable[[], Query], count: int) -> dict[str, Any]:
        """Of so many queries."""
        return quantiles([timed(lambda: self.page(make())) for _ in range(count)])

    def next_pages(self, make: Callable[[], Query], count: int) -> dict[str, Any]:
        """Of following pages, from one cursor to the next."""
        times: list[tuple[float, float]] = []
        while len(times) < count:
            query = make()
            after = self.page(query).following
            for _ in range(5):
                if after is None:
                    break
                next_page = partial(self.page, query, after=after)
                times.append(timed(next_page))
                after = next_page().following
        return quantiles(times)

    def other_column(self, condition: str) -> dict[str, Any]:
        """A search by a column without an index, gone on with until its end."""
        seconds: list[float] = []
        back: list[float] = []
        after, matches = None, 0
        while not seconds or after is not None:
            began = time.perf_counter()
            page = self.page([("where", condition), ("sort", "newest"), ("outcome", "all")], after=after)
            seconds.append(round(time.perf_counter() - began, 2))
            after, matches = page.following, matches + len(page.alerts)
            if page.reached_us is not None:
                end = BEGIN + timedelta(days=DAYS)
                back.append(round((end.timestamp() - page.reached_us / 1e6) / 86_400 / DAYS, 3))
        return {
            "first_seconds": seconds[0],
            "first_share_searched": back[0] if back else 1.0,
            "answers": len(seconds),
            "seconds": round(sum(seconds), 1),
            "matches": matches,
        }


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds of a call, and of the processor."""
    began, cpu = time.perf_counter(), time.process_time()
    call()
    return (time.perf_counter() - began) * 1000, (time.process_time() - cpu) * 1000


def quantiles(times: list[tuple[float, float]]) -> dict[str, Any]:
    """Median, 99th percentile and worst, of so many."""
    wall, cpu = zip(*times, strict=True)
    figures = {f"p{p}": round(float(np.percentile(wall, p)), 1) for p in (50, 99)}
    figures |= {f"cpu_p{p}": round(float(np.percentile(cpu, p)), 1) for p in (50, 99)}
    return figures | {"max": round(max(wall), 1), "count": len(wall)}


def measure(place: Files | Databases, folder: Path, size: int, count: int) -> dict[str, Any]:
    """All figures of one store; what writes works on a copy of it."""
    notes = folder / f"{size}.{place.name}.json"
    if not notes.exists():
        notes.write_text(json.dumps(build(place, size)))
    load_before = load()
    store = AlertStore.open(place.url(str(size)))
    asking, some = Asking(store), Questions(size)
    asking.page([])

    def ordered(make: Callable[[], Query]) -> Query:
        return make() + some.order()

    result: dict[str, Any] = json.loads(notes.read_text()) | {
        "load": load_before,
        "list": asking.times(lambda: OPEN, count),
        "next_page": asking.next_pages(lambda: some.several() + some.order(), count),
        "filter": {name: asking.times(partial(ordered, make), count) for name, make in some.filters().items()},
        "order": {sort.value: asking.times(partial(list, [("sort", sort)]), count) for sort in Sort},
        "several_filters": asking.times(lambda: some.several() + some.order(), 3 * count),
        "words": asking.times(lambda: some.words() + some.order(), 2 * count),
        "words_and_filters": asking.times(lambda: some.words() + some.several() + some.order(), 2 * count),
        "common_word": asking.times(lambda: [("q", "category "), *some.order()], count),
        "other_column": {each: asking.other_column(each) for each in ("V1:gt:12", "customer:has:c1234")},
    }
    store.close()
    copy = f"{size}_copy"
    place.copy(str(size), copy)
    store = AlertStore.open(place.url(copy))
    result |= build_store(store, size, count)
    store.close()
    return result


def build_store(store: AlertStore, size: int, count: int) -> dict[str, Any]:
    """Taking the next alert, found and claimed, and posts of alerts."""
    triage, actor, chance = TriageService(store), Actor("bench"), random.Random(3)
    filters = {"none": AlertFilter(), "amount 10 to 20": AlertFilter(min_amount=10, max_amount=20)}

    def post(together: int) -> tuple[float, float]:
        alerts = [alert(size, size, chance) for _ in range(together)]
        return timed(lambda: store.add_alerts(alerts))

    return {
        "take_next": {
            order.value: {
                name: quantiles([timed(partial(triage.next, actor, query, order)) for _ in range(count)])
                for name, query in filters.items()
            }
            for order in Order
        },
        "post": {str(together): quantiles([post(together) for _ in range(count // 2)]) for together in (1, 500)},
    }


def main() -> None:
    """Measure, and write what was measured as JSON."""
    arguments = parser(__doc__, "alert_search")
    arguments.add_argument("--folder", type=Path, required=True)
    arguments.add_argument("--sizes", type=int, nargs="+", default=[10_000, 200_000])
    arguments.add_argument("--count", type=int, default=100)
    arguments.add_argument("--server", help="URL of a PostgreSQL server, whose user may create databases")
    options = arguments.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    places: list[Files | Databases] = [Files(options.folder)]
    if options.server:
        places.append(Databases(options.server))
    figures: dict[str, dict[str, Any]] = {place.name: {} for place in places}
    for size in options.sizes:
        for place in places:
            figures[place.name][str(size)] = measure(place, options.folder, size, options.count)
    more = {"postgresql": figures["postgresql"]} if options.server else {}
    write_result(options.output, {**circumstances(sqlite=sqlite3.sqlite_version), "alerts": figures["sqlite"], **more})


if __name__ == "__main__":
    main()
