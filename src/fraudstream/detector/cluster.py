"""Reports what happens to the executors and tasks of a Spark cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from pyspark.sql import SparkSession

from fraudstream.detector.events import EventWriter
from fraudstream.runtime.cluster import format_count, task_slots
from fraudstream.transactions.wire import EventType

_DRIVER: Final = 1
"""The driver is listed among the executors, with the address of its own block manager."""


@dataclass
class ClusterWatch:
    """Compares a session's executors and failed tasks with those at the previous poll, and reports what changed."""

    spark: SparkSession
    events: EventWriter
    _executors: frozenset[str] | None = field(default=None, init=False)
    _failed: Mapping[int, int] = field(default_factory=dict, init=False)

    def poll(self) -> None:
        """Report executors that were lost or added, and tasks that failed; Py4JError if the driver's JVM is down."""
        executors, failed = self._read_executors(), self._read_failed()
        before = executors if self._executors is None else self._executors
        for change, addresses in (("lost an", before - executors), ("has a new", executors - before)):
            for address in sorted(addresses):
                slots = format_count(task_slots(self.spark), "task slot")
                left = f"{slots} on {format_count(len(executors) - _DRIVER, 'executor')}"
                self.events.write(EventType.CLUSTER, f"Spark {change} executor at {address}: {left}")
        for stage, number in failed.items():
            if new := number - self._failed.get(stage, 0):
                message = f"{format_count(new, 'task')} of Spark failed in stage {stage} and will be tried again"
                self.events.write(EventType.CLUSTER, message)
        self._executors, self._failed = executors, failed

    def _read_executors(self) -> frozenset[str]:
        status = cast(Any, self.spark.sparkContext)._jsc.sc().getExecutorMemoryStatus()  # noqa: SLF001  in one call
        return frozenset(str(status.keysIterator().mkString(",")).split(","))

    def _read_failed(self) -> dict[int, int]:
        tracker = self.spark.sparkContext.statusTracker()
        stages = ((stage, tracker.getStageInfo(stage)) for stage in tracker.getActiveStageIds())
        return {stage: info.numFailedTasks for stage, info in stages if info is not None}
