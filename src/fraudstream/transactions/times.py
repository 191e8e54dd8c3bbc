"""The time column of a CSV: recognised by its name and its values, for ordering rows; dates and clock times."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

_YEAR: Final = r"(?!0000)[0-9]{4}"
_MONTH: Final = r"(?:0[1-9]|1[0-2])"
_DAY: Final = r"(?:0[1-9]|[12][0-9]|3[01])"
_TIME: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_ZONE: Final = r"(?:Z|[+-](?:0[0-9]|1[0-7]):?[0-5][0-9])"
DATE_PATTERN: Final = f"{_YEAR}-{_MONTH}-{_DAY}(?:[T ]{_TIME}(?::[0-5][0-9](?:\\.[0-9]{{1,9}})?{_ZONE}?)?)?"
"""What both Python's and Spark's parser take, and take alike: a zone only after seconds, no hour 24, no year 0."""

SECONDS_PER_DAY: Final = 86_400.0
MONDAY: Final = 3
"""Days from a Monday to 1970-01-01, a Thursday."""

_EARLIEST: Final = 631_152_000.0
_LATEST: Final = 4_102_444_800.0
_is_date: Final = re.compile(DATE_PATTERN).fullmatch


def seconds_of_dates(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """Dates as seconds since 1970 (UTC where no zone is written), NaN for an empty cell; None where one is no date."""
    seconds = np.full(len(cells), np.nan)
    for position, cell in enumerate(cells):
        if not cell:
            continue
        if not _is_date(cell):
            return None
        try:
            date = datetime.fromisoformat(cell)
        except ValueError:  # the 30th of February
            return None
        seconds[position] = (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    return seconds


def units_per_second(values: NDArray[np.float64]) -> int | None:
    """1 or 1000 where all the numbers are seconds or milliseconds since 1970 between 1990 and 2100, else None."""
    present = values[~np.isnan(values)]
    for unit in (1, 1000):
        if len(present) and present.min() >= _EARLIEST * unit and present.max() <= _LATEST * unit:
            return unit
    return None


def hours_and_weekdays(seconds: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of moments in seconds since 1970: the hour of the day, from 0 to below 24, and the weekday, Monday as 0."""
    return seconds % SECONDS_PER_DAY / 3600.0, (np.floor(seconds / SECONDS_PER_DAY) + MONDAY) % 7.0


_CLEAR_NAMES: Final = frozenset(
    {"time", "timestamp", "datetime", "date", "step", "unixtime", "transactiondt", "txdatetime", "transdatetranstime"}
)
_WORDS: Final = frozenset({"time", "timestamp", "datetime", "date", "step", "ts", "dt"})
# A part of a time does not order rows, and the time of something else orders them wrongly.
_OTHER_WORDS: Final = frozenset(
    {"hour", "hours", "day", "days", "week", "weekday", "month", "year", "since", "between", "elapsed", "zone"}
    | {"birth", "expiry", "expiration", "last", "first", "previous", "open", "account", "diff", "delta", "duration"}
    | {"opened", "opening", "signup", "registration", "joined", "issued", "issue", "activation"}
)


@dataclass(frozen=True)
class TimeOrder:
    """What orders the rows, and whether it is dates and whether the file is already in that order.

    `values` are by row its number, or seconds since 1970 (UTC where no zone is written) for dates in ISO 8601.
    """

    column: str
    values: NDArray[np.float64]
    is_date: bool
    is_file_order: bool

    @cached_property
    def clock(self) -> int | None:
        """Units per second of numbers that count from 1970; None for dates, and for numbers that only order."""
        return None if self.is_date else units_per_second(self.values)

    @property
    def seconds(self) -> NDArray[np.float64] | None:
        """By row, seconds since 1970; None where the numbers only order the rows."""
        if self.is_date:
            return self.values
        return None if self.clock is None else self.values / self.clock

    @property
    def units_per_second(self) -> float:
        """How far the values go on in a second: of numbers that only order the rows it is a guess.

        They are taken for seconds, as creditcard.csv's `Time` is; a column named `step`, as PaySim's is, for hours.
        """
        if self.is_date:
            return 1.0
        if self.clock is not None:
            return float(self.clock)
        return 1 / 3600 if "step" in words_of(self.column) else 1.0

    @property
    def unit_note(self) -> str:
        """What was guessed of the unit; empty where it is known."""
        if self.seconds is not None:
            return ""
        unit = "hours" if self.units_per_second < 1 else "seconds"
        return f"the column {self.column!r} does not say what it counts: taken for {unit}"

    def format(self, value: float) -> str:
        """Format a value of the column: the number, or the date in ISO 8601."""
        if not self.is_date:
            return f"{value:.15g}"
        return datetime.fromtimestamp(value, UTC).replace(tzinfo=None).isoformat(sep=" ")


def may_be_time(name: str) -> bool:
    """Whether a column of this name may say when a payment was made."""
    words = set(words_of(name))
    return is_clearly_time(name) or (bool(_WORDS & words) and not _OTHER_WORDS & words)


def mentions_time(name: str) -> bool:
    """Whether a time stands in the column's name, be it only a part of one or that of something else."""
    return not _WORDS.isdisjoint(words_of(name))


def is_clearly_time(name: str) -> bool:
    """Whether a column of this name can hardly be anything else."""
    return "".join(words_of(name)) in _CLEAR_NAMES


def words_of(name: str) -> list[str]:
    """The words of a column's name in small letters: "isFlaggedFraud", "TX_FRAUD" and "tx fraud" have two or three."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def find_time(
    numbers: Mapping[str, NDArray[np.float64]], dates: Mapping[str, NDArray[np.float64]], columns: Sequence[str]
) -> TimeOrder | None:
    """The column that orders the rows: one with a clear name first, then one that the file is already sorted by."""
    candidates = []
    for name in columns:
        values = dates[name] if name in dates else numbers.get(name)
        if values is None or not may_be_time(name) or np.isnan(values).any() or values.min() == values.max():
            continue
        candidates.append(TimeOrder(name, values, name in dates, bool((np.diff(values) >= 0).all())))
    # A number whose name only mentions time ("processing_time") orders the rows only where it plainly does.
    serious = [time for time in candidates if is_clearly_time(time.column) or time.is_date or time.is_file_order]
    return min(serious, key=lambda time: (not is_clearly_time(time.column), not time.is_file_order), default=None)
