"""Builds and starts the streaming query from Kafka's source to Kafka's sink."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, cast

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream.detector.history import LiveHistory, observe_notes
from fraudstream.detector.route import Topics, route
from fraudstream.errors import SettingsError
from fraudstream.messages.ledger import Apart
from fraudstream.model.features.history import HistoryColumn, with_live_history
from fraudstream.model.features.reading import Projected
from fraudstream.scoring.message_format import MessageFormat
from fraudstream.scoring.scorer import ScoreColumn, Scorer, TopicColumn, alert_id
from fraudstream.transactions.wire import REMARKABLE, Outcome, Topic, output_limit

OUTCOMES_OBSERVED = "outcomes"
"""The observed metric that counts a batch's `REMARKABLE` outcomes by partition; clear ones cost nothing."""

RECORDS_OBSERVED = "records"
"""The observed metric of a batch's progress that counts its records by partition: an offset may hold no record."""

TRANSACTIONS_OBSERVED = "transactions"
"""The observed metric that counts transactions, and records without one, by partition; only with an envelope."""

MAX_OFFSETS_PER_MICRO_BATCH: Final = 200_000
"""Limits one micro-batch during catch-up, so that its alerts do not wait for the whole backlog."""

LEAST_BATCH_SECONDS: Final = 5.0
"""Spark's own limit for Real-time Mode (`spark.sql.streaming.realTimeMode.minBatchDuration`)."""

# Spark's default uses Hadoop's FileContext, which runs `chmod` for each file and each checksum if Hadoop's native
# library is missing: 43 to 84 ms of each pause at a batch's end. This one writes the same files, with checksums,
# and renames them too. Its one weakness, two queries on one checkpoint, does not affect us:
# `checkpoint.lock_checkpoint` locks it for one process. See docs/decisions/0022-latency.md.
_FILE_MANAGER: Final = "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"

_UNITS: Final = {"millisecond": 0.001, "second": 1.0, "minute": 60.0, "hour": 3600.0}
_INTERVAL: Final = re.compile(rf"\s*(\d+)\s*({'|'.join(_UNITS)})s?\s*", re.IGNORECASE)


def detect(
    records: DataFrame,
    scorer: Scorer,
    topics: Topics,
    message_format: MessageFormat,
    *,
    partitions: int,
    sample_every: int,
    history: LiveHistory | None = None,
) -> DataFrame:
    """Turn records of Kafka's source, with headers, into records for Kafka's sink, in two stages.

    Every transaction is parsed once and predicted once; only what is suspect, not screened or sampled gets the full
    verdict. A single stage that does everything for every transaction was measured at half the rate. Outcomes are
    counted for the partitions from 0 to below `partitions`; one transaction in `sample_every` is also emitted as a
    sample. A `history` is added to the text of each transaction before.
    """
    columns = records.observe(RECORDS_OBSERVED, *_counts({RECORDS_OBSERVED: F.lit(True)}, partitions)).select(
        TopicColumn.KEY,
        TopicColumn.VALUE,
        TopicColumn.TOPIC,
        TopicColumn.PARTITION,
        TopicColumn.OFFSET,
        TopicColumn.TIMESTAMP,
        TopicColumn.HEADERS,
    )
    texts = message_format.transactions(columns)
    if message_format.envelope:
        is_empty = F.col(TopicColumn.IS_EMPTY)
        apart = {TRANSACTIONS_OBSERVED: ~is_empty, Apart.WITHOUT_TRANSACTION: is_empty}
        texts = texts.observe(TRANSACTIONS_OBSERVED, *_counts(apart, partitions)).where(~is_empty)
    texts = texts.drop(TopicColumn.IS_EMPTY)
    if history is not None:
        texts = observe_notes(with_history(texts, history), F.col(HistoryColumn.NOTES))
    texts = texts.withColumn(TopicColumn.SAMPLED, is_sampled(sample_every))
    screened = scorer.screen(texts)
    remaining = screened.where(F.col(ScoreColumn.SUSPECT) | ~F.col(Projected.IS_SCREENED) | F.col(TopicColumn.SAMPLED))
    scored = scorer.verdicts(remaining.drop(Projected.IS_SCREENED, ScoreColumn.SUSPECT))
    outcomes = {outcome.value: F.col(ScoreColumn.OUTCOME) == outcome.value for outcome in REMARKABLE}
    counted = scored.observe(OUTCOMES_OBSERVED, *_counts(outcomes, partitions))
    return route(counted, scorer, topics, message_format, None if history is None else history.spec)


def with_history(texts: DataFrame, history: LiveHistory, *, replays: bool = False) -> DataFrame:
    """Add the history to the text of each transaction, and what the alerts have of it."""
    frame = texts.withColumn(TopicColumn.ALERT_ID, alert_id())
    frame = with_live_history(frame, history.config, history.root, history.base, replays=replays)
    return frame.drop(TopicColumn.ALERT_ID).withColumnsRenamed(
        {Projected.TEXT: TopicColumn.ORIGINAL, HistoryColumn.TEXT: Projected.TEXT}
    )


def _counts(conditions: Mapping[str, Column], partitions: int) -> list[Column]:
    """Count the rows of each partition that meet each condition, as `condition_partition` in a batch's progress."""
    return [
        F.count_if(condition & (F.col(TopicColumn.PARTITION) == partition)).alias(f"{name}_{partition}")
        for partition in range(partitions)
        for name, condition in conditions.items()
    ]


def is_sampled(sample_every: int) -> Column:
    """Select one offset in `sample_every`, and the first transaction of a partition in each second of wall-clock time.

    Real-time Mode has no state between rows and its current_timestamp is constant for a batch, so the second of the
    last sample is stored in a system property of the worker's JVM, by partition. Being non-deterministic, the
    expression also keeps the optimizer from pushing the filter below the parse, which would parse once per column.
    """
    second = F.expr("substring(reflect('java.lang.System', 'currentTimeMillis'), 1, 10)")
    last = F.call_function(
        "reflect",
        F.lit("java.lang.System"),
        F.lit("setProperty"),
        F.concat(F.lit("fraudstream.sampled."), TopicColumn.TOPIC, F.lit("."), F.col(TopicColumn.PARTITION)),
        second,
    )
    return (F.col(TopicColumn.OFFSET) % sample_every == 0) | (last != second)


class Trigger(StrEnum):
    """The trigger of the query; its plan is the same for both."""

    REALTIME = "realtime"
    MICRO_BATCH = "micro-batch"


@dataclass(frozen=True)
class QuerySettings:
    """The settings of a query; the limits are those of `detect`, `kafka` the options of `Cluster.spark_options`.

    `interval` is the checkpoint interval of Real-time Mode, or the trigger interval of micro-batches ("2 minutes");
    `start` the starting offsets of a query that has committed nothing yet, in the format of `startingOffsets`.
    """

    kafka: Mapping[str, str]
    topics: Topics
    checkpoint: Path
    trigger: Trigger
    interval: str
    sample_every: int
    message_format: MessageFormat
    partitions: int
    start: str = "earliest"
    history: LiveHistory | None = None


def check_interval(interval: str, trigger: Trigger) -> None:
    """Validate an interval before Spark is started.

    Raises SettingsError if it is not a number with a unit, or shorter than Real-time Mode allows.
    """
    match = _INTERVAL.fullmatch(interval)
    if match is None:
        raise SettingsError(
            f"the interval {interval!r} cannot be read", remedy=f"give a number and a unit: {', '.join(_UNITS)}s"
        )
    seconds = int(match[1]) * _UNITS[match[2].lower()]
    if trigger is Trigger.REALTIME and seconds < LEAST_BATCH_SECONDS:
        raise SettingsError(
            f"a batch of {interval} is shorter than Real-time Mode allows",
            where="--batch-interval or FRAUDSTREAM_BATCH_INTERVAL",
            remedy=f"use {LEAST_BATCH_SECONDS:g} seconds or more; alerts do not wait for the end of a batch",
        )


def start_query(spark: SparkSession, scorer: Scorer, settings: QuerySettings) -> StreamingQuery:
    """Start the query from its checkpoint; a new checkpoint starts at `settings.start`."""
    spark.conf.set("spark.sql.streaming.checkpointFileManagerClass", _FILE_MANAGER)
    source = (
        spark.readStream.format("kafka")
        .options(**settings.kafka)
        # Records of aborted transactions must not be scored.
        .option("kafka.isolation.level", "read_committed")
        .option("subscribe", settings.topics[Topic.TRANSACTIONS])
        .option("startingOffsets", settings.start)
        .option("includeHeaders", "true")
        # The ledger reports at the next start what retention deleted: Spark would skip it silently.
        .option("failOnDataLoss", "true")
    )
    if settings.trigger is Trigger.MICRO_BATCH:
        source = source.option("maxOffsetsPerTrigger", MAX_OFFSETS_PER_MICRO_BATCH)
    records = detect(
        source.load(),
        scorer,
        settings.topics,
        settings.message_format,
        partitions=settings.partitions,
        sample_every=settings.sample_every,
        history=settings.history,
    )
    writer = (
        records.writeStream.queryName("detector")
        .format("kafka")
        .options(**settings.kafka)
        # A record above the producer's limit would stop the query for good.
        .option("kafka.max.request.size", output_limit(settings.message_format.max_record_bytes))
        .option("checkpointLocation", str(settings.checkpoint.absolute()))
    )
    if settings.trigger is Trigger.REALTIME:
        # pyspark 4.2 accepts `realTime`, but its type hints lack it.
        return cast(StreamingQuery, cast(Any, writer.outputMode("update")).trigger(realTime=settings.interval).start())
    return writer.outputMode("append").trigger(processingTime=settings.interval).start()


Span = tuple[int, int]
Counts = Mapping[int, Mapping[Outcome | Apart, int]]


def observed_counts(progress: Mapping[str, Any], spans: Mapping[int, Span]) -> Counts | None:
    """Extract the counts from a batch's progress; None if they disagree, or a new partition was not counted."""
    metrics: Mapping[str, int] = progress["observedMetrics"][OUTCOMES_OBSERVED]
    records: Mapping[str, int] = progress["observedMetrics"][RECORDS_OBSERVED]
    apart: Mapping[str, int] = progress["observedMetrics"].get(TRANSACTIONS_OBSERVED, {})
    counts: dict[int, Counter[Outcome | Apart]] = {}
    if sum(records.values()) != progress["numInputRows"]:
        return None
    for partition in spans:
        total = records.get(f"{RECORDS_OBSERVED}_{partition}")
        if total is None:
            return None
        transactions = apart.get(f"{TRANSACTIONS_OBSERVED}_{partition}", total)
        empty = apart.get(f"{Apart.WITHOUT_TRANSACTION}_{partition}", 0)
        count = Counter[Outcome | Apart]({outcome: metrics[f"{outcome}_{partition}"] for outcome in REMARKABLE})
        count[Outcome.CLEAR] = transactions - count.total()
        count[Apart.WITHOUT_TRANSACTION], count[Apart.ADDITIONAL] = empty, transactions + empty - total
        counts[partition] = count
    return counts


def offsets_without_record(progress: Mapping[str, Any], spans: Mapping[int, Span]) -> dict[int, int]:
    """Count by partition the offsets of a batch that hold no record; an upper bound where they were not counted."""
    records: Mapping[str, int] = progress["observedMetrics"][RECORDS_OBSERVED]
    total = sum(end - start for start, end in spans.values()) - int(progress["numInputRows"])
    return {p: min(total, end - start - records.get(f"{RECORDS_OBSERVED}_{p}", 0)) for p, (start, end) in spans.items()}
