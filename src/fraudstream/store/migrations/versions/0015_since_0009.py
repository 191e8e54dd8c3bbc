"""Adds what the tables of a masked store lack, and fills it: of release 112b93f, or of a development version since."""

import orjson
import sqlalchemy as sa
from alembic import context, op

from fraudstream.store import tables
from fraudstream.store.changes import entries, entry_hash
from fraudstream.store.database import in_pages
from fraudstream.store.entities import insert_entities
from fraudstream.store.full_text import index_tokens
from fraudstream.store.rows import indexed_tokens, produced_us
from fraudstream.transactions.entities import UNKNOWN

revision = "0015"
down_revision = "0009"

_ROWS = 500
_FORMER_INDEX = (
    "DROP TRIGGER alerts_restated",
    *(f"DROP TABLE {name}" for name in ("alert_words_known", "alert_words", "indexed", "restated_alerts")),
    *(f"DROP TABLE {name}" for name in ("segment_columns", "segments")),
    *(f"DROP INDEX alerts_by_{name}" for name in ("status", "loss")),
)
"""The search of 112b93f, which had an index of its own for words and columns."""
_VERDICTS = """
INSERT INTO labels (event_id, label, source, event_us, known_us, who)
SELECT alert_id, CASE status WHEN 'false_alarm' THEN 'legitimate' ELSE 'fraud' END, 'verdict', produced_us, decided_us,
    coalesce(assignee, '')
FROM alerts WHERE decided_us IS NOT NULL AND status IN ('confirmed_fraud', 'false_alarm') ORDER BY decided_us, seq
"""


def upgrade() -> None:
    """Create what is missing as in a new store, then fill it from the rows that are there, some hundred at a time."""
    connection = op.get_bind()
    former = sa.inspect(connection)
    names = [name for name in tables.metadata.tables if former.has_table(name)]
    columns = {name: {each["name"] for each in former.get_columns(name)} for name in names}
    has_former_index = former.has_table("segments")
    for statement in _FORMER_INDEX if has_former_index else ():
        op.execute(statement)
    for table in tables.metadata.sorted_tables:
        for column in table.columns if table.name in columns else ():
            if column.name not in columns[table.name]:
                op.add_column(table.name, column)
    if connection.dialect.name == "postgresql":
        op.alter_column("alerts", "status", type_=tables.alerts.c.status.type)
    if "hash" not in columns["changes"]:
        op.execute("DROP TRIGGER changes_no_update")
        _chain(connection)
    tables.metadata.create_all(connection)
    for table in tables.metadata.sorted_tables:
        for index in table.indexes:
            index.create(connection, checkfirst=True)
    for statement in context.config.attributes["ddl"]:
        connection.exec_driver_sql(statement)
    if "produced_us" not in columns["dead_letters"]:
        _fill_times(connection)
    _fill_from_alerts(connection, words=has_former_index, entities="alert_entities" not in columns)
    if "labels" not in columns:  # verdicts in place; those that were undone left no label
        connection.exec_driver_sql(_VERDICTS)


def _chain(connection: sa.Connection) -> None:
    before, hashes = "", []
    for entry, items in entries(connection):
        before = entry_hash(before, entry._asdict(), items)
        hashes.append({"of": entry.seq, "new_hash": before})
    if hashes:
        update = sa.update(tables.changes).where(tables.changes.c.seq == sa.bindparam("of"))
        connection.execute(update.values(hash=sa.bindparam("new_hash")), hashes)


def _fill_times(connection: sa.Connection) -> None:
    column = tables.dead_letters.c
    query = sa.select(column.body).where(column.body.is_not(None))
    for rows in in_pages(connection, query, column.seq, _ROWS):
        for row in rows:
            update = sa.update(tables.dead_letters).where(column.seq == row.key)
            connection.execute(update.values(produced_us=produced_us(orjson.loads(row.body))))


def _fill_from_alerts(connection: sa.Connection, *, words: bool, entities: bool) -> None:
    column = tables.alerts.c
    query = sa.select(column.outcome, column.body)
    for rows in in_pages(connection, query, column.seq, _ROWS, "indexing stored alerts") if words or entities else ():
        if words:
            index_tokens(connection, ((row.key, indexed_tokens(row.body)) for row in rows))
        if entities:
            alerts = ((row.key, orjson.loads(row.body)["transaction"]) for row in rows if row.outcome == "alert")
            insert_entities(connection, ((seq, transaction, UNKNOWN) for seq, transaction in alerts))
