"""Reads the time of payments from several columns: a year, a month, a day and a time, or a date and a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fraudstream.transactions.notation import canonical_date
from fraudstream.transactions.reading_options import DateOrder
from fraudstream.transactions.times import TimeOrder, seconds_of_dates, words_of


class DateParts:
    """Reads the time of the rows, block by block."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """Take the columns in this order."""
        self.names = names
        self._blocks: list[NDArray[np.float64]] = []

    @classmethod
    def of(cls, columns: Sequence[str]) -> DateParts | None:
        """Find the columns by their last words, after the same words: `tx_year`, `tx_month`, `tx_day`, `tx_time`."""
        by_words = {tuple(words_of(name)): name for name in reversed(columns)}
        for *before, last in filter(None, by_words):
            year, month, day, date, time, hour = (
                by_words.get((*before, part)) for part in ("year", "month", "day", "date", "time", "hour")
            )
            if last == "year" and month and day:
                return cls(tuple(filter(None, (year, month, day, time or hour))))
            if last == "date" and date and time:
                return cls((date, time))
        return None

    def read(self, cells: Sequence[Sequence[str]]) -> None:
        """Read the next cells of each column."""
        rows = list(zip(*cells, strict=True))
        seconds = {row: self._seconds(row) for row in set(rows)}
        self._blocks.append(np.array([seconds[row] for row in rows]))

    def order(self) -> TimeOrder | None:
        """Return the order of the rows; None if a row has no time, or all have the same."""
        values = np.concatenate(self._blocks)
        if np.isnan(values).any() or values.min() == values.max():
            return None
        return TimeOrder(", ".join(self.names), values, True, bool((np.diff(values) >= 0).all()), self.names)

    def _seconds(self, row: Sequence[str]) -> float:
        *date, time = [part.removesuffix(".0") for part in (row if len(row) in (2, 4) else (*row, "0"))]
        clock = time if ":" in time else f"{time}:00"
        seconds = seconds_of_dates([canonical_date(f"{'-'.join(date)} {clock}", DateOrder.YMD) or ""])
        return float("nan") if seconds is None else float(seconds[0])
