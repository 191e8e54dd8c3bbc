"""Plans the detector's Spark session, and starts its JVM while Python is still importing pyspark."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fraudstream.config import Settings
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java
from fraudstream.runtime.jvm import Jvm, SparkPlan, java_options, start_jvm, with_enough_slots

LEAST_TASK_SLOTS: Final = 4


def detector_plan(settings: Settings, java: Java, jars: Jars, partitions: int = 1) -> SparkPlan:
    """Plan the detector's session; `jars` is empty if `spark-submit` provides Spark's Kafka connector.

    `partitions` is the count for the input topic; only the session needs it, not the JVM.
    """
    # Real-time Mode holds one task slot per partition for as long as the query runs; the rest count records again.
    needed = f"local[{max(LEAST_TASK_SLOTS, partitions + 2)}]"
    return SparkPlan.of(
        settings,
        "detector",
        java,
        master=with_enough_slots(settings.spark_master or needed, needed, os.cpu_count() or 1),
        jars=jars.connector,
        java_options=java_options(),
        slots=partitions + 1,
    )


@contextmanager
def detector_jvm(settings: Settings, java: Java, jars: Jars) -> Iterator[Jvm | None]:
    """Start the JVM for the length of a `with` block without awaiting it; None if the user has set a Spark master."""
    if settings.spark_master is not None:
        yield None
        return
    jvm = start_jvm(detector_plan(settings, java, jars))
    try:
        yield jvm
    finally:
        jvm.stop(0.0)
