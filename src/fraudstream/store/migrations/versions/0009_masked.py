"""Masks what earlier releases stored as it came, and empties the index of words and columns made of it."""

from collections.abc import Callable
from functools import partial
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


def upgrade() -> None:
    """Mask every table row by row; what changes is never in memory all at once. A store of 0008 is on SQLite."""
    connection = op.get_bind()
    mask: DataMask = context.config.attributes["mask"]
    # What is replaced is overwritten in the file, not only left out of it.
    connection.exec_driver_sql("PRAGMA secure_delete = ON")
    alerts = _mask(connection, "alerts", partial(_alert, mask), unique="alert_id")
    _mask(connection, "events", partial(_record, mask, "event_id"), unique="event_id")
    _mask(connection, "dead_letters", partial(_record, mask, None))
    _mask(connection, "rejected", partial(_rejected, mask), unique="digest")
    _mask(connection, "replays", _replay)
    _mask(connection, "column_sets", partial(_column_set, mask), unique="digest")
    _mask(connection, "schemas", partial(_schema, mask))
    if alerts:
        connection.execute(sa.text("DELETE FROM reasons WHERE seq = :seq"), [{"seq": seq} for seq in alerts])
    for table in ("indexed", "restated_alerts", "segment_columns", "segments"):
        connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608 - names of our own
    connection.exec_driver_sql("INSERT INTO alert_words (alert_words) VALUES ('delete-all')")


def _mask(connection: sa.Connection, name: str, masked: Callable[[Any], dict[str, Any]], unique: str = "") -> list[int]:
    """Write the masked values of each row of a table; returns the numbers of the rows that had others before.

    Two rows may differ in nothing but what is masked: the second one's `unique` value is followed by its number.
    """
    table = sa.Table(name, sa.MetaData(), autoload_with=connection)
    number: sa.ColumnElement[int] = sa.literal_column("rowid", sa.Integer)
    changed = []
    for rows in in_pages(connection, sa.select(table), number, _ROWS, "masking what is stored", table=name):
        for row in rows:
            values = {column: value for column, value in masked(row).items() if value != getattr(row, column)}
            if not values:
                continue
            changed.append(row.key)
            update = sa.update(table).where(number == row.key)
            try:
                with connection.begin_nested():
                    connection.execute(update.values(values))
            except sa.exc.IntegrityError:
                connection.execute(update.values(values | {unique: f"{values[unique]}~{row.key}"}))
    return changed


def _alert(mask: DataMask, row: Any) -> dict[str, Any]:
    values = {"assignee": typed(row.assignee)} | _record(mask, "alert_id", row)
    if "body" in values:
        document = orjson.loads(values["body"])
        values["digest"] = now = digest(document["transaction"])
        if row.conflict_of is not None and row.alert_id == f"{row.conflict_of}~{row.digest[:_CONFLICT_DIGITS]}":
            # Made of the digest, so that the same record posted again is known by it.
            values["alert_id"] = document["alert_id"] = f"{row.conflict_of}~{now[:_CONFLICT_DIGITS]}"
            values["body"] = _dumped(document)
    return values


def _record(mask: DataMask, own_id: str | None, row: Any) -> dict[str, Any]:
    document = None if row.body is None else orjson.loads(row.body)
    masked = mask.record(document)
    if masked == document:
        return {}
    return {"body": _dumped(masked)} | ({} if own_id is None else {own_id: masked[own_id]})


def _rejected(mask: DataMask, row: Any) -> dict[str, Any]:
    reason, payload = mask.text(row.reason), mask.text(row.payload)
    return {"reason": reason, "payload": payload, "digest": digest([row.kind, reason, payload])}


def _replay(row: Any) -> dict[str, Any]:
    """What was typed; a corrected payload is kept for as long as it has to be sent."""
    is_over = row.payload is not None and row.state in ("sent", "failed")
    texts = {name: typed(getattr(row, name)) for name in ("who", "why", "reason", "letter")}
    return texts | ({"payload": ""} if is_over else {})


def _column_set(mask: DataMask, row: Any) -> dict[str, Any]:
    names = [mask.text(name) for name in orjson.loads(row.names)]
    return {"names": _dumped(names), "digest": digest(names)}


def _schema(mask: DataMask, row: Any) -> dict[str, Any]:
    return {"columns": _dumped(mask.record({"columns": orjson.loads(row.columns)})["columns"])}


def _dumped(value: Any) -> str:
    return orjson.dumps(value).decode()
