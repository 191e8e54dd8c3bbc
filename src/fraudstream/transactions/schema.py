"""The schema of one transaction as it came: its columns and types, and the id of that set; drift is told elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

_NAMES: Final[dict[type, str]] = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "text",
    type(None): "null",
    list: "array",
    dict: "object",
}


def columns_of(transaction: Mapping[str, Any]) -> dict[str, str]:
    """Each column's type by name; columns of a nested object have dotted names."""
    return dict(_flattened(transaction))


def schema_id(transaction: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that depend on the names and types of the columns, not on their order."""
    names = orjson.dumps(sorted(columns_of(transaction).items()))
    return hashlib.blake2b(names, digest_size=6).hexdigest()


def _flattened(transaction: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    # A stack instead of recursion: a row may be nested deeper than Python's own limit.
    pending = list(transaction.items())
    while pending:
        name, value = pending.pop()
        if isinstance(value, dict) and value:
            pending.extend((f"{name}.{inner}", each) for inner, each in value.items())
        else:
            yield name, _NAMES[type(value)]
