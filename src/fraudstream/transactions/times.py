"""Finds the time column of a file by name and values, and parses dates and clock times."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fraudstream.transactions.words import WORDS

_YEAR: Final = r"(?!0000)[0-9]{4}"
_MONTH: Final = r"(?:0[1-9]|1[0-2])"
_DAY: Final = r"(?:0[1-9]|[12][0-9]|3[01])"
_TIME: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_ZONE: Final = r"(?:Z|[+-](?:0[0-9]|1[0-7]):?[0-5][0-9])"
DATE_PATTERN: Final = f"{_YEAR}-{_MONTH}-{_DAY}(?:[T ]{_TIME}(?::[0-5][0-9](?:\\.[0-9]{{1,9}})?{_ZONE}?)?)?"
"""Dates that Python's and Spark's parsers read identically: a zone only after seconds, no hour 24, no year 0."""

SECONDS_PER_DAY: Final = 86_400.0
LAST_SECOND: Final = 253_402_300_799.0
"""End of the year 9999; a clock beyond it is broken, and far larger numbers would overflow the arithmetic of days."""
MONDAY: Final = 3
"""Days from a Monday to 1970-01-01, a Thursday."""

_EARLIEST: Final = 631_152_000.0
_LATEST: Final = 4_102_444_800.0
_is_date: Final = re.compile(DATE_PATTERN).fullmatch


def seconds_of_dates(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """Parse dates to seconds since 1970 (UTC by default), NaN for an empty cell; None if one is not a date."""
    seconds = np.full(len(cells), np.nan)
    for position, cell in enumerate(cells):
        if not cell:
            continue
        if not _is_date(cell):
            return None
        try:
            date = datetime.fromisoformat(cell)
        except ValueError:  # February 30
            return None
        seconds[position] = (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    return seconds


def units_per_second(values: NDArray[np.float64]) -> int | None:
    """Return 1 or 1000 if all numbers are seconds or milliseconds since 1970 between 1990 and 2100, else None."""
    present = values[~np.isnan(values)]
    for unit in (1, 1000):
        if len(present) and present.min() >= _EARLIEST * unit and present.max() <= _LATEST * unit:
            return unit
    return None


def hours_and_weekdays(seconds: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return hour of the day, 0 to below 24, and weekday, Monday as 0, of times in seconds since 1970."""
    return seconds % SECONDS_PER_DAY / 3600.0, (np.floor(seconds / SECONDS_PER_DAY) + MONDAY) % 7.0


_WORDS: Final = WORDS["time"]
OTHER_WORDS: Final = WORDS["other_time"]
"""A part of a time does not order rows, and the time of another event orders them incorrectly."""


@dataclass(frozen=True)
class TimeOrder:
    """The time column that orders the rows, whether it has dates and whether the file is already in that order.

    `parts` are the columns that make up the time, where no single one holds it; `column` then names them all.

    `values` has each row's number, or seconds since 1970 (UTC by default) for dates in ISO 8601.
    """

    column: str
    values: NDArray[np.float64]
    is_date: bool
    is_file_order: bool
    parts: tuple[str, ...] = ()

    @cached_property
    def clock(self) -> int | None:
        """Units per second of numbers that count from 1970; None for dates and for other numbers."""
        return None if self.is_date else units_per_second(self.values)

    @property
    def seconds(self) -> NDArray[np.float64] | None:
        """Seconds since 1970 by row; None if the numbers only order the rows."""
        if self.is_date:
            return self.values
        return None if self.clock is None else self.values / self.clock

    @property
    def units_per_second(self) -> float:
        """Units of the values per second; an assumption for numbers that only order the rows.

        They are assumed to be seconds, like creditcard.csv's `Time`, or hours in a column named `step`, like PaySim's.
        """
        if self.is_date:
            return 1.0
        if self.clock is not None:
            return float(self.clock)
        return 1 / 3600 if "step" in words_of(self.column) else 1.0

    @property
    def unit_note(self) -> str:
        """The assumed unit; empty if it is known."""
        if self.seconds is not None:
            return ""
        unit = "hours" if self.units_per_second < 1 else "seconds"
        return f"the unit of the column {self.column!r} is unknown: {unit} are assumed"

    def format(self, value: float) -> str:
        """Format a value of the column: the number, or the date in ISO 8601."""
        if not self.is_date:
            return f"{value:.15g}"
        return datetime.fromtimestamp(value, UTC).replace(tzinfo=None).isoformat(sep=" ")

    def value_of(self, text: str) -> float | None:
        """Return the value of a number or date of the column, or of a date if its numbers count from 1970; or None."""
        date = seconds_of_dates([text])
        if date is not None and not np.isnan(date[0]):
            return float(date[0]) if self.is_date else self.clock and float(date[0]) * self.clock
        try:
            return None if self.is_date else float(text)
        except ValueError:
            return None


def may_be_time(name: str) -> bool:
    """Return whether a column of this name may be the time of a payment."""
    words = set(words_of(name))
    return is_clearly_time(name) or (bool(_WORDS & words) and not OTHER_WORDS & words)


def mentions_time(name: str) -> bool:
    """Return whether the name mentions a time, even a part of one or the time of another event."""
    return not _WORDS.isdisjoint(words_of(name))


def is_clearly_time(name: str) -> bool:
    """Return whether a column of this name is almost certainly the time."""
    return "".join(words_of(name)) in WORDS["clear_times"]


def words_of(name: str) -> list[str]:
    """Split a column's name into lowercase words: "isFlaggedFraud", "TX_FRAUD" and "tx fraud" have two or three."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def find_time(series: Mapping[str, tuple[NDArray[np.float64], bool]]) -> TimeOrder | None:
    """Find the column that orders the rows, by the values of each and whether they are dates.

    That is one with a clear name, with a likely name, or else of dates. A date of another event is excluded by its
    name. Of equally likely columns, the one that sorts the file is taken.
    """
    candidates = []
    for name, (values, is_date) in series.items():
        is_likely = may_be_time(name) or (is_date and OTHER_WORDS.isdisjoint(words_of(name)))
        if is_likely and not np.isnan(values).any() and np.ptp(values):
            candidates.append(TimeOrder(name, values, is_date, bool((np.diff(values) >= 0).all())))
    # A number whose name only mentions time ("processing_time") orders the rows only if the file is sorted by it.
    serious = [time for time in candidates if is_clearly_time(time.column) or time.is_date or time.is_file_order]

    def order(time: TimeOrder) -> tuple[bool, bool, bool]:
        return not is_clearly_time(time.column), not may_be_time(time.column), not time.is_file_order

    return min(serious, key=order, default=None)
