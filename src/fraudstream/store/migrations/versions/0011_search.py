"""Replaces the segments by indexes that hold every filter, and enters the words of the alerts that are there."""

import orjson
import sqlalchemy as sa
from alembic import op

from fraudstream.store.database import in_pages
from fraudstream.store.full_text import alert_tokens

revision = "0011"
down_revision = "0010"

_ROWS = 500
_FILTERED = ("produced_us", "score", "amount", "assignee", "model_id", "schema_id", "topic", "column_set")
_ORDERS = {
    "alerts_by_commit": ("seq",),
    "alerts_by_score": ("score", "seq"),
    "alerts_by_amount": ("amount", "seq"),
    "alerts_by_loss": ("expected_loss", "seq"),
}
_WORDS = (
    # What is a word is decided before (`words.py`): they come folded, with blanks between them, and stay whole here.
    "CREATE VIRTUAL TABLE alert_words USING fts5(words, content='', "
    "tokenize=\"unicode61 remove_diacritics 0 categories 'L* N* M* P* S* Co'\")"
)


def upgrade() -> None:
    """Drop the former index, make the new ones, and fill them; the alerts are read some hundred at a time."""
    op.execute("DROP TRIGGER alerts_restated")
    op.execute("DROP TABLE alert_words_known")
    op.execute("DROP TABLE alert_words")
    for table in ("indexed", "restated_alerts", "segment_columns", "segments"):
        op.drop_table(table)
    for index in ("alerts_by_status", "alerts_by_loss"):
        op.drop_index(index, "alerts")
    for name, columns in _ORDERS.items():
        rest = (each for each in _FILTERED if each not in columns)
        op.create_index(name, "alerts", ["outcome", "status", *columns, *rest])
    op.execute(_WORDS)
    _fill()


def _fill() -> None:
    connection = op.get_bind()
    seq, body = sa.column("seq", sa.Integer), sa.column("body", sa.Text)
    alerts = sa.select(body).select_from(sa.table("alerts"))
    enter = sa.text("INSERT INTO alert_words (rowid, words) VALUES (:seq, :words)")
    for rows in in_pages(connection, alerts, seq, _ROWS, "entering the words of stored alerts"):
        words = ((row.key, " ".join(alert_tokens(orjson.loads(row.body)))) for row in rows)
        connection.execute(enter, [{"seq": seq, "words": of_alert} for seq, of_alert in words])
