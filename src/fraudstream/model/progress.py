"""How long a training has been going on, for the lines that it reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Stopwatch:
    """Shows the time since it was started.

    Args:
        now: The clock.
        started: When it was started.
    """

    now: Callable[[], datetime]
    started: datetime

    def __str__(self) -> str:
        """Minutes and seconds, as in "1 min 05 s"."""
        minutes, seconds = divmod(int((self.now() - self.started).total_seconds()), 60)
        return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
