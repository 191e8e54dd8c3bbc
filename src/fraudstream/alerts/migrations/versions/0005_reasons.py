"""A table for the reasons of alerts, which are worked out after their commit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table `reasons`."""
    op.create_table(
        "reasons",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.ForeignKey("alerts.seq"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("worked_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
