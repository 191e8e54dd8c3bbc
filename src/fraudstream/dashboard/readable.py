"""How one value reads on a page: numbers, times, long ids, bytes; `static/js/format.js` does the same in browsers."""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final

from fraudstream.times import parse_time
from fraudstream.transactions.wire import DeadLetterField

NOTHING: Final = "–"
ID_CHARS: Final = 14
PREVIEW_CHARS: Final = 160

_MODEL_ID: Final = re.compile(r"(?P<algorithm>[a-z]+(-[a-z]+)*)-(?P<digits>[0-9a-f]{12})")


def number(value: float) -> str:
    """A raw value in few characters: 1,234 or -6.77 or 1.23e-5; the whole of it is in the row's details."""
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{value:,.0f}"
    if 0.01 <= abs(value) < 1e6:
        return f"{value:,.2f}"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa}e{int(exponent):+d}"


def short_id(identifier: str) -> str:
    """A long id in 14 characters; a model's as the initials of its algorithm and the beginning of its digits."""
    found = _MODEL_ID.fullmatch(identifier)
    if found is None or len(identifier) <= ID_CHARS:
        return shortened(identifier, ID_CHARS)
    words = found["algorithm"].split("-")
    algorithm = words[0] if len(words) == 1 else "".join(word[0] for word in words)
    return f"{algorithm}-{found['digits'][:8]}"


def payload_preview(letter: Mapping[str, Any]) -> str:
    """The beginning of a dead letter's bytes, as text where they are text."""
    payload = letter.get(DeadLetterField.PAYLOAD)
    if not isinstance(payload, str):
        return "no payload"
    try:
        raw = base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        return "not base64"
    return shortened(raw[: PREVIEW_CHARS * 4].decode("utf-8", "backslashreplace"), PREVIEW_CHARS) or "empty"


def clock_time(at: str) -> str:
    """A time of day, as it reads before the page's script puts it into the viewer's zone."""
    try:
        return f"{parse_time(at).astimezone(UTC):%H:%M:%S} UTC"
    except ValueError:
        return at or NOTHING


def compact(value: float) -> str:
    """A number of things in so few characters that it fits beside an axis."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.3g} M"
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g}"


def rate(value: float) -> str:
    """So many a second."""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def milliseconds(value: float | None) -> str:
    """A duration, in the unit that keeps it short."""
    if value is None:
        return NOTHING
    if value >= 10_000:
        return f"{value / 1000:,.1f} s"
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.1f} ms"


def shortened(text: str, chars: int) -> str:
    """The beginning of a text that is too long."""
    return text if len(text) <= chars else f"{text[: chars - 1]}…"
