"""Which new alert comes next, in an order that the indexes of `alerts` give; `work.py` claims it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, Connection, Select, select

from fraudstream.alerts import tables
from fraudstream.alerts.filters import AlertFilter, Sort
from fraudstream.alerts.finding.search import AlertSearch
from fraudstream.alerts.status import AlertStatus
from fraudstream.alerts.validation import STORED_OUTCOMES
from fraudstream.transactions.wire import AlertField, Outcome

TOGETHER: Final = 8
"""Candidates that are looked up at once: where several people ask at the same time, each gets one of them."""

LOOKED_AT: Final = 512
"""The first new alerts, which are held against the filter before the whole store is searched."""

SEARCH_SECONDS: Final = 10.0
"""The longest that a search takes: what it has not found by then is not there for the person who waits."""

_OUTCOME_AND_STATUS: Final = 2
_COLUMN: Final = tables.alerts.c


class Order(StrEnum):
    """Which alert comes first."""

    LOSS = "loss"
    SCORE = "score"
    NEWEST = "newest"
    OLDEST = "oldest"


_ORDERS: Final[dict[Order, tuple[ColumnElement[Any], ...]]] = {
    Order.LOSS: (_COLUMN.expected_loss.desc(), _COLUMN.seq.desc()),
    Order.NEWEST: (_COLUMN.seq.desc(),),
    Order.OLDEST: (_COLUMN.seq.asc(),),
}


def candidates(
    connection: Connection, search: AlertSearch, wanted: AlertFilter, order: Order, skip: Sequence[str] = ()
) -> list[str]:
    """The ids of the first new alerts in an order.

    The first of all new ones are held against the filter; where none of them is wanted, which a narrow filter brings
    about, the whole store is searched. By score it always is: no index of `alerts` has that order, and sorting a
    million takes half a second, the search 30 ms.

    Args:
        connection: To read with.
        search: Finds what is not among the first.
        wanted: Which alerts; of those of every outcome, frauds come before what could not be judged.
        order: Which first.
        skip: Ids that are not wanted.
    """
    if wanted.statuses and AlertStatus.NEW not in wanted.statuses:
        return []
    wanted = replace(wanted, statuses=(AlertStatus.NEW.value,))
    passed = set(skip)
    found: list[str] = []
    for outcome in STORED_OUTCOMES if wanted.outcome is None else (wanted.outcome,):
        asked = replace(wanted, outcome=outcome)
        if order is not Order.SCORE and (first := _among_first(connection, asked, order, passed)):
            found += first
        elif order is Order.SCORE or passed or _narrows(asked):  # else the first of all would have been wanted
            found += _searched(search, asked, order, passed)
    return found[:TOGETHER]


def first_of_all(outcome: Outcome | None, order: Order) -> Select[Any]:
    """The query for the first new alerts of an outcome, whatever the filter, in an order that an index gives."""
    return (
        select(_COLUMN.seq)
        .where(_COLUMN.outcome == outcome, _COLUMN.status == AlertStatus.NEW.value)
        .order_by(*_ORDERS[order])
        .limit(LOOKED_AT)
    )


def _among_first(connection: Connection, wanted: AlertFilter, order: Order, passed: Collection[str]) -> list[str]:
    first = connection.execute(first_of_all(wanted.outcome, order)).scalars().all()
    query = select(_COLUMN.seq, _COLUMN.alert_id, *([_COLUMN.body] if wanted.looks_inside else []))
    rows = connection.execute(query.where(_COLUMN.seq.in_(first), *wanted.conditions()))
    fit = {
        row.seq: row.alert_id
        for row in rows
        if row.alert_id not in passed and (not wanted.looks_inside or wanted.matches(orjson.loads(row.body)))
    }
    return [fit[seq] for seq in first if seq in fit]


def _searched(search: AlertSearch, wanted: AlertFilter, order: Order, passed: Collection[str]) -> list[str]:
    page = search.page(wanted, sort=Sort(order), limit=TOGETHER + len(passed), seconds=SEARCH_SECONDS)
    ids = [str(alert.document()[AlertField.ALERT_ID]) for alert in page.alerts]
    return [each for each in ids if each not in passed]


def _narrows(wanted: AlertFilter) -> bool:
    return bool(wanted.looks_inside or wanted.ranges or len(wanted.choices) > _OUTCOME_AND_STATUS)
