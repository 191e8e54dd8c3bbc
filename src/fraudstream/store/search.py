"""Searches the alerts: a page in any order, or all that match in the order of commit.

What has a column of its own is answered from the indexes of `alerts`, each of which holds all these columns, so that no
alert is read that is not shown; words are looked up in the full-text table. Any other column is compared within the
stored alerts, the newest first, for a limited time.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Connection, Select, and_, func, null, or_, select, true, union_all

from fraudstream.messages.posted import STORED_OUTCOMES
from fraudstream.store import tables
from fraudstream.store.database import kept_words, with_words
from fraudstream.store.filters import AlertFilter, Position, Sort
from fraudstream.store.reading import EXPORT_PAGE, STORED_COLUMNS, AlertReader, StoredAlert, stored_alert
from fraudstream.store.triage_state import AlertStatus

SCAN_SECONDS: Final = 2.0
"""So long the stored alerts are searched for a column that has no index."""

WINDOW: Final = 2_000
"""Alerts that are searched at a time, before the clock is looked at."""

FEW: Final = 2_000
"""The alerts that have some words or are of some time are looked up one by one where they are so few; else the order
is followed."""

NARROW: Final = 20_000
"""The alerts within a range of scores or amounts are sorted where they are so few, or, in an order of values, half of
all: the largest losses may all be above the range."""

_ALERT: Final = tables.alerts.c
_Conditions = Sequence[ColumnElement[bool]]


class Page(NamedTuple):
    """A page of alerts.

    Attributes:
        following: Where the next page begins; None at the end.
        complete: Whether all alerts were searched, or as many as fill the page in the order of commit.
        reached_us: When the last alert that was searched was produced; None where it is complete.
        reached: Its `seq`; None where it is complete.
    """

    alerts: list[StoredAlert]
    following: Position | None
    complete: bool = True
    reached_us: int | None = None
    reached: int | None = None


class AlertSearch:
    """Searches an alert store."""

    def __init__(self, reader: AlertReader, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._monotonic = monotonic

    def page(
        self,
        wanted: AlertFilter,
        *,
        sort: Sort = Sort.NEWEST,
        after: Position | None = None,
        limit: int = 100,
        seconds: float = SCAN_SECONDS,
    ) -> Page:
        """The first alerts in an order, or those that follow a place in it."""
        with self._reader.reading() as connection:
            if wanted.where:
                return self._scan(connection, wanted, sort, after, limit, seconds)
            query = _first(connection, wanted, sort, after or Position(None, None), limit + 1)
            found = connection.execute(query).all()
            following = Position(*found[limit - 1]) if len(found) > limit else None
            return Page(_alerts(connection, found[:limit]), following)

    def walk(self, wanted: AlertFilter, *, up_to: int | None = None) -> Iterator[list[StoredAlert]]:
        """All alerts that match, in the order of commit, some at a time; nothing is read while the caller works.

        `up_to` is the last `seq`; that of the newest alert where none is passed.
        """
        last = self._reader.latest_seq() if up_to is None else up_to
        for window in _windows(1, last, EXPORT_PAGE, upward=True):
            with self._reader.reading() as connection:
                query = select(*STORED_COLUMNS).where(*_within(wanted, *window)).order_by(_ALERT.seq)
                alerts = [stored_alert(row) for row in connection.execute(query)]
            if alerts:
                yield alerts

    def transaction_columns(self, wanted: AlertFilter, *, up_to: int) -> list[str]:
        """The columns of all transactions that match (or may, by other columns), in the order of their first sight."""
        column = tables.column_sets.c
        with self._reader.reading() as connection:
            sets = select(_ALERT.column_set).where(*wanted.conditions(), _ALERT.seq <= up_to)
            if (words := _words(wanted)) is not None:
                sets = sets.where(_ALERT.seq.in_(words))
            query = select(column.names).where(column.id.in_(sets)).order_by(column.id)
            names = connection.execute(query).scalars().all()
        return list(dict.fromkeys(name for some in names for name in orjson.loads(some)))

    def _scan(
        self,
        connection: Connection,
        wanted: AlertFilter,
        sort: Sort,
        after: Position | None,
        limit: int,
        seconds: float,
    ) -> Page:
        """Search the stored alerts in the order of commit until the page is full, or in an order of values all of them.

        Where the time is over before, the page holds what was found, and the next one begins there.
        """
        until = self._monotonic() + seconds
        place = after or Position(None, None)
        upward, by_value = sort is Sort.OLDEST, sort.column is not None
        low, high = 1, _newest(connection)
        if place.seq is not None and not by_value:
            low, high = (max(low, place.seq + 1), high) if upward else (low, min(high, place.seq - 1))
            place = Position(None, None)
        low = max(low, place.floor or low)
        high = high if place.below is None else min(high, place.below - 1)
        query = select(_value(sort.column), _ALERT.seq).where(_any(_behind(sort, sort.column, place)))
        found: list[tuple[Any, int]] = []
        end, reached = (high, low - 1) if upward else (low, high + 1)
        for first, last in _windows(low, high, WINDOW, upward=upward):
            rows = connection.execute(query.where(*_within(wanted, first, last)))
            found = sorted([*found, *map(tuple, rows)], key=_rank(sort))[: limit + 1]
            reached = last if upward else first
            # What is left of a page in an order of values was searched within the time before.
            is_over = place.seq is None and self._monotonic() > until
            if is_over or (len(found) > limit and not by_value):
                break
        ended = reached == end or high < low
        floor = place.floor if ended else reached
        following = None
        if more := len(found) > limit:
            following = Position(*found[limit - 1], *((place.below, floor) if by_value else ()))
        elif floor is not None:
            following = Position(None, None, floor) if by_value else Position(None, floor)
        alerts = _alerts(connection, found[:limit])
        if floor is None or (more and not by_value):
            return Page(alerts, following)
        return Page(alerts, following, False, _produced(connection, floor), floor)


def _first(connection: Connection, wanted: AlertFilter, sort: Sort, after: Position, limit: int) -> Select[Any]:
    """The query for values and `seq` of the first alerts behind a place.

    Each status of each outcome is in order in the index of that order, and their first alerts are merged. A few alerts
    that have some words, or are of some time, are looked up and sorted.
    """
    outcomes = [str(each) for each in (STORED_OUTCOMES if wanted.outcome is None else (wanted.outcome,))]
    statuses = [str(each) for each in wanted.statuses or AlertStatus]
    conditions = replace(wanted, outcome=None, statuses=()).conditions()
    words, of_time = _words(wanted), _of_time(wanted)
    for found in (words, of_time):
        if found is not None and _count(connection, found, FEW) <= FEW:
            # An expression, which keeps SQLite from following an index instead.
            conditions += [_ALERT.seq.in_(found), (_ALERT.outcome + "").in_(outcomes), _ALERT.status.in_(statuses)]
            if words is not None:
                conditions.append((_ALERT.seq + 0).in_(words))
            query = select(_value(sort.column), _ALERT.seq).where(*conditions, _any(_behind(sort, sort.column, after)))
            return query.order_by(*_order(sort, sort.column, _ALERT.seq)).limit(limit)
    if wanted.text is not None and words is not None:
        conditions.append((_ALERT.seq + 0).in_(kept_words(connection, wanted.text)))
    if of_time is not None and sort.column is None:
        ends = of_time.with_only_columns(func.min(_ALERT.seq), func.max(_ALERT.seq))
        conditions.append(_ALERT.seq.between(*connection.execute(ends).one()))
    is_narrow = _is_narrow(connection, wanted, sort, outcomes, statuses)
    by, seq = (sort.computed, _ALERT.seq + 0) if is_narrow else (sort.column, _ALERT.seq)
    query = select(_value(by), _ALERT.seq).where(*conditions).order_by(*_order(sort, by, seq)).limit(limit)
    branches = [
        query.where(_ALERT.outcome == outcome, _ALERT.status == status, *piece)
        for outcome in outcomes
        for status in statuses
        for piece in _behind(sort, by, after)
    ]
    merged = union_all(*(select(branch.subquery()) for branch in branches)).subquery()
    return select(merged).order_by(*_order(sort, merged.c.value, merged.c.seq)).limit(limit)


def _count(connection: Connection, found: Select[Any], most: int) -> int:
    """How many are found, of which no more are counted than one above the most."""
    return connection.execute(select(func.count()).select_from(found.limit(most + 1).subquery())).scalar_one()


def _of_time(wanted: AlertFilter) -> Select[Any] | None:
    """The `seq` of all alerts of the time that is asked for."""
    conditions = AlertFilter(outcome=None, since_us=wanted.since_us, until_us=wanted.until_us).conditions()
    return select(_ALERT.seq).where(*conditions) if conditions else None


def _is_narrow(
    connection: Connection, wanted: AlertFilter, sort: Sort, outcomes: Sequence[str], statuses: Sequence[str]
) -> bool:
    """Whether the alerts within a range of scores or amounts are so few that sorting them beats following the order."""
    nothing = AlertFilter(outcome=None)
    ranges = {
        Sort.SCORE: replace(nothing, min_score=wanted.min_score, max_score=wanted.max_score),
        Sort.AMOUNT: replace(nothing, min_amount=wanted.min_amount, max_amount=wanted.max_amount),
    }
    most = NARROW if sort.column is None else max(NARROW, _newest(connection) // 2)
    within = select(_ALERT.seq).where(_ALERT.outcome.in_(outcomes), _ALERT.status.in_(statuses))
    return any(
        _count(connection, within.where(*each.conditions()), most) <= most
        for order, each in ranges.items()
        if each != nothing and order is not sort
    )


def _order(sort: Sort, value: ColumnElement[Any] | None, seq: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    if sort.column is None or value is None:
        return [seq.asc() if sort is Sort.OLDEST else seq.desc()]
    return [value.desc().nulls_last(), seq.desc()]


def _any(pieces: Sequence[_Conditions]) -> ColumnElement[bool]:
    return or_(*(and_(true(), *piece) for piece in pieces))


def _behind(sort: Sort, by: ColumnElement[Any] | None, place: Position) -> list[_Conditions]:
    """What follows a place in an order, in pieces that an index has in order each."""
    if place.seq is None:
        return [()]
    if sort is Sort.OLDEST:
        return [(_ALERT.seq > place.seq,)]
    older = _ALERT.seq < place.seq
    if by is None:
        return [(older,)]
    if place.value is None:
        return [(by.is_(None), older)]
    return [(by <= place.value, or_(by < place.value, older)), (by.is_(None),)]


def _within(wanted: AlertFilter, first: int, last: int) -> _Conditions:
    """The conditions for the alerts that match, of those from `first` to `last`."""
    words = _words(wanted, first, last)
    return [
        _ALERT.seq.between(first, last),
        *wanted.conditions(),
        *([] if words is None else [_ALERT.seq.in_(words)]),
        *(where.condition() for where in wanted.where),
    ]


def _words(wanted: AlertFilter, first: int | None = None, last: int | None = None) -> Select[Any] | None:
    return with_words(wanted.text, first, last) if wanted.text and wanted.text.terms else None


def _newest(connection: Connection) -> int:
    return connection.execute(select(func.max(_ALERT.seq))).scalar() or 0


def _value(by: ColumnElement[Any] | None) -> ColumnElement[Any]:
    return (null() if by is None else by).label("value")


def _rank(sort: Sort) -> Callable[[tuple[Any, int]], Any]:
    """What puts values and `seq` in order."""
    if sort is Sort.OLDEST:
        return lambda found: found[1]
    return lambda found: (found[0] is None, -(found[0] or 0), -found[1])


def _windows(low: int, high: int, size: int, *, upward: bool) -> Iterator[tuple[int, int]]:
    if upward:
        yield from ((first, min(first + size - 1, high)) for first in range(low, high + 1, size))
    else:
        yield from ((max(last - size + 1, low), last) for last in range(high, low - 1, -size))


def _alerts(connection: Connection, found: Sequence[Any]) -> list[StoredAlert]:
    """The alerts of values and `seq`, in their order."""
    seqs = [seq for _, seq in found]
    rows = connection.execute(select(*STORED_COLUMNS).where(_ALERT.seq.in_(seqs)))
    alerts = {row.seq: stored_alert(row) for row in rows}
    return [alerts[seq] for seq in seqs]


def _produced(connection: Connection, seq: int) -> int | None:
    """When the alert at a place in the order of commit, or the next one there is, was produced."""
    at = func.coalesce(_ALERT.produced_us, _ALERT.received_us)
    return connection.execute(select(at).where(_ALERT.seq >= seq).order_by(_ALERT.seq).limit(1)).scalar()
