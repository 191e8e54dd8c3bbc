"""Checks what Spark was started with, and reports what happens to the executors and tasks of a cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from py4j.java_gateway import JavaGateway
from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from fraudstream.detector.events import EventWriter
from fraudstream.errors import SetupError
from fraudstream.runtime.cluster import format_count, task_slots
from fraudstream.runtime.jars import CONNECTOR, SCALA, SPARK_VERSION
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


_CONNECTOR_CLASS: Final = "org.apache.spark.sql.kafka010.KafkaSourceProvider"
_OPERATOR_CLASS: Final = "fraudstream.history.History"
_AVRO_CLASS: Final = "org.apache.spark.sql.avro.AvroDataToCatalyst"
_CLASS_PATH: Final = "the class path of Spark's JVM"


def require_connector(gateway: JavaGateway, *, reads_avro: bool = False) -> None:
    """Verify that Spark has the matching Kafka connector, and spark-avro: `spark-submit` accepts any, or none.

    Raises SetupError if one is missing, or is for another version of Spark or Scala.
    """
    suffix = f"_{SCALA}-{SPARK_VERSION}.jar"
    required = {"Kafka connector": _CONNECTOR_CLASS} | ({"spark-avro": _AVRO_CLASS} if reads_avro else {})
    for name, class_name in required.items():
        jar = _jar_of(gateway, class_name)
        if not jar.endswith(suffix):
            raise SetupError(
                f"Spark has no {name}" if not jar else f"the {name} is not for Spark {SPARK_VERSION}",
                where=jar or _CLASS_PATH,
                remedy=f"spark-submit --packages {','.join(CONNECTOR.coordinates)} ...",
            )


def require_operator(gateway: JavaGateway) -> None:
    """Verify that Spark has the operator of the history; raises SetupError, as with a `spark-submit` without it."""
    if not _jar_of(gateway, _OPERATOR_CLASS):
        remedy = "spark-submit --jars JAR, which `fraudstream setup` compiles into jars/history of the cache"
        raise SetupError("Spark has no history operator", where=_CLASS_PATH, remedy=remedy)


def _jar_of(gateway: JavaGateway, class_name: str) -> str:
    try:
        loader = gateway.jvm.java.lang.Thread.currentThread().getContextClassLoader()
        return str(loader.loadClass(class_name).getProtectionDomain().getCodeSource().getLocation().getPath())
    except Py4JError:
        return ""
