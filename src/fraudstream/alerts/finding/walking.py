"""Goes through all alerts that match, piece by piece, telling how far it is; `search.py` has the pieces, and the pages.

No transaction is open while the caller works with what it was given, however slow it is; who asks for no more ends it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from fraudstream.alerts.filters import AlertFilter
from fraudstream.alerts.finding.cursor import Position
from fraudstream.alerts.finding.order import Asked, Hits, Piece
from fraudstream.alerts.reading import AlertReader, StoredAlert

LOOKED_AT: Final = 256
"""Alerts that are read at once, to see whether they are wanted or to give them out."""


class Found(NamedTuple):
    """What a walk has found since the last time, perhaps nothing, and how far it has come."""

    alerts: list[StoredAlert]
    scanned: int
    of: int


def size(piece: Piece) -> int:
    """How many alerts a piece may have."""
    return piece.last - piece.first + 1


def wanted_of(
    reader: AlertReader, connection: Connection, hits: Hits, start: int, wanted: AlertFilter
) -> list[StoredAlert]:
    """Those of the next hits that are wanted."""
    some = reader.numbered(connection, hits.seqs[start : start + LOOKED_AT].tolist(), wanted)
    if hits.sure:
        return some
    return [alert for alert in some if not wanted.rules_out(alert.body) and wanted.matches(alert.document())]


def by_commit(reader: AlertReader, pieces: Sequence[Piece], asked: Asked) -> Iterator[Found]:
    """The alerts as they are found, in the order of the pieces; the memory that it takes is bounded."""
    scanned, of = 0, sum(map(size, pieces))
    for piece in pieces:
        with reader.reading() as connection:
            hits = piece.hits(connection, asked)
        for start in range(0, len(hits.seqs), LOOKED_AT):
            with reader.reading() as connection:
                some = wanted_of(reader, connection, hits, start, asked.wanted)
            yield Found(some, scanned + _reached(piece, hits, start), of)
        scanned += size(piece)
        yield Found([], scanned, of)


def by_value(reader: AlertReader, pieces: Sequence[Piece], asked: Asked, most: int) -> Iterator[Found]:
    """The first alerts in an order of values, given out once all were looked through; 18 bytes for each until then."""
    best = _Best(most)
    scanned, of = 0, sum(map(size, pieces))
    for piece in pieces:
        before = best.last
        if before is None or before.value is None or piece.highest(asked.sort) >= before.value:
            with reader.reading() as connection:
                hits = piece.hits(connection, replace(asked, before=before, most=most))
            found: list[NDArray[np.bool_]] = []
            for start in range(0, 0 if hits.sure else len(hits.seqs), LOOKED_AT):
                with reader.reading() as connection:
                    some = {alert.seq for alert in wanted_of(reader, connection, hits, start, asked.wanted)}
                found.append(np.array([seq in some for seq in hits.seqs[start : start + LOOKED_AT].tolist()], np.bool_))
                yield Found([], scanned + _reached(piece, hits, start), of)
            kept = np.concatenate(found) if found else np.ones(len(hits.seqs), np.bool_)
            best.add(_keys(hits)[kept], hits.seqs[kept])
        scanned += size(piece)
        yield Found([], scanned, of)
    keys, seqs = best.in_order()
    for start in range(0, len(seqs), LOOKED_AT):
        with reader.reading() as connection:
            given = wanted_of(reader, connection, Hits(seqs, keys, True), start, asked.wanted)
        yield Found(given, of, of)


class _Best:
    """The first so many of all that is added; sorted when it is full, and then now and again."""

    def __init__(self, most: int) -> None:
        self.last: Position | None = None
        """Nothing behind it is wanted any more; None before it is full."""
        self._most = most
        self._rows = 0
        self._keys: list[NDArray[np.float64]] = [np.zeros(0)]
        self._seqs: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]

    def add(self, keys: NDArray[np.float64], seqs: NDArray[np.int64]) -> None:
        """Take some more, in any order."""
        self._keys.append(keys)
        self._seqs.append(seqs)
        self._rows += len(seqs)
        # Half a second for a million: not once for each piece.
        if self._rows >= self._most + (0 if self.last is None else self._most // 8):
            keys, seqs = self.in_order()
            self.last = Position(float(keys[-1]), int(seqs[-1]))

    def in_order(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """What they are ordered by, and their `seq`."""
        keys, seqs = np.concatenate(self._keys), np.concatenate(self._seqs)
        order = np.lexsort((-seqs, -keys))[: self._most]
        keys, seqs = keys[order], seqs[order]
        self._keys, self._seqs, self._rows = [keys], [seqs], len(seqs)
        return keys, seqs


def _keys(hits: Hits) -> NDArray[np.float64]:
    return np.zeros(0) if hits.keys is None else hits.keys


def _reached(piece: Piece, hits: Hits, start: int) -> int:
    """How far into a piece one is when the hits from `start` on were read."""
    return int(size(piece) * min(start + LOOKED_AT, len(hits.seqs)) / len(hits.seqs))
