"""Sends each committed alert to every open page as server-sent events."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice, takewhile
from typing import Final

import orjson

from fraudstream.messages.base import Object
from fraudstream.store.reading import StoredAlert
from fraudstream.store.store import AlertStore
from fraudstream.store.triage_state import UNTOUCHED, TriageState
from fraudstream.transactions.wire import Outcome

RING_ALERTS: Final = 4096
RING_BYTES: Final = 32 * 1024 * 1024
STORE_PAGE: Final = 200
"""Alerts that a viewer behind the ring reads per query; one may be megabytes long."""

RING_FRAMES: Final = 256
"""Other frames (triage, reasons) kept for viewers that are busy writing; slower viewers read the store."""

MISSED: Final = b"event: missed\ndata: {}\n\n"
HEARTBEAT_SECONDS: Final = 15.0
STATS_SECONDS: Final = 1.0
RETRY_MS: Final = 1000


class Published:
    """A committed alert as an event for all viewers, serialised once; its latency is measured once."""

    __slots__ = ("_delivered", "_version", "_work", "frame", "outcome", "produced_us", "rows", "seq")

    def __init__(self, alert: StoredAlert) -> None:
        """Serialise an alert as an event; its `id` is the order of commit, from which a viewer resumes."""
        self.seq = alert.seq
        self.outcome = alert.outcome
        self.produced_us = alert.produced_us
        self.frame = b"id: %d\nevent: alert\ndata: %s\n\n" % (alert.seq, alert.body)
        self.rows: dict[str, bytes] = {}  # by time zone, for the viewers that want HTML
        self._delivered = False
        self._work = b'"work":' + UNTOUCHED
        self._version = 0

    def update_triage(self, state: TriageState) -> None:
        """Replace the triage state, for viewers that resume the stream."""
        if state.version > self._version:
            member = b'"work":' + state.json()
            # The first match is the store's own member: only `seq` is before it.
            self.frame = self.frame.replace(self._work, member, 1)
            self._work, self._version, self.rows = member, state.version, {}

    def document(self) -> Object:
        """Parse the alert."""
        loaded: Object = orjson.loads(self.frame.partition(b"\ndata: ")[2])
        return loaded

    def first_delivery(self) -> bool:
        """Return True once: for the viewer that was served first."""
        delivered, self._delivered = self._delivered, True
        return not delivered


def json_frames(alerts: Sequence[Published]) -> bytes:
    """Return alerts as events with their JSON."""
    return b"".join(alert.frame for alert in alerts)


class Hub:
    """Sends committed alerts to viewers in the order of commit; one that falls behind reads the store instead.

    A slow viewer delays nobody else: publishing never waits, and the ring is bounded in alerts and bytes.

    `latest` is the `seq` of the newest committed alert, `viewers` the number of open streams. It is `closed` when the
    server stops; every stream ends then.
    """

    def __init__(self, latest: int = 0) -> None:
        """Start after the alert with the `seq` `latest`, the newest in the store."""
        self._changed = threading.Condition()
        self._ring: deque[Published] = deque()
        self._ring_bytes = 0
        self._floor = latest
        self.latest = latest
        self._frames: deque[tuple[bytes, Outcome | None]] = deque(maxlen=RING_FRAMES)
        self._frame_count = 0
        self.viewers = 0
        self.closed = False

    def publish(self, alerts: list[StoredAlert]) -> None:
        """Send newly committed alerts to every viewer; call it in the order of commit."""
        published = [Published(alert) for alert in alerts]
        with self._changed:
            for alert in published:
                self._ring.append(alert)
                self._ring_bytes += len(alert.frame)
                self.latest = alert.seq
            while len(self._ring) > RING_ALERTS or (self._ring_bytes > RING_BYTES and len(self._ring) > 1):
                oldest = self._ring.popleft()
                self._ring_bytes -= len(oldest.frame)
                self._floor = oldest.seq
            self._changed.notify_all()

    def broadcast(self, frame: bytes, *, outcome: Outcome | None = None) -> None:
        """Send a frame that is no alert to connected viewers; it has no position in the order of commit.

        Only viewers of alerts with this `outcome` get it; None is for every viewer.
        """
        with self._changed:
            self._frames.append((frame, outcome))
            self._frame_count += 1
            self._changed.notify_all()

    def publish_triage(self, frame: bytes, states: Mapping[int, TriageState]) -> None:
        """Send changed triage states, by `seq` of the alert, to every viewer, and to those that resume later."""
        with self._changed:
            for alert in self._ring:
                if alert.seq in states:
                    before = len(alert.frame)
                    alert.update_triage(states[alert.seq])
                    self._ring_bytes += len(alert.frame) - before
            self.broadcast(frame)

    def frames_after(self, number: int | None, outcome: Outcome | None = None) -> tuple[int, bytes]:
        """Return the number of frames so far, and those after `number` for viewers of `outcome`, joined.

        A viewer so far behind that frames are gone gets `missed` instead: it reads the triage states from the store.
        """
        with self._changed:
            count = 0 if number is None else self._frame_count - number
            if count > len(self._frames):
                return self._frame_count, MISSED
            frames = islice(self._frames, len(self._frames) - count, None)
            return self._frame_count, b"".join(frame for frame, of in frames if None in (outcome, of) or of == outcome)

    def after(self, seq: int, timeout: float, *, frame_count: int | None = None) -> list[Published] | None:
        """Return the alerts committed after `seq`; wait for them up to `timeout` seconds or the end of the stream.

        Does not wait if there are more frames than `frame_count`, the number that `frames_after` returned. None if the
        ring does not reach back that far: read the store.
        """
        with self._changed:
            if self.latest <= seq and not self.closed and frame_count in (None, self._frame_count):
                self._changed.wait(timeout)
            if seq < self._floor:
                return None
            newer = list(takewhile(lambda alert: alert.seq > seq, reversed(self._ring)))
        return newer[::-1]

    def close(self) -> None:
        """End every stream at once."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    @contextmanager
    def viewer(self) -> Iterator[None]:
        """Count a stream as open within the context."""
        with self._changed:
            self.viewers += 1
        try:
            yield
        finally:
            with self._changed:
                self.viewers -= 1


def frames(
    hub: Hub,
    store: AlertStore,
    *,
    after: int | None,
    outcome: Outcome | None,
    stats: Callable[[], bytes],
    on_written: Callable[[list[Published]], None],
    encode: Callable[[Sequence[Published]], bytes] = json_frames,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[bytes]:
    """Yield the stream of one viewer, of one outcome or all; each piece is written before the next one is made.

    Args:
        hub: The source of new alerts.
        store: The source for a viewer that is behind.
        after: The last `seq` that the viewer has; None to start with the next alert.
        outcome: None for all.
        stats: The counters as JSON, sent once a second.
        on_written: Called with the alerts that this viewer was the first to get, once they are written. Alerts
            committed before it connected are excluded: a replay is no measure of a payment's latency.
        encode: Makes the events of alerts.
        monotonic: The clock of the heartbeat.
    """
    with hub.viewer():
        joined = hub.latest
        frame_count, _ = hub.frames_after(None)
        seq = joined if after is None else after
        yield b"retry: %d\n\n" % RETRY_MS
        if seq > joined:
            # The store was replaced by a newer one: the viewer shows alerts of the old one.
            yield b"event: reset\ndata: {}\n\n"
            seq = joined
        next_stats = last_heartbeat = monotonic()
        while not hub.closed:
            now = monotonic()
            if now >= next_stats:
                yield b"event: stats\ndata: %s\n\n" % stats()
                next_stats = now + STATS_SECONDS
            if now >= last_heartbeat + HEARTBEAT_SECONDS:
                yield b": still here\n\n"
                last_heartbeat = now
            alerts = hub.after(seq, next_stats - now, frame_count=frame_count)
            if alerts is None:
                page = store.alerts_after(seq, limit=STORE_PAGE)
                seq = page[-1].seq if page else hub.latest
                older = [Published(alert) for alert in page if outcome in (None, alert.outcome)]
                yield (encode(older) if older else b"") or b":\n\n"
                continue
            if alerts:
                seq = alerts[-1].seq
                matches = [alert for alert in alerts if outcome in (None, alert.outcome)]
                if matches:
                    yield encode(matches)
                    on_written([alert for alert in matches if alert.seq > joined and alert.first_delivery()])
            frame_count, other_frames = hub.frames_after(frame_count, outcome)
            if other_frames:
                yield other_frames
