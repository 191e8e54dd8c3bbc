"""What `alert_search.py` asks: requests at random, of each kind, and the times that they take."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import numpy as np
import orjson
import urllib3

from benchmarks.alert_search_store import (
    ANALYSTS,
    BEGIN,
    CATEGORIES,
    DAYS,
    MODELS,
    SCHEMAS,
)

SORTS: Final = ("newest", "oldest", "score", "amount", "loss")
Query = list[tuple[str, str]]


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
        at: datetime = BEGIN + timedelta(days=DAYS * share * self.chance.random())
        return at

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
