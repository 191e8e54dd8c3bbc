"""The live stream: one hub hands each committed alert to every open page; what a page shows is `static/`'s."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Final

from fraudstream.store.reading import StoredAlert
from fraudstream.store.store import AlertStore
from fraudstream.store.triage_state import UNTOUCHED, TriageState
from fraudstream.transactions.wire import Outcome

RING_ALERTS: Final = 4096
RING_BYTES: Final = 32 * 1024 * 1024
STORE_PAGE: Final = 200
"""Alerts that a viewer behind the ring reads at once; one may be megabytes long."""

RING_TOLD: Final = 256
"""What was told of alerts that are out already, kept for viewers that are busy writing; others read the store."""

MISSED: Final = b"event: missed\ndata: {}\n\n"
HEARTBEAT_SECONDS: Final = 15.0
STATS_SECONDS: Final = 1.0
RETRY_MS: Final = 1000


class Published:
    """A committed alert as every viewer gets it: serialised once, measured once."""

    __slots__ = ("_told", "_version", "_work", "frame", "outcome", "produced_us", "seq")

    def __init__(self, alert: StoredAlert) -> None:
        """Serialise an alert as an event of the stream."""
        self.seq = alert.seq
        self.outcome = alert.outcome
        self.produced_us = alert.produced_us
        self.frame = alert_frame(alert)
        self._told = False
        self._work = b'"work":' + UNTOUCHED
        self._version = 0

    def stands(self, work: TriageState) -> None:
        """People have changed how it stands: who resumes the stream gets it so."""
        if work.version > self._version:
            told = b'"work":' + work.json()
            # The first of that name is the store's own: only `seq` is before it.
            self.frame = self.frame.replace(self._work, told, 1)
            self._work, self._version = told, work.version

    def first_time(self) -> bool:
        """True once: for the viewer that was served first."""
        told, self._told = self._told, True
        return not told


def alert_frame(alert: StoredAlert) -> bytes:
    """One alert as an event: `id` is its order of commit, from which a reader resumes."""
    return b"id: %d\nevent: alert\ndata: %s\n\n" % (alert.seq, alert.body)


class Hub:
    """Hands out what is committed, in that order; a viewer that does not keep up is told to read the store instead.

    A viewer's slowness costs it alone: publishing never waits for anybody, and the ring is bounded in alerts and bytes.
    """

    def __init__(self, latest: int = 0) -> None:
        """Start after the alert `latest`, the newest in the store."""
        self._changed = threading.Condition()
        self._ring: deque[Published] = deque()
        self._ring_bytes = 0
        self._floor = latest
        self._latest = latest
        self._told: deque[tuple[bytes, Outcome | None]] = deque(maxlen=RING_TOLD)
        self._times_told = 0
        self._viewers = 0
        self._closed = False

    @property
    def latest(self) -> int:
        """The `seq` of the newest alert that was committed."""
        return self._latest

    @property
    def viewers(self) -> int:
        """How many streams are open."""
        return self._viewers

    @property
    def closed(self) -> bool:
        """True once the server stops: every stream ends."""
        return self._closed

    def publish(self, alerts: list[StoredAlert]) -> None:
        """Hand newly committed alerts to every viewer; to be called in the order of commit."""
        news = [Published(alert) for alert in alerts]
        with self._changed:
            for alert in news:
                self._ring.append(alert)
                self._ring_bytes += len(alert.frame)
                self._latest = alert.seq
            while len(self._ring) > RING_ALERTS or (self._ring_bytes > RING_BYTES and len(self._ring) > 1):
                oldest = self._ring.popleft()
                self._ring_bytes -= len(oldest.frame)
                self._floor = oldest.seq
            self._changed.notify_all()

    def tell(self, frame: bytes, *, about: Outcome | None = None) -> None:
        """Hand a frame that is no alert to who is there; it has no position in the order of commit.

        Viewers of other alerts than those it is `about` do not get it; None is for every viewer.
        """
        with self._changed:
            self._told.append((frame, about))
            self._times_told += 1
            self._changed.notify_all()

    def publish_triage(self, frame: bytes, stands: Mapping[int, TriageState]) -> None:
        """Hand a change of how alerts stand, by their `seq`, to every viewer, and to those that resume later."""
        with self._changed:
            for alert in self._ring:
                if alert.seq in stands:
                    before = len(alert.frame)
                    alert.stands(stands[alert.seq])
                    self._ring_bytes += len(alert.frame) - before
            self.tell(frame)

    def told_after(self, number: int | None, outcome: Outcome | None = None) -> tuple[int, bytes]:
        """How many frames were told so far, and those after `number` for whoever looks at `outcome`, together.

        A viewer so far behind that frames are gone gets `missed` instead of them: it asks the store how alerts stand.
        """
        with self._changed:
            news = 0 if number is None else self._times_told - number
            if news > len(self._told):
                return self._times_told, MISSED
            late = islice(self._told, len(self._told) - news, None)
            return self._times_told, b"".join(
                frame for frame, about in late if None in (outcome, about) or about == outcome
            )

    def after(self, seq: int, timeout: float, *, told: int | None = None) -> list[Published] | None:
        """What was committed after `seq`; waits for it, and is empty after `timeout` seconds or at the end.

        It does not wait where there are more frames than `told`, the number that `told_after` has given. None where the
        ring does not reach back that far: the store does.
        """
        with self._changed:
            if self._latest <= seq and not self._closed and told in (None, self._times_told):
                self._changed.wait(timeout)
            if seq < self._floor:
                return None
            found = []
            for alert in reversed(self._ring):
                if alert.seq <= seq:
                    break
                found.append(alert)
        found.reverse()
        return found

    def close(self) -> None:
        """End every stream, at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @contextmanager
    def viewer(self) -> Iterator[None]:
        """Count a stream as open for as long as it is."""
        with self._changed:
            self._viewers += 1
        try:
            yield
        finally:
            with self._changed:
                self._viewers -= 1


def frames(
    hub: Hub,
    store: AlertStore,
    *,
    after: int | None,
    outcome: Outcome | None,
    stats: Callable[[], bytes],
    on_written: Callable[[list[Published]], None],
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[bytes]:
    """The stream of one viewer, of one outcome or all; each piece is written before the next one is made.

    Args:
        hub: Where the alerts come from.
        store: Where they come from for a viewer that is behind.
        after: The last `seq` that the viewer has; None to begin with what comes next.
        outcome: Which alerts; None for all.
        stats: The counters as JSON, sent once a second.
        on_written: Called with the alerts that this viewer was the first to get, once they are on the wire. What was
            committed before it came is not among them: a replay says nothing of the way of a payment.
        monotonic: The clock of the heartbeat.
    """
    with hub.viewer():
        joined = hub.latest
        told, _ = hub.told_after(None)
        seq = joined if after is None else after
        yield b"retry: %d\n\n" % RETRY_MS
        if seq > joined:
            # The store was replaced by a younger one: what the viewer shows is of the old one.
            yield b"event: reset\ndata: {}\n\n"
            seq = joined
        next_stats = spoke = monotonic()
        while not hub.closed:
            now = monotonic()
            if now >= next_stats:
                yield b"event: stats\ndata: %s\n\n" % stats()
                next_stats = now + STATS_SECONDS
            if now >= spoke + HEARTBEAT_SECONDS:
                yield b": still here\n\n"
                spoke = now
            news = hub.after(seq, next_stats - now, told=told)
            if news is None:
                page = store.alerts_after(seq, limit=STORE_PAGE)
                seq = page[-1].seq if page else hub.latest
                yield b"".join(alert_frame(alert) for alert in page if outcome in (None, alert.outcome)) or b":\n\n"
                continue
            if news:
                seq = news[-1].seq
                wanted = [alert for alert in news if outcome in (None, alert.outcome)]
                if wanted:
                    yield b"".join(alert.frame for alert in wanted)
                    on_written([alert for alert in wanted if alert.seq > joined and alert.first_time()])
            told, frames_told = hub.told_after(told, outcome)
            if frames_told:
                yield frames_told
