"""Recognises how the numbers and dates of a column are written, and writes them in one canonical form."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Final

import orjson

from fraudstream.transactions.amounts import MISSING_MARKS, NO_NUMBER, is_amount, is_json_number, parse_number
from fraudstream.transactions.notation import (
    BLANKS,
    LONGEST_TEXT,
    canonical_date,
    canonical_number,
    is_iso_date,
    match_number,
)
from fraudstream.transactions.reading_options import DateOrder, Decimal, ReadingOptions
from fraudstream.transactions.times import may_be_time, seconds_of_dates

_NOT_THOUSANDS: Final = re.compile(r"[0-9]{4}\.|\b0\.|\.(?![0-9]{3}(?:,|$))|[eE]")
"""In plain numbers that are joined with commas: a point that separates no thousands."""
_SPREADSHEET_ID: Final = re.compile(r"[0-9][.,][0-9]++[eE]\+?1[1-9]").fullmatch
_LEADING_ZERO: Final = re.compile(r"0[0-9]++").fullmatch
_MOST_MISFITS: Final = 100
_NUMBERS_ONLY: Final = frozenset({int, float})


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
        self._separators: set[str] = set()
        """Of the point and the comma, those that may separate thousands as well as a fraction."""
        self._plain = self._numbers = self._dates = self._texts = self._shortened = 0
        self._is_plain = self._is_iso = True
        self._has_leading_zeros = False
        self._decimals, self._orders = set(Decimal), set(DateOrder)
        self._marks: dict[str, None] = {}
        self._shape = self._misfit = ""

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
                self._misfit = self._misfit or text

    @property
    def is_number(self) -> bool:
        """Whether the column holds numbers, but for single errors."""
        return self._plain + self._numbers > self._texts + self._dates

    @property
    def only_decimal(self) -> Decimal | None:
        """The decimal separator of its numbers, if they can be read with one alone."""
        return next(iter(self._decimals)) if self.is_number and len(self._decimals) == 1 else None

    def format(self, of_others: Decimal | None, fallback: Decimal, options: ReadingOptions) -> ColumnFormat:
        """Return the format, once every cell was read.

        `of_others` is the decimal separator of the columns that leave no doubt, `fallback` a guess.
        """
        marks = ", ".join(repr(mark) for mark in self._marks if mark)
        missing = (f"missing: {marks}",) if marks else ()
        without_marks = partial(_canonical, form=None) if self._marks else None
        others = self._plain + self._numbers + self._texts
        if self.is_number:
            form = self._number_format(self.only_decimal or options.decimal or of_others, fallback)
            if form.decimal is Decimal.COMMA and "." in self._separators and not (self.only_decimal or options.decimal):
                warning = (
                    f"the points in column {self.name!r} were read as thousands: other columns have decimal commas"
                )
                form = replace(form, warning=f"{warning}; --decimal point reads them the other way")
        elif self._dates and not others:
            form = self._date_format(options.date_order)
        else:
            form = ColumnFormat(ColumnKind.TEXT if self._dates or others else ColumnKind.EMPTY)
            if self._misfit and (self._dates > self._texts or is_amount(self.name) or may_be_time(self.name)):
                what = f"{self._misfit[:40]!r} is neither a number nor a date that can be read"
                form = replace(form, warning=f"column {self.name!r} was read as text: {what}")
        return replace(form, canonical=form.canonical or without_marks, notes=(*form.notes, *missing))

    def _number_format(self, chosen: Decimal | None, fallback: Decimal) -> ColumnFormat:
        warning = ""
        if chosen is None:
            # A point in a number stays one; a comma is taken by the delimiter.
            chosen = fallback if "," in self._separators else Decimal.POINT
            if "," in self._separators or (self._separators and fallback is Decimal.COMMA):
                other = Decimal.COMMA if chosen is Decimal.POINT else Decimal.POINT
                warning = (
                    f"it is unclear what the separator in column {self.name!r} means: it was read with a decimal "
                    f"{chosen}; --decimal {other} reads it the other way"
                )
        if not self._decimals:
            warning = f"column {self.name!r} has both decimal points and commas: see --decimal"
        is_shortened = self._shortened * 2 > self._plain + self._numbers
        if is_shortened:
            warning = (
                f"column {self.name!r} holds identifiers that a spreadsheet shortened, as in 4.08988E+15: different "
                "ones collide; export it as text"
            )
        is_comma = chosen is Decimal.COMMA and bool(self._separators or Decimal.POINT not in self._decimals)
        notes = ("decimal comma" if is_comma else "", f"as in {self._shape}" if self._shape else "")
        return ColumnFormat(
            ColumnKind.NUMBER,
            is_mixed=bool(self._texts or self._dates or chosen not in self._decimals),
            decimal=chosen if is_comma else Decimal.POINT,
            is_numeric=not self._has_leading_zeros,
            canonical=partial(_canonical, form=chosen) if is_comma or not self._is_plain else None,
            notes=tuple(filter(None, notes)),
            warning=warning,
            is_shortened=is_shortened,
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
        if self._is_iso:
            return ColumnFormat(ColumnKind.DATE)
        (order,) = orders
        canonical = partial(_canonical, form=order)
        return ColumnFormat(ColumnKind.DATE, date_order=order, canonical=canonical, notes=(f"date order {order}",))

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
        if Decimal.COMMA in self._decimals and "." in joined:
            self._separators.add(".")
            if _NOT_THOUSANDS.search(joined):
                self._decimals.discard(Decimal.COMMA)
        return True

    def _read_iso_dates(self, cells: Sequence[str]) -> bool:
        if not self._is_iso or self._plain or self._numbers or self._texts or seconds_of_dates(cells) is None:
            return False
        self._dates += len(cells)
        self._orders &= {DateOrder.YMD}
        return True

    def _read_number(self, cell: str, text: str, times: int) -> bool:
        fits = {decimal for decimal in Decimal if match_number(text, decimal) is not None}
        if not fits:
            return False
        self._is_plain = self._is_plain and is_json_number(cell) is not None
        if len(fits) == len(Decimal):
            self._separators.update(set(".,").intersection(text))
        self._has_leading_zeros = self._has_leading_zeros or _LEADING_ZERO(text) is not None
        self._shortened += times * (_SPREADSHEET_ID(text) is not None)
        self._decimals &= fits
        if parse_number(text) is None:
            # The longest shape has most of what is unusual; digits are no one's business.
            self._shape = max(self._shape, re.sub("[0-9]", "9", text), key=len)
        return True

    def _read_date(self, cell: str, text: str) -> bool:
        fits = {order for order in DateOrder if canonical_date(text, order) is not None}
        if not fits:
            return False
        if is_iso_date(text):
            fits = {DateOrder.YMD}
        self._is_iso = self._is_iso and is_iso_date(cell) is not None
        self._orders &= fits
        return True


def _canonical(cell: str, form: Decimal | DateOrder | None) -> str:
    """Write a cell in canonical form; a text, whose form is None, changes only if it stands for a missing value."""
    text = cell.strip(BLANKS)
    if text in MISSING_MARKS or (form is not None and text.lower() in NO_NUMBER):
        return ""
    if isinstance(form, DateOrder):
        return canonical_date(text, form) or cell
    return cell if form is None or _LEADING_ZERO(text) else canonical_number(text, form) or cell


def decide(readers: Sequence[FormatReader], is_semicolon: bool, options: ReadingOptions) -> dict[str, ColumnFormat]:
    """Return the formats of the columns; the clear ones among them decide on what is unclear in the others."""
    decimals = {reader.only_decimal for reader in readers} - {None}
    decimal = decimals.pop() if len(decimals) == 1 else None
    fallback = Decimal.COMMA if is_semicolon else Decimal.POINT
    return {reader.name: reader.format(decimal, fallback, options) for reader in readers}
