"""Leaves columns out of some rows of a file, for a stream whose columns change."""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from fraudstream.errors import SettingsError


@dataclass(frozen=True)
class ColumnSpans:
    """The rows of a file in which columns are sent; a column without a span is in all of them.

    By column, the first row (from 0) with it, and the first row without it again.
    """

    begins: Mapping[str, int] = field(default_factory=dict)
    ends: Mapping[str, int] = field(default_factory=dict)

    def stretches(self, columns: Sequence[str], start: int) -> Iterator[tuple[int, list[int]]]:
        """Yield how many rows from row `start` on have the same columns, and the indexes of these."""
        changes = sorted({change for change in (*self.begins.values(), *self.ends.values()) if change > start})
        for first, end in pairwise([start, *changes, sys.maxsize]):
            sent = (self.begins.get(name, 0) <= first < self.ends.get(name, math.inf) for name in columns)
            yield end - first, [at for at, is_sent in enumerate(sent) if is_sent]

    def check(self, columns: Sequence[str], where: str) -> None:
        """Raise SettingsError if a column is none of these, or ends before it begins."""
        for name in (*self.begins, *self.ends):
            if name not in columns:
                remedy = f"name one of {', '.join(columns)}"[:500]
                raise SettingsError(f"there is no column {name!r} for a span", where=where, remedy=remedy)
        for name in self.begins.keys() & self.ends.keys():
            if self.ends[name] <= self.begins[name]:
                raise SettingsError(
                    f"the column {name!r} would end at row {self.ends[name]}, before it begins",
                    where="--column-from, --column-until",
                    remedy="use an end after the row at which it begins",
                )
