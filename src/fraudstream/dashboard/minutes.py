"""Counts what happens in each minute, in memory, until `charts.py` puts the finished ones into the store."""

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from fraudstream.alerts.minutes import BINS, KEPT_MINUTES, MINUTE_US, Minute
from fraudstream.times import microseconds

MOST_LATENCIES: Final = 2_000
"""Times that are kept of one minute; of more, every second, fourth, … one."""


def minute_of(at: datetime) -> int:
    """The minute of a time, counted since 1970."""
    return microseconds(at) // MINUTE_US


@dataclass
class _Times:
    """The times of one minute, evenly thinned where there are too many."""

    kept: list[float] = field(default_factory=list)
    measured: int = 0
    step: int = 1

    def add(self, seconds: float) -> None:
        if self.measured % self.step == 0:
            self.kept.append(seconds)
            if len(self.kept) >= MOST_LATENCIES:
                del self.kept[1::2]
                self.step *= 2
        self.measured += 1

    def percentile(self, share: float) -> float:
        """Nearest rank, in milliseconds."""
        values = sorted(self.kept)
        return round(values[math.ceil(share * len(values)) - 1] * 1000, 3)


@dataclass
class _Count:
    payments: int | None = None
    scores: list[int] = field(default_factory=lambda: [0] * BINS)
    times: dict[str, _Times] = field(default_factory=dict)

    def minute(self, number: int) -> Minute:
        to = "page" if "page" in self.times else "store" if self.times else None
        times = self.times[to] if to is not None else None
        return Minute(
            number,
            payments=self.payments,
            scores=tuple(self.scores),
            latencies=times.measured if times else 0,
            latency_to=to,
            p50_ms=times.percentile(0.50) if times else None,
            p99_ms=times.percentile(0.99) if times else None,
        )


class MinuteTally:
    """Counts; every method may be called from any thread and takes microseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[int, _Count] = {}
        self._end: int | None = None
        self._returned: list[Minute] = []

    def end(self, at: datetime, end: int) -> None:
        """The topic ends here: what it grew by since the last time was acknowledged in this minute."""
        with self._lock:
            grown = None if self._end is None or end < self._end else end - self._end
            self._end = end
            if grown is not None:
                count = self._count(minute_of(at))
                count.payments = (count.payments or 0) + grown

    def score(self, at: datetime, score: float) -> None:
        """A sampled payment was scored."""
        with self._lock:
            self._count(minute_of(at)).scores[min(max(int(score * BINS), 0), BINS - 1)] += 1

    def latencies(self, at: datetime, to: str, seconds: Iterable[float]) -> None:
        """Alerts came to the store or to a page, each so long after its payment."""
        with self._lock:
            times = self._count(minute_of(at)).times.setdefault(to, _Times())
            for each in seconds:
                times.add(each)

    def seen(self) -> list[Minute]:
        """All that is counted here."""
        with self._lock:
            return [*self._returned, *(count.minute(number) for number, count in sorted(self._counts.items()))]

    def take(self, before: int) -> list[Minute]:
        """The minutes before one, which are counted here no longer."""
        with self._lock:
            numbers = sorted(number for number in self._counts if number < before)
            taken = [*self._returned, *(self._counts.pop(number).minute(number) for number in numbers)]
            self._returned = []
            return taken

    def give_back(self, parts: Iterable[Minute]) -> None:
        """Count what was taken and could not be kept; as far back as a day."""
        with self._lock:
            self._returned = [*self._returned, *parts][-KEPT_MINUTES:]

    def _count(self, number: int) -> _Count:
        if number not in self._counts:
            self._counts[number] = _Count()
            while len(self._counts) > KEPT_MINUTES:
                del self._counts[min(self._counts)]
        return self._counts[number]
