"""Sends each committed alert to every open page as server-sent events."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Final, NamedTuple

import orjson

from fraudstream.messages.base import Object
from fraudstream.store.reading import StoredAlert
from fraudstream.store.store import AlertStore
from fraudstream.transactions.wire import Outcome

RING_FRAMES: Final = 4096
RING_BYTES: Final = 32 * 1024 * 1024
STORE_PAGE: Final = 200
"""Alerts that a viewer behind the ring reads per query; one may be megabytes long."""

MISSED: Final = b"event: missed\ndata: {}\n\n"
HEARTBEAT_SECONDS: Final = 15.0
STATS_SECONDS: Final = 1.0
RETRY_MS: Final = 1000


class Published:
    """A committed alert as an event for all viewers, serialised once; its latency is measured once."""

    __slots__ = ("_delivered", "frame", "outcome", "produced_us", "rows", "seq")

    def __init__(self, alert: StoredAlert) -> None:
        """Serialise an alert as an event; its `id` is the order of commit, from which a viewer resumes."""
        self.seq = alert.seq
        self.outcome = alert.outcome
        self.produced_us = alert.produced_us
        self.frame = b"id: %d\nevent: alert\ndata: %s\n\n" % (alert.seq, alert.body)
        self.rows: dict[str, bytes] = {}  # by time zone, for the viewers that want HTML
        self._delivered = False

    def document(self) -> Object:
        """Parse the alert."""
        loaded: Object = orjson.loads(self.frame.partition(b"\ndata: ")[2])
        return loaded

    def first_delivery(self) -> bool:
        """Return True once: for the viewer that was served first."""
        delivered, self._delivered = self._delivered, True
        return not delivered


class Notice(NamedTuple):
    """Another event (triage, reasons, counters), for viewers of this `outcome`; None is for every viewer."""

    frame: bytes
    outcome: Outcome | None


def json_frames(alerts: Sequence[Published]) -> bytes:
    """Return alerts as events with their JSON."""
    return b"".join(alert.frame for alert in alerts)


class Hub:
    """Sends events to viewers in one order, alerts in that of commit; one that falls behind reads the store instead.

    A slow viewer delays nobody else: publishing never waits, and the ring is bounded in events and bytes.

    `latest` is the `seq` of the newest committed alert, `viewers` the number of open streams. It is `closed` when the
    server stops; every stream ends then.
    """

    def __init__(self, latest: int = 0) -> None:
        """Start after the alert with the `seq` `latest`, the newest in the store."""
        self._changed = threading.Condition()
        self._ring: deque[Published | Notice] = deque()
        self._ring_bytes = 0
        self._count = 0
        self.latest = latest
        self.viewers = 0
        self.closed = False

    def publish(self, alerts: list[StoredAlert]) -> None:
        """Send newly committed alerts to every viewer; call it in the order of commit."""
        self._append([Published(alert) for alert in alerts], latest=alerts[-1].seq if alerts else 0)

    def broadcast(self, frame: bytes, *, outcome: Outcome | None = None) -> None:
        """Send a frame that is no alert to connected viewers; None is for those of every outcome."""
        self._append([Notice(frame, outcome)])

    def _append(self, events: Sequence[Published | Notice], latest: int = 0) -> None:
        with self._changed:
            self._ring.extend(events)
            self._ring_bytes += sum(len(each.frame) for each in events)
            self._count += len(events)
            self.latest = max(self.latest, latest)
            while len(self._ring) > RING_FRAMES or (self._ring_bytes > RING_BYTES and len(self._ring) > 1):
                self._ring_bytes -= len(self._ring.popleft().frame)
            self._changed.notify_all()

    def position(self) -> tuple[int, int]:
        """Return the number of events so far, and the newest alert among them or before."""
        with self._changed:
            return self._count, self.latest

    def after(self, number: int, timeout: float) -> list[Published | Notice] | None:
        """Return the events after the first `number`; wait for them up to `timeout` seconds or the end of the stream.

        None if the ring does not reach back that far: read the store.
        """
        with self._changed:
            if self._count <= number and not self.closed:
                self._changed.wait(timeout)
            newer = self._count - number
            return None if newer > len(self._ring) else list(islice(reversed(self._ring), newer))[::-1]

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
        number, known = hub.position()
        joined, seq = known, known if after is None else after
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
            if seq < known:
                page = store.alerts_after(seq, up_to=known, limit=STORE_PAGE)
                seq = page[-1].seq if page else known
                older = [Published(alert) for alert in page if outcome in (None, alert.outcome)]
                yield (encode(older) if older else b"") or b":\n\n"
                continue
            events = hub.after(number, next_stats - now)
            if events is None:
                number, known = hub.position()
                yield MISSED
                continue
            number += len(events)
            alerts = [each for each in events if isinstance(each, Published)]
            seq = alerts[-1].seq if alerts else seq
            matches = [alert for alert in alerts if outcome in (None, alert.outcome)]
            if matches:
                yield encode(matches)
                on_written([alert for alert in matches if alert.seq > joined and alert.first_delivery()])
            notices = [each for each in events if isinstance(each, Notice)]
            others = [each.frame for each in notices if None in (outcome, each.outcome) or each.outcome == outcome]
            if others:
                yield b"".join(others)
