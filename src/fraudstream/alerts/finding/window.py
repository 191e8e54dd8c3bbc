"""A stretch of alerts that the index does not hold yet, looked through row by row; `segment.py` is what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import orjson
from sqlalchemy import Connection, func, select

from fraudstream.alerts import tables
from fraudstream.alerts.filters import Sort
from fraudstream.alerts.finding.order import Asked, Hits, ordered

WINDOW: Final = 2048
"""Alerts looked through at a time, before the clock is looked at: 0.1 s where each has to be read."""


class Window:
    """Alerts with a `seq` from `first` to `last`."""

    def __init__(self, first: int, last: int) -> None:
        self.first = first
        self.last = last

    def hits(self, connection: Connection, asked: Asked) -> Hits:
        """What is asked of it; what only the alerts themselves tell is held against them here."""
        alert, wanted, by = tables.alerts.c, asked.wanted, asked.sort.column
        columns: list[Any] = [alert.seq]
        if by is not None:
            columns.append(by.label("value"))
        if wanted.looks_inside:
            columns.append(alert.body)
        query = (
            select(*columns).where(alert.seq.between(self.first, self.last), *wanted.conditions()).order_by(alert.seq)
        )
        rows = [
            row
            for row in connection.execute(query)
            if not wanted.looks_inside
            or (not wanted.rules_out(row.body.encode()) and wanted.matches(orjson.loads(row.body)))
        ]
        seqs = np.array([row.seq for row in rows], np.int64)
        values = None if by is None else np.array([row.value for row in rows], np.float64)
        return ordered(seqs, values, asked, sure=True)

    def column_sets(self, connection: Connection, asked: Asked) -> set[int]:
        """The column sets of what it has of it."""
        alert = tables.alerts.c
        seqs = self.hits(connection, asked).seqs.tolist()
        return set(connection.execute(select(alert.column_set).where(alert.seq.in_(seqs)).distinct()).scalars())

    def highest(self, sort: Sort) -> float:
        """Nothing is known of it."""
        return np.inf


def windows(first: int, last: int) -> Iterator[Window]:
    """The windows that `first` to `last` fall into, the oldest first."""
    for start in range(first, last + 1, WINDOW):
        yield Window(start, min(start + WINDOW - 1, last))


def newest(connection: Connection) -> int:
    """The `seq` of the newest alert, 0 where there is none."""
    found: int | None = connection.execute(select(func.max(tables.alerts.c.seq))).scalar()
    return found or 0
