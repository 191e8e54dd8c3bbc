"""One column of a CSV read block by block: what it holds, and its numbers, moments or categories row by row."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import orjson
from numpy.typing import NDArray

from fraudstream.errors import NotANumber
from fraudstream.transactions.amounts import parse_number, says_nothing
from fraudstream.transactions.csv_source import CsvSource
from fraudstream.transactions.times import seconds_of_dates

BLOCK_ROWS: Final = 8192
MOST_VALUES: Final = 1000
"""A column of text with more distinct values names something; it is not told apart further unless a user asks."""
_MOST_MIXED_VALUES: Final = 100
_LEAST_ROWS: Final = 20
_LEAST_SHARE: Final = 0.001
_SHOWN: Final = 40
_NUMBERS_ONLY: Final = frozenset({int, float})
_NOTHING: Final = np.empty(0)


def least_rows(rows: int) -> int:
    """In how many of so many rows a text has to stand to be learned from: 20, or a thousandth of them."""
    return max(_LEAST_ROWS, math.ceil(rows * _LEAST_SHARE))


class ColumnKind(StrEnum):
    """What a column holds."""

    NUMBER = "number"
    TEXT = "text"
    DATE = "date"
    EMPTY = "empty"
    LABEL = "label"


@dataclass(frozen=True)
class Categories:
    """The distinct texts of a column, as they are in the CSV, by first appearance.

    `codes` are by row the text's position in `values`; -1 for an empty cell.
    """

    values: tuple[str, ...]
    codes: NDArray[np.int32]

    def counts(self, rows: NDArray[np.bool_]) -> NDArray[np.int64]:
        """By value, how many of the rows that `rows` marks hold it."""
        codes = self.codes[rows]
        return np.bincount(codes[codes >= 0], minlength=len(self.values))


@dataclass(frozen=True)
class ColumnProfile:
    """One column.

    Attributes:
        missing: Rows without a value (empty; of numbers also NaN, null, not finite).
        values: By row, NaN where missing: the numbers, or a date's seconds since 1970; empty for the other kinds.
        is_non_decreasing: Whether its numbers never fall from one row of the file to the next.
        categories: The texts of a column of text; None for the other kinds and where there are more than 1,000.
    """

    name: str
    kind: ColumnKind
    missing: int
    values: NDArray[np.float64]
    is_non_decreasing: bool
    categories: Categories | None = None


class ColumnReader:
    """Gathers one column: its numbers, its dates and its texts, each for as long as it may be a column of such."""

    def __init__(self, name: str, *, is_wanted: bool = False, is_unread: bool = False) -> None:
        """Start a column.

        Of one that a user named as a feature (`is_wanted`) the texts are kept however many they are; in one that a user
        left out (`is_unread`) a text among its numbers is no error.
        """
        self.name = name
        self._most_values = None if is_wanted else MOST_VALUES
        self._is_unread = is_unread
        self._rows = 0
        self._numbers = 0
        self._texts = 0
        self._first_text: tuple[int, str] = (0, "")
        self._number_blocks: list[NDArray[np.float64]] = []
        self._date_blocks: list[NDArray[np.float64]] | None = []
        self._codes: dict[str, int] | None = {}
        self._code_blocks: list[NDArray[np.int32]] = []

    def read(self, cells: Sequence[str]) -> None:
        """Take the next cells, at most `BLOCK_ROWS`."""
        numbers = _all_numbers(cells)
        if numbers is None:
            numbers = self._read_one_by_one(cells)
        else:
            self._numbers += len(cells)
        if not self._code_blocks and self._codes is not None:
            self._number_blocks.append(numbers)
        if self._date_blocks is not None:
            seconds = seconds_of_dates(cells)
            if seconds is None:
                self._date_blocks = None
            else:
                self._date_blocks.append(seconds)
        if self._texts and self._codes is not None:
            self._read_texts(cells, self._codes)
        self._rows += len(cells)

    def column(self, source: CsvSource) -> ColumnProfile:
        """The column, once every cell was read.

        Raises NotANumber where a few texts are in a column of numbers, and nobody left it out.
        """
        if not self._texts and not self._numbers:
            return ColumnProfile(self.name, ColumnKind.EMPTY, self._rows, _NOTHING, is_non_decreasing=False)
        if self._date_blocks is not None:
            return self._ordered(ColumnKind.DATE, np.concatenate(self._date_blocks))
        if not self._texts:
            return self._ordered(ColumnKind.NUMBER, np.concatenate(self._number_blocks))
        categories = None if self._codes is None else Categories(tuple(self._codes), np.concatenate(self._code_blocks))
        if self._numbers > self._texts and not self._is_unread and not _is_code(categories):
            row, text = self._first_text
            raise NotANumber(
                f"the text {text[:_SHOWN]!r} stands in the column of numbers {self.name!r}",
                where=f"{source.path}:{source.line_of(row)}",
                remedy="correct the cell, or leave it empty where the value is not known; or leave the column out with"
                " --exclude",
            )
        missing = self._rows - self._texts - self._numbers
        if categories is not None:
            missing = int((categories.codes < 0).sum())
        return ColumnProfile(self.name, ColumnKind.TEXT, missing, _NOTHING, False, categories)

    def _ordered(self, kind: ColumnKind, values: NDArray[np.float64]) -> ColumnProfile:
        # A comparison with NaN is false: a column with a missing value is not taken for one that only grows.
        is_non_decreasing = bool((np.diff(values) >= 0).all())
        return ColumnProfile(self.name, kind, int(np.isnan(values).sum()), values, is_non_decreasing)

    def _read_one_by_one(self, cells: Sequence[str]) -> NDArray[np.float64]:
        block = np.full(len(cells), np.nan)
        if self._texts > BLOCK_ROWS and not self._numbers:
            self._texts += len(cells)
            return block
        for position, cell in enumerate(cells):
            number = parse_number(cell)
            if number is not None:
                block[position] = number
                self._numbers += 1
            elif not says_nothing(cell):
                if not self._texts:
                    self._first_text = (self._rows + position, cell)
                self._texts += 1
        return block

    def _read_texts(self, cells: Sequence[str], codes: dict[str, int]) -> None:
        if not self._code_blocks:
            self._code_blocks = [_codes_of_numbers(block, codes) for block in self._number_blocks[:-1]]
            self._number_blocks.clear()
        block = (codes.setdefault(cell, len(codes)) if cell else -1 for cell in cells)
        self._code_blocks.append(np.fromiter(block, np.int32, len(cells)))
        if self._most_values is not None and len(codes) > self._most_values:
            self._codes = None
            self._code_blocks.clear()


def _codes_of_numbers(numbers: NDArray[np.float64], codes: dict[str, int]) -> NDArray[np.int32]:
    """Codes for numbers that were read before the column's first text: 4.0 is the text "4" again."""
    distinct, positions = np.unique(numbers, return_inverse=True)
    texts = [f"{number:.0f}" if number.is_integer() else repr(number) for number in distinct.tolist()]
    own = [-1 if text == "nan" else codes.setdefault(text, len(codes)) for text in texts]
    return np.array(own, dtype=np.int32)[positions]


def _is_code(categories: Categories | None) -> bool:
    """Whether whole numbers with some texts among them are categories (ages 0 to 6 and U) and no mistyped numbers."""
    if categories is None or len(categories.values) > _MOST_MIXED_VALUES:
        return False
    numbers = [parse_number(value) for value in categories.values]
    if not all(number is None or number.is_integer() for number in numbers):
        return False
    counts = categories.counts(np.ones(len(categories.codes), dtype=bool))
    texts = int(counts[[number is None for number in numbers]].sum())
    return texts >= least_rows(len(categories.codes))


def _all_numbers(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """The cells as numbers in one go where each is a JSON number: orjson reads them 6.6 times as fast as a loop."""
    try:
        values = orjson.loads(f"[{','.join(cells)}]")
    except orjson.JSONDecodeError:
        return None
    if len(values) != len(cells) or not _NUMBERS_ONLY.issuperset(map(type, values)):
        return None
    numbers = np.array(values, dtype=np.float64)
    return numbers if np.isfinite(numbers).all() else None
