"""The schema of one transaction as it came: its columns and types, and the id of that set; `drift.py` judges it."""

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

NOT_FINITE: Final = "not finite"
"""The type of NaN and the infinities, which are read as the texts that JSON's writers make of them."""

_NOT_FINITE_TEXTS: Final = frozenset({"NaN", "Infinity", "-Infinity"})

UNKNOWN: Final = "unknown"
"""The type of a column of which only the name is known."""

LARGEST_LISTING: Final = 32_768
"""A list of columns that is kept or sent is cut at about so many bytes: thousands of sets of them are kept."""

_LONGEST_NAME: Final = 200
_BYTES_BESIDE_NAME: Final = 16
_LONGEST_PREFIX: Final = 1_000


def columns_of(transaction: Mapping[str, Any]) -> dict[str, str]:
    """Each column's type by name; columns of a nested object have dotted names."""
    return dict(_flattened(transaction))


def schema_id(transaction: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that depend on the names and types of the columns, not on their order."""
    return id_of(columns_of(transaction))


def id_of(columns: Mapping[str, str]) -> str:
    """The `schema_id` of columns whose types are known already."""
    return hashlib.blake2b(orjson.dumps(sorted(columns.items())), digest_size=6).hexdigest()


def listed(columns: Mapping[str, str]) -> dict[str, str]:
    """The columns as far as they are kept and sent, by name: all of them but in rows of a thousand columns and more."""
    kept: dict[str, str] = {}
    size = 0
    for name, kind in sorted(columns.items()):
        short = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
        size += len(short.encode()) + _BYTES_BESIDE_NAME
        if size > LARGEST_LISTING:
            break
        kept[short] = kind
    return kept


def bounded_name(name: str) -> str:
    """The name of an object as its members' names begin: all members together are then no longer than a multiple of it.

    A long one is cut, with a hash of all of it.
    """
    if len(name) <= _LONGEST_PREFIX:
        return name
    return f"{name[:_LONGEST_PREFIX]}…{hashlib.blake2b(name.encode(errors='surrogatepass'), digest_size=6).hexdigest()}"


def _flattened(transaction: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    # A stack instead of recursion: a row may be nested deeper than Python's own limit.
    pending = list(transaction.items())
    while pending:
        name, value = pending.pop()
        if isinstance(value, dict) and value:
            within = bounded_name(name)
            pending.extend((f"{within}.{inner}", each) for inner, each in value.items())
        else:
            is_finite = not isinstance(value, str) or value not in _NOT_FINITE_TEXTS
            yield name, _NAMES[type(value)] if is_finite else NOT_FINITE
