"""Detects partitions of the input topic that are not read, because of missing task slots or stuck positions.

A Real-time query holds one task slot per partition for as long as it runs, and Spark never checks that there are
enough: a task that waits for a slot reads nothing until its batch is over.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson
import structlog
from confluent_kafka import KafkaException
from py4j.java_gateway import JavaGateway
from py4j.protocol import Py4JError
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream.detector.cluster import ClusterWatch
from fraudstream.detector.events import EventWriter
from fraudstream.errors import KafkaFailure
from fraudstream.messages.ledger import MOST_PAST_PROBLEMS, PartitionReport, Problem, ProblemKind
from fraudstream.runtime.cluster import format_count
from fraudstream.times import iso
from fraudstream.transactions.wire import EventType

log = structlog.get_logger(__name__)

STARVED_BATCHES: Final = 2
SHORT_OF_SLOTS: Final = timedelta(seconds=10)
"""Executors of a cluster register one by one: only a lasting shortage is reported."""

Marks = Mapping[int, tuple[int, int]]
"""First and end offset by partition."""

_TIME: Final = slice(11, 19)
"""The time of day in ISO 8601."""

_BEAN = "kafka.consumer:type=consumer-fetch-manager-metrics,client-id=*,topic={topic},partition=*"


class Unread(NamedTuple):
    """A partition that has unread records after its position."""

    position: int
    since: datetime
    batches: int = 0


@dataclass
class StarvationRule:
    """Finds the partitions whose position did not advance for two finished batches although records were waiting.

    It uses committed offsets only: Spark reports nothing between batches, and the metrics of a consumer that has
    stopped reading are out of date.
    """

    _batch: int = field(default=-1, init=False)
    _unread: dict[int, Unread] = field(default_factory=dict, init=False)

    def finished(self, batch: int, positions: Mapping[int, int], marks: Marks, now: datetime) -> None:
        """Record the end of a batch; a repeated one has no effect."""
        if batch == self._batch:
            return
        if batch < self._batch:  # another checkpoint
            self._unread.clear()
        self._batch = batch
        unread: dict[int, Unread] = {}
        for partition, (begin, end) in marks.items():
            position, before = positions.get(partition, -1), self._unread.get(partition)
            if end <= max(position, begin):
                continue
            if before is None or before.position != position:
                unread[partition] = Unread(position, now)
            else:
                unread[partition] = before._replace(batches=before.batches + 1)
        self._unread = unread

    def starved(self) -> dict[int, datetime]:
        """The starved partitions, with the time since when their records have been waiting."""
        return {p: unread.since for p, unread in self._unread.items() if unread.batches >= STARVED_BATCHES}


@dataclass
class PartitionWatch:
    """Compares partitions, task slots and positions every second and reports problems.

    Args:
        partitions: Number of partitions that the query was started for.
        marks: First and end offset of each partition; may raise.
        slots: How many tasks can run at once; None if tasks may safely wait for each other (micro-batches).
        reading: The partitions that a task is reading; None if unknown.
        can_restart: Whether a new session can ask for more slots, as with a local master.
        past: The latest problems that have ended, of earlier sessions too.
        cluster: Reports on executors and tasks; None for a local master.
        more: Problems that concern no partition.
    """

    topic: str
    partitions: int
    marks: Callable[[], Marks]
    slots: Callable[[], int | None]
    reading: Callable[[], frozenset[int] | None]
    can_restart: bool
    events: EventWriter
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    past: deque[Problem] = field(default_factory=lambda: deque(maxlen=MOST_PAST_PROBLEMS))
    cluster: ClusterWatch | None = None
    more: Callable[[], Sequence[Problem]] = tuple
    needs_session: bool = field(default=False, init=False)
    """Set once the query needs a new session."""
    _rule: StarvationRule = field(default_factory=StarvationRule, init=False)
    _marks: Marks = field(default_factory=dict, init=False)
    _slots: int | None = field(default=None, init=False)
    _short_since: datetime | None = field(default=None, init=False)
    _reported: dict[int | None, Problem] = field(default_factory=dict, init=False)

    @property
    def ends(self) -> dict[int, int]:
        """The end offsets at the last check."""
        return {partition: end for partition, (_, end) in self._marks.items()}

    @property
    def is_short(self) -> bool:
        """Whether there were fewer task slots than partitions at the last check."""
        return self._short_since is not None

    def poll(self, query: StreamingQuery) -> bool:
        """Check all partitions and report what changed.

        Returns whether the query must be restarted; `needs_session` says whether in a new session.
        """
        progress = query.lastProgress
        try:
            self._marks = self.marks()
            self._slots, reading = self.slots(), self.reading()
            if self.cluster is not None:
                self.cluster.poll()
        except (KafkaException, KafkaFailure, Py4JError) as e:
            log.debug("partitions and task slots are not known this second", reason=str(e).strip().splitlines()[0])
            return False
        now, partitions = self.now(), len(self._marks)
        is_short = self._slots is not None and self._slots < partitions
        self._short_since = (self._short_since or now) if is_short else None
        if progress is not None:
            committed = committed_positions(progress, self.topic)
            self._rule.finished(int(progress["batchId"]), committed, self._marks, now)
        if partitions > self.partitions:
            self._grew(partitions)
            return True
        self._report(now, reading)
        return False

    def _grew(self, partitions: int) -> None:
        """Report new partitions: a running query reads them from its next batch only, and only if a slot is free."""
        # One more slot than partitions: records are also counted again beside the query.
        self.needs_session = self.can_restart and self._slots is not None and self._slots <= partitions
        how = f" with more than {self._slots} task slots" if self.needs_session else ""
        self.events.write(
            EventType.PARTITIONS,
            f"{self.topic} has grown from {self.partitions} to {partitions} partitions; the query is restarted"
            f"{how} to read them",
        )
        self.partitions = partitions
        if self.needs_session:
            self._end(self._reported, self.now())

    def _end(self, keys: Iterable[int | None], now: datetime) -> None:
        """Report that problems have ended, and for how long they lasted."""
        for problem in [self._reported[key] for key in keys]:
            ended = problem.model_copy(update={"until": iso(now)})
            self.past.append(ended)
            span = f"from {str(ended.since)[_TIME]} to {str(ended.until)[_TIME]} UTC"
            message = f"{self.topic}[{problem.partition}] is read again; it was not read {span}"
            if problem.partition is None:
                message = f"Spark has a task slot for each partition of {self.topic} again; some were not read {span}"
            self.events.write(EventType.PARTITIONS, message)

    def _report(self, now: datetime, reading: frozenset[int] | None) -> None:
        problems = self._problems(now)
        for key, problem in problems.items():
            if self._reported.get(key) != problem:
                self.events.write(EventType.STARVED, problem.message)
        self._end(self._reported.keys() - problems.keys(), now)
        self._reported = problems
        report = PartitionReport(
            task_slots=self._slots,
            reading=None if reading is None else sorted(reading),
            problems=[*problems.values(), *self.more()],
            past_problems=list(self.past),
        )
        self.events.describe(report.model_dump(mode="json"))

    def _problems(self, now: datetime) -> dict[int | None, Problem]:
        """Collect the problems by partition; the key None holds the one that concerns no single partition."""
        problems: dict[int | None, Problem] = {}
        if self._short_since is not None and now - self._short_since >= SHORT_OF_SLOTS:
            slots, partitions = format_count(self._slots or 0, "task slot"), format_count(len(self._marks), "partition")
            message = (
                f"Spark has {slots} for {partitions} of {self.topic}: a partition without a slot is not read. "
                "Add cores or executors"
            )
            problems[None] = Problem(kind=ProblemKind.SLOTS, message=message, since=iso(self._short_since))
        for partition, since in self._rule.starved().items():
            message = f"{self.topic}[{partition}] is not read: records are waiting, and two batches have read none"
            problems[partition] = Problem(
                kind=ProblemKind.STARVED, message=message, since=iso(since), partition=partition
            )
        return problems


class ConsumerLag:
    """Reads the lag of the Kafka consumers in the driver's JVM (on a local master) through JMX.

    Real-time Mode reports its offsets only at a batch's end, minutes apart.
    """

    def __init__(self, gateway: JavaGateway, topic: str) -> None:
        self._gateway = gateway
        jvm = gateway.jvm
        self._server = jvm.java.lang.management.ManagementFactory.getPlatformMBeanServer()
        self._interface = jvm.java.lang.Class.forName("javax.management.MBeanServer")
        self._pattern = jvm.javax.management.ObjectName(_BEAN.format(topic=topic))

    def partitions(self) -> frozenset[int]:
        """The partitions that have a consumer in this JVM."""
        return frozenset(int(name.getKeyProperty("partition")) for name in self._names())

    def positions(self, ends: Mapping[int, int]) -> dict[int, int]:
        """Compute the next offset that each partition's consumer will read: the end offset minus its lag.

        `ends` are end offsets read just before. Covers partitions that have a consumer in this JVM; none on a cluster.
        """
        positions: dict[int, int] = {}
        # The newest consumer of a partition last: that of an earlier query remains for minutes, with its old lag.
        for name in sorted(self._names(), key=_number):
            try:
                attribute = ("java.lang.String", "records-lag")
                lag = float(self._call("getAttribute", ("javax.management.ObjectName", name), attribute))
                partition = int(name.getKeyProperty("partition"))
            except (Py4JError, ValueError):
                continue  # a consumer that is closing removes its bean between the two calls
            if partition in ends and lag >= 0:
                positions[partition] = ends[partition] - int(lag)
        return positions

    def _names(self) -> list[Any]:
        no_query = ("javax.management.QueryExp", None)
        return list(self._call("queryNames", ("javax.management.ObjectName", self._pattern), no_query))

    def _call(self, method: str, *arguments: tuple[str, object]) -> Any:
        """Call a method of the interface MBeanServer: the module system hides the server's own class from py4j."""
        jvm = self._gateway.jvm
        types = self._gateway.new_array(jvm.java.lang.Class, len(arguments))
        values = self._gateway.new_array(jvm.java.lang.Object, len(arguments))
        for index, (kind, value) in enumerate(arguments):
            types[index] = jvm.java.lang.Class.forName(kind)
            values[index] = value
        return self._interface.getMethod(method, types).invoke(self._server, values)


def _number(name: Any) -> int:
    """Extract a consumer's number, with which Kafka ends its client id."""
    number = str(name.getKeyProperty("client-id")).strip('"').rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def committed_positions(progress: Mapping[str, Any], topic: str) -> dict[int, int]:
    """Extract the end offsets of the last finished batch from the query's progress."""
    positions: dict[int, int] = {}
    for source in progress.get("sources", []):
        end = source.get("endOffset") or {}
        by_topic = orjson.loads(end) if isinstance(end, str) else end
        for partition, offset in by_topic.get(topic, {}).items():
            positions[int(partition)] = int(offset)
    return positions


@dataclass(frozen=True)
class QueryProbe:
    """Reads the positions of the running query, and whether it is reading.

    Args:
        consumers: Those of a query in Real-time Mode; None in micro-batch mode.
        awaits_consumers: Whether a query with `consumers` counts as reading only once every partition has one.
    """

    watch: PartitionWatch
    consumers: ConsumerLag | None
    awaits_consumers: bool

    def positions(self, query: StreamingQuery) -> dict[int, int]:
        """Return the current position by partition."""
        progress = query.lastProgress
        latest = committed_positions(progress, self.watch.topic) if progress else {}
        # A consumer that waits for its task to run repeats an old lag.
        if self.consumers is not None and not self.watch.is_short:
            try:
                for partition, position in self.consumers.positions(self.watch.ends).items():
                    latest[partition] = max(latest.get(partition, 0), position)
            except Py4JError as e:
                log.debug("no live position this second", reason=str(e).splitlines()[0])
        return latest

    def is_reading(self, query: StreamingQuery) -> bool:
        """Return whether a started query is already reading."""
        if self.consumers is None or not self.awaits_consumers:
            return bool(query.lastProgress) or query.status["isTriggerActive"]
        try:
            return self.consumers.partitions() >= set(self.watch.marks())
        except (KafkaException, KafkaFailure, Py4JError):
            return False

    def kafka_answers(self) -> bool:
        """Return whether Kafka answers."""
        try:
            return bool(self.watch.marks())
        except (KafkaException, KafkaFailure):
            return False
