"""Rescores offset ranges of the input topic in batch, with the stream's own scorer."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from itertools import zip_longest
from typing import NamedTuple

import orjson
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraudstream.messages.ledger import Apart, Range, merge_ranges
from fraudstream.scoring.message_format import MessageFormat
from fraudstream.scoring.scorer import ScoreColumn, Scorer, TopicColumn, alert_id
from fraudstream.transactions.wire import Outcome


class Remarkable(NamedTuple):
    """A transaction whose outcome is not clear; `score` is None if unscorable."""

    partition: int
    offset: int
    outcome: Outcome
    score: float | None
    alert_id: str


def count_outcomes(
    spark: SparkSession,
    scorer: Scorer,
    kafka: Mapping[str, str],
    topic: str,
    ranges: Iterable[Range],
    message_format: MessageFormat,
    with_history: Callable[[DataFrame], DataFrame] | None = None,
) -> dict[int, Counter[Outcome | Apart]]:
    """Count the transactions of the ranges by outcome, and what counts apart, for each partition of the ranges.

    `spark` is a session with the Kafka connector, `kafka` are options of `Cluster.spark_options`. Overlapping or
    adjacent ranges are read once; missing offsets are skipped, so that the counts add up to the number of existing
    records, as in a ledger entry. `with_history` adds the history, if the model reads one.
    """
    ranges = list(ranges)
    counts: dict[int, Counter[Outcome | Apart]] = {each.partition: Counter() for each in ranges}
    for records in _read(spark, kafka, topic, ranges, in_order=with_history is not None):
        texts = message_format.transactions(records)
        scored = scorer.verdicts(texts if with_history is None else with_history(texts))
        groups = scored.groupBy(TopicColumn.PARTITION, TopicColumn.IS_EMPTY, ScoreColumn.OUTCOME)
        additional = F.count_if(F.col(TopicColumn.INDEX) > 0)
        for partition, is_empty, outcome, count, more in groups.agg(F.count("*"), additional).collect():
            counts[partition][Apart.WITHOUT_TRANSACTION if is_empty else Outcome(outcome)] += count
            counts[partition][Apart.ADDITIONAL] += more
    return counts


def remarkable(
    spark: SparkSession,
    scorer: Scorer,
    kafka: Mapping[str, str],
    topic: str,
    ranges: Iterable[Range],
    message_format: MessageFormat,
) -> Iterator[Remarkable]:
    """Yield the transactions of the ranges whose outcome is not clear, unordered; arguments as for `count_outcomes`."""
    for records in _read(spark, kafka, topic, list(ranges)):
        transactions = message_format.transactions(records)
        scored = scorer.verdicts(transactions.where(~F.col(TopicColumn.IS_EMPTY)))
        selected = scored.where(F.col(ScoreColumn.OUTCOME) != Outcome.CLEAR.value).select(
            TopicColumn.PARTITION, TopicColumn.OFFSET, ScoreColumn.OUTCOME, ScoreColumn.SCORE, alert_id()
        )
        for partition, offset, outcome, score, identity in selected.toLocalIterator():
            yield Remarkable(partition, offset, Outcome(outcome), score, identity)


def count_records(
    spark: SparkSession, kafka: Mapping[str, str], topic: str, ranges: Iterable[Range]
) -> dict[Range, int]:
    """Count the records in each of the ranges, which may overlap, without scoring; `kafka` as for `count_outcomes`."""
    counts = {each: 0 for each in ranges}
    reads = _reads(each for each in counts if each.from_offset < each.until_offset)
    for start in range(0, len(reads), _MOST_READS_IN_A_PLAN):
        together = reads[start : start + _MOST_READS_IN_A_PLAN]
        frames = [
            _read_once(spark, kafka, topic, read).select(TopicColumn.PARTITION, F.lit(number).alias("read"))
            for number, read in enumerate(together)
        ]
        for row in reduce(DataFrame.union, frames).groupBy("read", TopicColumn.PARTITION).count().collect():
            (match,) = (each for each in together[row["read"]] if each.partition == row[TopicColumn.PARTITION])
            counts[match] = row["count"]
    return counts


_MOST_READS_IN_A_PLAN = 16


def _read(
    spark: SparkSession, kafka: Mapping[str, str], topic: str, ranges: list[Range], *, in_order: bool = False
) -> Iterator[DataFrame]:
    """Yield frames of the ranges' records, with several reads in each; `in_order` within a partition."""
    reads = [_read_once(spark, kafka, topic, each, in_order=in_order) for each in _reads(merge_ranges(ranges))]
    for start in range(0, len(reads), _MOST_READS_IN_A_PLAN):
        yield reduce(DataFrame.union, reads[start : start + _MOST_READS_IN_A_PLAN])


def _reads(ranges: Iterable[Range]) -> list[list[Range]]:
    """Group the ranges into as few reads as possible: a read takes one range per partition."""
    by_partition: defaultdict[int, list[Range]] = defaultdict(list)
    for each in ranges:
        by_partition[each.partition].append(each)
    return [[each for each in together if each is not None] for together in zip_longest(*by_partition.values())]


def _read_once(
    spark: SparkSession, kafka: Mapping[str, str], topic: str, ranges: list[Range], *, in_order: bool = False
) -> DataFrame:
    def offsets_json(offsets: dict[str, int]) -> str:
        return orjson.dumps({topic: offsets}).decode()

    return (
        spark.read.format("kafka")
        .options(**kafka)
        .option("kafka.isolation.level", "read_committed")
        .option("assign", orjson.dumps({topic: [each.partition for each in ranges]}).decode())
        .option("startingOffsets", offsets_json({str(each.partition): each.from_offset for each in ranges}))
        .option("endingOffsets", offsets_json({str(each.partition): each.until_offset for each in ranges}))
        .option("includeHeaders", "true")
        # The caller detects records deleted by retention from the records that were read.
        .option("failOnDataLoss", "false")
        # One task per partition, which reads it in order, would use one core for a single partition.
        .option("minPartitions", str(1 if in_order else spark.sparkContext.defaultParallelism))
        .load()
    )
