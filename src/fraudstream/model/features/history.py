"""Adds an entity's history to its transactions, with the JVM's operator (`scoring/jvm/History.scala`)."""

from pathlib import Path
from typing import Any, Final, cast

import orjson
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from fraudstream.model.features.reading import Projected, number_from_text, seconds_since_1970
from fraudstream.transactions.reading_options import Decimal


class HistoryColumn:
    """Names of the columns that the operator adds to `partition`, `offset`, `timestamp`, `text` and `alert_id`."""

    TEXT: Final = "text_with_history"
    """The text with the features as further members; that of no JSON object is unchanged."""
    VALUES: Final = "history"
    """The features in the order of `HistorySpec.names`; null for a missing one."""
    ENTITY_IDS: Final = "entity_ids"
    PROFILE_DATE: Final = "profile_date"
    NOTES: Final = "history_notes"

    ALL: Final = (TEXT, VALUES, ENTITY_IDS, PROFILE_DATE, NOTES)


class HistoryNote:
    """Bits of `history_notes`."""

    NO_KEY: Final = 1
    NO_TIME: Final = 2
    NO_AMOUNT: Final = 4
    AHEAD: Final = 8
    """Its time is more than 5 minutes after Kafka's: it does not enter the state."""
    REPEATED: Final = 16
    """Its event id is in the state: its earlier copy does not count."""
    HOT: Final = 32
    """The state has reached its bound within the longest window: counts are "at least"."""
    OTHER_PARTITION: Final = 64
    """The key was in another partition before."""
    NO_PROFILE: Final = 128
    OTHER_CURRENCY: Final = 256


def with_live_history(
    frame: DataFrame, config: dict[str, Any], root: Path | str, base: int, *, replays: bool = False
) -> DataFrame:
    """Add the history, with the state below `root`, of which each of Kafka's partitions has its own.

    A stream needs a task for each partition. A frame of a batch needs the rows of a partition together and in order;
    when it is computed, the state is written. The state continues at the offset where a task begins; `base` increases
    with each new checkpoint, whose offsets are not compared with those of an earlier one. A batch that `replays` what a
    stream has computed leaves the state unchanged.
    """
    return _add_history("live", frame, config, str(root), base, replays)


def with_history(frame: DataFrame, config: dict[str, Any]) -> DataFrame:
    """Add the history in batch; the rows of a key must be in one partition of the frame, and in order."""
    return _add_history("batch", frame, config)


def _add_history(function: str, frame: DataFrame, config: dict[str, Any], *arguments: str | int) -> DataFrame:
    spark, text = frame.sparkSession, F.col(Projected.TEXT)
    amount = number_from_text(text, Decimal(config["amount"]["decimal"]))
    seconds = seconds_since_1970(text, config["time"]["clock"], config["time"]["order"])
    # The operator evaluates these two expressions for what it does not read itself.
    readers = spark.range(0).select(F.lit("").alias(Projected.TEXT)).select(amount, seconds)
    operator = cast(Any, spark)._jvm.fraudstream.history.History  # noqa: SLF001 - py4j's way to a Scala object
    frames = (cast(Any, each)._jdf for each in (frame, readers))  # noqa: SLF001
    return DataFrame(getattr(operator, function)(*frames, orjson.dumps(config).decode(), *arguments), spark)
