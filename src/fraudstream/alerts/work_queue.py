"""Which new alert comes next, in an order that the indexes of `alerts` give; `work.py` claims it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, select

from fraudstream.alerts import tables
from fraudstream.alerts.reading import AlertFilter
from fraudstream.alerts.status import AlertStatus
from fraudstream.alerts.validation import STORED_OUTCOMES

TOGETHER: Final = 8
"""Candidates that are looked up at once: where several people ask at the same time, each gets one of them."""

_COLUMN: Final = tables.alerts.c


class Order(StrEnum):
    """Which alert comes first."""

    LOSS = "loss"
    SCORE = "score"
    NEWEST = "newest"
    OLDEST = "oldest"


_ORDERS: Final[dict[Order, tuple[ColumnElement[Any], ...]]] = {
    Order.LOSS: (_COLUMN.expected_loss.desc(), _COLUMN.seq.desc()),
    Order.SCORE: (_COLUMN.score.desc(), _COLUMN.seq.desc()),
    Order.NEWEST: (_COLUMN.seq.desc(),),
    Order.OLDEST: (_COLUMN.seq.asc(),),
}


def candidates(connection: Connection, wanted: AlertFilter, order: Order, skip: Sequence[str] = ()) -> list[str]:
    """The ids of the first new alerts in an order.

    Args:
        connection: To read with.
        wanted: Which alerts; of those of every outcome, frauds come before what could not be judged.
        order: Which first.
        skip: Ids that are not wanted.
    """
    outcomes = STORED_OUTCOMES if wanted.outcome is None else (wanted.outcome,)
    passed = _seqs(connection, skip)
    found: list[str] = []
    for outcome in outcomes:
        found += connection.execute(_query(replace(wanted, outcome=outcome), order, passed)).scalars()
    return found[:TOGETHER]


def _query(wanted: AlertFilter, order: Order, passed: Sequence[int]) -> Select[Any]:
    conditions = [*wanted.conditions(), _COLUMN.status == AlertStatus.NEW.value]
    if passed:
        conditions.append(_COLUMN.seq.not_in(passed))
    return select(_COLUMN.alert_id).where(*conditions).order_by(*_ORDERS[order]).limit(TOGETHER)


def _seqs(connection: Connection, alert_ids: Sequence[str]) -> Sequence[int]:
    if not alert_ids:
        return ()
    return connection.execute(select(_COLUMN.seq).where(_COLUMN.alert_id.in_(alert_ids))).scalars().all()
