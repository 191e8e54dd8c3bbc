"""The tables of the alert store as SQLAlchemy Core makes and sees them; `migrations/` mends earlier ones."""

from typing import Any, Final

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
    text,
)

metadata = MetaData()

# SQLite numbers rows by itself only in a column typed INTEGER; elsewhere the order of commit needs 64 bits.
_SEQ = BigInteger().with_variant(Integer(), "sqlite")


def _columns(kind: Any, *names: str) -> list[Column[Any]]:
    return [Column(name, kind) for name in names]


def _filled(kind: Any, *names: str) -> list[Column[Any]]:
    """Columns that are never null."""
    return [Column(name, kind, nullable=False) for name in names]


column_sets = Table(
    "column_sets",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("names", Text, nullable=False),
)
"""Each list of transaction columns ever stored, once: the header of an export is known without reading every row."""

FILTERED: Final = ("produced_us", "score", "amount", "assignee", "model_id", "schema_id", "topic", "column_set")
"""What every index of an order holds: a filter on them reads no alert that does not match."""


def _in_order(name: str, *columns: str) -> Index:
    return Index(name, "outcome", "status", *columns, *(each for each in FILTERED if each not in columns))


alerts = Table(
    "alerts",
    metadata,
    Column("seq", _SEQ, primary_key=True),
    Column("alert_id", String(240), nullable=False, unique=True),
    Column("conflict_of", String(200)),
    Column("outcome", String(16), nullable=False),
    Column("score", Float(53)),
    *_columns(Text, "model_id", "topic"),
    Column("produced_us", BigInteger),
    Column("received_us", BigInteger, nullable=False),
    Column("column_set", Integer, ForeignKey("column_sets.id"), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("schema_id", String(32)),
    *_columns(Float(53), "amount", "expected_loss"),
    Column("status", String(16), nullable=False, server_default="new"),
    Column("assignee", Text),
    Column("version", Integer, nullable=False, server_default="0"),
    *_columns(BigInteger, "decided_us", "since_us"),
    Index("alerts_by_outcome", "outcome", "seq"),
    Index("alerts_by_time", "produced_us"),
    _in_order("alerts_by_commit", "seq"),
    _in_order("alerts_by_score", "score", "seq"),
    _in_order("alerts_by_amount", "amount", "seq"),
    _in_order("alerts_by_loss", "expected_loss", "seq"),
    Index("alerts_by_decision", "decided_us", sqlite_where=text("decided_us IS NOT NULL")),
    Index("alerts_in_conflict", "seq", sqlite_where=text("conflict_of IS NOT NULL")),
    sqlite_autoincrement=True,
)
"""One row per alert or unscorable transaction. `seq` is the order of commit, `body` the whole alert as JSON.

`expected_loss` is score times amount. `status`, `assignee`, `version`, `decided_us` and `since_us` are what people made
of it (`status.Work`); `version` grows with each change of the others, and `changes` keeps them."""

changes = Table(
    "changes",
    metadata,
    Column("seq", _SEQ, primary_key=True),
    Column("change_id", String(32), nullable=False, unique=True),
    Column("at_us", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("verified", Integer, nullable=False),
    Column("action", String(32), nullable=False),
    Column("subject", Text, nullable=False),
    *_columns(Text, "before", "after"),
    Column("why", Text, nullable=False),
    Column("undoes", String(32)),
    Column("session", String(16), nullable=False, server_default=""),
    Column("hash", String(64), nullable=False, server_default=""),
    Index("changes_by_action", "action", "seq"),
    Index("changes_by_actor", "actor", "seq"),
    Index("changes_undone", "undoes", sqlite_where=text("undoes IS NOT NULL")),
    sqlite_autoincrement=True,
)
"""Every change that a person made, with who, when, before and after (JSON); triggers refuse to alter or delete one.

`session` is the short id of the session that made it, empty for one without; `hash` is `changes.py`'s."""

change_items = Table(
    "change_items",
    metadata,
    Column("change", _SEQ, ForeignKey("changes.seq"), primary_key=True, autoincrement=False),
    Column("alert", _SEQ, ForeignKey("alerts.seq"), primary_key=True, autoincrement=False),
    *_columns(Text, "before", "after"),
    Index("changes_of_alert", "alert", "change"),
)
"""What a change did to each alert it touched, by `seq` of both; append-only as `changes`."""

sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("expires_us", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
)
"""The sessions of people who signed in, by the digest of the id that their browser keeps (`sessions.py`)."""

rejected = Table(
    "rejected",
    metadata,
    Column("seq", _SEQ, primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    *_filled(Text, "reason", "payload"),
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
    *_filled(BigInteger, "last_us", "sampled", "estimated", "alerts", "unscorable"),
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
    *_filled(Text, "who", "why"),
)
"""Suggested aliases that a person refused: they are not suggested again."""

replays = Table(
    "replays",
    metadata,
    Column("seq", _SEQ, primary_key=True),
    Column("replay_id", String(32), nullable=False, unique=True),
    Column("batch", String(32), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("origin", Text, nullable=False),
    Column("state", String(16), nullable=False),
    *_columns(Text, "place", "reason"),
    *_filled(Text, "who", "why"),
    *_filled(BigInteger, "requested_us", "changed_us"),
    Column("sender", String(64)),
    Column("claimed_us", BigInteger),
    Column("ends", Text),
    Column("letter", Text, nullable=False),
    Column("payload", Text),
    Index("replays_by_origin", "origin"),
    Index("replays_by_state", "state", "seq"),
    Index("replays_by_batch", "batch", "seq"),
    sqlite_autoincrement=True,
)
"""Each record that a person had sent again: `origin` and `place` are `topic/partition/offset`, `letter` what its sender
must know of the origin, `payload` a corrected one (base64); `sender`, `claimed_us`, `ends` are of earlier releases."""

ledger = Table(
    "ledger",
    metadata,
    Column("seq", _SEQ, primary_key=True),
    Column("entry_id", String(240), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    *_filled(Text, "topic", "topic_id"),
    Column("partition", Integer, nullable=False),
    *_filled(
        BigInteger, "from_offset", "until_offset", "records", "clear", "alert", "unscorable", "dead_letter", "counted"
    ),
    Column("checkpoint_id", Text, nullable=False),
    Column("batch_id", BigInteger, nullable=False),
    Column("model_id", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("committed_us", BigInteger),
    Column("body", Text, nullable=False),
    Index("ledger_by_kind", "kind", "seq"),
    Index("ledger_by_offset", "topic_id", "partition", "until_offset"),
    sqlite_autoincrement=True,
)
"""Every entry of the detector's ledger, once. `counted` is how much of it went into the totals of its partition:
records of a batch, offsets of a loss; 0 where another checkpoint had accounted for them before."""

ledger_places = Table(
    "ledger_places",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("topic_id", Text, nullable=False),
    *_filled(BigInteger, "covered_until", "records", "clear", "alert", "unscorable", "dead_letter", "lost"),
    Column("overlaps", Integer, nullable=False),
)
"""What the entries of each partition come to, kept in the transaction that inserts them."""

ledger_gaps = Table(
    "ledger_gaps",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("until_offset", BigInteger, primary_key=True, autoincrement=False),
    Column("from_offset", BigInteger, nullable=False),
)
"""Offsets before a partition's `covered_until` that no entry accounts for: none, while all is well."""

reasons = Table(
    "reasons",
    metadata,
    Column("seq", _SEQ, ForeignKey("alerts.seq"), primary_key=True, autoincrement=False),
    Column("worked_us", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)
"""What speaks for and against an alert, by its `seq`, as the members of a JSON object; worked out after its commit."""

minutes = Table(
    "minutes",
    metadata,
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("payments", BigInteger),
    Column("alerts", BigInteger, nullable=False),
    Column("at_risk", Float(53), nullable=False),
    *_filled(BigInteger, "labelled", "label_frauds"),
    Column("scores", Text, nullable=False),
    Column("latencies", BigInteger, nullable=False),
    Column("latency_to", String(8)),
    *_columns(Float(53), "p50_ms", "p99_ms"),
    Column("last_seq", BigInteger, nullable=False),
)
"""What each minute (since 1970) of the last day came to. `payments` is null where nobody saw their end, `scores` counts
samples in each twentieth of 0 to 1, `latencies` is how many were measured, `last_seq` the newest alert counted."""

BESIDE_TABLES: Final = (
    # What is a word is decided before (`words.py`): they come folded, with blanks between them, and stay whole here.
    "CREATE VIRTUAL TABLE alert_words USING fts5(words, content='', "
    "tokenize=\"unicode61 remove_diacritics 0 categories 'L* N* M* P* S* Co'\")",
    *(
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        "BEGIN SELECT RAISE(ABORT, 'the record of changes is append-only'); END"
        for table in ("changes", "change_items")
        for verb in ("UPDATE", "DELETE")
    ),
)
"""What SQLAlchemy cannot express: the full text of the alerts, and that changes are append-only."""
