"""Reads the transaction's JSON text out of the records of Kafka's source, the same in the stream and in batch."""

from dataclasses import dataclass
from typing import Self

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraudstream.config import Settings
from fraudstream.model.features.reading import Projected
from fraudstream.scoring.avro import SchemaCatalog, is_framed
from fraudstream.scoring.scorer import TopicColumn


@dataclass(frozen=True)
class MessageFormat:
    """How a record's value is read; a larger one than `max_record_bytes` is a dead letter.

    `catalog` has the schemas of Avro records, which are read beside JSON; None without a schema registry.
    """

    max_record_bytes: int
    catalog: SchemaCatalog | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Take the format from the settings."""
        return cls(settings.max_record_bytes, SchemaCatalog.of(settings))

    def fetch_schemas(self, spark: SparkSession) -> list[str]:
        """Fetch the Avro schemas that the query needs, and return what cannot be read; raises SchemaRegistryFailed."""
        return [] if self.catalog is None else self.catalog.fetch(spark)

    def new_schema(self, error: Exception) -> int | None:
        """Return the schema id for which a query failed because it is new; the next `fetch_schemas` fetches it."""
        return None if self.catalog is None else self.catalog.request(error)

    def transactions(self, records: DataFrame) -> DataFrame:
        """Add the column `text` to records of Kafka's source; null if the value is too large."""
        value = F.col(TopicColumn.VALUE)
        fits = F.octet_length(value) <= F.lit(self.max_record_bytes)
        text = value.cast("string")
        if self.catalog is not None:
            if not records.isStreaming:
                self.catalog.fetch_of(records)
            text = F.when(is_framed(value), self.catalog.text(value)).otherwise(text)
        return records.withColumn(Projected.TEXT, F.when(fits, text))
