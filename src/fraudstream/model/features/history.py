"""Adds an entity's history to its transactions, with the JVM's operator (`scoring/jvm/History.scala`)."""

from pathlib import Path
from typing import Any, Final, cast

import orjson
from pyspark.sql import DataFrame


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


def with_live_history(frame: DataFrame, config: dict[str, Any], root: Path | str, base: int) -> DataFrame:
    """Add the history, with the state below `root`, of which each of Kafka's partitions has its own.

    A stream needs a task for each partition. A frame of a batch needs the rows of a partition together and in order;
    when it has been computed, the state is written. `base` increases with each checkpoint that uses the state: within
    one, the state continues at the offset where a task begins.
    """
    return _call(frame, "live", _json(config), str(root), base)


def with_history(frame: DataFrame, config: dict[str, Any]) -> DataFrame:
    """Add the history in batch; the rows of a key must be in one partition of the frame, and in order."""
    return _call(frame, "batch", _json(config))


def _call(frame: DataFrame, function: str, *arguments: str | int) -> DataFrame:
    spark = cast(Any, frame.sparkSession)
    history = spark._jvm.fraudstream.history.History  # noqa: SLF001 - py4j's way to a Scala object
    return DataFrame(getattr(history, function)(cast(Any, frame)._jdf, *arguments), frame.sparkSession)  # noqa: SLF001


def _json(config: dict[str, Any]) -> str:
    return orjson.dumps(config).decode()
