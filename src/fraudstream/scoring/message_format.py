"""Reads the transaction's JSON text out of the records of Kafka's source, the same in the stream and in batch."""

from dataclasses import dataclass
from typing import Self

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from fraudstream.config import Settings
from fraudstream.model.features.reading import Projected
from fraudstream.scoring.scorer import TopicColumn


@dataclass(frozen=True)
class MessageFormat:
    """How a record's value is read; a larger one than `max_record_bytes` is a dead letter."""

    max_record_bytes: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Take the format from the settings."""
        return cls(settings.max_record_bytes)

    def transactions(self, records: DataFrame) -> DataFrame:
        """Add the column `text` to records of Kafka's source; null if the value is too large."""
        value = F.col(TopicColumn.VALUE)
        fits = F.octet_length(value) <= F.lit(self.max_record_bytes)
        return records.withColumn(Projected.TEXT, F.when(fits, value.cast("string")))
