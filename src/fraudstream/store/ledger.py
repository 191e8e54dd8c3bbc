"""Stores the detector's ledger, each entry once, and maintains the totals of each partition.

Another checkpoint may account for the same offsets again. So an entry counts only if it accounts for offsets that no
earlier entry did: from `covered_until` of its partition on, or within a gap before it.
"""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final, Self

import orjson
from sqlalchemy import Connection, Row, and_, bindparam, delete, func, select

from fraudstream.messages.answers import Losses
from fraudstream.messages.base import Object
from fraudstream.messages.ledger import Apart, EntryKind, LedgerEntry
from fraudstream.store import tables
from fraudstream.store.changes import Action
from fraudstream.store.database import Repository, insert, upsert
from fraudstream.store.filters import conditions
from fraudstream.store.positions import Position, Report, TopicPartition
from fraudstream.times import iso_time
from fraudstream.transactions.wire import Outcome

COUNTS: Final = ("records", *(each.value for each in (*Outcome, *Apart)))

_LEDGER: Final = tables.ledger
_COLUMNS: Final = [name for name in LedgerEntry.model_fields if name in _LEDGER.c]
_TOTALS: Final = tables.ledger_places
_GAPS: Final = tables.ledger_gaps

# Built once, as in `rows.py`.
_KNOWN: Final = select(_LEDGER.c.seq).where(_LEDGER.c.entry_id == bindparam("entry_id"))
_INSERT: Final = insert(_LEDGER)
_READ_TOTALS: Final = select(_TOTALS).filter_by(topic=bindparam("topic"), partition=bindparam("partition"))
_WRITE_TOTALS: Final = upsert(_TOTALS)
_FIRST_OFFSET: Final = (
    select(tables.positions.c.begin_offset)
    .filter_by(topic=bindparam("topic"), partition=bindparam("partition"))
    .where(tables.positions.c.end_offset.is_not(None))
)


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """The totals of one partition; every offset before `covered_until` is accounted for, except for gaps.

    With `overlaps`, an entry accounted for some offsets that had been accounted for before. It is counted in full, so
    the counts may be too high; `fraudstream audit` has the exact ones.
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
    without_transaction: int = 0
    additional: int = 0

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Self:
        """Build the totals from a row of `ledger_places`."""
        return cls(**{**row, "overlaps": bool(row["overlaps"])})


def record(
    connection: Connection, entries: Iterable[LedgerEntry], tally: Callable[[bool], None], now: datetime
) -> list[Report]:
    """Insert and count entries, in the order in which they were written, within the caller's write transaction.

    Returns the scored positions of their partitions.
    """
    by_partition: dict[TopicPartition, LedgerTotals] = {}
    reports: list[Report] = []
    for entry in entries:
        is_new = connection.execute(_KNOWN, {"entry_id": entry.entry_id}).scalar_one_or_none() is None
        tally(is_new)
        if not is_new:
            continue
        partition = TopicPartition(entry.topic, entry.partition)
        totals = by_partition.get(partition)
        if totals is None and (row := connection.execute(_READ_TOTALS, partition._asdict()).one_or_none()):
            totals = LedgerTotals.of_row(row._asdict())
        if totals is None or totals.topic_id != entry.topic_id:
            totals = _begin(connection, entry)
        by_partition[partition], counted = _account(connection, totals, entry)
        _insert(connection, entry, counted, now)
        if entry.kind is EntryKind.BATCH:
            reports.append((partition, Position(position=entry.until_offset)))
    for totals in by_partition.values():
        connection.execute(_WRITE_TOTALS, asdict(totals))
    return reports


def _insert(connection: Connection, entry: LedgerEntry, counted: int, now: datetime) -> None:
    members = entry.model_dump(mode="json")
    values = {name: members[name] for name in _COLUMNS} | {"counted": counted, "committed_us": entry.committed_us}
    body = entry.document | members | {"counted": counted, "received_at": now.isoformat()}
    connection.execute(_INSERT, values | {"body": orjson.dumps(body).decode()})


def _begin(connection: Connection, entry: LedgerEntry) -> LedgerTotals:
    """Start the totals of a partition that is new, or whose topic was recreated.

    Offsets that Kafka still has before the first entry are a gap; those that it had deleted by then are not.
    """
    key = {"topic": entry.topic, "partition": entry.partition}
    connection.execute(delete(_GAPS).filter_by(**key))
    first: int | None = connection.execute(_FIRST_OFFSET, key).scalar_one_or_none()
    begins = entry.from_offset if first is None else min(first, entry.from_offset)
    return LedgerTotals(entry.topic, entry.partition, entry.topic_id, begins)


def _account(connection: Connection, totals: LedgerTotals, entry: LedgerEntry) -> tuple[LedgerTotals, int]:
    """Add an entry to the totals; returns them, and how much of the entry counts."""
    fresh = _fill_gaps(connection, totals, entry) if entry.from_offset < totals.covered_until else 0
    fresh += max(0, entry.until_offset - max(entry.from_offset, totals.covered_until))
    if entry.from_offset > totals.covered_until:
        _add_gap(connection, totals, totals.covered_until, entry.from_offset)
    totals = replace(totals, covered_until=max(totals.covered_until, entry.until_offset))
    if entry.kind is EntryKind.LOSS:
        lost = fresh or _unread(connection, entry)
        return replace(totals, lost=totals.lost + lost), lost
    if not fresh:
        return totals, 0
    more: dict[str, Any] = {name: getattr(totals, name) + getattr(entry, name) for name in COUNTS}
    return replace(totals, overlaps=totals.overlaps or fresh < entry.offsets, **more), entry.records


def _fill_gaps(connection: Connection, totals: LedgerTotals, entry: LedgerEntry) -> int:
    """Remove an entry's offsets from the gaps; returns how many of them were in one."""
    column = _GAPS.c
    is_of_partition = and_(column.topic == totals.topic, column.partition == totals.partition)
    overlapping = (is_of_partition, column.until_offset > entry.from_offset, column.from_offset < entry.until_offset)
    query = delete(_GAPS).where(*overlapping).returning(column.from_offset, column.until_offset)
    gaps = connection.execute(query).all()
    for start, end in gaps:
        for start_offset, end_offset in ((start, entry.from_offset), (entry.until_offset, end)):
            if start_offset < end_offset:
                _add_gap(connection, totals, start_offset, end_offset)
    return sum(min(end, entry.until_offset) - max(start, entry.from_offset) for start, end in gaps)


def _add_gap(connection: Connection, totals: LedgerTotals, start: int, end: int) -> None:
    row = {"topic": totals.topic, "partition": totals.partition, "from_offset": start, "until_offset": end}
    connection.execute(insert(_GAPS), row)


def _unread(connection: Connection, loss: LedgerEntry) -> int:
    """Return how many offsets of a loss were really lost, although a batch covers them.

    A batch that skipped offsets without a record is followed by a loss within its own range. Any other loss of covered
    offsets comes from a second checkpoint: the first had scored them.
    """
    column = _LEDGER.c
    query = (
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
    batch = connection.execute(query).one_or_none()
    if batch is None or batch.from_offset > loss.from_offset:
        return 0
    without_record: int = batch.until_offset - batch.from_offset - batch.records
    return max(0, min(loss.offsets, without_record))


@dataclass(frozen=True, slots=True)
class Gap:
    """A range of offsets that no entry accounts for, although entries account for later ones."""

    topic: str
    partition: int
    from_offset: int
    until_offset: int


class LedgerReader(Repository):
    """Reads the ledger; thread-safe."""

    def totals(self) -> dict[TopicPartition, LedgerTotals]:
        """Return the totals of each partition."""
        rows = self._database.rows(select(_TOTALS).order_by(_TOTALS.c.topic, _TOTALS.c.partition))
        return {TopicPartition(row.topic, row.partition): LedgerTotals.of_row(row._asdict()) for row in rows}

    def gaps(self, *, limit: int | None = None) -> list[Gap]:
        """Return the gaps in the order of their offsets; there are few, if any."""
        column = tables.ledger_gaps.c
        query = select(tables.ledger_gaps).order_by(column.topic, column.partition, column.until_offset).limit(limit)
        return [Gap(**row._asdict()) for row in self._database.rows(query)]

    def unacknowledged_losses(self, *, until: int | None = None) -> Losses:
        """Sum the losses up to an entry and after the last one acknowledged, which is recorded in `changes`."""
        change, entry = tables.changes.c, tables.ledger.c
        newest = select(change.after).where(change.action == Action.ACKNOWLEDGE.value).order_by(change.seq.desc())
        with self._database.read() as connection:
            last_change = connection.execute(newest.limit(1)).scalar_one_or_none()
            after = 0 if last_change is None else int(orjson.loads(last_change)["until_seq"])
            losses = [entry.kind == EntryKind.LOSS.value, entry.counted > 0, entry.seq > after]
            losses += conditions((entry.seq, operator.le, until))
            query = select(func.sum(entry.counted), func.max(entry.seq), func.min(entry.committed_us)).where(*losses)
            records, last, since_us = connection.execute(query).one()
        return Losses(records or 0, last or 0, iso_time(since_us))

    def entries(self, *, kind: EntryKind | None = None, before: int | None = None, limit: int = 100) -> list[Object]:
        """Return entries as posted, newest first, each with its `seq` and the `counted` part of it."""
        column = tables.ledger.c
        where = conditions((column.kind, operator.eq, kind), (column.seq, operator.lt, before))
        query = select(column.seq, column.body).where(*where).order_by(column.seq.desc()).limit(limit)
        return [{"seq": row.seq} | orjson.loads(row.body) for row in self._database.rows(query)]

    def conflicts(self, *, limit: int = 100) -> Sequence[Row[tuple[str, str | None, int]]]:
        """Return alerts whose id belongs to another transaction, newest first: own id, that id, time received."""
        column = tables.alerts.c
        query = select(column.alert_id, column.conflict_of, column.received_us).where(column.conflict_of.is_not(None))
        return self._database.rows(query.order_by(column.seq.desc()).limit(limit))
