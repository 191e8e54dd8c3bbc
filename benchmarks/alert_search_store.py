"""The databases that `alert_search.py` measures: generated alerts, by the store's own insert and its own index."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from fraudstream.alerts.finding.indexer import AlertIndexer
from fraudstream.alerts.store import AlertStore

TOGETHER: Final = 2_000
BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
DAYS: Final = 90
CATEGORIES: Final = ("grocery", "fuel", "travel", "cash machine", "Café & bar", "electronics", "gaming", "jewellery")
COUNTRIES: Final = ("DE", "FR", "PL", "US", "GB", "NL", "RO", "BR", "CN", "NG")
MODELS: Final = ("logistic-regression-0123456789ab", "gradient-boosted-trees-ba9876543210")
SCHEMAS: Final = ("0123456789abcdef", "fedcba9876543210", "00ff00ff00ff00ff")
ANALYSTS: Final = ("Ana", "Bo", "Chidi", "Dana")


def alert(number: int, total: int, chance: random.Random) -> dict[str, Any]:
    """An alert in the columns of creditcard.csv and six more, as the relay posts it."""
    at = (BEGIN + timedelta(days=DAYS) * (number / total)).isoformat()
    row: dict[str, Any] = {"Time": number, **{f"V{column}": chance.gauss(0, 3) for column in range(1, 29)}}
    if total >= 16 and number % (total // 8) == total // 16:
        row["Time"] = float(number)  # the matches of the scan that no index narrows
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
