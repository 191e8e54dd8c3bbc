"""Where a page of alerts ended, as an opaque text: the next page begins behind it, whatever arrived meanwhile."""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

import orjson

from fraudstream.alerts.filters import Sort

MOST_CHARS = 200


class Position(NamedTuple):
    """A place in an order: an alert's value there (None where it has none, or in that of commit) and its seq."""

    value: float | None
    seq: int


def write_cursor(sort: Sort, position: Position) -> str:
    """The position as a text for a URL."""
    return base64.urlsafe_b64encode(orjson.dumps([sort.value, *position])).decode().rstrip("=")


def read_cursor(text: str, sort: Sort) -> Position | None:
    """The position in a text that `write_cursor` made; None where it is no such text, or is of another order."""
    try:
        found = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        return None
    if len(text) > MOST_CHARS or not isinstance(found, list) or len(found) != 3 or found[0] != sort.value:
        return None
    _, value, seq = found
    if not isinstance(seq, int) or isinstance(seq, bool) or not isinstance(value, int | float | None):
        return None
    return Position(value, seq)
