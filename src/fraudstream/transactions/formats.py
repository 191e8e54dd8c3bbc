"""Recognises how the numbers and dates of a column are written, and writes them in one canonical form."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final

import orjson

from fraudstream.transactions.amounts import MISSING_MARKS, NO_NUMBER, is_json_number
from fraudstream.transactions.notation import (
    BLANKS,
    CURRENCY,
    LONGEST_TEXT,
    canonical_date,
    canonical_number,
    is_iso_date,
    match_number,
)
from fraudstream.transactions.reading_options import DateOrder, Decimal, ReadingOptions
from fraudstream.transactions.times import seconds_of_dates

_NOT_THOUSANDS: Final = re.compile(r"[0-9]{4}\.|\b0\.|\.(?![0-9]{3}(?:,|$))|[eE]")
"""In plain numbers that are joined with commas: a point that separates no thousands."""
_SPREADSHEET_ID: Final = re.compile(r"[0-9][.,][0-9]++[eE]\+?1[1-9]").fullmatch
_LEADING_ZERO: Final = re.compile(r"0[0-9]++").fullmatch
_MOST_MISFITS: Final = 100
_NUMBERS_ONLY: Final = frozenset({int, float})
_ORDER_NAMES: Final = {
    DateOrder.DMY: "day, month, year",
    DateOrder.MDY: "month, day, year",
    DateOrder.YMD: "year, month, day",
}


class ColumnKind(StrEnum):
    """The kind of a column's values."""

    NUMBER = "number"
    TEXT = "text"
    DATE = "date"
    EMPTY = "empty"
    LABEL = "label"


@dataclass(frozen=True)
class ColumnFormat:
    """How a column's cells are written.

    Attributes:
        kind: What they are, but for single errors; a column with such errors `is_mixed`.
        decimal: Of its numbers.
        date_order: Of its dates; None if they are in ISO 8601, or cannot be read.
        is_numeric: Whether its cells, once they are canonical, are JSON numbers but for single errors.
        canonical: Writes a cell in canonical form; None if every cell is.
        notes: What is unusual, for people: "decimal comma".
        warning: What may be read wrongly, or cannot be read.
        has_ambiguous_dates: Whether its dates fit several orders.
        is_shortened: Whether its numbers are mostly identifiers that a spreadsheet shortened to an exponent.
    """

    kind: ColumnKind = ColumnKind.TEXT
    is_mixed: bool = False
    decimal: Decimal = Decimal.POINT
    date_order: DateOrder | None = None
    is_numeric: bool = False
    canonical: Callable[[str], str] | None = None
    notes: tuple[str, ...] = ()
    warning: str = ""
    has_ambiguous_dates: bool = False
    is_shortened: bool = False


class FormatReader:
    """Collects how the cells of a column are written, block by block; texts cost little more than a look-up each."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.separators: set[str] = set()
        """Of the point and the comma, those that may separate thousands as well as a fraction."""
        self._plain = self._numbers = self._dates = self._texts = self._shortened = 0
        self._is_plain = self._is_iso = True
        self._has_leading_zeros = False
        self._may_be = dict.fromkeys(Decimal, True)
        self._groups: dict[Decimal, set[str]] = {decimal: set() for decimal in Decimal}
        self._orders = set(DateOrder)
        self._marks: dict[str, None] = {}
        self._notes: dict[str, None] = {}

    def read(self, cells: Sequence[str]) -> None:
        """Read the next cells."""
        if self._read_plain_numbers(cells):
            return
        if marks := MISSING_MARKS.intersection(cells):
            self._marks.update(dict.fromkeys(sorted(marks - {""})))
            cells = [cell for cell in cells if cell not in marks]
        if self._texts > _MOST_MISFITS and self._texts > self._plain + self._numbers + self._dates:
            return
        if (marks and self._read_plain_numbers(cells)) or self._read_iso_dates(cells):
            return
        for cell, times in Counter(cells).items():
            text = cell.strip(BLANKS)
            if text in MISSING_MARKS:
                self._marks[text] = None
            elif text.lower() in NO_NUMBER:
                self._is_plain = self._is_iso = False
            elif len(text) <= LONGEST_TEXT and self._read_number(cell, text, times):
                self._numbers += times
            elif len(text) <= LONGEST_TEXT and self._read_date(cell, text):
                self._dates += times
            else:
                self._texts += times

    @property
    def is_number(self) -> bool:
        """Whether the column holds numbers, but for single errors."""
        return self._plain + self._numbers > self._texts + self._dates

    @property
    def only_decimal(self) -> Decimal | None:
        """The decimal separator of its numbers, if they can be read with one alone."""
        fitting = [decimal for decimal in Decimal if self._may_be[decimal]]
        return fitting[0] if self.is_number and len(fitting) == 1 else None

    def format(self, decimal: Decimal | None, fallback: Decimal, date_order: DateOrder | None) -> ColumnFormat:
        """Return the format, once every cell was read.

        `decimal` is that of the file or of the user, `fallback` a guess; `date_order` is the user's.
        """
        if self.is_number:
            return self._number_format(decimal, fallback)
        if self._dates and not self._numbers and not self._plain and not self._texts:
            return self._date_format(date_order)
        kind = ColumnKind.TEXT if self._texts or self._dates or self._numbers or self._plain else ColumnKind.EMPTY
        return ColumnFormat(kind, canonical=self._without_marks, notes=self._missing)

    @property
    def _without_marks(self) -> Callable[[str], str] | None:
        return _text if self._marks else None

    @property
    def _missing(self) -> tuple[str, ...]:
        marks = ", ".join(repr(mark) for mark in self._marks if mark)
        return (f"missing: {marks}",) if marks else ()

    def _number_format(self, decimal: Decimal | None, fallback: Decimal) -> ColumnFormat:
        warning = ""
        chosen = self.only_decimal or decimal
        if chosen is None:
            # A point in a number stays one; a comma is taken by the delimiter.
            chosen = fallback if "," in self.separators else Decimal.POINT
            if "," in self.separators or (self.separators and fallback is Decimal.COMMA):
                other = Decimal.COMMA if chosen is Decimal.POINT else Decimal.POINT
                warning = (
                    f"it is unclear what the separator in column {self.name!r} means: it was read with a decimal "
                    f"{chosen}; --decimal {other} reads it the other way"
                )
        if not any(self._may_be.values()):
            warning = f"column {self.name!r} has both decimal points and commas: see --decimal"
        if self._shortened * 2 > self._plain + self._numbers:
            warning = (
                f"column {self.name!r} holds identifiers that a spreadsheet shortened, as in 4.08988E+15: different "
                "ones collide; export it as text"
            )
        groups = sorted("blank" if group.isspace() else repr(group) for group in self._groups[chosen])
        is_comma = chosen is Decimal.COMMA and (self.separators or not self._may_be[Decimal.POINT])
        canonical = partial(_number, decimal=chosen) if is_comma or not self._is_plain else self._without_marks
        return ColumnFormat(
            ColumnKind.NUMBER,
            is_mixed=bool(self._texts or self._dates or not self._may_be[chosen]),
            decimal=chosen if is_comma else Decimal.POINT,
            is_numeric=not self._has_leading_zeros,
            canonical=canonical,
            notes=(
                *(["decimal comma"] if is_comma else []),
                *(f"thousands {group}" for group in groups),
                *self._notes,
                *self._missing,
            ),
            warning=warning,
            is_shortened=self._shortened * 2 > self._plain + self._numbers,
        )

    def _date_format(self, date_order: DateOrder | None) -> ColumnFormat:
        # A year of two digits comes last, unless that fits no cell.
        orders = self._orders - {DateOrder.YMD} or self._orders
        if date_order in self._orders:
            orders = {date_order}
        if len(orders) != 1:
            what = "are in several orders" if not orders else "fit more than one order"
            warning = f"the dates of column {self.name!r} {what}: --date-order dmy, mdy or ymd decides"
            return ColumnFormat(warning=warning, notes=("dates of an unclear order",), has_ambiguous_dates=True)
        order = orders.pop()
        if self._is_iso:
            return ColumnFormat(ColumnKind.DATE, canonical=self._without_marks, notes=self._missing)
        return ColumnFormat(
            ColumnKind.DATE,
            date_order=order,
            canonical=partial(_date, order=order),
            notes=(_ORDER_NAMES[order], *self._missing),
        )

    def _read_plain_numbers(self, cells: Sequence[str]) -> bool:
        joined = ",".join(cells)
        try:
            values = orjson.loads(f"[{joined}]")
        except orjson.JSONDecodeError:
            return False
        if len(values) != len(cells) or not _NUMBERS_ONLY.issuperset(map(type, values)):
            return False
        if "e+1" in joined.lower() and self._shortened * 2 >= self._plain:
            self._shortened += sum(_SPREADSHEET_ID(cell) is not None for cell in cells)
        self._plain += len(cells)
        if self._may_be[Decimal.COMMA] and "." in joined:
            self.separators.add(".")
            self._may_be[Decimal.COMMA] = _NOT_THOUSANDS.search(joined) is None
        return True

    def _read_iso_dates(self, cells: Sequence[str]) -> bool:
        if not self._is_iso or self._plain or self._numbers or self._texts or seconds_of_dates(cells) is None:
            return False
        self._dates += len(cells)
        self._orders &= {DateOrder.YMD}
        return True

    def _read_number(self, cell: str, text: str, times: int) -> bool:
        fits = {decimal: match for decimal in Decimal if (match := match_number(text, decimal)) is not None}
        if not fits:
            return False
        self._is_plain = self._is_plain and is_json_number(cell) is not None
        if len(fits) == len(Decimal):
            self.separators.update(set(".,").intersection(text))
        self._has_leading_zeros = self._has_leading_zeros or _LEADING_ZERO(text) is not None
        self._shortened += times * (_SPREADSHEET_ID(text) is not None)
        for decimal in Decimal:
            self._may_be[decimal] = self._may_be[decimal] and decimal in fits
        for decimal, match in fits.items():
            prefix, _, group, _, suffix = match.groups(default="")
            self._groups[decimal].update(group)
            self._notes.update(dict.fromkeys(_remarks(prefix, suffix)))
        return True

    def _read_date(self, cell: str, text: str) -> bool:
        fits = {order for order in DateOrder if canonical_date(text, order) is not None}
        if not fits:
            return False
        if is_iso_date(cell):
            fits = {DateOrder.YMD}
        else:
            self._is_iso = False
        self._orders &= fits
        return True


def _remarks(prefix: str, suffix: str) -> Iterator[str]:
    if "(" in prefix:
        yield "negative in parentheses"
    for sign in re.findall(CURRENCY, prefix + suffix):
        yield f"currency {sign}"
    if "%" in suffix:
        yield "percent"


def _text(cell: str) -> str:
    return "" if cell.strip(BLANKS) in MISSING_MARKS else cell


def _number(cell: str, decimal: Decimal) -> str:
    if decimal is Decimal.POINT and is_json_number(cell):
        return cell
    text = cell.strip(BLANKS)
    if text in MISSING_MARKS or text.lower() in NO_NUMBER:
        return ""
    return cell if _LEADING_ZERO(text) else canonical_number(text, decimal) or cell


def _date(cell: str, order: DateOrder) -> str:
    text = cell.strip(BLANKS)
    if text in MISSING_MARKS or text.lower() in NO_NUMBER:
        return ""
    return canonical_date(text, order) or cell


def decide(readers: Sequence[FormatReader], is_semicolon: bool, options: ReadingOptions) -> dict[str, ColumnFormat]:
    """Return the formats of the columns; the clear ones among them decide on what is unclear in the others."""
    decimals = {reader.only_decimal for reader in readers} - {None}
    decimal = options.decimal or (decimals.pop() if len(decimals) == 1 else None)
    fallback = Decimal.COMMA if is_semicolon else Decimal.POINT
    return {reader.name: reader.format(decimal, fallback, options.date_order) for reader in readers}
