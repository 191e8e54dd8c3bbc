"""The tables of the alert store as SQLAlchemy Core sees them; `migrations/` makes them, `store.py` writes them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

# SQLite numbers rows by itself only in a column typed INTEGER; elsewhere the order of commit needs 64 bits.
_SEQ = BigInteger().with_variant(Integer(), "sqlite")

column_sets = Table(
    "column_sets",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("names", Text, nullable=False),
)
"""Each list of transaction columns ever stored, once: the header of an export is known without reading every row."""

alerts = Table(
    "alerts",
    metadata,
    Column("seq", _SEQ, primary_key=True),
    Column("alert_id", String(240), nullable=False, unique=True),
    Column("conflict_of", String(200)),
    Column("outcome", String(16), nullable=False),
    Column("score", Float(53)),
    Column("model_id", Text),
    Column("topic", Text),
    Column("produced_us", BigInteger),
    Column("received_us", BigInteger, nullable=False),
    Column("column_set", Integer, ForeignKey("column_sets.id"), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Index("alerts_by_outcome", "outcome", "seq"),
    Index("alerts_by_time", "produced_us"),
    Index("alerts_by_columns", "column_set", "outcome", "seq"),
    sqlite_autoincrement=True,
)
"""One row per alert or unscorable transaction. `seq` is the order of commit, `body` the whole alert as JSON."""

rejected = Table(
    "rejected",
    metadata,
    Column("seq", _SEQ, primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
"""What was posted and could not be stored as what it claimed to be, with the reason."""

events = Table(
    "events",
    metadata,
    Column("seq", _SEQ, primary_key=True),
    Column("event_id", String(240), nullable=False, unique=True),
    Column("type", String(64), nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("events_by_type", "type", "seq"),
    sqlite_autoincrement=True,
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("seq", _SEQ, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("received_us", BigInteger, nullable=False),
    Column("body", Text),
    sqlite_autoincrement=True,
)
"""Records that were no transactions. The id stays for good, so that a replay is never counted twice; `body` is kept
for the newest only."""

positions = Table(
    "positions",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("begin_offset", BigInteger, nullable=False),
    Column("end_offset", BigInteger),
    Column("position", BigInteger, nullable=False),
    Column("at_us", BigInteger),
)
"""How far each partition is filled (`end_offset`, as the relay last saw it) and scored (`position`)."""

totals = Table(
    "totals",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""Counts kept in the same transaction as what they count: reading them does not take a scan."""

schemas = Table(
    "schemas",
    metadata,
    Column("schema_id", String(32), primary_key=True),
    Column("columns", Text, nullable=False),
    Column("column_count", Integer, nullable=False),
    Column("first_us", BigInteger, nullable=False),
    Column("first_topic", Text),
    Column("first_partition", Integer),
    Column("first_offset", BigInteger),
    Column("last_us", BigInteger, nullable=False),
    Column("sampled", BigInteger, nullable=False),
    Column("estimated", BigInteger, nullable=False),
    Column("alerts", BigInteger, nullable=False),
    Column("unscorable", BigInteger, nullable=False),
    Index("schemas_by_first_sight", "first_us"),
    Index("schemas_by_last_sight", "last_us"),
)
"""Each set of columns and types that was seen (the newest 2,000), with its first sight; `estimated` rows rest on
samples, `alerts` and `unscorable` are counts."""

refused_aliases = Table(
    "refused_aliases",
    metadata,
    Column("new", Text, primary_key=True),
    Column("old", Text, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
)
"""Suggested aliases that a person refused: they are not suggested again."""

reasons = Table(
    "reasons",
    metadata,
    Column("seq", _SEQ, ForeignKey("alerts.seq"), primary_key=True, autoincrement=False),
    Column("worked_us", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)
"""What speaks for and against an alert, by its `seq`, as the members of a JSON object; worked out after its commit."""
