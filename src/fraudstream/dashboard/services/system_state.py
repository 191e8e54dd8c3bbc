"""The state of the whole system: its processes, its partitions, and what is wrong, as `/api/system` tells it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from fraudstream import metrics
from fraudstream.messages.answers import Losses, PartitionState, ProcessState, System
from fraudstream.messages.ledger import PartitionReport, Problem, ProblemKind
from fraudstream.store.store import AlertStore
from fraudstream.times import iso
from fraudstream.transactions.wire import DetectorState, EventField, EventType


class Gauges(Collector):
    """The counters as Prometheus reads them, taken when it asks."""

    _SHOWN: Final = (
        ("payments_seen", metrics.PAYMENTS_SEEN), ("scored", metrics.PAYMENTS_SCORED), ("lag", metrics.LAG),
        ("rate", metrics.RATE), ("alerts", metrics.ALERTS), ("unscorable", metrics.UNSCORABLE),
        ("dead_letters", metrics.DEAD_LETTERS), ("rejected", metrics.REJECTED), ("conflicts", metrics.CONFLICTS),
        ("duplicates", metrics.DUPLICATES), ("viewers", metrics.VIEWERS),
    )  # fmt: skip

    def __init__(self, current: Callable[[], Mapping[str, Any]]) -> None:
        """Take what tells the counters: `Statistics.current`."""
        self._current = current

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The counters now."""
        current = self._current()
        for key, metric in self._SHOWN:
            yield GaugeMetricFamily(*metric, value=current[key])


class SystemGauges(Collector):
    """The state of the whole system, as `/api/system` tells it."""

    def __init__(self, document: Callable[[], System]) -> None:
        """Take what tells the state: `SystemState.document`."""
        self._document = document

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The state now."""
        state, place = self._document(), ("topic", "partition")
        kinds = Counter(each.kind for each in state.problems)
        yield _labelled(metrics.PROBLEMS, ["kind"], (((kind.value,), kinds[kind]) for kind in ProblemKind))
        running = (((each.process,), each.state == DetectorState.RUNNING) for each in state.processes)
        yield _labelled(metrics.PROCESS_RUNNING, ["process"], running)
        at = [(each.topic, str(each.partition)) for each in state.partitions]
        yield _labelled(metrics.PARTITION_LAG, place, zip(at, (each.lag for each in state.partitions), strict=True))
        starved = (each.starved_since is not None for each in state.partitions)
        yield _labelled(metrics.PARTITION_STARVED, place, zip(at, starved, strict=True))
        if state.task_slots is not None:
            yield GaugeMetricFamily(*metrics.TASK_SLOTS, value=state.task_slots)
        yield GaugeMetricFamily(*metrics.LOST_UNACKNOWLEDGED, value=state.losses.records)


SILENT_SECONDS: Final = 15.0
"""Relay and detector each say something every two seconds at most: silent for so long, one is gone."""

FIRST_WORD_SECONDS: Final = 30.0
"""A process that is running may take so long to say its first word to a dashboard that has just been started."""

UNKNOWN: Final = "unknown"
SILENT: Final = "silent"
RUNNING: Final = DetectorState.RUNNING.value
FAILING: Final = DetectorState.FAILING.value


@dataclass
class Process:
    """A process by what it said last."""

    name: str
    state: str = UNKNOWN
    message: str = ""
    since: datetime | None = None
    seen: datetime | None = None

    def report(self, state: str, message: str, now: datetime) -> None:
        """Take what it says now."""
        if state != self.state or self.silence(now) > SILENT_SECONDS:
            self.since = now
        self.state, self.message, self.seen = state, message, now

    def silence(self, now: datetime) -> float:
        """For how many seconds it has said nothing; 0 for one that never spoke."""
        return 0.0 if self.seen is None else (now - self.seen).total_seconds()

    def document(self, now: datetime, sentence: str) -> ProcessState:
        """Its entry in `/api/system`."""
        silent = self.silence(now) > SILENT_SECONDS
        state, since = (SILENT, self.seen) if silent else (self.state, self.since)
        return ProcessState(self.name, state, _iso(since), _iso(self.seen), sentence)


class SystemState:
    """Knows what the relay and the detector say, and what the store holds of partitions and losses."""

    def __init__(
        self, store: AlertStore, database_problems: Callable[[], list[str]], clock: Callable[[], datetime]
    ) -> None:
        """Watch over one store; what came before this moment is known from what it holds."""
        self._store = store
        self._database_problems = database_problems
        self._clock = clock
        self._began = clock()
        self._is_known_stream = bool(store.positions())
        self._dashboard = Process("dashboard", RUNNING, since=self._began)
        self._relay, self._detector = Process("relay"), Process("detector")
        self._first_posted_at: datetime | None = None
        self._kafka_problem = ""
        self._report = PartitionReport()

    def posted(self, records: Iterable[object]) -> None:
        """A relay has posted records, and they are stored; take from them how it and the detector are."""
        now = self._clock()
        self._first_posted_at = self._first_posted_at or now
        for record in records:
            if isinstance(record, dict):
                self._observe(record, now)
        self._relay.report(FAILING if self._kafka_problem else RUNNING, self._kafka_problem, now)

    def problems(self) -> list[Problem]:
        """What is wrong; nothing while alerts arrive and no loss waits to be acknowledged."""
        now = self._clock()
        return [
            *(Problem(kind=ProblemKind.DATABASE, message=text[:500]) for text in self._database_problems()),
            *self._relay_problems(now),
            *self._detector_problems(now),
            *self._loss_problems(),
        ]

    def messages(self) -> list[str]:
        """The sentences of the problems, as the pages show them."""
        return [problem.message for problem in self.problems()]

    def unacknowledged_losses(self) -> Losses:
        """The losses that nobody has acknowledged; none where the database does not answer, a problem of its own."""
        try:
            return self._store.ledger.unacknowledged_losses()
        except SQLAlchemyError:
            return Losses(0, 0, None)

    def document(self) -> System:
        """All of it."""
        now, problems, losses = self._clock(), self.problems(), self.unacknowledged_losses()
        processes, slots = self._processes(now, problems), self._report.task_slots
        return System(iso(now), problems, processes, slots, self._partitions(), losses)

    def _observe(self, record: Mapping[str, Any], now: datetime) -> None:
        kind = record.get(EventField.TYPE)
        if kind == EventType.STATUS:
            self._detector.report(str(record.get(EventField.STATE)), str(record.get(EventField.MESSAGE) or ""), now)
            try:
                self._report = PartitionReport.model_validate(record)
            except ValidationError:
                self._report = PartitionReport()
        elif kind == EventType.POSITION:
            trouble = record.get(EventField.TROUBLE)
            self._kafka_problem = f"Kafka does not answer the relay: {trouble}"[:500] if trouble else ""

    def _relay_problems(self, now: datetime) -> list[Problem]:
        relay, waited = self._relay, (now - self._began).total_seconds()
        if relay.silence(now) > SILENT_SECONDS:
            message = f"the relay has posted nothing for {relay.silence(now):.0f} s"
            return [Problem(kind=ProblemKind.RELAY, message=message, since=_iso(relay.seen))]
        if relay.seen is None and self._is_known_stream and waited > FIRST_WORD_SECONDS:
            message = f"no relay has posted anything for {waited:.0f} s, since this dashboard began"
            return [Problem(kind=ProblemKind.RELAY, message=message, since=_iso(self._began))]
        if self._kafka_problem:
            return [Problem(kind=ProblemKind.KAFKA, message=self._kafka_problem, since=_iso(relay.since))]
        return []

    def _detector_problems(self, now: datetime) -> list[Problem]:
        detector, first = self._detector, self._first_posted_at
        since, message = detector.since, ""
        if detector.seen is None:
            waited = 0.0 if first is None else (now - first).total_seconds()
            if waited > FIRST_WORD_SECONDS:
                since, message = first, f"no detector has said anything for {waited:.0f} s"
        elif detector.silence(now) > SILENT_SECONDS:
            since, message = detector.seen, f"the detector has said nothing for {detector.silence(now):.0f} s"
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
        message = f"{lost} lost: Kafka deleted them before they were read. Look at them on the page Ledger"
        return [Problem(kind=ProblemKind.LOSS, message=message, since=losses.since)]

    def _processes(self, now: datetime, problems: list[Problem]) -> list[ProcessState]:
        sentences = {problem.kind: problem.message for problem in reversed(problems)}
        database = sentences.get(ProblemKind.DATABASE, "")
        self._dashboard.seen = now  # it asks itself, whenever it is asked
        self._dashboard.report(FAILING if database else RUNNING, database, now)
        relay = sentences.get(ProblemKind.RELAY) or sentences.get(ProblemKind.KAFKA, "")
        detector = sentences.get(ProblemKind.DETECTOR, "") or self._detector.message
        told = ((self._dashboard, database), (self._relay, relay), (self._detector, detector))
        return [process.document(now, sentence) for process, sentence in told]

    def _partitions(self) -> list[PartitionState]:
        starved = {p.partition: p.since for p in self._report.problems if p.kind is ProblemKind.STARVED}
        reading = self._report.reading
        return [
            PartitionState(
                *(*place, at.begin, at.end, at.position),
                lag=max(0, at.end - max(at.position, at.begin)),
                starved_since=starved.get(place.partition),
                reading=None if reading is None else place.partition in reading,
            )
            for place, at in sorted(self._store.positions().items())
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
