"""How long the next alert takes to be found and claimed in a store of a million, in each order and with filters.

`benchmarks/alert_search.py` builds the store; this works on a copy of it, because it claims what it finds.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import orjson
from sqlalchemy.dialects import sqlite

from fraudstream.alerts.changes import Actor
from fraudstream.alerts.filters import AlertFilter, Op, Where
from fraudstream.alerts.store import AlertStore
from fraudstream.alerts.work import WorkDesk
from fraudstream.alerts.work_queue import Order, first_of_all
from fraudstream.transactions.wire import Outcome

FILTERS: Mapping[str, AlertFilter] = {
    "none": AlertFilter(),
    "min_score 0.9": AlertFilter(min_score=0.9),
    "amount 10 to 20": AlertFilter(min_amount=10.0, max_amount=20.0),
    "no such model": AlertFilter(model_id="none"),
    "V1 below -30": AlertFilter(where=(Where("V1", Op.LT, "-30"),)),
}


def plan(store: AlertStore, order: Order) -> str:
    """What SQLite does to find the first new alerts."""
    query = first_of_all(Outcome.ALERT, order).compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    with store.reading() as connection:
        return "; ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}"))


def times(desk: WorkDesk, wanted: AlertFilter, order: Order, count: int) -> dict[str, float | int]:
    """Milliseconds of `next`, found and claimed, the change recorded on the disk."""
    took, claimed = [], 0
    for _ in range(count):
        began = time.perf_counter()
        claimed += len(desk.next(Actor("bench"), wanted, order).done)
        took.append(1000 * (time.perf_counter() - began))
    took.sort()
    p50, p99 = took[len(took) // 2], took[min(len(took) - 1, int(0.99 * len(took)))]
    return {"claimed": claimed, "p50_ms": round(p50, 2), "p99_ms": round(p99, 2), "largest_ms": round(took[-1], 2)}


def main() -> None:
    """Measure, and write what was measured as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", type=Path, help="what alert_search.py has built")
    parser.add_argument("--count", type=int, default=100, help="alerts that are taken for each figure")
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    copy = given.json.with_suffix(".db")
    shutil.copyfile(given.database, copy)
    store = AlertStore.open(f"sqlite:///{copy}")
    desk = WorkDesk(store)
    try:
        told = {
            "machine": {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "system": platform.platform()},
            "alerts": sum(store.totals()[name] for name in ("alert", "unscorable")),
            "plans": {order.value: plan(store, order) for order in Order if order is not Order.SCORE},
            "next": {
                order.value: {name: times(desk, wanted, order, given.count) for name, wanted in FILTERS.items()}
                for order in Order
            },
        }
    finally:
        store.close()
        copy.unlink()
    given.json.write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main()
