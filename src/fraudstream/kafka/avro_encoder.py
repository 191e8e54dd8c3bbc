"""Encodes rows as Avro with the id of a schema that it registers, as Confluent's serializers do."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from io import BytesIO
from typing import Any, Final

import fastavro
import orjson

from fraudstream.errors import BrokenRow, DataError
from fraudstream.kafka.schema_registry import prefix_of

_NAME: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_LARGEST_WHOLE: Final = 2**53
"""A double holds each whole number up to it."""
_REMEDY: Final = "send the rows as JSON, without --avro"


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
