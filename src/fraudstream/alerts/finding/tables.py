"""The tables of the index: columns of alerts in segments, and the words; migration 0007 makes them."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from sqlalchemy import BigInteger, Column, Float, Index, Integer, LargeBinary, String, Table, Text

from fraudstream.alerts.tables import metadata

WORDS: Final = "alert_words"
"""The full-text table (FTS5, without a copy of the text); its rowid is the alert's `seq`, its one column the words."""


class Kind(IntEnum):
    """What a stored column is: of the alert or of its transaction, and numbers or texts."""

    OWN_NUMBERS = 0
    OWN_TEXTS = 1
    NUMBERS = 2
    TEXTS = 3


segments = Table(
    "segments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("first_seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("crowded", Integer, nullable=False),
    Column("seqs", LargeBinary),
)
"""Stretches of the order of commit whose columns are stored side by side. `seqs` is left out where none is missing
between the first and the last; `crowded` says that they have more columns than are kept."""

segment_columns = Table(
    "segment_columns",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("segment", Integer, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("low", Float(53)),
    Column("high", Float(53)),
    Column("texts", Text),
    Column("data", LargeBinary, nullable=False),
    Index("segment_columns_by_name", "name", "segment"),
    Index("segment_columns_by_segment", "segment", "kind"),
)
"""One column of a segment: numbers (doubles, NaN where there is none), or codes of `texts` (0 where there is none)."""

restated_alerts = Table(
    "restated_alerts",
    metadata,
    Column("seq", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
)
"""Alerts whose status or assignee a segment may have as it was; a trigger enters them, the indexer takes them out."""

indexed = Table(
    "indexed",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("seq", BigInteger, nullable=False),
)
"""How far the words have come (`WORDS`), in the order of commit."""
