"""Reads the transactions in the records of Kafka's source, the same in the stream and in batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final, Self

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from fraudstream.config import Settings
from fraudstream.model.features.reading import LENIENT_JSON, Projected, parse_strings
from fraudstream.scoring.avro import SchemaCatalog, is_framed
from fraudstream.scoring.scorer import TopicColumn
from fraudstream.transactions.envelope import LIST, envelope_paths, steps

_END: Final = "end of list"

_TIMES: Final = ("ts_ms", "ts_us", "ts_ns")
"""The only members of Debezium's heartbeats."""

_CONTROL: Final = (
    *("before", "op", "source", "transaction", "message"),
    *("status", "id", "event_count", "data_collections"),
)
"""Further members of Debezium's changes that leave out `after`, and of its transaction boundaries."""


@dataclass(frozen=True)
class MessageFormat:
    """How a record's value is read; a larger one than `max_record_bytes` is a dead letter.

    Attributes:
        envelope: Where the transaction is, as in the setting; empty if the value is the transaction itself.
        catalog: The schemas of Avro records, which are read beside JSON; None without a schema registry.
    """

    max_record_bytes: int
    envelope: str = ""
    catalog: SchemaCatalog | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Take the format from the settings."""
        return cls(settings.max_record_bytes, settings.envelope, SchemaCatalog.of(settings))

    def fetch_schemas(self, spark: SparkSession) -> list[str]:
        """Fetch the Avro schemas that the query needs, and return what cannot be read; raises SchemaRegistryFailed."""
        return [] if self.catalog is None else self.catalog.fetch(spark)

    def new_schema(self, error: Exception) -> int | None:
        """Return the schema id for which a query failed because it is new; the next `fetch_schemas` fetches it."""
        return None if self.catalog is None else self.catalog.request(error)

    def transactions(self, records: DataFrame) -> DataFrame:
        """Turn records of Kafka's source into their transactions, with the columns `text`, `index` and `is_empty`.

        `text` is null if the value is too large or has no object at the path of the envelope. A list in the envelope
        becomes a row for each element, with an `index` from 0, and one row for all that are no objects; otherwise
        `index` is null. With an envelope, a record without a transaction (a delete, a heartbeat, a tombstone) becomes
        a row with `is_empty`.
        """
        value = F.col(TopicColumn.VALUE)
        text, no_index = value.cast("string"), F.lit(None).cast("int")
        if self.catalog is not None:
            if not records.isStreaming:
                self.catalog.fetch_of(records)
            text = F.when(is_framed(value), self.catalog.text(value)).otherwise(text)
        records = records.withColumn(
            Projected.TEXT, F.when(F.octet_length(value) <= F.lit(self.max_record_bytes), text)
        )
        if not self.envelope:
            return records.withColumns({TopicColumn.INDEX: no_index, TopicColumn.IS_EMPTY: F.lit(False)})
        texts = _texts_at(envelope_paths(self.envelope), F.col(Projected.TEXT))
        is_list = LIST in self.envelope
        # Outer: an inner one gets a filter on the size of the array, for which the record would be parsed again.
        array = F.when(value.isNotNull(), _one_dead_letter(texts) if is_list else texts)
        rows = records.select(
            *(name for name in records.columns if name != Projected.TEXT),
            F.posexplode_outer(array).alias(TopicColumn.INDEX, Projected.TEXT),
        )
        rows = rows.withColumn(TopicColumn.IS_EMPTY, F.col(TopicColumn.INDEX).isNull())
        if not is_list:
            return rows.withColumn(TopicColumn.INDEX, no_index)
        # A megabyte of small elements is not to be copied for each of them: only a dead letter needs it.
        return rows.withColumn(TopicColumn.VALUE, F.when(F.col(Projected.TEXT).isNull(), value))


def _missing() -> Column:
    """Return the array of a record that has no transaction where it should be; that of a delete is empty."""
    return F.array(F.lit(None).cast("string"))


def _texts_at(paths: Sequence[str], text: Column) -> Column:
    """Return the texts at the first of the paths that the JSON text has."""
    names = steps(paths[0])
    texts = reduce(_step, names, F.array(text))
    if len(paths) == 1:
        return texts
    tried = F.when(F.contains(text, F.lit(f'"{names[0]}"')), texts).otherwise(_missing())
    # Lambdas, here and below, so that the plan contains each parse once.
    return F.flatten(
        F.transform(
            F.array(tried),
            lambda each: F.when(F.exists(each, lambda one: one.isNull()), _texts_at(paths[1:], text)).otherwise(each),
        )
    )


def _step(texts: Column, name: str) -> Column:
    return F.flatten(F.transform(texts, lambda text: _elements(text) if name == LIST else _member(text, name)))


def _member(text: Column, name: str) -> Column:
    """Return an array with the member of an object: empty if it is null, or if the object needs none."""

    def of(members: Column) -> Column:
        member = F.array_compact(F.array(F.try_element_at(members, F.lit(name))))
        absent = F.when(_is_empty(members), F.array().cast("array<string>")).otherwise(_missing())
        return F.when(F.map_contains_key(members, F.lit(name)), member).otherwise(absent)

    return F.flatten(F.transform(F.array(parse_strings(text)), of))


def _elements(text: Column) -> Column:
    """Return the elements of a list, without those that are null; wrapped like the object in `parse_strings`."""
    wrapped = F.when(F.is_valid_utf8(text), F.concat(F.lit("["), text, F.lit(f',["{_END}"]]')))
    lists = F.array(F.from_json(wrapped, "array<array<string>>", dict(LENIENT_JSON)))
    whole = F.filter(lists, lambda each: (F.size(each) == 2) & (F.try_element_at(each[1], F.lit(1)) == F.lit(_END)))
    return F.coalesce(F.array_compact(F.try_element_at(whole, F.lit(1))[0]), _missing())


def _is_empty(members: Column) -> Column:
    """Return whether an object without the member is a heartbeat or the like of Debezium, or a CloudEvent without data.

    All members must be known: a transaction without its envelope must not pass for one of these.
    """
    names, op, status = F.map_keys(members), *(F.try_element_at(members, F.lit(each)) for each in ("op", "status"))
    further = F.array_except(names, F.array(*map(F.lit, _TIMES)))
    is_control = op.isin("d", "t", "m") | status.isin("BEGIN", "END") | (F.size(further) == 0)
    is_known = (F.size(F.array_except(further, F.array(*map(F.lit, _CONTROL)))) == 0) & (F.size(names) > 0)
    is_event = F.array_contains(names, "specversion")
    has_data = F.arrays_overlap(names, F.array(F.lit("data"), F.lit("data_base64")))
    return (is_control & is_known) | (is_event & ~has_data)


def _one_dead_letter(texts: Column) -> Column:
    """Make null what is no object, and leave one null: a record has one dead letter at most."""
    objects = F.transform(texts, lambda text: F.when(parse_strings(text).isNotNull(), text))

    def compacted(each: Column) -> Column:
        return F.concat(F.array_compact(each), F.slice(F.filter(each, lambda one: one.isNull()), 1, 1))

    return F.flatten(F.transform(F.array(objects), compacted))
