"""The first tables: alerts, what was rejected, events, dead letters, positions and totals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _seq() -> sa.Column[int]:
    return sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True)


def upgrade() -> None:
    """Make every table of the first release."""
    op.create_table(
        "column_sets",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("names", sa.Text, nullable=False),
    )
    op.create_table(
        "alerts",
        _seq(),
        sa.Column("alert_id", sa.String(240), nullable=False, unique=True),
        sa.Column("conflict_of", sa.String(200)),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("score", sa.Float(53)),
        sa.Column("model_id", sa.Text),
        sa.Column("topic", sa.Text),
        sa.Column("produced_us", sa.BigInteger),
        sa.Column("received_us", sa.BigInteger, nullable=False),
        sa.Column("column_set", sa.Integer, sa.ForeignKey("column_sets.id"), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("alerts_by_outcome", "alerts", ["outcome", "seq"])
    op.create_index("alerts_by_time", "alerts", ["produced_us"])
    op.create_index("alerts_by_columns", "alerts", ["column_set", "outcome", "seq"])
    op.create_table(
        "rejected",
        _seq(),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("received_us", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "events",
        _seq(),
        sa.Column("event_id", sa.String(240), nullable=False, unique=True),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("received_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("events_by_type", "events", ["type", "seq"])
    op.create_table(
        "dead_letters",
        _seq(),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("received_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "positions",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("begin_offset", sa.BigInteger, nullable=False),
        sa.Column("end_offset", sa.BigInteger),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("at_us", sa.BigInteger),
    )
    op.create_table(
        "totals",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
