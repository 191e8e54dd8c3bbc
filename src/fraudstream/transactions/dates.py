"""What counts as a moment in a cell: a date in ISO 8601, or a clock that counts from 1970; `numbers.py` has numbers."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
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
