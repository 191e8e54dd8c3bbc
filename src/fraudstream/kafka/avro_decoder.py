"""Decodes records in Confluent's Avro format to JSON objects, without Spark."""

from base64 import b64encode
from decimal import Decimal
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


class AvroDecoder:
    """Decodes values by the schemas of a registry, which never change under their ids."""

    def __init__(self, registry: SchemaRegistry) -> None:
        self._registry = registry
        self._schema_of = lru_cache(maxsize=1_000)(self._schema)

    def __call__(self, value: bytes) -> Object | None:
        """Decode a value; None if it does not match its schema, or that cannot be read.

        Raises SchemaRegistryFailed if the schema is not known yet.
        """
        schema = self._schema_of(int.from_bytes(value[1:FRAME_BYTES]))
        try:
            decoded = fastavro.schemaless_reader(BytesIO(value[FRAME_BYTES:]), schema, None)
            return {**orjson.loads(orjson.dumps(decoded, _json, orjson.OPT_UTC_Z))}
        except Exception:  # as many kinds as there are ways to be no Avro
            return None

    def _schema(self, schema_id: int) -> Any:
        text = self._registry.schema(schema_id)
        try:
            # A time of day stays a number, as in the detector.
            normal = orjson.dumps(orjson.loads(text or "")).decode().replace('"time-', '"no-time-')
            return None if any(each in normal for each in _OF_NO_BYTES) else fastavro.parse_schema(orjson.loads(normal))
        except Exception:
            return None


def _json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return b64encode(value).decode()
    raise TypeError
