"""The detector's JVM, started before anything else: it starts while Python imports; what runs on it is `service.py`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fraudstream.config import Settings
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java
from fraudstream.runtime.jvm import Jvm, SparkPlan, spark_archive, start_jvm, with_enough_slots

LEAST_TASK_SLOTS: Final = 4

FEW_CORES: Final = 2
"""With so many or fewer, what follows; with more, Java chooses."""

FOR_FEW_CORES: Final = (
    # Without threads of its own it starts 0.5 to 0.9 s sooner than Java's own choice, and catches up as fast.
    "-XX:+UseSerialGC",
    "-XX:NewSize=128m",
    # The second compiler took 4 of the 11 seconds of processor time until the first row, for methods that the rest of
    # the way does not need: with five times Java's own thresholds the row comes 0.8 s sooner (decision 21).
    "-XX:Tier4InvocationThreshold=25000",
    "-XX:Tier4MinInvocationThreshold=3000",
    "-XX:Tier4CompileThreshold=75000",
    "-XX:Tier4BackEdgeThreshold=200000",
)

_NO_HISTORY: Final = {
    # Of what is kept for Spark's own page, which is off: the words of each batch's plan, 140 KB, a thousand times.
    "spark.sql.ui.retainedExecutions": "10",
    "spark.ui.retainedJobs": "10",
    "spark.ui.retainedStages": "10",
    "spark.ui.retainedTasks": "100",
}

HEAP: Final = "-Xms320m"
"""Where Java would begin with a part of the machine's memory, and keep what each batch's plan leaves behind, 9 MB,
until that is full. This is the same on every machine, and what is left is collected after some ten batches."""

LEAST_FOR_HEAP: Final = 512
"""MiB of heap below which Java chooses how it begins."""

_MIB: Final = {"k": 2**-10, "m": 1, "g": 2**10, "t": 2**20}


def detector_plan(settings: Settings, java: Java, jars: Jars, partitions: int = 1) -> SparkPlan:
    """What the detector's session is made of; there are no `jars` where `spark-submit` has Spark's Kafka connector.

    `partitions` are those of the input topic; only the session needs them, the JVM may start without.
    """
    # Real-time Mode holds one task slot per partition for as long as the query runs; the others count records again.
    needed = f"local[{max(LEAST_TASK_SLOTS, partitions + 2)}]"
    own, own_jars = settings.spark_master is None, ",".join(map(str, jars.connector))
    return SparkPlan(
        app="fraudstream detector",
        java_home=java.home,
        master=with_enough_slots(settings.spark_master or needed, needed, os.cpu_count() or 1),
        memory=settings.driver_memory,
        jars=jars.connector,
        java_options=_java_options(settings.driver_memory),
        conf=_NO_HISTORY | ({"spark.jars": own_jars} if settings.spark_master and own_jars else {}),
        archive=spark_archive(settings.cache, "detector", java, jars.connector) if own else None,
    )


def _java_options(memory: str) -> tuple[str, ...]:
    few = FOR_FEW_CORES if (os.cpu_count() or 1) <= FEW_CORES else ()
    return (HEAP, *few) if int(memory[:-1]) * _MIB[memory[-1].lower()] >= LEAST_FOR_HEAP else few


@contextmanager
def detector_jvm(settings: Settings, java: Java, jars: Jars) -> Iterator[Jvm | None]:
    """The JVM for the length of a `with` block, not awaited; None with a master of the user's, who has a cluster."""
    if settings.spark_master is not None:
        yield None
        return
    jvm = start_jvm(detector_plan(settings, java, jars), {})
    try:
        yield jvm
    finally:
        jvm.stop(0.0)
