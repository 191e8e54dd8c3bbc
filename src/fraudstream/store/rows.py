"""Inserts each validated record as one row, at most once."""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Table, bindparam, func, select, update

from fraudstream.messages.base import instant
from fraudstream.messages.posted import DeadLetter, PostedAlert, digest
from fraudstream.store import tables
from fraudstream.store.database import insert
from fraudstream.store.full_text import alert_tokens
from fraudstream.store.reading import StoredAlert, alert_json
from fraudstream.times import microseconds
from fraudstream.transactions.presentable import json_text
from fraudstream.transactions.wire import AlertField, DeadLetterField, EventField, Outcome

CONFLICT_DIGITS: Final = 12
KEPT_DEAD_LETTERS: Final = 10_000
MAX_PAYLOAD_CHARS: Final = 64 * 1024
"""A dead letter's payload is stored up to this length; the topic has all of it."""
MAX_REJECTED_CHARS: Final = 256 * 1024
"""A rejected payload is stored up to this length, which is enough to recognise it."""

# Built once: building the statements for each alert took longer than SQLite took to execute them.
_INSERT_ALERT: Final = (
    insert(tables.alerts).on_conflict_do_nothing(index_elements=["alert_id"]).returning(tables.alerts.c.seq)
)

_COLUMN_SET_OF: Final = select(tables.column_sets.c.id).where(tables.column_sets.c.digest == bindparam("digest"))
_INSERT_COLUMN_SET: Final = insert(tables.column_sets).returning(tables.column_sets.c.id)
_ADD: Final = insert(tables.totals)
_COUNT: Final = _ADD.on_conflict_do_update(
    index_elements=["name"], set_={"value": tables.totals.c.value + _ADD.excluded.value}
)

SUPERSEDED: Final = "superseded"
SUPERSEDED_ID: Final = re.compile(r"~unscorable(~[0-9]+)?$")
"""What is appended to the id of an unscorable transaction when an alert takes that id."""

_COLUMN: Final = tables.alerts.c
_COPIED: Final = ("score", "model_id", "topic", "produced_us", "digest", "schema_id", "amount", "expected_loss")
"""The columns that are attributes of a posted alert."""

_STORED: Final = select(_COLUMN.seq, _COLUMN.alert_id, _COLUMN.outcome, _COLUMN.digest, _COLUMN.body).where(
    _COLUMN.alert_id == bindparam("alert_id")
)


def insert_alert(
    connection: Connection, alert: PostedAlert, conflict_of: str | None, sets: dict[tuple[str, ...], int], now: datetime
) -> StoredAlert | None:
    """Insert an alert, within a write transaction committed at `now`; None if its id exists already.

    `conflict_of` is the id that it shares with another transaction, if any. `sets` caches the ids of column sets for
    this write transaction, and is updated.
    """
    alert_id = alert.alert_id if conflict_of is None else conflict_id(alert)
    own = {AlertField.ALERT_ID.value: alert_id, "received_at": now.isoformat()}
    if conflict_of is not None:
        own["conflict_of"] = conflict_of
    body = orjson.dumps(alert.document | own).decode()
    columns = tuple(alert.transaction)
    if columns not in sets:
        sets[columns] = _column_set(connection, columns)
    row = {name: getattr(alert, name) for name in _COPIED} | {
        "alert_id": alert_id,
        "conflict_of": conflict_of,
        "outcome": alert.outcome.value,
        "received_us": microseconds(now),
        "column_set": sets[columns],
        "body": body,
    }
    seq = connection.execute(_INSERT_ALERT, row).scalar_one_or_none()
    if seq is None:
        return None
    return StoredAlert(seq, alert.outcome.value, alert.produced_us, alert_json(seq, body))


def conflict_id(alert: PostedAlert) -> str:
    """Return the id of an alert whose own id belongs to another transaction."""
    return f"{alert.alert_id}~{alert.digest[:CONFLICT_DIGITS]}"


def _column_set(connection: Connection, names: tuple[str, ...]) -> int:
    # In the order of the transaction, unlike its digest: an export has the columns in that order.
    encoded = orjson.dumps(names)
    key = {"digest": hashlib.sha256(encoded).hexdigest()}
    set_id: int | None = connection.execute(_COLUMN_SET_OF, key).scalar_one_or_none()
    if set_id is None:
        set_id = connection.execute(_INSERT_COLUMN_SET, key | {"names": encoded.decode()}).scalar_one()
    return set_id


def insert_event(connection: Connection, event: Mapping[str, Any], now: datetime) -> bool:
    """Insert an event; False if its id is stored already. Without an id, the digest of its content is used."""
    event_id = event.get(EventField.EVENT_ID) or digest(event)
    body = dict(event) | {EventField.EVENT_ID.value: event_id, "received_at": now.isoformat()}
    row = {"event_id": event_id, "type": event[EventField.TYPE], "received_us": microseconds(now)}
    return _insert_once(connection, tables.events, "event_id", row | {"body": orjson.dumps(body).decode()})


def insert_dead_letter(connection: Connection, dead_letter: DeadLetter, now: datetime) -> bool:
    """Insert a dead letter; False if its record is stored already."""
    dead_letter_id = f"{dead_letter.topic}/{dead_letter.partition}/{dead_letter.offset}"
    body = dead_letter.document | {"id": dead_letter_id, "received_at": now.isoformat()}
    if (payload := dead_letter.payload_base64) is not None and len(payload) > MAX_PAYLOAD_CHARS:
        # A multiple of four characters is still base64.
        body |= {DeadLetterField.PAYLOAD.value: payload[:MAX_PAYLOAD_CHARS], "payload_truncated": True}
    row = {"id": dead_letter_id, "received_us": microseconds(now), "body": orjson.dumps(body).decode()}
    return _insert_once(connection, tables.dead_letters, "id", row | {"produced_us": produced_us(body)})


def produced_us(dead_letter: Mapping[str, Any]) -> int | None:
    """Return when a dead letter was produced; None if it does not say so, or not as a time."""
    try:
        return instant(dead_letter.get(DeadLetterField.PRODUCED_AT))
    except ValueError:
        return None


def delete_old_bodies(connection: Connection, added: int) -> None:
    """Delete the bodies of the dead letters that `added` new ones have pushed out of the newest 10,000."""
    table = tables.dead_letters
    if not added:
        return
    newest: int = connection.execute(select(func.max(table.c.seq))).scalar_one()
    last = newest - KEPT_DEAD_LETTERS
    if last > 0:
        connection.execute(update(table).where(table.c.seq <= last, table.c.seq > last - added).values(body=None))


def as_readable(raw: object) -> str:
    """Convert any value to text that can be stored and shown: a string as is, anything else as JSON if possible."""
    text = raw if isinstance(raw, str) else json_text(raw)
    return text[:MAX_REJECTED_CHARS].encode("utf-8", "backslashreplace").decode()


def insert_rejected(connection: Connection, kind: str, raw: object, reason: str, now: datetime) -> bool:
    """Insert a rejected record; False if it is stored already."""
    payload = as_readable(raw)
    row = {"kind": kind, "reason": reason, "payload": payload, "received_us": microseconds(now)}
    return _insert_once(connection, tables.rejected, "digest", row | {"digest": digest([kind, reason, payload])})


def count(connection: Connection, name: str, more: int) -> None:
    """Increment one of the counts of `Total`."""
    if more:
        connection.execute(_COUNT, {"name": name, "value": int(more)})


def _insert_once(connection: Connection, table: Table, key: str, values: Mapping[str, object]) -> bool:
    statement = insert(table).values(values).on_conflict_do_nothing(index_elements=[key]).returning(table.c.seq)
    return connection.execute(statement).scalar_one_or_none() is not None


def store_once(
    connection: Connection, alert: PostedAlert, sets: dict[tuple[str, ...], int], now: datetime
) -> tuple[StoredAlert | None, bool]:
    """Insert an alert, deduplicated: not if its id exists with the same transaction and outcome.

    If the same transaction is stored as unscorable and was scored again after a repair (a new model or alias, a
    replay), the alert is new and takes over the id; a stored alert is never replaced. The arguments are those of
    `insert_alert`. Returns the new row, None for a duplicate, and whether its id belongs to another transaction.
    """
    stored = insert_alert(connection, alert, None, sets, now)
    if stored is not None:
        return stored, False
    former = connection.execute(_STORED, {"alert_id": alert.alert_id}).one()
    conflict_of = None
    if former.digest != alert.digest:
        conflict_of = alert.alert_id
        stored = insert_alert(connection, alert, conflict_of, sets, now)
        if stored is not None:
            return stored, True
        former = connection.execute(_STORED, {"alert_id": conflict_id(alert)}).one()
    if former.outcome != Outcome.UNSCORABLE or alert.outcome is not Outcome.ALERT or former.digest != alert.digest:
        return None, False
    _supersede(connection, former.seq, former.alert_id, former.body)
    return insert_alert(connection, alert, conflict_of, sets, now), conflict_of is not None


def indexed_tokens(body: str) -> list[str]:
    """Tokenize a stored alert as it was indexed: under the id that it had before an alert superseded it."""
    document = orjson.loads(body)
    if document.get(SUPERSEDED):
        document[AlertField.ALERT_ID.value] = SUPERSEDED_ID.sub("", document[AlertField.ALERT_ID.value])
    return alert_tokens(document)


def _supersede(connection: Connection, seq: int, alert_id: str, body: str) -> None:
    """Rename a row that an alert supersedes; it keeps its commit order."""
    new_id = f"{alert_id}~{Outcome.UNSCORABLE.value}"
    if connection.execute(_STORED, {"alert_id": new_id}).one_or_none() is not None:
        new_id = f"{new_id}~{seq}"  # an alert with that id was posted
    document = orjson.loads(body) | {AlertField.ALERT_ID.value: new_id, SUPERSEDED: True}
    row = {"alert_id": new_id, "body": orjson.dumps(document).decode()}
    connection.execute(update(tables.alerts).where(_COLUMN.seq == seq).values(row))
