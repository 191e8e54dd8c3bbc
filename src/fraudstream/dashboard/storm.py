"""Tells an alert storm: more alerts within a minute than people can look at; `stats.py` feeds it, the page shows it."""

import threading
from collections import deque
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from fraudstream.dashboard.drift_words import Sentence, iso, percent
from fraudstream.times import microseconds

WINDOW_SECONDS: Final = 60
STORM_ALERTS: Final = 600
"""A storm begins with more alerts than this within the window: ten a second are more than people can look at."""

CALM_ALERTS: Final = STORM_ALERTS // 2
"""It ends below half of that, so that a stream at the limit does not make the banner come and go."""


class Storm(NamedTuple):
    """A storm as it stands."""

    alerts_per_minute: int
    share_of_payments: float | None
    since: datetime

    def told(self) -> dict[str, Any]:
        """What `/api/stats` says of it; `sentence` is that of the banner."""
        since = iso(microseconds(self.since))
        share = self.share_of_payments
        of = "" if share is None else f", {percent(share)} of the payments scored"
        return {
            "alerts_per_minute": self.alerts_per_minute,
            "share_of_payments": None if share is None else round(share, 4),
            "since": since,
            "sentence": Sentence(
                "More alerts than people can look at since ",
                since,
                f": {self.alerts_per_minute:,} in the last minute{of}",
            )._asdict(),
        }


class StormWatch:
    """Counts the alerts committed in the last 60 s, in bins of a second: a commit costs the same whatever its size.

    In memory only: after a restart of the dashboard a storm is told anew, with its next 600 alerts.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bins: deque[tuple[int, int]] = deque()
        self._total = 0
        self._scored: deque[tuple[int, int]] = deque()
        self._since: datetime | None = None

    def committed(self, alerts: int, at: datetime) -> None:
        """So many new alerts are in the store."""
        second = _second(at)
        with self._lock:
            # What has left the window may have ended a storm that nobody asked about since.
            self._forget(second)
            if alerts == 0:
                return
            newest, count = self._bins[-1] if self._bins else (second, 0)
            if self._bins and newest >= second:
                self._bins[-1] = newest, count + alerts
            else:
                self._bins.append((second, alerts))
            self._total += alerts
            if self._since is None and self._total > STORM_ALERTS:
                self._since = at

    def scored(self, payments: int, at: datetime) -> None:
        """So many payments were scored until now; a reading a second is kept, for the share."""
        second = _second(at)
        with self._lock:
            if self._scored and (payments < self._scored[-1][1] or second < self._scored[-1][0]):
                self._scored.clear()  # the topic was made anew, or the clock was set back
            if not self._scored or second > self._scored[-1][0]:
                self._scored.append((second, payments))
            # One reading from before the window is kept: the share is taken over the whole of it.
            while len(self._scored) > 1 and self._scored[1][0] <= second - WINDOW_SECONDS:
                self._scored.popleft()

    def current(self, payments: int, at: datetime) -> Storm | None:
        """The storm, None in calm; `payments` are those scored until now."""
        self.scored(payments, at)
        with self._lock:
            self._forget(_second(at))
            if self._since is None:
                return None
            scored = payments - self._scored[0][1]
            # The number scored is known from samples: it may stand a little behind the alerts.
            share = min(1.0, self._total / scored) if scored > 0 else None
            return Storm(self._total, share, self._since)

    def _forget(self, second: int) -> None:
        if self._bins and second < self._bins[-1][0] - WINDOW_SECONDS:
            self._bins.clear()  # the clock was set back
            self._total = 0
        while self._bins and self._bins[0][0] <= second - WINDOW_SECONDS:
            self._total -= self._bins.popleft()[1]
        if self._total < CALM_ALERTS:
            self._since = None


def _second(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp())
