"""Keeps the reasons of alerts beside them, by their `seq`; what they say is `model/explanation/`'s.

They are never part of an alert's own transaction: an alert is stored first, and its reasons when they are worked out.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert

from fraudstream.alerts import tables
from fraudstream.alerts.reading import STORED_COLUMNS, StoredAlert, stored_alert
from fraudstream.alerts.store import AlertStore
from fraudstream.times import microseconds
from fraudstream.transactions.wire import Outcome

NOT_YET: Final = b'"reasons":null,"explanation":null'
"""The members of an alert whose reasons are not worked out."""

_INSERT: Final = insert(tables.reasons).on_conflict_do_nothing(index_elements=["seq"])


class ReasonStore:
    """Reads and writes the reasons in an alert store."""

    def __init__(self, store: AlertStore) -> None:
        self._store = store

    def add(self, found: Mapping[int, Mapping[str, Any]], now: datetime) -> None:
        """Store the reasons of alerts, by their `seq`; of one that has reasons already the first ones stay.

        Raises StoreError where the database does not take them; nothing is stored then.
        """
        at_us = microseconds(now)
        rows = [
            {"seq": seq, "worked_us": at_us, "body": orjson.dumps(each).decode()[1:-1]} for seq, each in found.items()
        ]
        if rows:
            with self._store.writing(relaxed=True) as connection:
                connection.execute(_INSERT, rows)

    def lacking(self, before: int, limit: int) -> list[StoredAlert]:
        """The newest alerts below a `seq` that have no reasons yet, the newest first."""
        alert, column = tables.alerts.c, tables.reasons.c
        query = (
            select(*STORED_COLUMNS)
            .join_from(tables.alerts, tables.reasons, alert.seq == column.seq, isouter=True)
            .where(alert.outcome == Outcome.ALERT.value, alert.seq < before, column.seq.is_(None))
            .order_by(alert.seq.desc())
            .limit(limit)
        )
        return [stored_alert(row) for row in self._store.rows(query)]

    def worked_us(self, seq: int) -> int | None:
        """When the reasons of an alert were worked out, in microseconds since 1970; None while they are not."""
        column = tables.reasons.c
        return self._store.scalar(select(column.worked_us).where(column.seq == seq))

    def attached(self, alerts: Sequence[StoredAlert]) -> list[StoredAlert]:
        """The same alerts, each fraud with `reasons` and `explanation`, which are null as long as there are none."""
        wanted = [alert.seq for alert in alerts if alert.outcome == Outcome.ALERT]
        if not wanted:
            return list(alerts)
        column = tables.reasons.c
        rows = self._store.rows(select(column.seq, column.body).where(column.seq.in_(wanted)))
        bodies = {row.seq: row.body.encode() for row in rows}
        return [
            alert._replace(body=b"%s,%s}" % (alert.body[:-1], bodies.get(alert.seq, NOT_YET)))
            if alert.outcome == Outcome.ALERT
            else alert
            for alert in alerts
        ]
