"""The columns of some thousand alerts side by side, in memory, as the indexer fills them; `segment.py` asks them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from fraudstream.alerts.filters import as_number, as_text
from fraudstream.alerts.finding.tables import Kind
from fraudstream.alerts.words import columns_of

ROWS: Final = 16_384
"""Alerts of a segment: a column of it is 128 KB, a million alerts are 61 of them."""

MOST_COLUMNS: Final = 256
"""Columns of transactions that are kept of a segment; what is asked of another one, the alerts themselves tell."""

LONGEST_TEXT: Final = 200
"""A longer text is only marked as one, as a card number is; what is asked of it, the alert itself tells."""

OWN_NUMBERS: Final = ("produced_us", "score", "amount", "expected_loss", "column_set")
WORK: Final = ("status", "assignee")
"""What people change after a segment is written."""
OWN_TEXTS: Final = ("outcome", "model_id", "schema_id", "topic", *WORK)

Key = tuple[Kind, str]


class Coded(NamedTuple):
    """A column of texts: by row a code, 0 where there is none, of `texts` from 1 on; None stands for long ones."""

    codes: NDArray[np.uint8 | np.uint16 | np.uint32]
    texts: list[str | None]


class Columns(Protocol):
    """Columns of the alerts of one stretch."""

    seqs: NDArray[np.int64]
    crowded: bool

    def numbers(self, connection: Connection, key: Key) -> NDArray[np.float64] | None:
        """A column of numbers by row; None where no row has one."""

    def texts(self, connection: Connection, key: Key, equal: str | None = None) -> Coded | None:
        """A column of texts by row; None where no row has one, or surely none that is equal to one that is passed."""

    def bounds(self, key: Key) -> tuple[float, float] | None:
        """No number of a column is beyond these; None where that is not known."""

    def all_numbers(self, connection: Connection) -> list[NDArray[np.float64]]:
        """Every column of numbers of the transactions."""


class GrowingColumns:
    """Columns that one thread fills while others read what it has published."""

    def __init__(self, room: int = ROWS) -> None:
        """Make room for so many alerts."""
        self.rows = 0
        self.room = room
        self.crowded = False
        self.number_columns: dict[Key, NDArray[np.float64]] = {}
        self.text_columns: dict[Key, Coded] = {}
        self._seqs = np.zeros(room, np.int64)
        self._codes: dict[Key, dict[str | None, int]] = {}
        self._names: set[str] = set()

    @property
    def seqs(self) -> NDArray[np.int64]:
        """The alerts, in order."""
        return self._seqs[: self.rows]

    def add(self, seq: int, own: Mapping[str, Any], transaction: Mapping[str, Any]) -> None:
        """Take the next alert: what has columns of its own in the table `alerts`, and its transaction."""
        at = self.rows
        self._seqs[at] = seq
        for name in OWN_NUMBERS:
            if (number := own[name]) is not None:
                self._set_number((Kind.OWN_NUMBERS, name), at, number)
        for name in OWN_TEXTS:
            if (text := own[name]) is not None:
                self._set_text((Kind.OWN_TEXTS, name), at, text)
        for name, value in columns_of(transaction):
            if value is None or not self._has_room(name):
                continue
            found, words = as_number(value), as_text(value)
            if found is not None:
                self._set_number((Kind.NUMBERS, name), at, found)
            if words is not None:
                self._set_text((Kind.TEXTS, name), at, words if len(words) <= LONGEST_TEXT else None)
        self.rows = at + 1

    def restate(self, seq: int, work: Mapping[str, str | None]) -> bool:
        """Change what people made of an alert; False where it is not here."""
        at = int(np.searchsorted(self.seqs, seq))
        if at == self.rows or self._seqs[at] != seq:
            return False
        for name, text in work.items():
            if text is not None:
                self._set_text((Kind.OWN_TEXTS, name), at, text)
            elif (found := self.text_columns.get((Kind.OWN_TEXTS, name))) is not None:
                found.codes[at] = 0
        return True

    def view(self) -> ColumnsInMemory:
        """What is here now, for readers."""
        return ColumnsInMemory(self, self.rows)

    def _has_room(self, name: str) -> bool:
        if name in self._names:
            return True
        if len(self._names) == MOST_COLUMNS:
            self.crowded = True
            return False
        self._names.add(name)
        return True

    def _set_number(self, key: Key, at: int, number: float) -> None:
        column = self.number_columns.get(key)
        if column is None:
            column = self.number_columns[key] = np.full(self.room, np.nan)
        column[at] = number

    def _set_text(self, key: Key, at: int, text: str | None) -> None:
        column = self.text_columns.get(key)
        if column is None:
            column = self.text_columns[key] = Coded(np.zeros(self.room, np.uint32), [])
            self._codes[key] = {}
        codes = self._codes[key]
        code = codes.get(text)
        if code is None:
            column.texts.append(text)
            code = codes[text] = len(column.texts)
        column.codes[at] = code


class ColumnsInMemory:
    """The first rows of columns that may be growing."""

    def __init__(self, growing: GrowingColumns, rows: int) -> None:
        self._growing = growing
        self._rows = rows
        self.seqs = growing.seqs[:rows]
        self.crowded = growing.crowded

    def numbers(self, connection: Connection, key: Key) -> NDArray[np.float64] | None:
        """A column of numbers by row; None where no row has one."""
        found = self._growing.number_columns.get(key)
        return None if found is None else found[: self._rows]

    def texts(self, connection: Connection, key: Key, equal: str | None = None) -> Coded | None:
        """A column of texts by row; None where no row has one, or surely none that is equal to one that is passed."""
        found = self._growing.text_columns.get(key)
        if found is None:
            return None
        # The codes first: a text that is first met in between is then in neither, and not a code without its text.
        codes = found.codes[: self._rows].copy()
        return Coded(codes, list(found.texts))

    def bounds(self, key: Key) -> tuple[float, float] | None:
        """Nothing is known of what is still growing."""
        return None

    def all_numbers(self, connection: Connection) -> list[NDArray[np.float64]]:
        """Every column of numbers of the transactions."""
        found = list(self._growing.number_columns.items())
        return [column[: self._rows] for (kind, _), column in found if kind is Kind.NUMBERS]
