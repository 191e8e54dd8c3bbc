"""The whole plan of the stream, from Kafka's source to Kafka's sink; what runs it is `query.py`."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from fraudstream.detector.route import route
from fraudstream.model.reading import Projected
from fraudstream.scoring.judge import Judge, Judged
from fraudstream.scoring.source import Source, record_text

SAMPLE_PROPERTY = "fraudstream.sampled."


def detect(records: DataFrame, judge: Judge, *, sample_every: int, max_record_bytes: int) -> DataFrame:
    """From records of Kafka's source to records for Kafka's sink, in two stages.

    Every row is parsed once and predicted once; only what is suspect, not screened or sampled goes on to the full
    verdict. One stage that does everything for every row was measured at half the rate.
    """
    texts = records.select(
        Source.KEY,
        Source.VALUE,
        Source.TOPIC,
        Source.PARTITION,
        Source.OFFSET,
        Source.TIMESTAMP,
        Source.HEADERS,
        record_text(max_record_bytes).alias(Projected.TEXT),
    ).withColumn(Source.SAMPLED, is_sampled(sample_every))
    screened = judge.screen(texts)
    remaining = screened.where(F.col(Judged.SUSPECT) | ~F.col(Projected.IS_SCREENED) | F.col(Source.SAMPLED))
    return route(judge.verdicts(remaining.drop(Projected.IS_SCREENED, Judged.SUSPECT)), judge, max_record_bytes)


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
