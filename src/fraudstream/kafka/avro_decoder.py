"""Decodes records in Confluent's Avro format to JSON objects, without Spark."""

from base64 import b64encode
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from typing import Any, Final

import fastavro
import orjson

from fraudstream.kafka.schema_registry import SchemaRegistry
from fraudstream.messages.base import Object
from fraudstream.transactions.masking import FRAME_BYTES

_OF_NO_BYTES: Final = ('"items":"null"', '"type":"null"', '"fields":[]', '"size":0')
"""In a schema: a list of such values may have a trillion of them in ten bytes."""


def parsed_schema(text: str | None) -> Any:
    """Parse a schema for fastavro; None, which decodes nothing, if it cannot be read or has values of no bytes."""
    try:
        # A time of day stays a number, as in the detector.
        normal = orjson.dumps(orjson.loads(text or "")).decode().replace('"time-', '"no-time-')
        return None if any(each in normal for each in _OF_NO_BYTES) else fastavro.parse_schema(orjson.loads(normal))
    except Exception:  # as many kinds as there are ways to be no Avro
        return None


def avro_decoder(registry: SchemaRegistry) -> Callable[[bytes], Object | None]:
    """Return a function that decodes a value, or returns None if its schema cannot be read or does not fit.

    It raises SchemaRegistryFailed for a schema that it has not fetched yet.
    """

    @lru_cache(maxsize=1_000)
    def schema_of(schema_id: int) -> Any:
        return parsed_schema(registry.schema(schema_id))

    def decode(value: bytes) -> Object | None:
        schema = schema_of(int.from_bytes(value[1:FRAME_BYTES]))
        try:
            record = fastavro.schemaless_reader(BytesIO(value[FRAME_BYTES:]), schema, None)
            return {**orjson.loads(orjson.dumps(record, _as_json, orjson.OPT_UTC_Z))}
        except Exception:
            return None

    return decode


def _as_json(value: Any) -> float | str:
    return b64encode(value).decode() if isinstance(value, bytes) else float(value)
