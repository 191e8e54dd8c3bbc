"""Tables for the ledger as the relay brings it, and an index that finds conflicts without reading every alert."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables `ledger`, `ledger_places` and `ledger_gaps`, and the index `alerts_in_conflict`."""
    op.create_table(
        "ledger",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("entry_id", sa.String(240), nullable=False, unique=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("topic_id", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("from_offset", sa.BigInteger, nullable=False),
        sa.Column("until_offset", sa.BigInteger, nullable=False),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.Column("clear", sa.BigInteger, nullable=False),
        sa.Column("alert", sa.BigInteger, nullable=False),
        sa.Column("unscorable", sa.BigInteger, nullable=False),
        sa.Column("dead_letter", sa.BigInteger, nullable=False),
        sa.Column("counted", sa.BigInteger, nullable=False),
        sa.Column("checkpoint_id", sa.Text, nullable=False),
        sa.Column("batch_id", sa.BigInteger, nullable=False),
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("committed_us", sa.BigInteger),
        sa.Column("body", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ledger_by_kind", "ledger", ["kind", "seq"])
    op.create_index("ledger_by_offset", "ledger", ["topic_id", "partition", "until_offset"])
    op.create_table(
        "ledger_places",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("topic_id", sa.Text, nullable=False),
        sa.Column("covered_until", sa.BigInteger, nullable=False),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.Column("clear", sa.BigInteger, nullable=False),
        sa.Column("alert", sa.BigInteger, nullable=False),
        sa.Column("unscorable", sa.BigInteger, nullable=False),
        sa.Column("dead_letter", sa.BigInteger, nullable=False),
        sa.Column("lost", sa.BigInteger, nullable=False),
        sa.Column("overlaps", sa.Integer, nullable=False),
    )
    op.create_table(
        "ledger_gaps",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("until_offset", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("from_offset", sa.BigInteger, nullable=False),
    )
    op.create_index("alerts_in_conflict", "alerts", ["seq"], sqlite_where=sa.text("conflict_of IS NOT NULL"))
