"""Counts of the ledger beside the outcomes: records without a transaction, and further transactions of a list."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the columns, 0 so far."""
    for name in ("without_transaction", "additional"):
        op.add_column("ledger_places", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
