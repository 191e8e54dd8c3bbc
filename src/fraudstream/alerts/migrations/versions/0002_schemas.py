"""Tables for the sets of columns that were seen, and for the aliases that a person refused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables `schemas` and `refused_aliases`."""
    op.create_table(
        "schemas",
        sa.Column("schema_id", sa.String(32), primary_key=True),
        sa.Column("columns", sa.Text, nullable=False),
        sa.Column("column_count", sa.Integer, nullable=False),
        sa.Column("first_us", sa.BigInteger, nullable=False),
        sa.Column("first_topic", sa.Text),
        sa.Column("first_partition", sa.Integer),
        sa.Column("first_offset", sa.BigInteger),
        sa.Column("last_us", sa.BigInteger, nullable=False),
        sa.Column("sampled", sa.BigInteger, nullable=False),
        sa.Column("estimated", sa.BigInteger, nullable=False),
        sa.Column("alerts", sa.BigInteger, nullable=False),
        sa.Column("unscorable", sa.BigInteger, nullable=False),
    )
    op.create_index("schemas_by_first_sight", "schemas", ["first_us"])
    op.create_index("schemas_by_last_sight", "schemas", ["last_us"])
    op.create_table(
        "refused_aliases",
        sa.Column("new", sa.Text, primary_key=True),
        sa.Column("old", sa.Text, primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
    )
