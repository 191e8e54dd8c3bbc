"""An index to find alerts by: their columns in segments, and their words; it is filled in the background."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the tables, and the trigger that notes changes of what is indexed; drop an index that they replace."""
    op.drop_index("alerts_by_columns", "alerts")
    op.create_table(
        "segments",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("first_seq", sa.BigInteger, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("crowded", sa.Integer, nullable=False),
        sa.Column("seqs", sa.LargeBinary),
    )
    op.create_table(
        "segment_columns",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("segment", sa.Integer, nullable=False),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("low", sa.Float(53)),
        sa.Column("high", sa.Float(53)),
        sa.Column("texts", sa.Text),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_index("segment_columns_by_name", "segment_columns", ["name", "segment"])
    op.create_index("segment_columns_by_segment", "segment_columns", ["segment", "kind"])
    seq = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table("restated_alerts", sa.Column("seq", seq, primary_key=True, autoincrement=False))
    op.create_table(
        "indexed",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
    )
    # What is a word is decided before (`words.py`): they come folded, with blanks between them, and stay whole here.
    op.execute(
        "CREATE VIRTUAL TABLE alert_words USING fts5(words, content='', "
        "tokenize=\"unicode61 remove_diacritics 0 categories 'L* N* M* P* S* Co'\")"
    )
    op.execute("CREATE VIRTUAL TABLE alert_words_known USING fts5vocab(alert_words, 'row')")
    op.execute(
        "CREATE TRIGGER alerts_restated AFTER UPDATE OF status, assignee ON alerts "
        "BEGIN INSERT OR IGNORE INTO restated_alerts (seq) VALUES (NEW.seq); END"
    )
