"""Who makes a change: a name given once in the browser, not verified. The one place where accounts will come in."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import unquote

from flask import abort, request

COOKIE: Final = "fraudstream_actor"
HEADER: Final = "X-Fraudstream-Actor"
LONGEST: Final = 80


class Actor(NamedTuple):
    """Who makes a change, and whether that was proved."""

    name: str
    verified: bool


def actor() -> Actor:
    """Who asks."""
    name = unquote(request.headers.get(HEADER) or request.cookies.get(COOKIE) or "").strip()
    if not name or len(name) > LONGEST or not name.isprintable():
        abort(400, f"say who you are: a name of 1 to {LONGEST} printable characters")
    return Actor(name, verified=False)
