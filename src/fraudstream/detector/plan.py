"""The whole plan of the stream, from Kafka's source to Kafka's sink; what runs it is `query.py`."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from fraudstream.detector.route import route
from fraudstream.model.reading import Projected
from fraudstream.scoring.judge import Judge, Judged
from fraudstream.scoring.source import Source, record_text
from fraudstream.transactions.wire import Outcome

SAMPLE_PROPERTY = "fraudstream.sampled."

OUTCOMES_OBSERVED = "outcomes"
"""Under this name a batch's progress carries how many rows were not clear, by outcome and partition."""

RECORDS_OBSERVED = "records"
"""Under this name a batch's progress carries how many records were read, by partition: offsets may be without one."""

REMARKABLE = (Outcome.ALERT, Outcome.UNSCORABLE, Outcome.DEAD_LETTER)
"""The outcomes that are counted; the rest of a batch's rows is clear, which costs a clear row nothing."""


def detect(records: DataFrame, judge: Judge, *, partitions: int, sample_every: int, max_record_bytes: int) -> DataFrame:
    """From records of Kafka's source to records for Kafka's sink, in two stages.

    Every row is parsed once and predicted once; only what is suspect, not screened or sampled goes on to the full
    verdict. One stage that does everything for every row was measured at half the rate.

    Args:
        records: Rows of Kafka's source, with headers.
        judge: The model in force.
        partitions: Of the input topic; outcomes are counted for the partitions from 0 to below it.
        sample_every: One row in so many leaves as a sample.
        max_record_bytes: Largest transaction; a larger one is a dead letter.
    """
    texts = (
        records.observe(RECORDS_OBSERVED, *_records(partitions))
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
    screened = judge.screen(texts)
    remaining = screened.where(F.col(Judged.SUSPECT) | ~F.col(Projected.IS_SCREENED) | F.col(Source.SAMPLED))
    judged = judge.verdicts(remaining.drop(Projected.IS_SCREENED, Judged.SUSPECT))
    return route(judged.observe(OUTCOMES_OBSERVED, *_counts(partitions)), judge, max_record_bytes)


def observed_name(outcome: Outcome, partition: int) -> str:
    """Under which name a batch's progress carries a count."""
    return f"{outcome.value}_{partition}"


def records_name(partition: int) -> str:
    """Under which name a batch's progress carries how many records of a partition were read."""
    return f"records_{partition}"


def _records(partitions: int) -> list[Column]:
    return [F.count_if(F.col(Source.PARTITION) == each).alias(records_name(each)) for each in range(partitions)]


def _counts(partitions: int) -> list[Column]:
    return [
        F.count_if((F.col(Judged.OUTCOME) == outcome.value) & (F.col(Source.PARTITION) == partition)).alias(
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
