"""Restores, prunes and copies an alert store, on SQLite and on PostgreSQL."""

import hashlib
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Connection, Select, Table, and_, delete, func, inspect, select, update

from fraudstream.store import tables
from fraudstream.store.backends.backend import without_nul
from fraudstream.store.backends.sqlite import SqliteBackend
from fraudstream.store.changes import BrokenLink, broken_links
from fraudstream.store.database import ROWS_AT_ONCE, Database, backend_of, insert, read_store, upsert
from fraudstream.store.full_text import index_tokens, remove_tokens
from fraudstream.store.minutes import MINUTE_US, MinuteStore
from fraudstream.store.reading import AlertReader, Total
from fraudstream.store.rows import count, indexed_tokens
from fraudstream.store.triage_state import AlertStatus
from fraudstream.transactions.wire import EventType, Outcome

PAUSE_SECONDS: Final = 0.1
"""Between two batches of pruning: a writer that waits for SQLite's lock looks for it every 100 ms, and is served."""


def restore(url: str, file: Path) -> int:
    """Restore a backup and return its number of alerts; raises StoreError unless the store is empty or missing."""
    backend = backend_of(url)
    if not isinstance(backend, SqliteBackend) or backend.path.exists():
        with read_store(url) as connection:
            if _has_rows(connection):
                remedy = "name another database (setting `database`), or move this one away"
                raise backend.error("the alert store is not empty, and a backup replaces nothing", remedy)
    backend.restore(file)
    with read_store(url) as connection:
        return connection.execute(select(func.count()).select_from(tables.alerts)).scalar_one()


def _has_rows(connection: Connection) -> bool:
    """Whether any table has rows besides those that an empty store has."""
    names = {each for each in inspect(connection).get_table_names() if not each.startswith("alert_words")}
    queries = (f'SELECT 1 FROM "{name}" LIMIT 1' for name in names - {"alembic_version", "totals"})  # noqa: S608
    return any(connection.exec_driver_sql(query).all() for query in queries)


def _prunable(before_us: int) -> dict[Table, ColumnElement[bool]]:
    """Return the condition for the rows of each table that are pruned: old ones that no person has acted on."""
    alert, newer, item = tables.alerts.c, tables.alerts.alias().c, tables.change_items.c
    event, dead_letter = tables.events.c, tables.dead_letters.c
    is_triaged = select(item.alert).where(item.alert == alert.seq).exists()
    # The newest alert stays: readers go on after its `seq`.
    is_newest = alert.seq == select(func.max(newer.seq)).scalar_subquery()
    is_new = alert.status == AlertStatus.NEW.value
    return {
        tables.alerts: and_(alert.received_us < before_us, is_new, ~is_triaged, ~is_newest),
        tables.events: and_(event.received_us < before_us, event.type != EventType.AUDIT_HEAD.value),
        tables.rejected: tables.rejected.c.received_us < before_us,
        tables.dead_letters: and_(dead_letter.received_us < before_us, dead_letter.body.is_not(None)),
        tables.minutes: tables.minutes.c.minute < before_us // MINUTE_US,
    }


def count_prunable(url: str, before_us: int) -> dict[str, int]:
    """Count what pruning would delete, by table."""
    counts = {each: select(func.count()).select_from(each).where(old) for each, old in _prunable(before_us).items()}
    with read_store(url) as connection:
        return {each.name: connection.execute(query).scalar_one() for each, query in counts.items()}


def prune(database: Database, before_us: int) -> dict[str, int]:
    """Delete what is older, 1,000 rows in a transaction, and return the number of rows by table; raises StoreError."""
    pruned = {table.name: 0 for table in _prunable(before_us)}
    latest_us = max(before_us, AlertReader(database).totals().get(Total.PRUNED_BEFORE, 0))
    with database.write() as connection:
        connection.execute(upsert(tables.totals), {"name": Total.PRUNED_BEFORE, "value": latest_us})
    for table, is_old in _prunable(before_us).items():
        (key,) = table.primary_key
        query, last = select(key).where(is_old).order_by(key).limit(ROWS_AT_ONCE), 0
        if table is tables.alerts:  # no index has the time, and behind it there may be millions
            query = query.where(key <= MinuteStore(database).before(before_us // MINUTE_US + 1))
        # Looked up before the transaction, so that no post waits for a scan; somebody may claim one meanwhile.
        while keys := [row[0] for row in database.rows(query.where(key > last))]:
            with database.write() as connection:
                pruned[table.name] += _prune_rows(connection, table, and_(key.in_(keys), is_old))
            last = keys[-1]
            time.sleep(PAUSE_SECONDS)
    return pruned


def _prune_rows(connection: Connection, table: Table, where: ColumnElement[bool]) -> int:
    if table is tables.dead_letters:
        return connection.execute(update(table).where(where).values(body=None)).rowcount
    if table is tables.alerts:
        rows = connection.execute(select(table.c.seq, table.c.outcome, table.c.body).where(where)).all()
        remove_tokens(connection, ((row.seq, indexed_tokens(row.body)) for row in rows))
        seqs = [row.seq for row in rows]
        for column in (tables.reasons.c.seq, tables.alert_entities.c.alert):
            connection.execute(delete(column.table).where(column.in_(seqs)))
        count(connection, Total.PRUNED_ALERTS, sum(row.outcome == Outcome.ALERT.value for row in rows))
        where = table.c.seq.in_(seqs)
    return connection.execute(delete(table).where(where)).rowcount


class TableSum(NamedTuple):
    """The number of rows of a table, and a SHA-256 over them in the order of the primary key."""

    rows: int
    digest: str


def copy(source_url: str, target: Database) -> tuple[dict[str, TableSum], list[BrokenLink]]:
    """Copy a store to another database, or the rest of it after an interruption, and compare both.

    Returns the sums of all tables and the broken links of the audit trail, which are the same in both. Raises
    StoreError if the target holds other data, or if both differ at the end.
    """
    target_url = target.backend.url
    with read_store(source_url) as source:
        with read_store(target_url) as connection:
            copied = {table: _sum(connection, table) for table in tables.metadata.sorted_tables}
        others = [table.name for table, each in copied.items() if _sum(source, table, each.rows) != each]
        if others:
            what = f"the target holds rows that the source does not have, in {', '.join(others)}"
            raise target.backend.error(what, "copy to an empty database, with the dashboards stopped")
        for table, each in copied.items():
            _copy_rows(source, target, table, each.rows)
    with read_store(source_url) as source, read_store(target_url) as connection:
        sums, broken = {table.name: _sum(connection, table) for table in copied}, list(broken_links(connection))
        others = [table.name for table in copied if _sum(source, table) != sums[table.name]]
        if others or broken != list(broken_links(source)):
            what = f"the copy differs from the source, in {', '.join(others) or 'the hashes of changes'}"
            raise target.backend.error(what, "stop the dashboards on both, and copy again to an empty database")
    return sums, broken


def _copy_rows(source: Connection, target: Database, table: Table, done: int) -> None:
    rows = source.execute(_in_key_order(source, table).offset(done)).mappings()
    for part in rows.partitions(ROWS_AT_ONCE):
        with target.write() as connection:
            connection.execute(insert(table), [dict(row) for row in part])
            if table is tables.alerts:
                index_tokens(connection, ((row["seq"], indexed_tokens(row["body"])) for row in part))
    if target.backend.is_shared and (key := table.autoincrement_column) is not None:
        sequence = f"pg_get_serial_sequence('{table.name}', '{key.name}')"
        with target.write() as connection:
            connection.exec_driver_sql(f"SELECT setval({sequence}, max({key.name})) FROM {table.name}")  # noqa: S608


def _sum(connection: Connection, table: Table, limit: int | None = None) -> TableSum:
    """Sum up all rows or the first ones, with texts as PostgreSQL stores them."""
    digest, number = hashlib.sha256(), 0
    for row in connection.execute(_in_key_order(connection, table).limit(limit)):
        digest.update(orjson.dumps([without_nul(each) if isinstance(each, str) else each for each in row]))
        number += 1
    return TableSum(number, digest.hexdigest())


def _in_key_order(connection: Connection, table: Table) -> Select[Any]:
    # PostgreSQL orders texts by the language of the database, SQLite by their bytes.
    is_collated = connection.dialect.name == "postgresql"
    keys = (key.collate("C") if is_collated and key.type.python_type is str else key for key in table.primary_key)
    return select(table).order_by(*keys)
