"""Parses the setting `envelope`: where the transaction is in the JSON of a record."""

import re
from typing import Any, Final

import orjson

PRESETS: Final = {"debezium": ("payload.after", "after"), "cloudevents": ("data",)}
"""The paths of each preset, in the order in which they are tried."""

LIST: Final = "[]"
"""The step of a path into every element of a list."""

_NAME: Final = r"[^\s.\[\]'\"`\\$*]+"
_PATH: Final = re.compile(rf"(?:\[\]|{_NAME}(?:\[\])?)(?:\.{_NAME}(?:\[\])?)*")


def steps(path: str) -> list[str]:
    """Split a path into the names of members and `[]`."""
    return [step for part in path.split(".") for step in re.split(r"(?=\[\])", part) if step]


def envelope_paths(envelope: str) -> tuple[str, ...]:
    """Return the paths of a preset, or the path itself; none if empty. Raises ValueError if it is neither."""
    if envelope in PRESETS or not envelope:
        return PRESETS.get(envelope, ())
    if not _PATH.fullmatch(envelope):
        raise ValueError(
            f"{envelope!r} is neither {' nor '.join(PRESETS)} nor a path: names joined by dots, with [] after a list, "
            "as in payload.after or notificationItems[].item"
        )
    return (envelope,)


def wrapped(transaction: bytes, envelope: str) -> bytes:
    """Put the JSON of a transaction where `envelope` says that it is."""
    for path in envelope_paths(envelope)[-1:]:
        for step in reversed(steps(path)):
            transaction = b"[%s]" % transaction if step == LIST else b"{%s:%s}" % (orjson.dumps(step), transaction)
    return transaction


def unwrapped(record: Any, envelope: str) -> list[Any]:
    """Return what the parsed JSON of a record holds where `envelope` says that its transactions are."""
    for path in envelope_paths(envelope) or ("",):
        elements = [record]
        for step in steps(path):
            elements = [inner for each in elements for inner in _inner(each, step)]
        if elements:
            return elements
    return []


def _inner(value: Any, step: str) -> list[Any]:
    if step == LIST:
        return value if isinstance(value, list) else []
    return [value[step]] if isinstance(value, dict) and step in value else []
