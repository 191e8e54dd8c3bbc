"""Starts the streaming query on Kafka with the plan of `plan.py`; what watches over it is `supervisor.py`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, cast

from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream.detector.plan import detect
from fraudstream.errors import SettingsError
from fraudstream.scoring.judge import Judge
from fraudstream.transactions.wire import Topic, output_limit

MAX_OFFSETS_PER_MICRO_BATCH: Final = 200_000
"""Bounds one micro-batch on catch-up, so that its alerts do not wait for the whole backlog."""


LEAST_BATCH_SECONDS: Final = 5.0
"""Spark's own limit for Real-time Mode (`spark.sql.streaming.realTimeMode.minBatchDuration`)."""

_SETTINGS: Final = {
    # Spark's own choice goes through Hadoop's FileContext, which starts `chmod` for each file and each checksum where
    # Hadoop's native library is not: 43 to 84 ms of each pause at a batch's end. This one writes the same files, with
    # checksums, and renames them too. Its one weakness, two queries on one checkpoint, is not ours:
    # `checkpoint.own_checkpoint` holds it for one process. See docs/decisions/0022-latency.md.
    "spark.sql.streaming.checkpointFileManagerClass": (
        "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
    ),
}

_UNITS: Final = {"millisecond": 0.001, "second": 1.0, "minute": 60.0, "hour": 3600.0}
_INTERVAL: Final = re.compile(rf"\s*(\d+)\s*({'|'.join(_UNITS)})s?\s*", re.IGNORECASE)


class Trigger(StrEnum):
    """How the query runs; the plan is the same."""

    REALTIME = "realtime"
    MICRO_BATCH = "micro-batch"


@dataclass(frozen=True)
class QuerySettings:
    """What a query needs beside its model.

    Args:
        bootstrap_servers: Kafka's address.
        checkpoint: Directory of the checkpoint.
        trigger: Real-time Mode or micro-batches.
        interval: Checkpoint interval of Real-time Mode, trigger interval of micro-batches ("2 minutes").
        sample_every: One row in so many leaves as a sample.
        max_record_bytes: Largest transaction; a larger one is a dead letter.
        partitions: Of the input topic.
        start: Where a query begins that has committed nothing yet, as Spark's `startingOffsets` takes it.
    """

    bootstrap_servers: str
    checkpoint: Path
    trigger: Trigger
    interval: str
    sample_every: int
    max_record_bytes: int
    partitions: int
    start: str = "earliest"


def check_interval(interval: str, trigger: Trigger) -> None:
    """See that an interval is one before Spark is started for it.

    Raises:
        SettingsError: It is no number with a unit, or shorter than Real-time Mode allows.
    """
    found = _INTERVAL.fullmatch(interval)
    if found is None:
        raise SettingsError(
            f"the interval {interval!r} cannot be read", remedy=f"a number and a unit: {', '.join(_UNITS)}s"
        )
    seconds = int(found[1]) * _UNITS[found[2].lower()]
    if trigger is Trigger.REALTIME and seconds < LEAST_BATCH_SECONDS:
        raise SettingsError(
            f"a batch of {interval} is shorter than Real-time Mode allows",
            where="--batch-interval or FRAUDSTREAM_BATCH_INTERVAL",
            remedy=f"{LEAST_BATCH_SECONDS:g} seconds or longer; alerts do not wait for a batch's end",
        )


def start_query(spark: SparkSession, judge: Judge, settings: QuerySettings) -> StreamingQuery:
    """Start the query from its checkpoint; a new checkpoint starts at `settings.start`."""
    for name, value in _SETTINGS.items():
        spark.conf.set(name, value)
    source = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.bootstrap_servers)
        # What a producer aborts never happened.
        .option("kafka.isolation.level", "read_committed")
        .option("subscribe", Topic.TRANSACTIONS.value)
        .option("startingOffsets", settings.start)
        .option("includeHeaders", "true")
        # What retention deleted is the ledger's to report, at the next start: Spark would pass it in silence.
        .option("failOnDataLoss", "true")
    )
    if settings.trigger is Trigger.MICRO_BATCH:
        source = source.option("maxOffsetsPerTrigger", MAX_OFFSETS_PER_MICRO_BATCH)
    records = detect(
        source.load(),
        judge,
        partitions=settings.partitions,
        sample_every=settings.sample_every,
        max_record_bytes=settings.max_record_bytes,
    )
    writer = (
        records.writeStream.queryName("detector")
        .format("kafka")
        .option("kafka.bootstrap.servers", settings.bootstrap_servers)
        # A record above the producer's limit would stop the query for good.
        .option("kafka.max.request.size", output_limit(settings.max_record_bytes))
        .option("checkpointLocation", str(settings.checkpoint.absolute()))
    )
    if settings.trigger is Trigger.REALTIME:
        # pyspark 4.2 takes `realTime` but leaves it out of the types.
        return cast(StreamingQuery, cast(Any, writer.outputMode("update")).trigger(realTime=settings.interval).start())
    return writer.outputMode("append").trigger(processingTime=settings.interval).start()
