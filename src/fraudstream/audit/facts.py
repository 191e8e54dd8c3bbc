"""Holds the facts of an audit in a temporary database: ledger entries, output records and rows of the store.

SQLite keeps it in memory while it is small and spills to disk beyond that: a topic with millions of alerts takes no
more memory than one with a few.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from fraudstream.audit.report import Finding, Kind
from fraudstream.messages.ledger import LedgerEntry, Range, merge_ranges


class OutputRecord(NamedTuple):
    """A record on an output topic: its position, whether the relay has committed it, and its outcome of a transaction.

    `digest` is of the transaction and distinguishes another payment with the same id; `produced_us` is Kafka's time.
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
    produced_us: int = 0


class StoredRecord(NamedTuple):
    """A row of the store; `base` is the original id of its record."""

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


_ENTER: Final = """
INSERT OR REPLACE INTO entries VALUES (:entry_id, :kind, :topic_id, :partition, :from_offset, :until_offset, :records,
  :clear, :alert, :unscorable, :dead_letter, :without_transaction, :additional, :model_id, :revision, :threshold,
  :aliases, :envelope, :source, :committed_us, NULL, NULL, 0, 0, 0)
"""
_COLUMNS: Final = {"outputs": OutputRecord._fields, "store_rows": StoredRecord._fields}


@dataclass
class Facts:
    """All data that an audit compares.

    Attributes:
        marks: First and end offset of each of its partitions.
        next_records: By partition, the first record that no ledger entry covers; the end offset if there is none.
        db: Everything else; `matched` joins each output position with each entry that covers it.
        former: Number of entries of earlier topics of this name, which were deleted.
        is_compacted: Whether the topic is compacted.
        compacted_entries: Number of entries that cannot be scored again because compaction removed records.
        truncated: Output topics whose first records are gone.
        pruned_before_us: The time before which alerts that nobody triaged were deleted from the store; 0 if never.
        pruned_alerts: Number of alerts that were.
    """

    topic: str
    topic_id: str
    marks: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    next_records: Mapping[int, int] = field(default_factory=dict)
    db: sqlite3.Connection = field(default_factory=lambda: _scratch())
    former: int = 0
    is_compacted: bool = False
    compacted_entries: int = 0
    truncated: list[str] = field(default_factory=list)
    pruned_before_us: int = 0
    pruned_alerts: int = 0

    def add_entry(self, entry: LedgerEntry) -> None:
        """Add a ledger entry; it replaces an earlier one with the same id."""
        aliases = orjson.dumps(entry.aliases, option=orjson.OPT_SORT_KEYS).decode()
        self.db.execute(_ENTER, dict(entry) | {"aliases": aliases, "committed_us": entry.committed_us})

    def add(self, table: str, rows: Iterable[Sequence[object]]) -> None:
        """Add rows to a table: `outputs` (topics), `store_rows` (store), or what was scored again."""
        width = self.db.execute("SELECT count(*) FROM pragma_table_info(?)", (table,)).fetchone()[0]
        with self.db:
            self.db.execute("BEGIN")
            self.db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * width)})", rows)  # noqa: S608

    def index(self) -> None:
        """Build indexes and views for the comparisons, once all facts are in, and set entries of former topics aside.

        If an output topic has lost its first records, the rows of the store are used in their place.
        """
        former = self.db.execute("SELECT count(*) FROM entries WHERE topic_id <> ?", (self.topic_id,))
        (self.former,) = former.fetchone()
        self.db.execute(
            "CREATE TABLE audited AS SELECT ? AS topic, ? AS topic_id, ? AS pruned_before_us, ? AS former",
            (self.topic, self.topic_id, self.pruned_before_us, self.former),
        )
        self.add("marks", ((partition, *marks) for partition, marks in self.marks.items()))
        self.db.executescript(script("views.sql"))
        if self.truncated:
            self.db.executescript(script("truncated.sql"))

    def ranges(self, view: str, partition: int) -> list[Range]:
        """Merge the ranges of a partition that a view has."""
        query = f"SELECT partition, from_offset, until_offset FROM {view} WHERE partition = ?"  # noqa: S608
        return merge_ranges(map(Range._make, self.db.execute(query, (partition,))))

    def findings(self, view: str) -> Iterator[Finding]:
        """Read the findings of a view."""
        for kind, *rest in self.db.execute(f"SELECT * FROM {view}"):  # noqa: S608
            yield Finding(Kind(kind), *rest)


def _scratch() -> sqlite3.Connection:
    db = sqlite3.connect("", isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    db.create_function("repr", 1, repr, deterministic=True)
    columns = {table: ", ".join(f'"{name}"' for name in names) for table, names in _COLUMNS.items()}
    db.executescript(script("facts.sql").format_map(columns))
    return db


def script(name: str) -> str:
    """Return the text of a file of SQL in this package."""
    return Path(__file__).with_name(name).read_text()
