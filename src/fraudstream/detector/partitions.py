"""Watches that every partition of the input topic is read: that there are enough task slots, and that positions move.

A Real-time query holds one task slot per partition for as long as it runs, and Spark checks that at no time: a task
that waits for a slot reads nothing until its batch is over.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, cast

import orjson
import structlog
from confluent_kafka import KafkaException
from py4j.java_gateway import JavaGateway
from py4j.protocol import Py4JError
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream.detector.events import EventWriter
from fraudstream.errors import KafkaFailure
from fraudstream.messages.ledger import PartitionReport, Problem, ProblemKind
from fraudstream.times import iso
from fraudstream.transactions.wire import EventType

log = structlog.get_logger(__name__)

STARVED_BATCHES: Final = 2
SHORT_OF_SLOTS: Final = timedelta(seconds=10)
"""Executors of a cluster register one after the other: only a shortage that lasts is reported."""

Marks = Mapping[int, tuple[int, int]]
"""First and end offset by partition."""

_BEAN = "kafka.consumer:type=consumer-fetch-manager-metrics,client-id=*,topic={topic},partition=*"
_LAG = "records-lag"
_NO_QUERY = ("javax.management.QueryExp", None)
_TEXT_LAG = ("java.lang.String", _LAG)


class Unread(NamedTuple):
    """A partition that has records behind its position."""

    position: int
    since: datetime
    batches: int = 0


@dataclass
class StarvationRule:
    """Finds the partitions whose position stood still for two finished batches although records waited.

    It goes by what batches have committed: between batches Spark tells nothing, and what a consumer reports that reads
    no more is out of date.
    """

    _batch: int = field(default=-1, init=False)
    _unread: dict[int, Unread] = field(default_factory=dict, init=False)

    def finished(self, batch: int, positions: Mapping[int, int], marks: Marks, now: datetime) -> None:
        """Take the end of a batch; one that was taken before changes nothing."""
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
        """The starved partitions, and since when their records wait."""
        return {p: unread.since for p, unread in self._unread.items() if unread.batches >= STARVED_BATCHES}


@dataclass
class PartitionWatch:
    """Compares partitions, task slots and positions, each second, and reports what is wrong.

    Args:
        partitions: How many the query was started for.
        marks: First and end offset of each partition; may raise.
        slots: How many tasks can run at once; None where tasks may wait for each other without harm (micro-batches).
        reading: Which partitions a task reads; None where that is not known.
        can_restart: Whether another session has as many slots as are asked for: with a local master.
    """

    topic: str
    partitions: int
    marks: Callable[[], Marks]
    slots: Callable[[], int | None]
    reading: Callable[[], frozenset[int] | None]
    can_restart: bool
    events: EventWriter
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    needs_session: bool = field(default=False, init=False)
    """Set once only another session will do."""
    _rule: StarvationRule = field(default_factory=StarvationRule, init=False)
    _marks: Marks = field(default_factory=dict, init=False)
    _slots: int | None = field(default=None, init=False)
    _short_since: datetime | None = field(default=None, init=False)
    _reported: dict[int | None, Problem] = field(default_factory=dict, init=False)

    @property
    def ends(self) -> dict[int, int]:
        """The end offsets of the last look."""
        return {partition: end for partition, (_, end) in self._marks.items()}

    @property
    def is_short(self) -> bool:
        """Whether there were fewer task slots than partitions at the last look."""
        return self._short_since is not None

    def look(self, query: StreamingQuery) -> bool:
        """Compare what is, and report what changed.

        Returns whether the query has to be started again; `needs_session` says whether on another session.
        """
        progress = query.lastProgress
        try:
            self._marks = self.marks()
            self._slots, reading = self.slots(), self.reading()
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
        """The running query takes up new partitions with its next batch only, and then only where a slot is free."""
        # One more than the partitions hold: records are also counted again beside the query.
        self.needs_session = self.can_restart and self._slots is not None and self._slots <= partitions
        how = f" with more task slots than {self._slots}" if self.needs_session else ""
        self.events.write(
            EventType.PARTITIONS,
            f"{self.topic} has grown from {self.partitions} to {partitions} partitions; the query is started again"
            f"{how} to read them",
        )
        self.partitions = partitions

    def _report(self, now: datetime, reading: frozenset[int] | None) -> None:
        problems = self._problems(now)
        for key, problem in problems.items():
            if self._reported.get(key) != problem:
                self.events.write(EventType.STARVED, problem.message)
        for key in self._reported.keys() - problems.keys():
            problem = self._reported[key]
            over = f"{self.topic}[{problem.partition}] is read again"
            if problem.partition is None:
                over = f"Spark has a task slot for each partition of {self.topic} again"
            self.events.write(EventType.PARTITIONS, over)
        self._reported = problems
        report = PartitionReport(
            task_slots=self._slots,
            reading=None if reading is None else sorted(reading),
            problems=list(problems.values()),
        )
        self.events.describe(report.model_dump(mode="json"))

    def _problems(self, now: datetime) -> dict[int | None, Problem]:
        """By partition, and under None what is of no single one."""
        problems: dict[int | None, Problem] = {}
        if self._short_since is not None and now - self._short_since >= SHORT_OF_SLOTS:
            message = (
                f"Spark has {_count(self._slots or 0, 'task slot')} for {_count(len(self._marks), 'partition')} of "
                f"{self.topic}: a partition without a slot is not read. Give it more cores or executors"
            )
            problems[None] = Problem(kind=ProblemKind.SLOTS, message=message, since=iso(self._short_since))
        for partition, since in self._rule.starved().items():
            message = f"{self.topic}[{partition}] is not read: records wait there, and two batches have read none"
            problems[partition] = Problem(
                kind=ProblemKind.STARVED, message=message, since=iso(since), partition=partition
            )
        return problems


def task_slots(spark: SparkSession) -> int:
    """How many tasks the session can run at once, on the executors that it has now; Py4JError if the JVM is silent."""
    context = cast(Any, spark.sparkContext)._jsc.sc()  # noqa: SLF001  pyspark offers no other way to ask
    # What Spark holds a barrier stage against; `defaultParallelism` is at least 2 and may be a setting.
    return int(context.maxNumConcurrentTasks(context.resourceProfileManager().defaultResourceProfile()))


def _count(number: int, thing: str) -> str:
    return f"1 {thing}" if number == 1 else f"{number} {thing}s"


class ConsumerLag:
    """Asks the Kafka consumers in the driver's JVM (where they are on one machine) for their lag, through JMX.

    Real-time Mode tells its offsets only at a batch's end, minutes apart.
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
        """The next offset that each partition's consumer will read: the end less the lag that it reports.

        `ends` are end offsets read just before. Only of partitions that have a consumer in this JVM; none on a cluster.
        """
        positions: dict[int, int] = {}
        # The newest consumer of a partition last: one of a query before stays for minutes, with the lag it had then.
        for name in sorted(self._names(), key=_number):
            try:
                lag = float(self._call("getAttribute", ("javax.management.ObjectName", name), _TEXT_LAG))
                partition = int(name.getKeyProperty("partition"))
            except (Py4JError, ValueError):
                continue  # a consumer that is being closed takes its bean away between the two calls
            if partition in ends and lag >= 0:
                positions[partition] = ends[partition] - int(lag)
        return positions

    def _names(self) -> list[Any]:
        return list(self._call("queryNames", ("javax.management.ObjectName", self._pattern), _NO_QUERY))

    def _call(self, method: str, *arguments: tuple[str, object]) -> Any:
        """Call a method of the interface MBeanServer: the server's own class is hidden from py4j by its module."""
        jvm = self._gateway.jvm
        types = self._gateway.new_array(jvm.java.lang.Class, len(arguments))
        values = self._gateway.new_array(jvm.java.lang.Object, len(arguments))
        for index, (kind, value) in enumerate(arguments):
            types[index] = jvm.java.lang.Class.forName(kind)
            values[index] = value
        return self._interface.getMethod(method, types).invoke(self._server, values)


def _number(name: Any) -> int:
    """Kafka numbers the consumers of a JVM at the end of their client ids."""
    number = str(name.getKeyProperty("client-id")).strip('"').rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def committed_positions(progress: Mapping[str, Any], topic: str) -> dict[int, int]:
    """The end offsets of the last finished batch, from the query's progress."""
    positions: dict[int, int] = {}
    for source in progress.get("sources", []):
        end = source.get("endOffset") or {}
        by_topic = orjson.loads(end) if isinstance(end, str) else end
        for partition, offset in by_topic.get(topic, {}).items():
            positions[int(partition)] = int(offset)
    return positions
