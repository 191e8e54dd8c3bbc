"""Masks what earlier releases stored as it came, and empties the index of words and columns made of it."""

from collections.abc import Callable
from itertools import chain
from typing import Any

import orjson
import sqlalchemy as sa
from alembic import context, op

from fraudstream.messages.posted import digest
from fraudstream.store.database import in_pages
from fraudstream.transactions.masking import DataMask, typed

revision = "0009"
down_revision = "0008"

_ROWS = 1_000
_CONFLICT_DIGITS = 12


def _table(name: str, *columns: str) -> sa.TableClause:
    """A table as it is at this revision, of which later ones may have more."""
    return sa.table(name, *map(sa.column, columns))


alerts = _table("alerts", "seq", "alert_id", "conflict_of", "digest", "body", "assignee", "column_set")
column_sets = _table("column_sets", "id", "digest", "names")
dead_letters = _table("dead_letters", "seq", "body")
events = _table("events", "seq", "event_id", "body")
reasons = _table("reasons", "seq")
rejected = _table("rejected", "seq", "digest", "kind", "reason", "payload")
replays = _table("replays", "seq", "state", "who", "why", "reason", "letter", "payload")
schemas = _table("schemas", "schema_id", "columns")


def upgrade() -> None:
    """Mask every table row by row; what changes is never in memory all at once."""
    connection = op.get_bind()
    mask: DataMask = context.config.attributes.get("mask") or DataMask()
    # What is replaced is overwritten in the file, not only left out of it.
    connection.exec_driver_sql("PRAGMA secure_delete = ON")
    renamed = _column_sets(connection, mask)
    changed = sum(
        (
            _mask(connection, alerts, lambda row: _alert(mask, row, renamed)),
            _mask(connection, events, lambda row: _record(mask, row, "event_id")),
            _mask(connection, dead_letters, lambda row: _record(mask, row)),
            _mask(connection, rejected, lambda row: _rejected(mask, row)),
            _mask(connection, replays, _replay),
        )
    )
    for row in connection.execute(sa.select(schemas.c.schema_id, schemas.c.columns)).all():
        shown = _dumped(mask.record({"columns": orjson.loads(row.columns)})["columns"])
        if shown != row.columns:
            where = schemas.c.schema_id == row.schema_id
            connection.execute(sa.update(schemas).where(where).values(columns=shown))
    if changed:
        # They hold words and values as they came; both are filled again in the background.
        for table in ("indexed", "restated_alerts", "segment_columns", "segments"):
            connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608 - names of our own
        connection.exec_driver_sql("INSERT INTO alert_words (alert_words) VALUES ('delete-all')")


def _mask(connection: sa.Connection, table: sa.TableClause, masked: Callable[[Any], dict[str, Any]]) -> int:
    """Give each row its masked values; returns how many had others before."""
    changed = 0
    pages = in_pages(connection, sa.select(table), table.c.seq, _ROWS, "masking what is stored", table=table.name)
    for row in chain.from_iterable(pages):
        values = {name: value for name, value in masked(row).items() if value != getattr(row, name)}
        if values:
            changed += 1
            _write(connection, table, row.seq, values)
    return changed


def _write(connection: sa.Connection, table: sa.TableClause, seq: int, values: dict[str, Any]) -> None:
    update = sa.update(table).where(table.c.seq == seq)
    try:
        with connection.begin_nested():
            connection.execute(update.values(values))
    except sa.exc.IntegrityError:
        # Two rows that differ in nothing but what is masked: an id stays unique, a rejected record is kept once.
        if table is rejected:
            connection.execute(sa.delete(table).where(table.c.seq == seq))
            return
        for name in ("alert_id", "event_id"):
            if name in values:
                values[name] = f"{values[name]}~{seq}"
        connection.execute(update.values(values))
    if table is alerts:
        connection.execute(sa.delete(reasons).where(reasons.c.seq == seq))


def _alert(mask: DataMask, row: Any, renamed: dict[int, int]) -> dict[str, Any]:
    document = orjson.loads(row.body)
    shown = mask.record(document)
    values = {"assignee": typed(row.assignee), "column_set": renamed.get(row.column_set, row.column_set)}
    if shown == document:
        return values
    now = digest(shown["transaction"])
    alert_id = shown["alert_id"]
    if row.conflict_of is not None and row.alert_id == f"{row.conflict_of}~{row.digest[:_CONFLICT_DIGITS]}":
        # Made of the digest, so that the same record posted again is known by it.
        shown["alert_id"] = alert_id = f"{row.conflict_of}~{now[:_CONFLICT_DIGITS]}"
    return values | {"body": _dumped(shown), "digest": now, "alert_id": alert_id}


def _record(mask: DataMask, row: Any, own_id: str | None = None) -> dict[str, Any]:
    if row.body is None:
        return {}
    document = orjson.loads(row.body)
    shown = mask.record(document)
    if shown == document:
        return {}
    return {"body": _dumped(shown)} | ({} if own_id is None else {own_id: shown[own_id]})


def _rejected(mask: DataMask, row: Any) -> dict[str, Any]:
    reason, payload = mask.text(row.reason), mask.text(row.payload)
    if (reason, payload) == (row.reason, row.payload):
        return {}
    return {"reason": reason, "payload": payload, "digest": digest([row.kind, reason, payload])}


def _replay(row: Any) -> dict[str, Any]:
    """What was typed; a corrected payload is kept for as long as it has to be sent."""
    is_over = row.payload is not None and row.state in ("sent", "failed")
    texts = {name: typed(getattr(row, name)) for name in ("who", "why", "reason", "letter")}
    return texts | ({"payload": ""} if is_over else {})


def _column_sets(connection: sa.Connection, mask: DataMask) -> dict[int, int]:
    """Mask the names of columns; the sets that are like another one then, with that one."""
    renamed: dict[int, int] = {}
    column = column_sets.c
    for row in connection.execute(sa.select(column_sets)).all():
        names = [mask.text(name) for name in orjson.loads(row.names)]
        if names == orjson.loads(row.names):
            continue
        values = {"names": _dumped(names), "digest": digest(names)}
        same = connection.execute(sa.select(column.id).where(column.digest == values["digest"])).scalar_one_or_none()
        connection.execute(
            sa.update(column_sets).where(column.id == row.id).values(values)
            if same is None
            else sa.update(column_sets).where(column.id == row.id).values(names="[]", digest=f"former {row.id}")
        )
        if same is not None:
            renamed[row.id] = same
    return renamed


def _dumped(value: Any) -> str:
    return orjson.dumps(value).decode()
