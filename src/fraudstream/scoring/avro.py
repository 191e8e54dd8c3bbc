"""Reads records in Confluent's Avro format: a zero byte, four bytes of schema id, the fields in Avro's binary form."""

import re
from dataclasses import dataclass, field
from typing import Any, Final, Self

import orjson
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.avro.functions import from_avro

from fraudstream.config import Settings
from fraudstream.kafka.schema_registry import SchemaRegistry, prefix_of, subject_of
from fraudstream.runtime.spark import first_line
from fraudstream.scoring.scorer import TopicColumn
from fraudstream.transactions.wire import Topic

MOST_VERSIONS: Final = 20
"""Of the subject, the newest; each is an expression of the plan, and an older one is added when a record has it."""

NEAR: Final = 1_000_000
"""Registries count: an id further above the known ones is that of a random record that begins with a zero byte, each of
which would restart the query."""

_PREFIX_BYTES: Final = 5
_IS_READ: Final = "fraudstream_is_read"
_MISSING: Final = "schema id %d is not in the schema registry at %s"
_UNKNOWN: Final = "the query does not know schema id "
_UNKNOWN_ID: Final = re.compile(_UNKNOWN + r"(\d{1,10})")

_JSON: Final = {
    "ignoreNullFields": "false",
    "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX",
    "timestampNTZFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS",
}

_MERGED: Final = ({"int", "long"}, {"float", "double"})
"""Unions that Spark reads as one type; it reads others as a struct `member0`, `member1`, …"""


def is_framed(value: Column) -> Column:
    """Whether a value begins as Avro with a schema id does; no JSON begins with a zero byte."""
    return (F.octet_length(value) >= F.lit(_PREFIX_BYTES)) & (F.substring(value, 1, 1) == F.lit(bytearray(1)))


@dataclass
class SchemaCatalog:
    """The schemas of a topic's records, by the id that a registry gave them; they never change.

    Attributes:
        schemas: What can be read.
        refused: For each id that cannot be read, the reason of its dead letters.
    """

    registry: SchemaRegistry
    subject: str
    schemas: dict[int, str] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    _requested: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Make an empty one for the input topic; None without a registry."""
        if settings.schema_registry is None:
            return None
        return cls(SchemaRegistry.of(settings), subject_of(settings.kafka.topic_name(Topic.TRANSACTIONS)))

    def request(self, error: Exception) -> int | None:
        """Have the next `fetch` ask for the schema id that a query failed on; None if it failed on no new one."""
        match = _UNKNOWN_ID.search(str(error))
        if not self._is_new(schema_id := int(match[1]) if match else 0):
            return None
        self._requested.add(schema_id)
        return schema_id

    def fetch(self, spark: SparkSession) -> list[str]:
        """Fetch the subject's newest schemas, until it has any, and the requested ones; return what cannot be read.

        Raises SchemaRegistryFailed; the next call tries again.
        """
        fetched = {each: self.registry.schema(each) for each in sorted(self._requested)}
        if not (self.schemas or self.refused):
            fetched |= self.registry.versions(self.subject, MOST_VERSIONS)
        self._requested.clear()
        reasons = [self._add(spark, schema_id, schema) for schema_id, schema in fetched.items()]
        return [reason for reason in reasons if reason]

    def fetch_of(self, records: DataFrame) -> None:
        """Fetch the schemas of the records of a batch, by one more read of them; raises SchemaRegistryFailed."""
        value = F.col(TopicColumn.VALUE)
        ids = records.where(is_framed(value)).select(schema_id_of(value)).distinct().collect()
        for schema_id in sorted(row[0] for row in ids):
            if self._is_new(schema_id):
                self._add(records.sparkSession, schema_id, self.registry.schema(schema_id))

    def text(self, value: Column) -> Column:
        """Return the JSON of a framed value, null if it cannot be read; an id that is not known yet fails the query."""
        schema_id = schema_id_of(value)
        is_refused = schema_id.isin([*self.refused]) | ~schema_id.between(1, self._largest)
        case = F.when(F.lit(False), F.lit(None).cast("string"))
        for known, schema in self.schemas.items():
            case = case.when(_has_id(value, known), json_of(value, schema))
        case = case.when(is_refused, F.lit(None))
        return case.otherwise(F.raise_error(F.concat(F.lit(_UNKNOWN), schema_id)).cast("string"))

    def reason(self, value: Column) -> Column:
        """Describe why a framed value is a dead letter."""
        case = F.when(F.lit(False), F.lit(""))
        for schema_id in self.schemas:
            case = case.when(_has_id(value, schema_id), f"the value does not match its Avro schema, id {schema_id}")
        for schema_id, reason in self.refused.items():
            case = case.when(_has_id(value, schema_id), reason)
        return case.otherwise(F.format_string(_MISSING, schema_id_of(value), F.lit(self.registry.url)))

    @property
    def _largest(self) -> int:
        """The largest id to ask for."""
        return max(self.schemas, default=0) + NEAR

    def _is_new(self, schema_id: int) -> bool:
        return 1 <= schema_id <= self._largest and schema_id not in {*self.schemas, *self.refused, *self._requested}

    def _add(self, spark: SparkSession, schema_id: int, schema: str | None) -> str:
        """Add a schema, or the reason, which is returned, why records with it are dead letters."""
        if schema is None:
            reason = _MISSING % (schema_id, self.registry.url)
        elif problem := _problem(spark, schema):
            reason = f"the schema of id {schema_id} cannot be read: {problem}"
        else:
            self.schemas[schema_id] = schema
            return ""
        self.refused[schema_id] = reason
        return reason


def schema_id_of(value: Column) -> Column:
    """Return the schema id of a framed value."""
    return F.conv(F.hex(F.substring(value, 2, 4)), 16, 10).cast("long")


def _has_id(value: Column, schema_id: int) -> Column:
    """Compare bytes, which is faster than parsing the id."""
    return F.substring(value, 1, _PREFIX_BYTES) == F.lit(bytearray(prefix_of(schema_id)))


def _problem(spark: SparkSession, schema: str) -> str:
    """Describe why records of a schema cannot be read; empty if they can."""
    try:
        names = [each["name"].lower() for each in orjson.loads(schema or "{}").get("fields", [])]
        if not names:
            return "it is not an Avro record with fields, or refers to other schemas"
        if len(names) > len(set(names)):
            return "two of its fields differ only in upper and lower case"
        _ = spark.range(0).select(json_of(F.lit(bytearray(_PREFIX_BYTES)), schema)).schema
    except (PySparkException, Py4JJavaError) as e:
        return first_line(e)
    except (ValueError, AttributeError, LookupError, TypeError):
        return "it is not an Avro record"
    return ""


def json_of(value: Column, schema: str) -> Column:
    """Decode a framed value to JSON with every field, null if it does not match the schema; never an ANSI error.

    Spark returns nulls for a value that it cannot decode, as for a record of nulls. The reader's schema therefore has
    one field more, whose default is there only if the value was decoded.
    """
    # Spark's text of a time of day fails for one beyond the day, which would stop the query: it is read as a number.
    normal = orjson.dumps(orjson.loads(schema)).decode().replace('"logicalType":"time-', '"logicalType":"no-time-')
    writer = orjson.loads(normal)
    marked = writer | {"fields": [*writer["fields"], {"name": _IS_READ, "type": "boolean", "default": True}]}
    options = {"mode": "PERMISSIVE", "avroSchema": orjson.dumps(marked).decode()}
    content = F.substring(value, F.lit(_PREFIX_BYTES + 1), F.octet_length(value))
    decoded = from_avro(content, normal, options)

    def to_json(record: Column) -> Column:
        fields = [_cell(record, each["name"], each["type"]).alias(each["name"]) for each in writer["fields"]]
        return F.when(record[_IS_READ], F.to_json(F.struct(*fields), dict(_JSON)))

    # A lambda, so that the plan decodes once and not once per field.
    return F.element_at(F.transform(F.array(decoded), to_json), 1)


def _cell(record: Column, name: str, kind: Any) -> Column:
    """Return a field; of a union of several types its value as text, as a column of JSON may mix them."""
    members = [each for each in kind if each != "null"] if isinstance(kind, list) else []
    if len(members) < 2 or set(map(str, members)) in _MERGED:
        return record[name]
    return F.coalesce(*(record[name][f"member{index}"].cast("string") for index in range(len(members))))
