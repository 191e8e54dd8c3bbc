"""Takes the detector's ledger into the store, each entry once, and keeps its totals; `ledger_reading.py` reads it.

Another checkpoint may account for offsets once more. So an entry counts only where it says something of offsets that no
entry had accounted for: behind `covered_until` of its partition, or within a gap before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final, NamedTuple, Self

import orjson
from pydantic import ValidationError
from sqlalchemy import Connection, RowMapping, bindparam, delete, select
from sqlalchemy.dialects.sqlite import insert

from fraudstream.alerts import tables
from fraudstream.alerts.positions import Place, Report
from fraudstream.errors import DataError, RecordError
from fraudstream.messages.base import instant, reason
from fraudstream.messages.posted import check_object
from fraudstream.transactions.ledger import EntryKind, LedgerEntry, parse_entry

COUNTS: Final = ("records", "clear", "alert", "unscorable", "dead_letter")
_OFFSETS: Final = ("from_offset", "until_offset")
_PLACE: Final = ("topic", "partition")
_COUNTED: Final = ("partition", *_OFFSETS, *COUNTS, "batch_id", "revision")
_COLUMNS: Final = ("entry_id", "topic", "topic_id", "checkpoint_id", "model_id", *_COUNTED)

_LEDGER: Final = tables.ledger
_PLACES: Final = tables.ledger_places
_GAPS: Final = tables.ledger_gaps

# Built once, as those of `rows.py`.
_KNOWN: Final = select(_LEDGER.c.seq).where(_LEDGER.c.entry_id == bindparam("entry_id"))
_INSERT: Final = insert(_LEDGER)
_READ_PLACE: Final = select(_PLACES).where(
    _PLACES.c.topic == bindparam("topic"), _PLACES.c.partition == bindparam("partition")
)
_INSERT_PLACE: Final = insert(_PLACES)
_WRITE_PLACE: Final = _INSERT_PLACE.on_conflict_do_update(
    index_elements=_PLACE,
    set_={column.name: _INSERT_PLACE.excluded[column.name] for column in _PLACES.c if not column.primary_key},
)
_FIRST_OFFSET: Final = select(tables.positions.c.begin_offset).where(
    tables.positions.c.topic == bindparam("topic"),
    tables.positions.c.partition == bindparam("partition"),
    tables.positions.c.end_offset.is_not(None),
)


class CheckedEntry(NamedTuple):
    """An entry that may be stored, and the whole JSON object that it came as."""

    entry: LedgerEntry
    document: dict[str, Any]
    committed_us: int | None


@dataclass(frozen=True, slots=True)
class LedgerPlace:
    """What the entries of one partition come to; every offset before `covered_until` is accounted for, but for gaps.

    `overlaps` says that an entry accounts for offsets of which some had been accounted for before: it is counted whole,
    so that the counts may be too high; `fraudstream audit` has the exact ones.
    """

    topic: str
    partition: int
    topic_id: str
    covered_until: int
    records: int = 0
    clear: int = 0
    alert: int = 0
    unscorable: int = 0
    dead_letter: int = 0
    lost: int = 0
    overlaps: bool = False

    @classmethod
    def of_row(cls, row: RowMapping) -> Self:
        """The place that a row of `ledger_places` is."""
        return cls(**{**row, "overlaps": bool(row["overlaps"])})


def check_entry(raw: object) -> CheckedEntry:
    """Check one posted entry.

    Raises:
        RecordError: It is not what the detector writes, or cannot be stored.
    """
    document = check_object(raw, "an entry of the ledger")
    try:
        entry = parse_entry(document)
        committed_us = instant(entry.committed_at) if entry.committed_at else None
    except DataError as e:
        raise RecordError(reason(e.__cause__) if isinstance(e.__cause__, ValidationError) else e.what) from e
    except ValueError as e:
        raise RecordError(f"committed_at {e}") from e
    return CheckedEntry(entry, document | asdict(entry), committed_us)


def record(
    connection: Connection, entries: Iterable[CheckedEntry], tally: Callable[[bool], None], now: datetime
) -> list[Report]:
    """Insert entries and count them, within the caller's write transaction.

    Args:
        connection: Within a write transaction.
        entries: In the order in which they were written.
        tally: Told of each whether it is new.
        now: The time of commit.

    Returns:
        How far their partitions are scored.
    """
    places: dict[Place, LedgerPlace] = {}
    reports = []
    for checked in entries:
        entry = checked.entry
        is_new = connection.execute(_KNOWN, {"entry_id": entry.entry_id}).scalar_one_or_none() is None
        tally(is_new)
        if not is_new:
            continue
        place = Place(entry.topic, entry.partition)
        known = places.get(place)
        if known is None and (row := connection.execute(_READ_PLACE, place._asdict()).mappings().one_or_none()):
            known = LedgerPlace.of_row(row)
        if known is None or known.topic_id != entry.topic_id:
            known = _begin(connection, entry)
        places[place], counted = _account(connection, known, entry)
        _insert(connection, checked, counted, now)
        if entry.kind is EntryKind.BATCH:
            reports.append(Report(place, position=entry.until_offset))
    for known in places.values():
        connection.execute(_WRITE_PLACE, asdict(known))
    return reports


def _insert(connection: Connection, checked: CheckedEntry, counted: int, now: datetime) -> None:
    values = {name: checked.document[name] for name in _COLUMNS}
    values |= {"kind": checked.entry.kind.value, "counted": counted, "committed_us": checked.committed_us}
    body = checked.document | {"counted": counted, "received_at": now.isoformat()}
    connection.execute(_INSERT, values | {"body": orjson.dumps(body).decode()})


def _begin(connection: Connection, entry: LedgerEntry) -> LedgerPlace:
    """A partition of which nothing is known yet, or whose topic was made anew.

    What Kafka still has before the first entry is a gap; what it has no more was gone before anybody looked.
    """
    of = {"topic": entry.topic, "partition": entry.partition}
    connection.execute(delete(_GAPS).where(_GAPS.c.topic == entry.topic, _GAPS.c.partition == entry.partition))
    first: int | None = connection.execute(_FIRST_OFFSET, of).scalar_one_or_none()
    begins = entry.from_offset if first is None else min(first, entry.from_offset)
    return LedgerPlace(entry.topic, entry.partition, entry.topic_id, begins)


def _account(connection: Connection, known: LedgerPlace, entry: LedgerEntry) -> tuple[LedgerPlace, int]:
    """The partition with an entry, and how much of the entry counts."""
    fresh = _fill_gaps(connection, known, entry) if entry.from_offset < known.covered_until else 0
    fresh += max(0, entry.until_offset - max(entry.from_offset, known.covered_until))
    if entry.from_offset > known.covered_until:
        _add_gap(connection, known, known.covered_until, entry.from_offset)
    known = replace(known, covered_until=max(known.covered_until, entry.until_offset))
    if entry.kind is EntryKind.LOSS:
        lost = fresh or _unread(connection, entry)
        return replace(known, lost=known.lost + lost), lost
    if not fresh:
        return known, 0
    more: dict[str, Any] = {name: getattr(known, name) + getattr(entry, name) for name in COUNTS}
    return replace(known, overlaps=known.overlaps or fresh < entry.offsets, **more), entry.records


def _fill_gaps(connection: Connection, known: LedgerPlace, entry: LedgerEntry) -> int:
    """Take an entry's offsets out of the gaps; how many of them were in one."""
    column = _GAPS.c
    touched = [
        column.topic == known.topic,
        column.partition == known.partition,
        column.until_offset > entry.from_offset,
        column.from_offset < entry.until_offset,
    ]
    gaps = connection.execute(select(column.from_offset, column.until_offset).where(*touched)).all()
    if not gaps:
        return 0
    connection.execute(delete(_GAPS).where(*touched))
    for start, end in gaps:
        for left, right in ((start, entry.from_offset), (entry.until_offset, end)):
            if left < right:
                _add_gap(connection, known, left, right)
    return sum(min(end, entry.until_offset) - max(start, entry.from_offset) for start, end in gaps)


def _add_gap(connection: Connection, known: LedgerPlace, start: int, end: int) -> None:
    row = {"topic": known.topic, "partition": known.partition, "from_offset": start, "until_offset": end}
    connection.execute(insert(_GAPS), row)


def _unread(connection: Connection, loss: LedgerEntry) -> int:
    """How many offsets of a loss within what is covered were lost indeed.

    A batch that passed offsets without finding a record there is followed by a loss within its own range. Any other
    loss of covered offsets is one of a second checkpoint: the first had judged them.
    """
    column = _LEDGER.c
    over = (
        select(column.from_offset, column.until_offset, column.records)
        .where(
            column.topic_id == loss.topic_id,
            column.partition == loss.partition,
            column.until_offset > loss.from_offset,
            column.kind == EntryKind.BATCH.value,
            column.counted > 0,
        )
        .order_by(column.until_offset)
        .limit(1)
    )
    batch = connection.execute(over).one_or_none()
    if batch is None or batch.from_offset > loss.from_offset:
        return 0
    without_record: int = batch.until_offset - batch.from_offset - batch.records
    return max(0, min(loss.offsets, without_record))
