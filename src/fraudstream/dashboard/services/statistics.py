"""Computes the dashboard's counters: payments, alerts, lag, rate and latency."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import orjson
from prometheus_client import CollectorRegistry, Histogram

from fraudstream import metrics
from fraudstream.dashboard.services.charts import MinuteTally, percentile
from fraudstream.dashboard.services.columns import ColumnWatch
from fraudstream.dashboard.services.ledger_report import ledger_partitions, ledger_summary
from fraudstream.dashboard.services.live_scores import LiveScores
from fraudstream.dashboard.services.live_stream import Hub, Published
from fraudstream.dashboard.services.schema_messages import StormWatch, first_observation
from fraudstream.dashboard.services.schema_report import summary
from fraudstream.dashboard.services.system_state import Gauges, SystemState
from fraudstream.messages.base import Object
from fraudstream.messages.posted import EndsEvent, Event, Sample
from fraudstream.store.filters import AlertFilter
from fraudstream.store.minutes import MinuteLabel
from fraudstream.store.positions import RECREATED_SECONDS, Position, TopicPartition, reports
from fraudstream.store.reading import StoredAlert, Total
from fraudstream.store.schemas import SchemaObservation
from fraudstream.store.store import AlertStore
from fraudstream.times import from_microseconds, microseconds
from fraudstream.transactions.drift import Contract
from fraudstream.transactions.wire import AlertField, Outcome

LATENCY_SAMPLES: Final = 1000
LATENCY_SECONDS: Final = 60.0
RATE_SECONDS: Final = 10.0
QUIET_SECONDS: Final = 60.0
"""Without a payment for this long the stream is quiet: nothing new is to be expected on a page."""

CACHE_SECONDS: Final = 0.9
"""The counters that streams send are computed once for all viewers."""


class DeployedModel(NamedTuple):
    """The active model, as far as pages show it."""

    model_id: str
    threshold: float | None
    unseen_from_row: int | None = None
    data_fingerprint: str | None = None
    contract: Contract | None = None
    label: MinuteLabel | None = None
    trained_us: int | None = None


class Statistics:
    """Keeps in memory what the store does not: rates, latencies and samples."""

    def __init__(
        self,
        store: AlertStore,
        hub: Hub,
        system: SystemState,
        *,
        deployment: Callable[[], DeployedModel | None],
        clock: Callable[[], datetime],
        texts: Callable[[Object], Object] = lambda _stats: {},
    ) -> None:
        """`texts` writes the counters for pages."""
        self.registry = CollectorRegistry()
        self._store = store
        self._hub = hub
        self._system = system
        self._deployment = deployment
        self._clock = clock
        self._texts = texts
        self._grew_at = clock()
        self._lock = threading.Lock()
        self._latencies: Final = {to: deque[tuple[datetime, float]](maxlen=LATENCY_SAMPLES) for to in ("page", "store")}
        self._ends: deque[tuple[datetime, int]] = deque()
        self._scored_by: tuple[str | None, float | None] | None = None
        self._reading = threading.Lock()
        self._cached: tuple[datetime, Object, bytes] | None = None
        self.columns = ColumnWatch(store.schema)
        self.scores = LiveScores(store.database.backend.file("-scores.json"), clock)
        self._storm = StormWatch()
        self.minutes = MinuteTally()
        self._histogram = Histogram(
            *metrics.ALERT_LATENCY, ["to"], buckets=metrics.LATENCY_BUCKETS, registry=self.registry
        )
        self.registry.register(Gauges(self.current, system.document))

    def committed(self, alerts: Sequence[StoredAlert]) -> None:
        """Count newly stored alerts."""
        self._storm.committed(sum(alert.outcome == Outcome.ALERT for alert in alerts), self._clock())
        self._observe("store", [alert.produced_us for alert in alerts])

    def written(self, alerts: Sequence[Published]) -> None:
        """Measure alerts written to a live stream for the first time."""
        self._observe("page", [alert.produced_us for alert in alerts])

    def observe_events(self, events: Sequence[Event], samples: Sequence[tuple[Sample, int]]) -> None:
        """Update the state in memory from events and from the samples among them, with their weights."""
        self.columns.observe(samples, self.contract())
        self.scores.observe(samples)
        for event in events:
            if isinstance(event, Sample):
                self._scored_by = event.model_id, event.threshold
                if event.score is not None:
                    self.minutes.score(self._clock(), event.score)
            elif isinstance(event, EndsEvent):
                self._observe_end(event)
                self._storm.scored(_progress(self._store.positions())[1], self._clock())

    def contract(self) -> Contract | None:
        """Return the active model's schema contract; None if it cannot be read."""
        return deployment.contract if (deployment := self._deployment()) else None

    def label(self) -> MinuteLabel | None:
        """Return the label column of the active model's training data, which a replayed file contains."""
        return deployment.label if (deployment := self._deployment()) else None

    def threshold(self) -> float | None:
        """Return the active threshold, or that of the newest sample."""
        return self._model()[1]

    def describe(self, observation: SchemaObservation) -> Object:
        """Return the content of the event of a new schema."""
        return first_observation(observation, self.contract())

    def current(self) -> Object:
        """Return the counters now; figures estimated from samples are named in `sampled`."""
        now = self._clock()
        totals = self._store.totals()
        positions = self._store.positions()
        total, read, lag = _progress(positions)
        # What was read and rejected is not scored; positions of a recreated topic start again, the totals do not.
        scored = max(0, read - totals[Total.UNSCORABLE] - totals[Total.DEAD_LETTERS])
        p50, p99, latency_to = self._latency()
        model_id, threshold, deployment = self._model()
        quiet = max(0.0, (now - self._grew_at).total_seconds())
        stats: Object = {
            "at": now.isoformat(),
            "payments_seen": total,
            "quiet_seconds": int(quiet) if total and quiet >= QUIET_SECONDS else None,
            "to_do": self._store.open_alerts(),
            "scored": scored,
            "alerts": totals[Total.ALERTS],
            **{name: totals[name] for name in (Total.UNSCORABLE, Total.DEAD_LETTERS, Total.REJECTED)},
            **{name: totals[name] for name in (Total.CONFLICTS, Total.DUPLICATES)},
            "lag": lag,
            "rate": self._rate(),
            "p50_ms": p50,
            "p99_ms": p99,
            "latency_to": latency_to,
            "model_id": model_id,
            "threshold": threshold,
            "unseen_from_row": deployment.unseen_from_row if deployment else None,
            "data_fingerprint": deployment.data_fingerprint if deployment else None,
            "verdicts_since_training": self._store.verdicts_since(deployment.trained_us) if deployment else None,
            "viewers": self._hub.viewers,
            "problems": self._system.messages(),
            "waiting_for": None if total else self._system.waiting_for(deployment is not None),
            "columns": summary(self._store, self.columns, deployment.contract if deployment else None),
            "ledger": ledger_summary(ledger_partitions(self._store.ledger, positions)),
            "storm": self._storm.current(read, now),
            "sampled": ["scored", "lag", "columns", "storm.share_of_payments"],
        }
        return stats | {"texts": self._texts(stats)}

    def recent(self) -> Object:
        """Return the counters, at most a second old: all streams and pages share one reading."""
        return self._recent()[1]

    def row_context(self) -> Object:
        """Return what the row of an alert depends on besides it: the time, and the active model's training data."""
        model = self._deployment()
        known = {"model_id": None, "unseen_from_row": None} if model is None else model._asdict()
        return {"at": self._clock().isoformat(), **known}

    def current_json(self) -> bytes:
        """Return the recent counters as JSON."""
        return self._recent()[2]

    def _recent(self) -> tuple[datetime, Object, bytes]:
        with self._reading:  # one reads for all; hundreds at once would use up the database connections
            now = self._clock()
            if self._cached is None or not 0 <= (now - self._cached[0]).total_seconds() < CACHE_SECONDS:
                stats = self.current()
                self._cached = now, stats, orjson.dumps(stats)
            return self._cached

    def publish(self) -> None:
        """Send the counters to every viewer now."""
        with self._reading:
            self._cached = None
        self._hub.broadcast(b"event: stats\ndata: %s\n\n" % self.current_json())

    def _observe(self, to: str, produced: Iterable[int | None]) -> None:
        now = self._clock()
        now_us = microseconds(now)
        # Clocks of two machines may differ by more than the latency.
        durations = [max(0.0, (now_us - produced_us) / 1e6) for produced_us in produced if produced_us is not None]
        with self._lock:
            for seconds in durations:
                self._latencies[to].append((now, seconds))
                self._histogram.labels(to).observe(seconds)
        if durations:
            self.minutes.latencies(now, to, durations)

    def _observe_end(self, event: EndsEvent) -> None:
        partitions = [position for _, position in reports(event)]
        if not partitions:
            return  # the relay reports that Kafka does not respond
        end = sum(report.end for report in partitions if report.end is not None)
        at_us = partitions[0].at_us
        at = self._clock() if at_us is None else from_microseconds(at_us)
        with self._lock:
            if self._ends and at <= self._ends[-1][0]:
                return  # posted again, or late
            if self._ends and end < self._ends[-1][1]:
                if (at - self._ends[-1][0]).total_seconds() < RECREATED_SECONDS:
                    return  # of another relay, which read it earlier
                self._ends.clear()  # the topic was recreated
            if self._ends:
                grown = end - self._ends[-1][1]
                self._grew_at = self._clock() if grown else self._grew_at
                self.minutes.payments(at, grown)
            self._ends.append((at, end))
            # One reading before the window stays: the rate covers the whole window.
            while len(self._ends) > 2 and (at - self._ends[1][0]).total_seconds() >= RATE_SECONDS:
                self._ends.popleft()

    def _rate(self) -> float:
        with self._lock:
            if len(self._ends) < 2 or (self._clock() - self._ends[-1][0]).total_seconds() > RATE_SECONDS:
                return 0.0
            (first_at, first), (last_at, last) = self._ends[0], self._ends[-1]
            return (last - first) / (last_at - first_at).total_seconds()

    def _latency(self) -> tuple[float | None, float | None, str | None]:
        now = self._clock()
        with self._lock:
            to_page, to_store = (
                [seconds for at, seconds in latencies if (now - at).total_seconds() <= LATENCY_SECONDS]
                for latencies in self._latencies.values()
            )
        watched = self._hub.viewers > 0 and len(to_page) > 0
        values = to_page if watched else to_store
        if not values:
            return None, None, None
        return percentile(values, 0.50), percentile(values, 0.99), "page" if watched else "store"

    def _model(self) -> tuple[str | None, float | None, DeployedModel | None]:
        deployment = self._deployment()
        if deployment is not None:
            return deployment.model_id, deployment.threshold, deployment
        if self._scored_by is not None:
            return *self._scored_by, None
        newest = self._store.alerts(AlertFilter(outcome=None), limit=1)
        alert = newest[0].document() if newest else {}
        return alert.get(AlertField.MODEL_ID), alert.get(AlertField.THRESHOLD), None


def _progress(positions: dict[TopicPartition, Position]) -> tuple[int, int, int]:
    total = scored = lag = 0
    for position in positions.values():
        if position.end is not None:
            done = min(position.position, position.end)
            total += position.end
            scored += max(0, done - position.begin)
            lag += max(0, position.end - max(done, position.begin))
    return total, scored, lag
