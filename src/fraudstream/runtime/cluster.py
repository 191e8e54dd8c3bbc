"""Runs Spark on a cluster: counts and awaits its task slots, and sends it the rows of files of this machine."""

import threading
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from fraudstream.runtime.files import hadoop_path
from fraudstream.runtime.jvm import is_local_master
from fraudstream.runtime.spark_settings import CORES

FIRST_REPORT_SECONDS: Final = 15.0
REPORT_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.2
_ROWS_PER_GROUP: Final = 20_000


def is_local(spark: SparkSession) -> bool:
    """Whether the session runs in this machine's JVM alone; under `spark-submit` only the session knows."""
    return is_local_master(spark.sparkContext.master or "")


def task_slots(spark: SparkSession) -> int:
    """Count the tasks that the session can run at once on its current executors; Py4JError if the JVM is down."""
    context = cast(Any, spark.sparkContext)._jsc.sc()  # noqa: SLF001  pyspark offers no other way to ask
    # What Spark checks a barrier stage against; `defaultParallelism` is at least 2 and may be a setting.
    return int(context.maxNumConcurrentTasks(context.resourceProfileManager().defaultResourceProfile()))


def format_count(number: int, thing: str) -> str:
    """Format a number of things: "1 task slot", "2 task slots"."""
    return f"1 {thing}" if number == 1 else f"{number} {thing}s"


def await_cores(spark: SparkSession, slots: int, report: Callable[[str], object], stop: threading.Event) -> None:
    """Wait for the first task slot of a cluster, and at most 15 s for all of `slots`: executors come one by one.

    Reports that there is none after 15 s, and every minute again.
    """
    conf = spark.sparkContext.getConf()
    if is_local(spark) or conf.get("spark.dynamicAllocation.enabled", "false") == "true":  # starts them for a task
        return
    started, next_report = time.monotonic(), FIRST_REPORT_SECONDS
    while (current := task_slots(spark)) < slots:
        waited = time.monotonic() - started
        if current and waited >= FIRST_REPORT_SECONDS:
            return
        if waited >= next_report:
            next_report += REPORT_SECONDS
            report(
                f"Spark has waited {waited:.0f} s for {conf.get(CORES, 'any')} cores of {conf.get('spark.master')}: it "
                "has started no executor. Other applications hold the cores, or no worker runs or has the memory of an "
                f"executor ({conf.get('spark.executor.memory', '1g')})"
            )
        if stop.wait(_POLL_SECONDS):
            return


def write_parquet(rows: Iterable[tuple[Any, ...]], schema: pa.Schema, path: Path) -> int:
    """Write rows for `read_parquet`, in groups small enough for constant memory; return their number."""
    remaining, count = iter(rows), 0
    with pq.ParquetWriter(path, schema, compression="lz4") as writer:
        while group := list(islice(remaining, _ROWS_PER_GROUP)):
            columns = map(pa.array, zip(*group, strict=True), schema.types)
            writer.write_table(pa.table(list(columns), schema=schema))
            count += len(group)
    return count


def read_parquet(spark: SparkSession, path: Path, schema: pa.Schema) -> DataFrame:
    """Read Parquet of this machine; executors of a cluster, which do not see its disk, get the rows with their tasks.

    On a cluster the rows have to fit into the driver's memory.
    """
    if is_local(spark):
        # An explicit schema: inferring it would be one more job for a cold JVM.
        return spark.read.schema(from_arrow_schema(schema)).parquet(hadoop_path(path))
    # Otherwise the optimizer would parse rows of less than 48 MB in the driver.
    spark.conf.set("spark.sql.execution.arrow.localRelationThreshold", "0")
    return spark.createDataFrame(pq.read_table(path), from_arrow_schema(schema))
