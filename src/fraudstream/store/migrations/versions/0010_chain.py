"""Hashes that chain the entries of the audit trail, the session that made each, and a table of sessions."""

import sqlalchemy as sa
from alembic import op

from fraudstream.store.changes import entry_hash

revision = "0010"
down_revision = "0009"

_NO_UPDATE = (
    "CREATE TRIGGER changes_no_update BEFORE UPDATE ON changes "
    "BEGIN SELECT RAISE(ABORT, 'the record of changes is append-only'); END"
)


def upgrade() -> None:
    """Add the columns and the table, and chain the entries that are there."""
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
    )
    op.add_column("changes", sa.Column("session", sa.String(16), nullable=False, server_default=""))
    op.add_column("changes", sa.Column("hash", sa.String(64), nullable=False, server_default=""))
    op.execute("DROP TRIGGER changes_no_update")
    _chain()
    op.execute(_NO_UPDATE)


def _chain() -> None:
    connection = op.get_bind()
    before, last = "", 0
    items = sa.text("SELECT alert, before, after FROM change_items WHERE change = :seq ORDER BY alert")
    entries = sa.text("SELECT * FROM changes WHERE seq > :last ORDER BY seq LIMIT 1000")
    while rows := connection.execute(entries, {"last": last}).mappings().all():
        for row in rows:
            before = entry_hash(before, dict(row), connection.execute(items, {"seq": row["seq"]}).all())
            connection.execute(
                sa.text("UPDATE changes SET hash = :hash WHERE seq = :seq"), {"hash": before, "seq": row["seq"]}
            )
        last = rows[-1]["seq"]
