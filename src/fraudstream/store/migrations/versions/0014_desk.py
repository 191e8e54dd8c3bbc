"""Reason codes, escalations and due times of alerts, the entities of alerts, and saved views."""

import sqlalchemy as sa
from alembic import op

from fraudstream.store.entities import insert_missing

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the columns, empty so far, and the tables; the entities are those of the stored alerts."""
    if op.get_context().dialect.name == "postgresql":  # SQLite does not limit the length of a text
        op.alter_column("alerts", "status", type_=sa.String(32))
    for name, kind in (("reason_code", sa.Text), ("due_us", sa.BigInteger), ("escalated_by", sa.Text)):
        op.add_column("alerts", sa.Column(name, kind))
    is_due = sa.text("due_us IS NOT NULL")
    op.create_index("alerts_by_due", "alerts", ["due_us"], sqlite_where=is_due, postgresql_where=is_due)
    seq = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "alert_entities",
        sa.Column("alert", seq, sa.ForeignKey("alerts.seq"), primary_key=True, autoincrement=False),
        sa.Column("column", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    insert_missing(op.get_bind())  # before the index, which is faster
    op.create_index("alerts_of_entity", "alert_entities", ["column", "value", "alert"])
    op.create_table(
        "saved_views",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
    )
