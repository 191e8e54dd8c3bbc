"""Reports the state of the system: database, processes, partitions, losses and problems."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from fraudstream import metrics
from fraudstream.errors import StoreError
from fraudstream.messages.answers import Losses, PartitionState, ProcessState, System
from fraudstream.messages.ledger import MOST_PAST_PROBLEMS, PartitionReport, Problem, ProblemKind
from fraudstream.store.store import AlertStore
from fraudstream.times import iso
from fraudstream.transactions.wire import DetectorState, EventField, EventType

log = structlog.get_logger(__name__)

PROBE_SECONDS: Final = 1.0
LOG_SECONDS: Final = 10.0
"""A lasting problem is logged this often."""


class Health:
    """Tells whether the database accepts writes: probes it, and remembers a failed write."""

    def __init__(self, store: AlertStore, clock: Callable[[], datetime]) -> None:
        self._backend = store.database.backend
        self._clock = clock
        self._lock = threading.Lock()
        self._failed: StoreError | None = None
        self._logged_at: datetime | None = None
        self._probed: tuple[datetime, str] | None = None

    def written(self) -> None:
        """Record a successful write."""
        if self._failed is not None:
            self._failed = self._probed = self._logged_at = None
            log.info("the alert store accepts writes again")

    def write_failed(self, error: StoreError) -> None:
        """Record a failed write: not ready until one succeeds. Logged at once and then every ten seconds."""
        now = self._clock()
        self._failed = error
        if self._logged_at is None or (now - self._logged_at).total_seconds() >= LOG_SECONDS:
            self._logged_at = now
            log.error("the alert store accepts no writes; alerts wait in Kafka", reason=error.what, where=error.where)

    def problem(self) -> str:
        """Return why the database accepts no writes; empty while it does."""
        failed = self._failed  # another thread may clear it meanwhile
        if failed is not None:
            return failed.what
        now = self._clock()
        with self._lock:  # one probe at a time, for all callers
            if self._probed is None or not 0 <= (now - self._probed[0]).total_seconds() < PROBE_SECONDS:
                try:
                    self._backend.probe()
                    self._probed = now, ""
                except StoreError as e:
                    self._probed = now, e.what
            return self._probed[1]


class Gauges(Collector):
    """Exports the counters and the state of the system to Prometheus, read at each scrape."""

    _METRICS: Final = (
        ("payments_seen", metrics.PAYMENTS_SEEN), ("scored", metrics.PAYMENTS_SCORED), ("lag", metrics.LAG),
        ("rate", metrics.RATE), ("alerts", metrics.ALERTS), ("unscorable", metrics.UNSCORABLE),
        ("dead_letters", metrics.DEAD_LETTERS), ("rejected", metrics.REJECTED), ("conflicts", metrics.CONFLICTS),
        ("duplicates", metrics.DUPLICATES), ("viewers", metrics.VIEWERS),
    )  # fmt: skip

    def __init__(self, current: Callable[[], Mapping[str, Any]], document: Callable[[], System]) -> None:
        """Keep the sources: `Statistics.current` and `SystemState.document`."""
        self._current, self._document = current, document

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the figures now."""
        current = self._current()
        for key, metric in self._METRICS:
            yield GaugeMetricFamily(*metric, value=current[key])
        state, labels = self._document(), ("topic", "partition")
        kinds = Counter(each.kind for each in state.problems)
        yield _labelled(metrics.PROBLEMS, ["kind"], (((kind.value,), kinds[kind]) for kind in ProblemKind))
        running = (((each.process,), each.state == DetectorState.RUNNING) for each in state.processes)
        yield _labelled(metrics.PROCESS_RUNNING, ["process"], running)
        at = [(each.topic, str(each.partition)) for each in state.partitions]
        yield _labelled(metrics.PARTITION_LAG, labels, zip(at, (each.lag for each in state.partitions), strict=True))
        starved = (each.starved_since is not None for each in state.partitions)
        yield _labelled(metrics.PARTITION_STARVED, labels, zip(at, starved, strict=True))
        if state.task_slots is not None:
            yield GaugeMetricFamily(*metrics.TASK_SLOTS, value=state.task_slots)
        yield GaugeMetricFamily(*metrics.LOST_UNACKNOWLEDGED, value=state.losses.records)


SILENT_SECONDS: Final = 15.0
"""Relay and detector report every two seconds; one that is silent for this long is down."""

FIRST_REPORT_SECONDS: Final = 30.0
"""How long the first report of a running process may take after the dashboard has started."""

UNKNOWN: Final = "unknown"
SILENT: Final = "silent"
RUNNING: Final = DetectorState.RUNNING.value
FAILING: Final = DetectorState.FAILING.value


@dataclass
class Process:
    """A process by its latest report."""

    name: str
    state: str = UNKNOWN
    message: str = ""
    since: datetime | None = None
    seen_at: datetime | None = None

    def report(self, state: str, message: str, now: datetime) -> None:
        """Record a report."""
        if state != self.state or self.silence(now) > SILENT_SECONDS:
            self.since = now
        self.state, self.message, self.seen_at = state, message, now

    def silence(self, now: datetime) -> float:
        """Return the seconds since the latest report; 0 without any."""
        return 0.0 if self.seen_at is None else (now - self.seen_at).total_seconds()

    def document(self, now: datetime, sentence: str) -> ProcessState:
        """Return its entry in `/api/system`."""
        silent = self.silence(now) > SILENT_SECONDS
        state, since = (SILENT, self.seen_at) if silent else (self.state, self.since)
        return ProcessState(self.name, state, _iso(since), _iso(self.seen_at), sentence)


class SystemState:
    """Combines the reports of relay and detector with the partitions and losses in the store."""

    def __init__(self, store: AlertStore, database_problem: Callable[[], str], clock: Callable[[], datetime]) -> None:
        """Watch one store, whose positions show whether it received records before."""
        self._store = store
        self._database_problem = database_problem
        self._clock = clock
        self._began = clock()
        self._is_known_stream = bool(store.positions())
        self._dashboard = Process("dashboard", RUNNING, since=self._began)
        self._relay, self._detector = Process("relay"), Process("detector")
        self._first_posted_at: datetime | None = None
        self._kafka_problem = ""
        self._report = PartitionReport()
        self._past: list[Problem] = []

    def posted(self, records: Iterable[object]) -> None:
        """Update the states of relay and detector from posted records, once they are stored."""
        now = self._clock()
        self._first_posted_at = self._first_posted_at or now
        for record in records:
            if isinstance(record, dict):
                self._observe(record, now)
        self._relay.report(FAILING if self._kafka_problem else RUNNING, self._kafka_problem, now)

    def problems(self) -> list[Problem]:
        """Return what is wrong; empty while alerts arrive and every loss is acknowledged."""
        now, database = self._clock(), self._database_problem()
        return [
            *([Problem(kind=ProblemKind.DATABASE, message=database[:500])] if database else []),
            *self._relay_problems(now),
            *self._detector_problems(now),
            *self._loss_problems(),
        ]

    def messages(self) -> list[str]:
        """Return the messages of the problems for the pages."""
        return [problem.message for problem in self.problems()]

    def is_detecting(self) -> bool:
        """Whether the detector reports that it runs."""
        return self._detector.state == RUNNING and self._detector.silence(self._clock()) <= SILENT_SECONDS

    def waiting_for(self, has_model: bool) -> str:
        """Return what has to happen before the first payment is scored, and for how long this dashboard has waited."""
        steps = {
            "a trained model": has_model,
            "the relay": self._relay.seen_at,
            "the detector": self._detector.seen_at,
            f"the detector: {self._detector.message or self._detector.state}": self._detector.state == RUNNING,
        }
        what = next((step for step, is_done in steps.items() if not is_done), "the first payment")
        return f"Waiting for {what} ({(self._clock() - self._began).total_seconds():,.0f} s)"

    def unacknowledged_losses(self) -> Losses:
        """Return the unacknowledged losses; none if the database does not respond, which is a problem of its own."""
        try:
            return self._store.ledger.unacknowledged_losses()
        except SQLAlchemyError:
            return Losses(0, 0, None)

    def document(self) -> System:
        """Return the state of the system."""
        now, problems, losses = self._clock(), self.problems(), self.unacknowledged_losses()
        processes, task_slots = self._processes(now, problems), self._report.task_slots
        return System(iso(now), problems, self._past, processes, task_slots, self._partitions(), losses)

    def _observe(self, record: Mapping[str, Any], now: datetime) -> None:
        kind = record.get(EventField.TYPE)
        if kind == EventType.STATUS:
            self._detector.report(str(record.get(EventField.STATE)), str(record.get(EventField.MESSAGE) or ""), now)
            try:
                self._report = PartitionReport.model_validate(record)
            except ValidationError:
                self._report = PartitionReport()
            # Those of a detector that was restarted since remain.
            self._past = list(dict.fromkeys([*self._past, *self._report.past_problems]))[-MOST_PAST_PROBLEMS:]
        elif kind == EventType.POSITION:
            trouble = record.get(EventField.TROUBLE)
            self._kafka_problem = f"Kafka does not respond to the relay: {trouble}"[:500] if trouble else ""

    def _relay_problems(self, now: datetime) -> list[Problem]:
        relay, waited = self._relay, (now - self._began).total_seconds()
        if relay.silence(now) > SILENT_SECONDS:
            message = f"the relay has posted nothing for {relay.silence(now):.0f} s"
            return [Problem(kind=ProblemKind.RELAY, message=message, since=_iso(relay.seen_at))]
        if relay.seen_at is None and self._is_known_stream and waited > FIRST_REPORT_SECONDS:
            message = f"no relay has posted anything for {waited:.0f} s, since this dashboard started"
            return [Problem(kind=ProblemKind.RELAY, message=message, since=_iso(self._began))]
        if self._kafka_problem:
            return [Problem(kind=ProblemKind.KAFKA, message=self._kafka_problem, since=_iso(relay.since))]
        return []

    def _detector_problems(self, now: datetime) -> list[Problem]:
        detector, first = self._detector, self._first_posted_at
        since, message = detector.since, ""
        if detector.seen_at is None:
            waited = 0.0 if first is None else (now - first).total_seconds()
            if waited > FIRST_REPORT_SECONDS:
                since, message = first, f"no detector has reported for {waited:.0f} s"
        elif detector.silence(now) > SILENT_SECONDS:
            since, message = detector.seen_at, f"the detector has not reported for {detector.silence(now):.0f} s"
        elif detector.state != RUNNING:
            message = f"the detector is {detector.state}" + (f": {detector.message}" if detector.message else "")
        else:
            return list(self._report.problems)
        return [Problem(kind=ProblemKind.DETECTOR, message=message[:500], since=_iso(since))] if message else []

    def _loss_problems(self) -> list[Problem]:
        losses = self.unacknowledged_losses()
        if not losses.records:
            return []
        lost = "1 record is" if losses.records == 1 else f"{losses.records:,} records are"
        message = f"{lost} lost: Kafka deleted them before they were read. See the Ledger page"
        return [Problem(kind=ProblemKind.LOSS, message=message, since=losses.since)]

    def _processes(self, now: datetime, problems: list[Problem]) -> list[ProcessState]:
        sentences = {problem.kind: problem.message for problem in reversed(problems)}
        database = sentences.get(ProblemKind.DATABASE, "")
        self._dashboard.seen_at = now  # it is running, since it answers
        self._dashboard.report(FAILING if database else RUNNING, database, now)
        relay = sentences.get(ProblemKind.RELAY) or sentences.get(ProblemKind.KAFKA, "")
        detector = sentences.get(ProblemKind.DETECTOR, "") or self._detector.message
        states = ((self._dashboard, database), (self._relay, relay), (self._detector, detector))
        return [process.document(now, sentence) for process, sentence in states]

    def _partitions(self) -> list[PartitionState]:
        starved = {p.partition: p.since for p in self._report.problems if p.kind is ProblemKind.STARVED}
        reading = self._report.reading
        return [
            PartitionState(
                *(*partition, at.begin, at.end, at.position),
                lag=max(0, at.end - max(at.position, at.begin)),
                starved_since=starved.get(partition.partition),
                reading=None if reading is None else partition.partition in reading,
            )
            for partition, at in sorted(self._store.positions().items())
            if at.end is not None
        ]


def _iso(at: datetime | None) -> str | None:
    return None if at is None else iso(at)


def _labelled(
    metric: metrics.Metric, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(*metric, labels=labels)
    for names, value in values:
        family.add_metric(names, value)
    return family
