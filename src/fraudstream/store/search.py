"""Searches alerts: a page in any order, or all matches in commit order.

Filters on columns of `alerts` are answered from its indexes, each of which covers all these columns, so that only the
alerts of the page are read; text is looked up in the full-text index. Any other column is compared within the stored
alerts, newest first, for a limited time.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Connection, Select, and_, func, intersect, null, or_, select, true, union_all

from fraudstream.messages.posted import STORED_OUTCOMES
from fraudstream.store import tables
from fraudstream.store.filters import AlertFilter, SearchPosition, Sort, of_entity
from fraudstream.store.full_text import matching
from fraudstream.store.reading import EXPORT_PAGE, STORED_COLUMNS, AlertReader, StoredAlert, stored_alert
from fraudstream.store.triage_state import AlertStatus

SCAN_SECONDS: Final = 2.0
"""The time limit of a scan of the stored alerts for a column without an index."""

WINDOW: Final = 2_000
"""Alerts that are scanned between two checks of the time limit."""

_ALERT: Final = tables.alerts.c
_Conditions = Sequence[ColumnElement[bool]]


class SearchPage(NamedTuple):
    """A page of alerts.

    Attributes:
        following: The position of the next page; None at the end.
        complete: Whether all alerts were searched, or in commit order as many as fill the page.
        reached_us: The time of production of the last alert searched, `reached` its `seq`; None if complete.
    """

    alerts: list[StoredAlert]
    following: SearchPosition | None
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
        query: AlertFilter,
        *,
        sort: Sort = Sort.NEWEST,
        after: SearchPosition | None = None,
        limit: int = 100,
        seconds: float = SCAN_SECONDS,
    ) -> SearchPage:
        """Return the first alerts in an order, or those after a position."""
        position = after or SearchPosition()
        if sort is Sort.DUE or query.due_before_us is not None:
            # No others have a due time, and of the new ones there may be millions.
            if query.statuses and AlertStatus.NEEDS_INFORMATION not in query.statuses:
                return SearchPage([], None)
            query = replace(query, statuses=(AlertStatus.NEEDS_INFORMATION,))
        with self._reader.database.read() as connection:
            if query.where:
                return self._scan(connection, query, sort, position, limit, self._monotonic() + seconds)
            statement = _first(connection, query, sort, position, limit + 1)
            keys = connection.execute(statement).all()
            following = SearchPosition(*keys[limit - 1]) if len(keys) > limit else None
            return SearchPage(_alerts(connection, keys[:limit]), following)

    def walk(self, query: AlertFilter, *, up_to: int | None = None) -> Iterator[list[StoredAlert]]:
        """Yield all matches `up_to` a `seq` in commit order, in pages; no transaction is open between two pages."""
        last = self._reader.latest_seq() if up_to is None else up_to
        for window in _windows(1, last, EXPORT_PAGE, upward=True):
            with self._reader.database.read() as connection:
                statement = select(*STORED_COLUMNS).where(*_within(connection, query, *window)).order_by(_ALERT.seq)
                rows = connection.execute(statement)
                alerts = [stored_alert(row) for row in rows if query.matches(row.body)]
            if alerts:
                yield alerts

    def transaction_columns(self, query: AlertFilter, *, up_to: int) -> list[str]:
        """Return the columns of all transactions that match (or may, by other columns), in order of observation."""
        column = tables.column_sets.c
        with self._reader.database.read() as connection:
            sets = select(_ALERT.column_set).where(*query.conditions(), _ALERT.seq <= up_to)
            if (matches := _text_matches(connection, query)) is not None:
                sets = sets.where(_ALERT.seq.in_(matches))
            statement = select(column.names).where(column.id.in_(sets)).order_by(column.id)
            names = connection.execute(statement).scalars().all()
        return list(dict.fromkeys(name for encoded in names for name in orjson.loads(encoded)))

    def _scan(
        self, connection: Connection, query: AlertFilter, sort: Sort, position: SearchPosition, limit: int, until: float
    ) -> SearchPage:
        """Scan the stored alerts, in commit order until the page is full, or all of them if sorted by value.

        If the time limit is reached, the page has the matches so far, and the next page continues there.
        """
        upward, by_value = sort is Sort.OLDEST, sort.column is not None
        low, high = 1, _newest(connection)
        if position.seq is not None and not by_value:
            low, high = (max(low, position.seq + 1), high) if upward else (low, min(high, position.seq - 1))
            position = SearchPosition()
        low = max(low, position.floor or low)
        high = high if position.below is None else min(high, position.below - 1)
        statement = select(_value(sort.column), _ALERT.seq, _ALERT.body)
        statement = statement.where(_any(_after(sort, position)))
        keys: list[tuple[Any, int]] = []
        end, reached = (high, low - 1) if upward else (low, high + 1)
        for first, last in _windows(low, high, WINDOW, upward=upward):
            rows = connection.execute(statement.where(*_within(connection, query, first, last)))
            matches = ((value, seq) for value, seq, body in rows if query.matches(body))
            keys = sorted([*keys, *matches], key=_rank(sort))[: limit + 1]
            reached = last if upward else first
            # The rest of a page sorted by value was scanned within the previous time limit.
            is_over = position.seq is None and self._monotonic() > until
            if is_over or (len(keys) > limit and not by_value):
                break
        ended = reached == end or high < low
        floor = position.floor if ended else reached
        following = None
        if more := len(keys) > limit:
            following = SearchPosition(*keys[limit - 1], *((position.below, floor) if by_value else ()))
        elif floor is not None:
            following = SearchPosition(below=floor) if by_value else SearchPosition(seq=floor)
        alerts = _alerts(connection, keys[:limit])
        if floor is None or (more and not by_value):
            return SearchPage(alerts, following)
        produced_us = select(func.coalesce(_ALERT.produced_us, _ALERT.received_us)).where(_ALERT.seq >= floor)
        reached_us = connection.execute(produced_us.order_by(_ALERT.seq).limit(1)).scalar()
        return SearchPage(alerts, following, False, reached_us, floor)


def _first(connection: Connection, query: AlertFilter, sort: Sort, position: SearchPosition, limit: int) -> Select[Any]:
    """Build the query for the sort values and `seq` of the first alerts after a position.

    The alerts with a text or of an entity are looked up and sorted. For others the index of the order has each status
    of each outcome in that order; their first alerts are merged.
    """
    outcomes = [str(each) for each in (STORED_OUTCOMES if query.outcome is None else (query.outcome,))]
    statuses = [str(each) for each in query.statuses or AlertStatus]
    conditions = replace(query, outcome=None, statuses=(), entities=()).conditions()
    lookups = [of_entity(each) for each in query.entities]
    if (matches := _text_matches(connection, query)) is not None:
        lookups.append(matches)
    of_time = AlertFilter(outcome=None, since_us=query.since_us, until_us=query.until_us).conditions()
    if of_time:  # looked up first: where an index is followed, only its alerts between these are read
        ends = connection.execute(select(func.min(_ALERT.seq), func.max(_ALERT.seq)).where(*of_time)).one()
        conditions.append(_ALERT.seq.between(*ends))
    order = _order(sort, sort.column, _ALERT.seq)
    statement = select(_value(sort.column), _ALERT.seq).where(*conditions).order_by(*order).limit(limit)
    if lookups:
        # An expression, which keeps SQLite from using an index instead.
        is_possible = (_ALERT.outcome + "").in_(outcomes), _ALERT.status.in_(statuses), _any(_after(sort, position))
        return statement.where(_ALERT.seq.in_(intersect(*lookups)), *is_possible)
    branches = [
        statement.where(_ALERT.outcome == outcome, _ALERT.status == status, *piece)
        for outcome in outcomes
        for status in statuses
        for piece in _after(sort, position)
    ]
    merged = union_all(*(select(branch.subquery()) for branch in branches)).subquery()
    return select(merged).order_by(*_order(sort, merged.c.value, merged.c.seq)).limit(limit)


def _order(sort: Sort, value: ColumnElement[Any] | None, seq: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    if sort.column is None or value is None:
        return [seq.asc() if sort is Sort.OLDEST else seq.desc()]
    return [value.desc().nulls_last(), seq.desc()]


def _any(pieces: Sequence[_Conditions]) -> ColumnElement[bool]:
    return or_(*(and_(true(), *piece) for piece in pieces))


def _after(sort: Sort, position: SearchPosition) -> list[_Conditions]:
    """Return the conditions for the alerts after a position, in pieces that each are in order in an index."""
    if position.seq is None:
        return [()]
    if sort is Sort.OLDEST:
        return [(_ALERT.seq > position.seq,)]
    older, by = _ALERT.seq < position.seq, sort.column
    if by is None:
        return [(older,)]
    if position.value is None:
        return [(by.is_(None), older)]
    return [(by <= position.value, or_(by < position.value, older)), (by.is_(None),)]


def _within(connection: Connection, query: AlertFilter, first: int, last: int) -> _Conditions:
    """Return the conditions for the matches from `first` to `last`, without those on columns of the transaction."""
    conditions = [_ALERT.seq.between(first, last), *query.conditions()]
    if (matches := _text_matches(connection, query, first, last)) is not None:
        conditions.append(_ALERT.seq.in_(matches))
    return conditions


def _text_matches(
    connection: Connection, query: AlertFilter, first: int | None = None, last: int | None = None
) -> Select[Any] | None:
    return matching(connection, query.text, first, last) if query.text and query.text.terms else None


def _newest(connection: Connection) -> int:
    return connection.execute(select(func.max(_ALERT.seq))).scalar() or 0


def _value(by: ColumnElement[Any] | None) -> ColumnElement[Any]:
    return (null() if by is None else by).label("value")


def _rank(sort: Sort) -> Callable[[tuple[Any, int]], Any]:
    """Return the sort key for pairs of value and `seq`."""
    if sort is Sort.OLDEST:
        return lambda key: key[1]
    return lambda key: (key[0] is None, -(key[0] or 0), -key[1])


def _windows(low: int, high: int, size: int, *, upward: bool) -> Iterator[tuple[int, int]]:
    if upward:
        yield from ((first, min(first + size - 1, high)) for first in range(low, high + 1, size))
    else:
        yield from ((max(last - size + 1, low), last) for last in range(high, low - 1, -size))


def _alerts(connection: Connection, keys: Sequence[Any]) -> list[StoredAlert]:
    """Read the alerts for pairs of value and `seq`, in their order."""
    seqs = [seq for _, seq in keys]
    rows = connection.execute(select(*STORED_COLUMNS).where(_ALERT.seq.in_(seqs)))
    alerts = {row.seq: stored_alert(row) for row in rows}
    return [alerts[seq] for seq in seqs]
