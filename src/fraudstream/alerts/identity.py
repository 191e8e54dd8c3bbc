"""What becomes of an alert whose id the store may know already; `rows.py` inserts, `store.py` counts and publishes."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Final

import orjson
from sqlalchemy import Connection, bindparam, select, update

from fraudstream.alerts import rows, tables
from fraudstream.alerts.reading import StoredAlert
from fraudstream.messages.posted import PostedAlert
from fraudstream.transactions.wire import AlertField, Outcome

SUPERSEDED: Final = "superseded"

_COLUMN: Final = tables.alerts.c
_STORED: Final = select(_COLUMN.seq, _COLUMN.alert_id, _COLUMN.outcome, _COLUMN.digest, _COLUMN.body).where(
    _COLUMN.alert_id == bindparam("alert_id")
)


class Fate(Enum):
    """What became of a posted alert."""

    NEW = "new"
    CONFLICT = "conflict"
    DUPLICATE = "duplicate"


def store_once(
    connection: Connection, alert: PostedAlert, sets: dict[tuple[str, ...], int], now: datetime
) -> tuple[Fate, StoredAlert | None]:
    """Insert an alert unless its transaction is there under its id with the same outcome.

    The same transaction with the other outcome: judged before with too much missing, and judged again after a repair (a
    new model or alias, a replay), an alert is news and takes the id; an alert that is there stands.

    Args:
        connection: Within a write transaction.
        alert: The alert.
        sets: Ids of column sets that this transaction has met; grows.
        now: The time of commit.

    Returns:
        Its fate, and the new row, None for a duplicate.
    """
    stored = rows.insert_alert(connection, alert, None, sets, now)
    if stored is not None:
        return Fate.NEW, stored
    former = connection.execute(_STORED, {"alert_id": alert.alert_id}).one()
    fate, conflict_of = Fate.NEW, None
    if former.digest != alert.digest:
        stored = rows.insert_alert(connection, alert, alert.alert_id, sets, now)
        if stored is not None:
            return Fate.CONFLICT, stored
        fate, conflict_of = Fate.CONFLICT, alert.alert_id
        former = connection.execute(_STORED, {"alert_id": rows.conflict_id(alert)}).one()
    if former.outcome != Outcome.UNSCORABLE or alert.outcome is not Outcome.ALERT or former.digest != alert.digest:
        return Fate.DUPLICATE, None
    _make_way(connection, former.seq, former.alert_id, former.body)
    return fate, rows.insert_alert(connection, alert, conflict_of, sets, now)


def _make_way(connection: Connection, seq: int, alert_id: str, body: str) -> None:
    """Give a row that an alert supersedes another id; it stays where it was in the order of commit."""
    new_id = f"{alert_id}~{Outcome.UNSCORABLE.value}"
    if connection.execute(_STORED, {"alert_id": new_id}).one_or_none() is not None:
        new_id = f"{new_id}~{seq}"  # somebody posted an alert of that name
    document = orjson.loads(body) | {AlertField.ALERT_ID.value: new_id, SUPERSEDED: True}
    row = {"alert_id": new_id, "body": orjson.dumps(document).decode()}
    connection.execute(update(tables.alerts).where(_COLUMN.seq == seq).values(row))
