"""What people make of alerts: amounts to order them by, their status, and an append-only record of every change."""

from __future__ import annotations

import orjson
import sqlalchemy as sa
from alembic import op

from fraudstream.transactions.amounts import amount_of

revision = "0006"
down_revision = "0005"

_APPEND_ONLY = ("changes", "change_items")
_ROWS = 5_000


def _seq(name: str, *references: sa.ForeignKey) -> sa.Column[int]:
    # What refers to a number takes it from there; only an own one is counted up by the database.
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column(name, kind, *references, primary_key=True, autoincrement=not references)


def upgrade() -> None:
    """Add the columns of `alerts`, fill them for what is there, and make `changes` and `change_items`."""
    for column in (
        sa.Column("schema_id", sa.String(32)),
        sa.Column("amount", sa.Float(53)),
        sa.Column("expected_loss", sa.Float(53)),
        sa.Column("status", sa.String(16), nullable=False, server_default="new"),
        sa.Column("assignee", sa.Text),
        sa.Column("version", sa.Integer, nullable=False, server_default="0"),
        sa.Column("decided_us", sa.BigInteger),
        sa.Column("since_us", sa.BigInteger),
    ):
        op.add_column("alerts", column)
    _fill()
    op.create_index("alerts_by_status", "alerts", ["outcome", "status", "seq"])
    op.create_index("alerts_by_loss", "alerts", ["outcome", "status", "expected_loss", "seq"])
    op.create_table(
        "changes",
        _seq("seq"),
        sa.Column("change_id", sa.String(32), nullable=False, unique=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("verified", sa.Integer, nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("undoes", sa.String(32)),
        sqlite_autoincrement=True,
    )
    op.create_index("changes_by_action", "changes", ["action", "seq"])
    op.create_index("changes_by_actor", "changes", ["actor", "seq"])
    op.create_index("changes_undone", "changes", ["undoes"], sqlite_where=sa.text("undoes IS NOT NULL"))
    op.create_table(
        "change_items",
        _seq("change", sa.ForeignKey("changes.seq")),
        _seq("alert", sa.ForeignKey("alerts.seq")),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
    )
    op.create_index("changes_of_alert", "change_items", ["alert", "change"])
    for table in _APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, 'the record of changes is append-only'); END"
            )


def _fill() -> None:
    connection = op.get_bind()
    last = 0
    while found := connection.execute(
        sa.text("SELECT seq, score, body FROM alerts WHERE seq > :last ORDER BY seq LIMIT :rows"),
        {"last": last, "rows": _ROWS},
    ).all():
        filled = []
        for row in found:
            document = orjson.loads(row.body)
            amount = amount_of(document["transaction"])
            loss = None if amount is None or row.score is None else amount * row.score
            filled.append({"seq": row.seq, "schema": document.get("schema_id"), "amount": amount, "loss": loss})
        connection.execute(
            sa.text("UPDATE alerts SET schema_id = :schema, amount = :amount, expected_loss = :loss WHERE seq = :seq"),
            filled,
        )
        last = found[-1].seq
