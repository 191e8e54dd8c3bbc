"""Finds alerts by what is known of them: a page in any order within a time, or all of them one piece after the other.

The index (`segment.py`) holds what `indexer.py` has come to; what is behind it is looked through as it stands
(`window.py`), so that an alert is found from its commit on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import orjson
from sqlalchemy import Connection, select

from fraudstream.alerts import tables
from fraudstream.alerts.filters import AlertFilter, Sort
from fraudstream.alerts.finding.columns import GrowingColumns
from fraudstream.alerts.finding.cursor import Position
from fraudstream.alerts.finding.order import NOTHING, Asked, Hits, Piece, position
from fraudstream.alerts.finding.segment import Segment, Shared, names_asked
from fraudstream.alerts.finding.stored import restated_work, stored_columns
from fraudstream.alerts.finding.text import Lookup
from fraudstream.alerts.finding.walking import LOOKED_AT, Found, by_commit, by_value, size, wanted_of
from fraudstream.alerts.finding.window import newest, windows
from fraudstream.alerts.reading import AlertReader, StoredAlert

MOST_RANKED: Final = 1_000_000
PAGE_SECONDS: Final = 1.5
"""A page that takes longer is given as far as it was found."""


class Page(NamedTuple):
    """A page of alerts.

    Attributes:
        alerts: In the order that was asked for.
        following: Where the next page begins; None at the end, and where the time was over in an order of values.
        complete: Whether nothing was left out because the time was over.
        scanned: How many alerts were looked through.
        of: Of how many.
    """

    alerts: list[StoredAlert]
    following: Position | None
    complete: bool
    scanned: int
    of: int


class AlertSearch:
    """Searches an alert store."""

    def __init__(self, reader: AlertReader, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Take what reads the store, and the clock of a page's time."""
        self._reader = reader
        self._monotonic = monotonic
        self.growing: GrowingColumns | None = None
        """What the indexer of this process has in memory, where there is one."""

    def page(
        self,
        wanted: AlertFilter,
        *,
        sort: Sort = Sort.NEWEST,
        after: Position | None = None,
        limit: int = 100,
        seconds: float = PAGE_SECONDS,
    ) -> Page:
        """The first alerts in an order, or those that follow a place in it.

        Args:
            wanted: Which ones.
            sort: The order.
            after: Where the page before it ended.
            limit: How many at most.
            seconds: How long it may take; at least one piece is looked through.
        """
        asked = Asked(wanted, sort, after, None, limit)
        pieces = self._pieces(asked)
        with self._reader.reading() as connection:
            run = self._by_commit if sort.column is None else self._by_value
            return run(connection, asked, pieces, limit, self._monotonic() + seconds)

    def walk(
        self,
        wanted: AlertFilter,
        *,
        sort: Sort = Sort.OLDEST,
        after: Position | None = None,
        up_to: int | None = None,
        most: int = MOST_RANKED,
    ) -> Iterator[Found]:
        """All alerts that match: in an order of commit as they are found, else once all were looked through.

        Args:
            wanted: Which ones.
            sort: In which order.
            after: Where to begin.
            up_to: The last `seq`; that of the newest alert where none is passed.
            most: How many are kept for an order of values.
        """
        asked = Asked(wanted, sort, after, up_to=up_to)
        pieces = self._pieces(asked)
        if sort.column is None:
            return by_commit(self._reader, pieces, asked)
        return by_value(self._reader, pieces, asked, most)

    def transaction_columns(self, wanted: AlertFilter, *, up_to: int) -> list[str]:
        """The columns of all transactions that match, in the order in which they were first seen."""
        asked = Asked(wanted, Sort.OLDEST, up_to=up_to)
        pieces = self._pieces(asked)
        column = tables.column_sets.c
        with self._reader.reading() as connection:
            found = set[int]().union(*(piece.column_sets(connection, asked) for piece in pieces))
            query = select(column.names).where(column.id.in_(found)).order_by(column.id)
            names = connection.execute(query).scalars().all()
        return list(dict.fromkeys(name for some in names for name in orjson.loads(some)))

    def _pieces(self, asked: Asked) -> list[Piece]:
        """What has to be looked through, in order."""
        # Before the transaction that reads what is stored: what is stored in between is then in both, not in neither.
        view = None if self.growing is None else self.growing.view()
        wanted = asked.wanted
        with self._reader.reading() as connection:
            stored = stored_columns(connection, names_asked(wanted, asked.sort))
            text = Lookup(connection, wanted.text) if wanted.text and wanted.text.terms else None
            shared = Shared(text, restated_work(connection) if wanted.statuses or wanted.assignee else {})
            last = newest(connection) if asked.up_to is None else asked.up_to
        pieces: list[Piece] = [Segment(columns, columns.first, columns.last, shared) for columns in stored]
        reached = stored[-1].last if stored else 0
        if view is not None and len(view.seqs) and view.seqs[0] > reached:
            pieces += windows(reached + 1, int(view.seqs[0]) - 1)
            reached = int(view.seqs[-1])
            pieces.append(Segment(view, int(view.seqs[0]), reached, shared))
        pieces += windows(reached + 1, last)
        if asked.sort.column is not None:
            return sorted(pieces, key=lambda piece: (-piece.highest(asked.sort), -piece.last))
        after = None if asked.after is None else asked.after.seq
        if asked.sort is Sort.OLDEST:
            return [piece for piece in pieces if piece.first <= last and (after is None or piece.last > after)]
        return [piece for piece in reversed(pieces) if after is None or piece.first < after]

    def _by_commit(self, connection: Connection, asked: Asked, pieces: list[Piece], limit: int, until: float) -> Page:
        found: list[StoredAlert] = []
        scanned, of = 0, sum(map(size, pieces))
        for piece in pieces:
            hits = piece.hits(connection, asked)
            for start in range(0, len(hits.seqs), LOOKED_AT):
                found += wanted_of(self._reader, connection, hits, start, asked.wanted)
                if len(found) >= limit:
                    return Page(found[:limit], Position(None, found[limit - 1].seq), True, scanned, of)
                if self._monotonic() > until:
                    looked = min(start + LOOKED_AT, len(hits.seqs)) - 1
                    return Page(found, position(hits, looked), False, scanned, of)
            scanned += size(piece)
            if self._monotonic() > until and scanned < of:
                edge = piece.last if asked.sort is Sort.OLDEST else piece.first
                return Page(found, Position(None, edge), False, scanned, of)
        return Page(found, None, True, scanned, of)

    def _by_value(self, connection: Connection, asked: Asked, pieces: list[Piece], limit: int, until: float) -> Page:
        best: list[tuple[float, int]] = []
        complete, scanned, of = True, 0, sum(map(size, pieces))
        for piece in pieces:
            full = len(best) == limit
            if not full or piece.highest(asked.sort) >= best[-1][0]:
                before = Position(best[-1][0], best[-1][1]) if full else None
                hits = piece.hits(connection, Asked(asked.wanted, asked.sort, asked.after, before, limit))
                best += self._first(connection, hits, asked.wanted, limit, until)
                best = sorted(best, key=lambda hit: (-hit[0], -hit[1]))[:limit]
            scanned += size(piece)
            if self._monotonic() > until and scanned < of:
                complete = False
                break
        found = self._reader.numbered(connection, [seq for _, seq in best], asked.wanted)
        following = None
        if complete and len(best) == limit:
            value, seq = best[-1]
            following = Position(None if value == NOTHING else value, seq)
        return Page(found, following, complete, scanned, of)

    def _first(
        self, connection: Connection, hits: Hits, wanted: AlertFilter, limit: int, until: float
    ) -> list[tuple[float, int]]:
        """The first hits that are wanted, with what they are ordered by."""
        keys = dict(zip(hits.seqs.tolist(), () if hits.keys is None else hits.keys.tolist(), strict=True))
        if hits.sure:
            return [(key, seq) for seq, key in keys.items()]
        found: list[tuple[float, int]] = []
        for start in range(0, len(hits.seqs), LOOKED_AT):
            found += [
                (keys[alert.seq], alert.seq) for alert in wanted_of(self._reader, connection, hits, start, wanted)
            ]
            if len(found) >= limit or self._monotonic() > until:
                break
        return found
