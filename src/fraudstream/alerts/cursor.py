"""Where a page of alerts ended, as an opaque text: the next page begins behind it, whatever arrived meanwhile."""

import base64
import binascii
from typing import NamedTuple

import orjson

from fraudstream.alerts.filters import Sort

MOST_CHARS = 200


class Position(NamedTuple):
    """Where a page ended, and which alerts are left to search.

    Attributes:
        value: The last alert's value in the order; None where it has none, or in that of commit.
        seq: The last alert; None where a search goes on with older alerts, of which none was given yet.
        below: Only alerts before this one, in the order of commit; None for all.
        floor: Only this alert and those after it; None for all.
    """

    value: float | None
    seq: int | None
    below: int | None = None
    floor: int | None = None


def write_cursor(sort: Sort, position: Position) -> str:
    """The position as a text for a URL."""
    return base64.urlsafe_b64encode(orjson.dumps([sort.value, *position])).decode().rstrip("=")


def read_cursor(text: str, sort: Sort) -> Position | None:
    """The position in a text that `write_cursor` made; None where it is no such text, or is of another order."""
    try:
        found = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        return None
    if len(text) > MOST_CHARS or not isinstance(found, list) or len(found) != 5 or found[0] != sort.value:
        return None
    _, value, *seqs = found
    if not all(seq is None or (type(seq) is int and abs(seq) < 2**63) for seq in seqs):
        return None
    return Position(value, *seqs) if isinstance(value, int | float | None) else None
