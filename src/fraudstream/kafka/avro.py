"""Reads and writes records in Confluent's Avro format, without Spark."""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from io import BytesIO
from typing import Any, Final

import fastavro
import orjson

from fraudstream.errors import BrokenRow, DataError
from fraudstream.history.identity import entity_value
from fraudstream.kafka.schema_registry import SchemaRegistry, prefix_of
from fraudstream.messages.base import Object
from fraudstream.transactions.masking import FRAME_BYTES

_OF_NO_BYTES: Final = ('"items":"null"', '"type":"null"', '"fields":[]', '"size":0')
"""In a schema: a list of such values may have a trillion of them in ten bytes."""

_NAME: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_LARGEST_WHOLE: Final = 2**53
"""A double holds each whole number up to it."""
_REMEDY: Final = "send the rows as JSON, without --avro"


def avro_decoder(registry: SchemaRegistry) -> Callable[[bytes], Object | None]:
    """Return a function that decodes a value, or returns None if its schema cannot be read or does not fit.

    It raises SchemaRegistryFailed for a schema that it has not fetched yet.
    """
    read = _reader(registry)

    def decode(value: bytes) -> Object | None:
        try:
            return {**orjson.loads(orjson.dumps(read(value), _as_json, orjson.OPT_UTC_Z))}
        except TypeError:  # no object
            return None

    return decode


def key_reader(column: str, envelope: str, registry: SchemaRegistry | None) -> Callable[[bytes | None], str | None]:
    """Return a function from a record's value, JSON or Avro, to its key: None if it has none, as a dead letter.

    The key is the value of a column of its transaction. The function raises as that of `avro_decoder`.
    """
    read = None if registry is None else _reader(registry)

    def key_of(value: bytes | None) -> str | None:
        if read is None or value is None or len(value) < FRAME_BYTES or value[0]:
            return None if value is None else entity_value(value, column, envelope)
        record = read(value)
        return entity_value(record, column, envelope) if isinstance(record, dict) else None

    return key_of


def _reader(registry: SchemaRegistry) -> Callable[[bytes], Any]:
    @lru_cache(maxsize=10_000)
    def schema_of(schema_id: int) -> Any:
        return _parsed_schema(registry.schema(schema_id))

    def read(value: bytes) -> Any:
        schema = schema_of(int.from_bytes(value[1:FRAME_BYTES]))
        try:
            return fastavro.schemaless_reader(BytesIO(value[FRAME_BYTES:]), schema, None)
        except Exception:  # whatever does not match its schema is a dead letter
            return None

    return read


def _parsed_schema(text: str | None) -> Any:
    """Parse a schema for fastavro; None, which decodes nothing, if it cannot be read or has values of no bytes."""
    try:
        # A time of day stays a number, as in the detector.
        normal = orjson.dumps(orjson.loads(text or "")).decode().replace('"time-', '"no-time-')
        return None if any(each in normal for each in _OF_NO_BYTES) else fastavro.parse_schema(orjson.loads(normal))
    except Exception:  # as many kinds as there are ways to be no Avro
        return None


def _as_json(value: Any) -> float | str:
    return b64encode(value).decode() if isinstance(value, bytes) else float(value)


class AvroEncoder:
    """Encodes rows given as JSON objects; each set of columns is a schema of its own, registered with its first row.

    Args:
        numeric: By column, whether it is a number (`double`) or text (`string`); any value may be missing (`null`).
        register: Registers a schema and returns its id, the same for the same schema.
    """

    def __init__(self, numeric: Mapping[str, bool], register: Callable[[str], int]) -> None:
        self._numeric = numeric
        self._register = register
        self._schema_of = cache(self._registered)

    def __call__(self, row: bytes) -> bytes:
        """Encode a row; raises DataError for a column name that Avro forbids, BrokenRow for a value that is no double.

        Raises SchemaRegistryFailed, with a new set of columns.
        """
        values: dict[str, Any] = orjson.loads(row)
        prefix, schema = self._schema_of(tuple(values))
        for name, value in values.items():
            is_exact = not isinstance(value, int) or abs(value) <= _LARGEST_WHOLE
            if not is_exact or (isinstance(value, str) and self._numeric[name]):
                raise BrokenRow(f"{value!r} is no number that Avro's double holds", where=name, remedy=_REMEDY)
        encoded = BytesIO()
        fastavro.schemaless_writer(encoded, schema, values)
        return prefix + encoded.getvalue()

    def _registered(self, columns: tuple[str, ...]) -> tuple[bytes, Any]:
        for name in columns:
            if _NAME.fullmatch(name) is None:
                what = "the name of a column is none that Avro allows: a letter or _, then letters, digits or _"
                raise DataError(what, where=repr(name), remedy=f"rename the column, or {_REMEDY}")
        types = {name: "double" if self._numeric[name] else "string" for name in columns}
        fields = [{"name": name, "type": ["null", kind], "default": None} for name, kind in types.items()]
        schema = {"type": "record", "name": "Transaction", "fields": fields}
        return prefix_of(self._register(orjson.dumps(schema).decode())), fastavro.parse_schema(schema)
