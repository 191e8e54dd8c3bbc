"""The labels of transactions: verdicts so far, and chargebacks to come."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Create the table, and fill it with the verdicts that are in place; those that were undone left no label."""
    seq = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "labels",
        sa.Column("seq", seq, primary_key=True),
        sa.Column("event_id", sa.String(240), nullable=False),
        sa.Column("label", sa.String(16), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("event_us", sa.BigInteger),
        sa.Column("known_us", sa.BigInteger, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("labels_of_event", "labels", ["event_id", "known_us"])
    op.execute(
        "INSERT INTO labels (event_id, label, source, event_us, known_us, who) "
        "SELECT alert_id, CASE status WHEN 'false_alarm' THEN 'legitimate' ELSE 'fraud' END, 'verdict', produced_us, "
        "decided_us, coalesce(assignee, '') FROM alerts "
        "WHERE decided_us IS NOT NULL AND status IN ('confirmed_fraud', 'false_alarm') ORDER BY decided_us, seq"
    )
