"""A stretch of alerts whose columns and words are indexed, asked a vector at a time; `window.py` has the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from sqlalchemy import Connection

from fraudstream.alerts.filters import AlertFilter, Sort
from fraudstream.alerts.finding.columns import Columns
from fraudstream.alerts.finding.masks import Mask, equal_mask, own_mask, where_mask
from fraudstream.alerts.finding.order import Asked, Hits, ordered
from fraudstream.alerts.finding.tables import Kind
from fraudstream.alerts.finding.text import Lookup, Words

FEW: Final = 64
"""So many alerts are sooner read than looked up: 3 ms for a word that is in every alert of a segment."""

NONE: Final = Hits(np.zeros(0, np.int64), np.zeros(0), True)


@dataclass(slots=True)
class Shared:
    """What the segments of one search have in common: what was typed, and what has changed since they were written."""

    text: Lookup | None
    restated: Mapping[int, Mapping[str, str | None]]


class Segment:
    """Alerts with a `seq` from `first` to `last`, in columns."""

    def __init__(self, columns: Columns, first: int, last: int, shared: Shared) -> None:
        self.first = first
        self.last = last
        self._columns = columns
        self._shared = shared

    def hits(self, connection: Connection, asked: Asked) -> Hits:
        """What is asked of it, or what may be."""
        columns = self._columns
        mask = own_mask(connection, columns, asked.wanted, self._shared.restated)
        if mask is None:
            return NONE
        sure = True
        for where in asked.wanted.where:
            found, certain = where_mask(connection, columns, where)
            mask &= found
            sure &= certain
        seqs, values = columns.seqs, None
        if asked.sort.column is not None:
            values = columns.numbers(connection, (Kind.OWN_NUMBERS, asked.sort.column.name))
            values = np.full(len(seqs), np.nan) if values is None else values
        if self._shared.text is not None:
            may = ordered(seqs[mask], None if values is None else values[mask], asked, sure=False)
            if len(may.seqs) <= FEW:
                return may
            mask = self._with_text(connection, self._shared.text, mask)
            sure &= not self._shared.text.long_numbers
        return ordered(seqs[mask], None if values is None else values[mask], asked, sure=sure)

    def column_sets(self, connection: Connection, asked: Asked) -> set[int]:
        """The column sets of what it may have of it."""
        hits = self.hits(connection, asked)
        sets = self._columns.numbers(connection, (Kind.OWN_NUMBERS, "column_set"))
        if sets is None or not len(hits.seqs):
            return set()
        return set(np.unique(sets[np.searchsorted(self._columns.seqs, hits.seqs)]).astype(int).tolist())

    def highest(self, sort: Sort) -> float:
        """No alert of it has a larger value there."""
        if sort.column is None:
            return np.inf
        bounds = self._columns.bounds((Kind.OWN_NUMBERS, sort.column.name))
        return np.inf if bounds is None else bounds[1]

    def _with_text(self, connection: Connection, text: Lookup, mask: Mask) -> Mask:
        for words in text.words:
            mask = mask & self._having(connection, words)
        for number, word in text.long_numbers:
            mask = mask & (equal_mask(connection, self._columns, number) | self._having(connection, word))
        return mask

    def _having(self, connection: Connection, words: Words) -> Mask:
        has = np.zeros(len(self._columns.seqs), np.bool_)
        has[np.searchsorted(self._columns.seqs, words.between(connection, self.first, self.last))] = True
        return has


def names_asked(wanted: AlertFilter, sort: Sort) -> set[str]:
    """The columns that a search may ask for."""
    own = {name for name, _, _ in wanted.ranges} | {name for name, _ in wanted.choices}
    by = set() if sort.column is None else {sort.column.name}
    return own | by | {"column_set"} | {where.name for where in wanted.where}
