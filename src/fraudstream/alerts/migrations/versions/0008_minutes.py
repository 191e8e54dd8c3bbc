"""What each minute of the last day came to, for the charts; and an index of when alerts were decided."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the table `minutes` and the index."""
    op.create_table(
        "minutes",
        sa.Column("minute", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("payments", sa.BigInteger),
        sa.Column("alerts", sa.BigInteger, nullable=False),
        sa.Column("at_risk", sa.Float(53), nullable=False),
        sa.Column("labelled", sa.BigInteger, nullable=False),
        sa.Column("label_frauds", sa.BigInteger, nullable=False),
        sa.Column("scores", sa.Text, nullable=False),
        sa.Column("latencies", sa.BigInteger, nullable=False),
        sa.Column("latency_to", sa.String(8)),
        sa.Column("p50_ms", sa.Float(53)),
        sa.Column("p99_ms", sa.Float(53)),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
    )
    op.create_index("alerts_by_decision", "alerts", ["decided_us"], sqlite_where=sa.text("decided_us IS NOT NULL"))
