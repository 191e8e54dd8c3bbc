"""Parses the setting `envelope`, where the transaction is in the JSON of a record, and finds it without Spark."""

import re
from typing import Any, Final

import orjson

from fraudstream.transactions.presentable import read_json

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


def unwrapped(content: Any, envelope: str) -> list[tuple[int | None, dict[str, Any] | None]]:
    """Return the transactions in the parsed content of a record as the detector does, with their indexes in a list.

    If there is none, one is returned that is None.
    """
    objects: list[dict[str, Any]] = []
    for path in envelope_paths(envelope) or ("",):
        elements: list[Any] = [content]
        for step in steps(path):
            if step == LIST:
                elements = [inner for each in elements if isinstance(each, list) for inner in each]
            else:
                elements = [each[step] for each in map(_parsed, elements) if isinstance(each, dict) and step in each]
        objects = objects or [each for each in map(_parsed, elements) if isinstance(each, dict)]
    if LIST in envelope:
        return list(enumerate(objects)) or [(None, None)]
    return [(None, objects[0] if objects else None)]


def _parsed(value: Any) -> Any:
    """Parse a member that is written as a text of JSON."""
    try:
        return read_json(value.encode(errors="replace")) if isinstance(value, str) else value
    except ValueError:
        return None
