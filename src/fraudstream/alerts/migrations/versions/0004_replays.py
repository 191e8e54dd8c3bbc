"""A table for the records that a person had sent again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table `replays`."""
    op.create_table(
        "replays",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("replay_id", sa.String(32), nullable=False, unique=True),
        sa.Column("batch", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("place", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("requested_us", sa.BigInteger, nullable=False),
        sa.Column("changed_us", sa.BigInteger, nullable=False),
        sa.Column("sender", sa.String(64)),
        sa.Column("claimed_us", sa.BigInteger),
        sa.Column("ends", sa.Text),
        sa.Column("letter", sa.Text, nullable=False),
        sa.Column("payload", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("replays_by_origin", "replays", ["origin"])
    op.create_index("replays_by_state", "replays", ["state", "seq"])
    op.create_index("replays_by_batch", "replays", ["batch", "seq"])
