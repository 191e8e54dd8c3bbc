"""When each row is due, and how late the load generator was; the sending itself is `load.py`'s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.system.percentiles import summary
from fraudstream.errors import SettingsError

PREFIX: Final = "bench-"
LATE_SECONDS: Final = 0.1
"""A generator that is later than this at its end, or for one row in a hundred, did not hold the rate."""

Times = NDArray[np.float64]


@dataclass(frozen=True)
class Schedule:
    """A fixed schedule: what is late delays nothing after it.

    Attributes:
        start: When row 0 is due, in seconds since 1970.
        rate: Rows a second.
        rows: How many.
    """

    start: float
    rate: float
    rows: int

    @classmethod
    def lasting(cls, start: float, rate: float, seconds: float) -> Schedule:
        """So many seconds of rows.

        Raises:
            SettingsError: That is less than one row.
        """
        rows = round(rate * seconds) if rate > 0 and seconds > 0 else 0
        if rows < 1:
            raise SettingsError(
                f"{rate:g} rows/s for {seconds:g} s is no row", remedy="give a --rate and a --duration above 0"
            )
        return cls(start, rate, rows)

    @property
    def due(self) -> Times:
        """By row, when it is due."""
        return self.start + np.arange(self.rows) / self.rate

    def lateness(self, sent: Times) -> dict[str, Any]:
        """How late the rows left, and whether the rate was held; `sent` is NaN for a row that never left."""
        is_sent = ~np.isnan(sent)
        late = np.maximum(sent - self.due, 0.0)[is_sent]
        figures = summary(late)
        tail = late[-max(1, len(late) // 10) :]
        took = float(sent[is_sent].max() - self.start) if is_sent.any() else 0.0
        held = bool(
            is_sent.all()
            and np.median(tail) <= LATE_SECONDS
            and np.percentile(late, 99, method="higher") <= LATE_SECONDS
        )
        return {
            **figures,
            "rows": self.rows,
            "sent": int(is_sent.sum()),
            "rows_per_second": round(int(is_sent.sum()) / took, 1) if took > 0 else 0.0,
            "held": held,
        }


def event_id_of(row: int) -> str:
    """The `event_id` of a row: from it, who sees an alert knows when its payment was due, at no cost to the system."""
    return f"{PREFIX}{row}"


def row_of(event_id: str) -> int | None:
    """The row of an `event_id`; None for one that is not the benchmark's."""
    number = event_id.removeprefix(PREFIX)
    return int(number) if number != event_id and number.isascii() and number.isdecimal() else None
