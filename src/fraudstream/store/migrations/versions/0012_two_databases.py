"""Adds the time of production of dead letters as a column, for filters that both databases can answer."""

import orjson
import sqlalchemy as sa
from alembic import op

from fraudstream.store.rows import produced_us

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the column, and fill it for the dead letters whose body is still stored."""
    op.add_column("dead_letters", sa.Column("produced_us", sa.BigInteger))
    connection = op.get_bind()
    dead_letters = sa.table("dead_letters", *map(sa.column, ("seq", "body", "produced_us")))
    rows = connection.execute(
        sa.select(dead_letters.c.seq, dead_letters.c.body).where(dead_letters.c.body.is_not(None))
    ).all()
    for row in rows:
        values = {"produced_us": produced_us(orjson.loads(row.body))}
        connection.execute(sa.update(dead_letters).where(dead_letters.c.seq == row.seq).values(values))
