"""Segments as the database has them: how columns are written to it, read from it and changed in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy import Connection, Delete, Insert, Update, bindparam, delete, func, insert, select, update

from fraudstream.alerts import tables
from fraudstream.alerts.finding.columns import WORK, Coded, GrowingColumns, Key
from fraudstream.alerts.finding.tables import Kind, restated_alerts, segment_columns, segments
from fraudstream.errors import StoreError

_Code = np.dtype[np.uint8 | np.uint16 | np.uint32]
_CODE_TYPES: Final[dict[int, _Code]] = {1: np.dtype("<u1"), 2: np.dtype("<u2"), 4: np.dtype("<u4")}
"""By the bytes that a code takes."""

PIECE_BYTES: Final = 1 << 20
"""So much of a segment is written at once: some milliseconds of the store's writer."""

Work = Mapping[str, str | None]
"""Status and assignee of an alert, by the names of their columns."""

_COLUMN: Final = segment_columns.c
_READ: Final = select(_COLUMN.texts, _COLUMN.data).where(_COLUMN.id == bindparam("wanted"))


class StoredColumns:
    """The columns of one segment; a column is read when it is asked for."""

    def __init__(self, segment: int, first: int, last: int, rows: int, crowded: bool, seqs: bytes | None) -> None:
        self.segment = segment
        self.first = first
        self.last = last
        self.crowded = crowded
        self.found: dict[Key, tuple[int, float | None, float | None]] = {}
        """The id and the bounds of each column that may be asked for."""
        self.seqs = np.arange(first, last + 1, dtype=np.int64) if seqs is None else np.frombuffer(seqs, "<i8")

    def numbers(self, connection: Connection, key: Key) -> NDArray[np.float64] | None:
        """A column of numbers by row; None where no row has one."""
        if key not in self.found:
            return None
        row = connection.execute(_READ, {"wanted": self.found[key][0]}).one()
        return np.frombuffer(row.data, "<f8")

    def texts(self, connection: Connection, key: Key, equal: str | None = None) -> Coded | None:
        """A column of texts by row; None where no row has one, or surely none that is equal to one that is passed."""
        if key not in self.found:
            return None
        row = connection.execute(_READ, {"wanted": self.found[key][0]}).one()
        # Of thousands of customers a segment rarely has the one: a look at the JSON tells, without reading it.
        if equal is not None and orjson.dumps(equal).decode() not in row.texts and "null" not in row.texts:
            return None
        return Coded(np.frombuffer(row.data, _CODE_TYPES[len(row.data) // len(self.seqs)]), orjson.loads(row.texts))

    def bounds(self, key: Key) -> tuple[float, float] | None:
        """No number of a column is beyond these; None where that is not known."""
        _, low, high = self.found.get(key, (0, None, None))
        return None if low is None or high is None else (low, high)

    def all_numbers(self, connection: Connection) -> list[NDArray[np.float64]]:
        """Every column of numbers of the transactions."""
        query = select(_COLUMN.data).where(_COLUMN.segment == self.segment, _COLUMN.kind == Kind.NUMBERS.value)
        return [np.frombuffer(data, "<f8") for data in connection.execute(query).scalars()]


class Rewritten(NamedTuple):
    """What people made of some alerts, and the statements that write it into the segment that has them."""

    done: dict[int, Work]
    statements: list[Insert | Update]


def stored_columns(connection: Connection, names: Iterable[str]) -> list[StoredColumns]:
    """Every segment, in order, ready to be asked for columns of these names."""
    found = {row.id: StoredColumns(*row) for row in connection.execute(select(segments).order_by(segments.c.id))}
    query = select(_COLUMN.segment, _COLUMN.kind, _COLUMN.name, _COLUMN.id, _COLUMN.low, _COLUMN.high)
    for row in connection.execute(query.where(_COLUMN.name.in_(set(names)))):
        if row.segment in found:
            found[row.segment].found[Kind(row.kind), row.name] = (row.id, row.low, row.high)
    return list(found.values())


def next_segment(connection: Connection) -> int:
    """The number that the segment after the last whole one gets."""
    found: int | None = connection.execute(select(func.max(segments.c.id))).scalar()
    return (found or 0) + 1


def packed_columns(growing: GrowingColumns, segment: int) -> Iterator[list[dict[str, Any]]]:
    """The columns of a segment as rows for `write_columns`, so many at a time as one transaction is to take."""
    rows = growing.rows
    some: list[dict[str, Any]] = []
    size = 0
    for row in _packed_rows(growing, segment, rows):
        some.append(row)
        size += len(row["data"]) + len(row["texts"] or "")
        if size >= PIECE_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def write_columns(connection: Connection, packed: list[dict[str, Any]], segment: int) -> None:
    """Store columns of a segment that nobody looks at before `write_segment`.

    Raises:
        StoreError: Somebody else has stored that segment.
    """
    if next_segment(connection) != segment:
        raise indexed_twice()
    connection.execute(insert(segment_columns), packed)


def write_segment(connection: Connection, growing: GrowingColumns, segment: int, columns: int) -> None:
    """Store a segment whose columns are stored already, so many of them: from here on it is looked at.

    Raises:
        StoreError: Somebody else has stored these alerts, or has changed the columns.
    """
    seqs = growing.seqs
    first, last = int(seqs[0]), int(seqs[-1])
    there = connection.execute(select(func.count()).where(_COLUMN.segment == segment)).scalar_one()
    if last_stored(connection) >= first or there != columns:
        raise indexed_twice()
    row = {
        "id": segment,
        "first_seq": first,
        "last_seq": last,
        "rows": len(seqs),
        "crowded": int(growing.crowded),
        "seqs": None if last - first + 1 == len(seqs) else seqs.astype("<i8").tobytes(),
    }
    connection.execute(insert(segments), row)


def indexed_twice() -> StoreError:
    """What is raised where two index one database, before either harms it."""
    return StoreError(
        "another process has indexed the same alerts",
        remedy="nothing is lost: it is begun anew behind what is stored; end one of the two if it comes again",
    )


def unfinished(connection: Connection) -> Delete | None:
    """What takes out columns that were stored for a segment that never was; None where there are none."""
    beyond = _COLUMN.segment >= next_segment(connection)
    if connection.execute(select(_COLUMN.id).where(beyond).limit(1)).first() is None:
        return None
    return delete(segment_columns).where(beyond)


def last_stored(connection: Connection) -> int:
    """The last alert that a segment holds, 0 where there is none."""
    found: int | None = connection.execute(select(func.max(segments.c.last_seq))).scalar()
    return found or 0


def restated_work(
    connection: Connection, most: int | None = None, *, of: Collection[int] | None = None
) -> dict[int, Work]:
    """Status and assignee as they are now, of alerts of which the index may not have them so; of some of them alone."""
    alert = tables.alerts.c
    query = (
        select(restated_alerts.c.seq, *(alert[name] for name in WORK))
        .join_from(restated_alerts, tables.alerts, alert.seq == restated_alerts.c.seq)
        .order_by(restated_alerts.c.seq)
        .limit(most)
    )
    if of is not None:
        query = query.where(restated_alerts.c.seq.in_(of))
    rows = connection.execute(query).mappings()
    return {row["seq"]: {name: row[name] for name in WORK} for row in rows}


def rewritten(connection: Connection, work: Mapping[int, Work]) -> Rewritten:
    """What writes status and assignee as they are now into the first segment that has some of these alerts.

    Alerts before that segment are in none; they are among what is done.
    """
    first, last = min(work), max(work)
    query = select(segments).where(segments.c.first_seq <= last, segments.c.last_seq >= first).order_by(segments.c.id)
    for row in connection.execute(query):
        columns = StoredColumns(*row)
        here = {seq: now for seq, now in work.items() if columns.first <= seq <= columns.last}
        if here:
            done = {seq: now for seq, now in work.items() if seq <= columns.last}
            return Rewritten(done, _rewriting(connection, columns, here))
    return Rewritten(dict(work), [])


def _rewriting(connection: Connection, columns: StoredColumns, work: Mapping[int, Work]) -> list[Insert | Update]:
    ids = select(_COLUMN.id, _COLUMN.name).where(
        _COLUMN.segment == columns.segment, _COLUMN.kind == Kind.OWN_TEXTS.value, _COLUMN.name.in_(WORK)
    )
    columns.found = {(Kind.OWN_TEXTS, row.name): (row.id, None, None) for row in connection.execute(ids).all()}
    at = np.searchsorted(columns.seqs, np.array(list(work), np.int64))
    statements: list[Insert | Update] = []
    for name in WORK:
        key = (Kind.OWN_TEXTS, name)
        coded = columns.texts(connection, key)
        codes = np.zeros(len(columns.seqs), np.uint32) if coded is None else coded.codes.astype(np.uint32)
        texts: dict[str | None, int] = {} if coded is None else {text: code for code, text in enumerate(coded.texts, 1)}
        for place, now in zip(at.tolist(), work.values(), strict=True):
            text = now[name]
            codes[place] = 0 if text is None else texts.setdefault(text, len(texts) + 1)
        listed = list(texts)
        row = _row(columns.segment, key, _packed(Coded(codes, listed), len(codes)), texts=listed)
        if coded is not None:
            statements.append(update(segment_columns).where(_COLUMN.id == columns.found[key][0]).values(row))
        elif listed:
            statements.append(insert(segment_columns).values(row))
    return statements


def _packed_rows(growing: GrowingColumns, segment: int, rows: int) -> Iterator[dict[str, Any]]:
    for key, numbers in growing.number_columns.items():
        low, high = float(np.nanmin(numbers)), float(np.nanmax(numbers))
        yield _row(segment, key, numbers[:rows].astype("<f8").tobytes(), low=low, high=high)
    for key, coded in growing.text_columns.items():
        yield _row(segment, key, _packed(coded, rows), texts=coded.texts)


def _row(
    segment: int,
    key: Key,
    data: bytes,
    *,
    low: float | None = None,
    high: float | None = None,
    texts: list[str | None] | None = None,
) -> dict[str, Any]:
    kind, name = key
    own = {"segment": segment, "kind": kind.value, "name": name}
    told = None if texts is None else orjson.dumps(texts).decode()
    return own | {"low": low, "high": high, "texts": told, "data": data}


def _packed(coded: Coded, rows: int) -> bytes:
    most = len(coded.texts)
    size = 1 if most < 2**8 else 2 if most < 2**16 else 4
    return coded.codes[:rows].astype(_CODE_TYPES[size]).tobytes()
