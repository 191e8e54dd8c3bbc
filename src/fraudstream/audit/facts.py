"""The facts of an audit in a scratch database: entries, output records and stored rows; `gather.py` brings them in.

SQLite keeps it in memory while it is small and on the disk beyond that, and it is gone with the audit: a topic with
millions of alerts takes no more memory than one with a few.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import orjson

from fraudstream.messages.ledger import LedgerEntry
from fraudstream.transactions.wire import Outcome

_TABLES: Final = """
CREATE TABLE entries (
  entry_id TEXT PRIMARY KEY, kind TEXT, partition INT, from_offset INT, until_offset INT, records INT,
  clear INT, alert INT, unscorable INT, dead_letter INT, model_id TEXT, revision INT, threshold REAL, aliases TEXT,
  source TEXT, reason TEXT, run INT, verified INT DEFAULT 0
);
CREATE TABLE said (
  on_topic TEXT, on_partition INT, on_offset INT, relayed INT, id TEXT, outcome TEXT,
  topic TEXT, partition INT, "offset" INT, model_id TEXT, revision INT, score REAL, digest TEXT
);
CREATE TABLE kept (
  id TEXT, base TEXT, is_conflict INT, outcome TEXT, topic TEXT, partition INT, "offset" INT, model_id TEXT,
  revision INT, digest TEXT
);
CREATE TABLE again (run INT, partition INT, "offset" INT, outcome TEXT, score REAL);
"""
_ENTER: Final = """
INSERT OR REPLACE INTO entries VALUES (:entry_id, :kind, :partition, :from_offset, :until_offset, :records, :clear,
  :alert, :unscorable, :dead_letter, :model_id, :revision, :threshold, :aliases, :source, :reason, NULL, 0)
"""
_ADD: Final = {
    "said": "INSERT INTO said VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
    "kept": "INSERT INTO kept VALUES (?,?,?,?,?,?,?,?,?,?)",
    "again": "INSERT INTO again VALUES (?,?,?,?,?)",
}
_INDEXES: Final = """
CREATE INDEX entries_by_place ON entries (partition, from_offset);
CREATE INDEX again_by_place ON again (run, partition, "offset");
CREATE INDEX said_by_id ON said (id);
CREATE INDEX kept_by_base ON kept (base);
CREATE TABLE places AS
  SELECT partition, "offset", outcome, model_id, revision, min(score) AS least, max(score) AS most FROM said
  WHERE topic = :topic GROUP BY partition, "offset", outcome, model_id, revision;
CREATE INDEX places_by_place ON places (partition, "offset");
CREATE VIEW matched AS
  SELECT e.entry_id, e.source, p.rowid AS place, p.partition, p."offset", p.outcome, p.model_id, p.revision,
    -- A dead letter is one whatever the model.
    p.model_id IS NULL OR (p.model_id = e.model_id AND p.revision = e.revision) AS is_own
  FROM entries e CROSS JOIN places p
  ON p.partition = e.partition AND p."offset" >= e.from_offset AND p."offset" < e.until_offset
  WHERE e.kind = 'batch';
"""


class Said(NamedTuple):
    """A record on an output topic: where it stands, whether the relay has committed it, and what it says of a payment.

    `digest` is of the transaction and tells the same payment from another under the same id.
    """

    on_topic: str
    on_partition: int
    on_offset: int
    relayed: bool
    id: str
    outcome: str
    topic: str | None
    partition: int | None
    offset: int | None
    model_id: str | None = None
    revision: int | None = None
    score: float | None = None
    digest: str = ""


class Kept(NamedTuple):
    """A row of the store; `base` is the id that its record came with."""

    id: str
    base: str
    is_conflict: bool
    outcome: str
    topic: str | None
    partition: int | None
    offset: int | None
    model_id: str | None = None
    revision: int | None = None
    digest: str = ""


@dataclass
class Facts:
    """All that an audit compares.

    Attributes:
        marks: First and end offset of each of its partitions.
        next_records: By partition, the first record that no entry of the ledger covers; where there is none, the end.
        db: Everything else; `matched` has each output place beside each entry that covers it.
        former: Entries of other topics of this name, which were deleted.
        former_losses: Those of them that account for a loss, by their ids.
        is_compacted: Whether Kafka removes records of the topic that a later one of the same key replaces.
        compacted_entries: Entries of which it has removed records, so that they cannot be scored again.
        forgotten: Output topics whose first records are gone.
    """

    topic: str
    topic_id: str
    marks: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    next_records: Mapping[int, int] = field(default_factory=dict)
    db: sqlite3.Connection = field(default_factory=lambda: _scratch())
    former: int = 0
    former_losses: dict[str, LedgerEntry] = field(default_factory=dict)
    is_compacted: bool = False
    compacted_entries: int = 0
    forgotten: list[str] = field(default_factory=list)

    def close(self) -> None:
        """Forget everything."""
        self.db.close()

    def enter(self, entry: LedgerEntry) -> None:
        """Take an entry of the ledger; the last one of an id counts."""
        aliases = orjson.dumps(entry.aliases, option=orjson.OPT_SORT_KEYS).decode()
        self.db.execute(_ENTER, dict(entry) | {"aliases": aliases})

    def covered_until(self) -> dict[int, int]:
        """By partition, where the last entry of the ledger ends."""
        return dict(self.db.execute("SELECT partition, max(until_offset) FROM entries GROUP BY 1"))

    def withdraw(self, entry_id: str) -> None:
        """Take an entry back: the topic holds a tombstone for it."""
        self.db.execute("DELETE FROM entries WHERE entry_id = ?", (entry_id,))

    def add(self, table: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Take rows: `said` of output topics, `kept` of the store, `again` of what scoring again gave."""
        with self.db:
            self.db.execute("BEGIN")
            self.db.executemany(_ADD[table], rows)

    def index(self) -> None:
        """Make ready for the comparisons, once everything is in.

        Where an output topic has lost its first records, what the store holds stands for them.
        """
        for statement in _INDEXES.split(";"):
            if statement.strip():
                self.db.execute(statement, {"topic": self.topic} if ":topic" in statement else {})
        if self.forgotten:
            self.db.execute(
                'INSERT INTO places SELECT DISTINCT partition, "offset", outcome, model_id, revision, NULL, NULL'
                ' FROM kept k WHERE topic = ? AND "offset" IS NOT NULL AND NOT EXISTS (SELECT 1 FROM places p'
                ' WHERE p.partition = k.partition AND p."offset" = k."offset" AND p.outcome = k.outcome'
                " AND p.model_id IS k.model_id AND p.revision IS k.revision)",
                (self.topic,),
            )


REMARKABLE: Final = (Outcome.ALERT, Outcome.UNSCORABLE, Outcome.DEAD_LETTER)
"""The outcomes that leave a record."""


def _scratch() -> sqlite3.Connection:
    db = sqlite3.connect("", isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    db.executescript(_TABLES)
    return db
