"""The streaming query: its plan from Kafka's source to Kafka's sink, and its start."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, cast

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream.detector.route import route
from fraudstream.errors import SettingsError
from fraudstream.model.features.reading import Projected
from fraudstream.scoring.scorer import ScoreColumn, Scorer
from fraudstream.scoring.topic import Source, record_text
from fraudstream.transactions.wire import Outcome, Topic, output_limit

SAMPLE_PROPERTY = "fraudstream.sampled."

OUTCOMES_OBSERVED = "outcomes"
"""Under this name a batch's progress carries how many rows were not clear, by outcome and partition."""

RECORDS_OBSERVED = "records"
"""Under this name a batch's progress carries how many records were read, by partition: offsets may be without one."""

REMARKABLE = (Outcome.ALERT, Outcome.UNSCORABLE, Outcome.DEAD_LETTER)
"""The outcomes that are counted; the rest of a batch's rows is clear, which costs a clear row nothing."""

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


def detect(
    records: DataFrame, scorer: Scorer, *, partitions: int, sample_every: int, max_record_bytes: int
) -> DataFrame:
    """From records of Kafka's source, with headers, to records for Kafka's sink, in two stages.

    Every row is parsed once and predicted once; only what is suspect, not screened or sampled goes on to the full
    verdict. One stage that does everything for every row was measured at half the rate. Outcomes are counted for the
    partitions from 0 to below `partitions`; one row in `sample_every` leaves as a sample; a transaction of more than
    `max_record_bytes` is a dead letter.
    """
    texts = (
        records.observe(
            RECORDS_OBSERVED,
            *(F.count_if(F.col(Source.PARTITION) == each).alias(records_name(each)) for each in range(partitions)),
        )
        .select(
            Source.KEY,
            Source.VALUE,
            Source.TOPIC,
            Source.PARTITION,
            Source.OFFSET,
            Source.TIMESTAMP,
            Source.HEADERS,
            record_text(max_record_bytes).alias(Projected.TEXT),
        )
        .withColumn(Source.SAMPLED, is_sampled(sample_every))
    )
    screened = scorer.screen(texts)
    remaining = screened.where(F.col(ScoreColumn.SUSPECT) | ~F.col(Projected.IS_SCREENED) | F.col(Source.SAMPLED))
    judged = scorer.verdicts(remaining.drop(Projected.IS_SCREENED, ScoreColumn.SUSPECT))
    return route(judged.observe(OUTCOMES_OBSERVED, *_counts(partitions)), scorer, max_record_bytes)


def observed_name(outcome: Outcome, partition: int) -> str:
    """Under which name a batch's progress carries a count."""
    return f"{outcome.value}_{partition}"


def records_name(partition: int) -> str:
    """Under which name a batch's progress carries how many records of a partition were read."""
    return f"records_{partition}"


def _counts(partitions: int) -> list[Column]:
    return [
        F.count_if((F.col(ScoreColumn.OUTCOME) == outcome.value) & (F.col(Source.PARTITION) == partition)).alias(
            observed_name(outcome, partition)
        )
        for partition in range(partitions)
        for outcome in REMARKABLE
    ]


def is_sampled(sample_every: int) -> Column:
    """True for one offset in `sample_every`, and for the first row of a partition in each second of the clock.

    Real-time Mode has no state between rows and its current_timestamp stands still for a batch, so the second of
    the last sample is kept in a property of the worker's JVM, by partition. Being non-deterministic, the expression
    also keeps the optimizer from pushing the filter below the parse, which would parse once per column.
    """
    second = F.expr("substring(reflect('java.lang.System', 'currentTimeMillis'), 1, 10)")
    last = F.call_function(
        "reflect",
        F.lit("java.lang.System"),
        F.lit("setProperty"),
        F.concat(F.lit(SAMPLE_PROPERTY), Source.TOPIC, F.lit("."), F.col(Source.PARTITION)),
        second,
    )
    return (F.col(Source.OFFSET) % sample_every == 0) | (last != second)


class Trigger(StrEnum):
    """How the query runs; the plan is the same."""

    REALTIME = "realtime"
    MICRO_BATCH = "micro-batch"


@dataclass(frozen=True)
class QuerySettings:
    """What a query needs beside its model; the limits are those of `detect`.

    `interval` is the checkpoint interval of Real-time Mode, the trigger interval of micro-batches ("2 minutes");
    `start` where a query begins that has committed nothing yet, as Spark's `startingOffsets` takes it.
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

    Raises SettingsError where it is no number with a unit, or shorter than Real-time Mode allows.
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


def start_query(spark: SparkSession, scorer: Scorer, settings: QuerySettings) -> StreamingQuery:
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
        scorer,
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
