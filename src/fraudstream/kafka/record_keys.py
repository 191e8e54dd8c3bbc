"""Reads the key of records, JSON or Avro, from a column of their transactions."""

from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from typing import Any

import fastavro

from fraudstream.history.identity import entity_value
from fraudstream.kafka.avro_decoder import parsed_schema
from fraudstream.kafka.schema_registry import SchemaRegistry


def key_reader(column: str, envelope: str, registry: SchemaRegistry | None) -> Callable[[bytes | None], str | None]:
    """Return a function from a record's value, JSON or Avro, to its key: None if it has none, as a dead letter.

    It raises SchemaRegistryFailed.
    """

    @lru_cache(maxsize=10_000)
    def avro_schema(schema_id: int) -> Any:
        return None if registry is None else parsed_schema(registry.schema(schema_id))

    def key_of(value: bytes | None) -> str | None:
        if value is None or registry is None or len(value) < 5 or value[0]:
            return None if value is None else entity_value(value, column, envelope)
        schema = avro_schema(int.from_bytes(value[1:5], "big"))
        try:
            record: Any = fastavro.schemaless_reader(BytesIO(value[5:]), schema, None)
        except Exception:  # whatever does not match its schema is a dead letter
            return None
        return entity_value(record, column, envelope) if isinstance(record, dict) else None

    return key_of
