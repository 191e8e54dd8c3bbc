"""What a request asks for, taken out of its query or its body; a value that makes no sense is answered with 400."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import orjson
from flask import request

from fraudstream.alerts.validation import Unfit, instant
from fraudstream.errors import RequestError
from fraudstream.transactions.cards import masked_text


def instant_of(name: str, query: Mapping[str, str] | None = None) -> int | None:
    """The time under a name of the query, in microseconds since 1970; None where it is absent.

    Args:
        name: The parameter.
        query: The query; the request's where none is passed.
    """
    given = (request.args if query is None else query).get(name)
    if given is None:
        return None
    # In a query string an unescaped + means a blank: "T10:00:00+02:00" then arrives as "T10:00:00 02:00".
    for reading in (given, "+".join(given.rsplit(" ", 1))):
        with contextlib.suppress(Unfit):
            return instant({name: reading}, name)
    raise RequestError(f"{name} must be a time in ISO 8601")


def whole(name: str, default: str, largest: int, *, least: int = 1, query: Mapping[str, str] | None = None) -> int:
    """The whole number under a name of the query (the request's where none is passed)."""
    given = (request.args if query is None else query).get(name, default)
    is_number = given.isascii() and given.isdecimal() and len(given.lstrip("0")) < 20
    if not is_number or not least <= int(given.lstrip("0") or "0") <= largest:
        raise RequestError(f"{name} must be a whole number of {least} to {largest}")
    return int(given)


def posted_object() -> dict[str, Any]:
    """The JSON object of the body."""
    if request.mimetype != "application/json":
        raise RequestError("post JSON, with Content-Type: application/json", status=415)
    try:
        posted = orjson.loads(request.get_data(cache=False))
    except orjson.JSONDecodeError as e:
        # It says where, and repeats nothing: a number that no double holds is JSON, and no body of ours.
        raise RequestError(f"the body cannot be read as JSON: {e}") from e
    if not isinstance(posted, dict):
        raise RequestError("post an object")
    return posted


def posted_text(
    posted: dict[str, Any], name: str, longest: int, *, needed: bool = True, as_it_came: bool = False
) -> str | None:
    """The text under a name of a posted object, its card numbers masked; None where it is absent and not needed.

    Args:
        posted: The object.
        name: The member.
        longest: So many characters at most.
        needed: Whether it has to be there.
        as_it_came: Whether it is no text of a person's but bytes, of which nothing may be changed.
    """
    value = posted.get(name)
    if value is None and not needed:
        return None
    if not isinstance(value, str) or not value.strip() or len(value) > longest:
        raise RequestError(f"{name} must be text of 1 to {longest:,} characters, not only blanks")
    return value if as_it_came else masked_text(value)
