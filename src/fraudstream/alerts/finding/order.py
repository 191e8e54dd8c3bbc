"""What a piece of the store is asked for, and how its hits are put in order; `search.py` puts the pieces together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from fraudstream.alerts.filters import AlertFilter, Sort
from fraudstream.alerts.finding.cursor import Position

NOTHING: Final = -np.inf
"""The key of an alert that has no value: it comes behind all that have one, which are finite."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of one piece.

    Attributes:
        wanted: Which alerts.
        sort: In which order.
        after: The last one that was given; only what follows it is wanted.
        before: The last one of a page that is full already; only what comes before it is wanted.
        most: How many are wanted; None for all.
        up_to: The last `seq` that is wanted; None for all.
    """

    wanted: AlertFilter
    sort: Sort
    after: Position | None = None
    before: Position | None = None
    most: int | None = None
    up_to: int | None = None


class Hits(NamedTuple):
    """What a piece has of it, in order; where it is not `sure`, the alerts themselves have to be looked at."""

    seqs: NDArray[np.int64]
    keys: NDArray[np.float64] | None
    sure: bool


class Piece(Protocol):
    """A stretch of the order of commit, from `first` to `last`."""

    first: int
    last: int

    def hits(self, connection: Connection, asked: Asked) -> Hits:
        """What it has of what is asked."""

    def column_sets(self, connection: Connection, asked: Asked) -> set[int]:
        """The column sets of what it may have of it."""

    def highest(self, sort: Sort) -> float:
        """No alert of it has a larger value there."""


def ordered(seqs: NDArray[np.int64], values: NDArray[np.float64] | None, asked: Asked, *, sure: bool) -> Hits:
    """The hits in the order that is asked for, from `after` on.

    Args:
        seqs: In ascending order.
        values: What they are ordered by, NaN where there is nothing; None for the order of commit.
        asked: What is asked.
        sure: Whether they are known to be wanted: then no more of them are given than are asked for.
    """
    if asked.up_to is not None and len(seqs) and seqs[-1] > asked.up_to:
        end = int(np.searchsorted(seqs, asked.up_to, side="right"))
        seqs, values = seqs[:end], None if values is None else values[:end]
    if values is None:
        if asked.after is not None:
            seqs = seqs[seqs > asked.after.seq] if asked.sort is Sort.OLDEST else seqs[seqs < asked.after.seq]
        seqs = seqs if asked.sort is Sort.OLDEST else seqs[::-1]
        return Hits(seqs[: asked.most] if sure else seqs, None, sure)
    keys = np.where(np.isnan(values), NOTHING, values)
    for limit, behind in ((asked.after, True), (asked.before, False)):
        if limit is not None:
            key = NOTHING if limit.value is None else limit.value
            kept = (
                ((keys < key) | ((keys == key) & (seqs < limit.seq)))
                if behind
                else ((keys > key) | ((keys == key) & (seqs > limit.seq)))
            )
            seqs, keys = seqs[kept], keys[kept]
    if sure and asked.most is not None and len(seqs) > asked.most:
        best = keys >= np.partition(keys, -asked.most)[-asked.most]
        seqs, keys = seqs[best], keys[best]
    order = np.lexsort((-seqs, -keys))
    if sure:
        order = order[: asked.most]
    return Hits(seqs[order], keys[order], sure)


def position(hits: Hits, at: int) -> Position:
    """The place of one of the hits."""
    key = None if hits.keys is None else float(hits.keys[at])
    return Position(None if key == NOTHING else key, int(hits.seqs[at]))
