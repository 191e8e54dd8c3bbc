"""Defines the tables of the alert store for SQLAlchemy Core."""

from typing import Any

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text, text
from sqlalchemy.schema import SchemaItem

from fraudstream.store.backends.backend import JsonText

metadata = MetaData()

# SQLite autoincrements only a column typed INTEGER; elsewhere the commit order needs 64 bits.
_SEQ = BigInteger().with_variant(Integer(), "sqlite")


def _where(condition: str) -> dict[str, Any]:
    """Make an index partial, on both databases."""
    return {f"{name}_where": text(condition) for name in ("sqlite", "postgresql")}


def _columns(kind: Any, *names: str) -> list[Column[Any]]:
    return [Column(name, kind) for name in names]


def _filled(kind: Any, *names: str) -> list[Column[Any]]:
    """Return columns that are never null."""
    return [Column(name, kind, nullable=False) for name in names]


def _table(name: str, *items: SchemaItem, **options: Any) -> Table:
    return Table(name, metadata, *items, **options)


def _numbered(name: str, *items: SchemaItem) -> Table:
    """Return a table with the key `seq`, the order in which its rows were committed."""
    return _table(name, Column("seq", _SEQ, primary_key=True), *items, sqlite_autoincrement=True)


column_sets = _table(
    "column_sets",
    Column("id", Integer, primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("names", Text, nullable=False),
)
"""Each distinct list of transaction columns: the header of an export needs no scan of the alerts."""

alerts = _numbered(
    "alerts",
    Column("alert_id", String(240), nullable=False, unique=True),
    Column("conflict_of", String(200)),
    Column("outcome", String(16), nullable=False),
    Column("score", Float(53)),
    *_columns(Text, "model_id", "topic"),
    Column("produced_us", BigInteger),
    Column("received_us", BigInteger, nullable=False),
    Column("column_set", Integer, ForeignKey("column_sets.id"), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("body", JsonText, nullable=False),
    Column("schema_id", String(32)),
    *_columns(Float(53), "amount", "expected_loss"),
    # A migration cannot change the type on SQLite, which does not limit the length.
    Column("status", String(32).with_variant(String(16), "sqlite"), nullable=False, server_default="new"),
    Column("assignee", Text),
    Column("version", Integer, nullable=False, server_default="0"),
    *_columns(BigInteger, "decided_us", "since_us", "due_us"),
    *_columns(Text, "reason_code", "escalated_by"),
    Index("alerts_by_outcome", "outcome", "seq"),
    Index("alerts_by_time", "produced_us"),
    Index("alerts_by_decision", "decided_us", **_where("decided_us IS NOT NULL")),
    Index("alerts_by_due", "due_us", **_where("due_us IS NOT NULL")),
    Index("alerts_in_conflict", "seq", **_where("conflict_of IS NOT NULL")),
)
"""One row per alert or unscorable transaction. `seq` is the commit order, `body` the whole alert as JSON.

The indexes of the sort orders differ between the databases: they are in `backends/*.sql`.

`expected_loss` is score times amount. The columns from `status` on are the triage state; `version` is incremented with
each change of the others, which is recorded in `changes`."""

alert_entities = _table(
    "alert_entities",
    Column("alert", _SEQ, ForeignKey("alerts.seq"), primary_key=True, autoincrement=False),
    Column("column", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Index("alerts_of_entity", "column", "value", "alert"),
    sqlite_with_rowid=False,
)
"""The entities of each alert (its card, terminal or merchant), by the column that identifies them; values are short."""

labels = _numbered(
    "labels",
    Column("event_id", String(240), nullable=False),
    *(Column(name, String(16), nullable=False) for name in ("label", "source")),
    Column("event_us", BigInteger),
    Column("known_us", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Index("labels_of_event", "event_id", "known_us"),
)
"""What became known of transactions, clear ones too: by event id, append-only. `event_us` is the transaction's time."""

saved_views = _table(
    "saved_views",
    Column("name", Text, primary_key=True),
    *_filled(Text, "query", "who"),
    Column("at_us", BigInteger, nullable=False),
)
"""Searches that were saved under a name, by whom and when; `query` is a query string."""

changes = _numbered(
    "changes",
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
    Index("changes_undone", "undoes", **_where("undoes IS NOT NULL")),
)
"""Every change that a person made, with actor, time, before and after (JSON); triggers make the table append-only.

`session` is the short id of the session, empty without one; `hash` links the entry to the previous one."""

change_items = _table(
    "change_items",
    Column("change", _SEQ, ForeignKey("changes.seq"), primary_key=True, autoincrement=False),
    Column("alert", _SEQ, ForeignKey("alerts.seq"), primary_key=True, autoincrement=False),
    *_columns(Text, "before", "after"),
    Index("changes_of_alert", "alert", "change"),
)
"""The effect of a change on each alert, by the `seq` of both; append-only like `changes`."""

sessions = _table(
    "sessions",
    Column("digest", String(64), primary_key=True),
    Column("expires_us", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
)
"""The sign-in sessions, by the digest of the session id."""

rejected = _numbered(
    "rejected",
    Column("digest", String(64), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    *_filled(Text, "reason", "payload"),
    Column("received_us", BigInteger, nullable=False),
)
"""Posted records that were rejected, with the reason."""

events = _numbered(
    "events",
    Column("event_id", String(240), nullable=False, unique=True),
    Column("type", String(64), nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Column("body", JsonText, nullable=False),
    Index("events_by_type", "type", "seq"),
)

dead_letters = _numbered(
    "dead_letters",
    Column("id", Text, nullable=False, unique=True),
    Column("received_us", BigInteger, nullable=False),
    Column("body", JsonText),
    Column("produced_us", BigInteger),
)
"""Records that are not JSON objects. The id is never deleted, so that a record read again is not counted twice; only
the newest have a `body`."""

positions = _table(
    "positions",
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    *_filled(BigInteger, "begin_offset", "position"),
    *_columns(BigInteger, "end_offset", "at_us"),
)
"""The end offset of each partition (as last read by the relay) and its scored position."""

totals = _table(
    "totals",
    Column("name", String(32), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""Counts that are updated in the transaction of what they count: reading them needs no scan."""

schemas = _table(
    "schemas",
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
"""Each schema that was observed (the newest 2,000), with its first observation; `estimated` is extrapolated from
samples, `alerts` and `unscorable` are counts."""

refused_aliases = _table(
    "refused_aliases",
    Column("new", Text, primary_key=True),
    Column("old", Text, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    *_filled(Text, "who", "why"),
)
"""Suggested aliases that a person refused; they are not suggested again."""

replays = _numbered(
    "replays",
    Column("replay_id", String(32), nullable=False, unique=True),
    Column("batch", String(32), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("origin", Text, nullable=False),
    Column("state", String(16), nullable=False),
    *_columns(Text, "place", "reason"),
    *_filled(Text, "who", "why", "letter"),
    *_filled(BigInteger, "requested_us", "changed_us"),
    Column("sender", String(64)),
    Column("claimed_us", BigInteger),
    *_columns(Text, "ends", "payload"),
    Index("replays_by_origin", "origin"),
    Index("replays_by_state", "state", "seq"),
    Index("replays_by_batch", "batch", "seq"),
)
"""Each replay: `origin` and `place` are `topic/partition/offset` of the original and the new record, `letter` what its
sender needs of the dead letter, `payload` a corrected value (base64); `sender`, `claimed_us`, `ends` are unused."""

ledger = _numbered(
    "ledger",
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
    Column("body", JsonText, nullable=False),
    Index("ledger_by_kind", "kind", "seq"),
    Index("ledger_by_offset", "topic_id", "partition", "until_offset"),
)
"""Every entry of the detector's ledger, once. `counted` is the part added to the totals of its partition: records of a
batch, offsets of a loss; 0 if another checkpoint had accounted for them before."""

ledger_places = _table(
    "ledger_places",
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("topic_id", Text, nullable=False),
    *_filled(BigInteger, "covered_until", "records", "clear", "alert", "unscorable", "dead_letter", "lost"),
    Column("overlaps", Integer, nullable=False),
    *(Column(name, BigInteger, nullable=False, server_default="0") for name in ("without_transaction", "additional")),
)
"""The totals of the entries of each partition, updated in the transaction that inserts them."""

ledger_gaps = _table(
    "ledger_gaps",
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("until_offset", BigInteger, primary_key=True, autoincrement=False),
    Column("from_offset", BigInteger, nullable=False),
)
"""Offsets before a partition's `covered_until` that no entry accounts for; normally empty."""

reasons = _table(
    "reasons",
    Column("seq", _SEQ, ForeignKey("alerts.seq"), primary_key=True, autoincrement=False),
    Column("worked_us", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)
"""The reasons of an alert, by its `seq`, as the members of a JSON object; computed after its commit."""

minutes = _table(
    "minutes",
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("payments", BigInteger),
    *_filled(BigInteger, "alerts", "labelled", "label_frauds", "latencies", "last_seq"),
    Column("at_risk", Float(53), nullable=False),
    Column("scores", Text, nullable=False),
    Column("latency_to", String(8)),
    *_columns(Float(53), "p50_ms", "p99_ms"),
)
"""Statistics of each minute (since 1970) of the last day. `payments` is null if unknown, `scores` is a histogram of
samples, `latencies` the number of measurements, `last_seq` the newest alert counted."""
