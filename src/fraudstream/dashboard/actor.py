"""Who asks: the one source of the actor's name, a person's own word; real accounts would take its place here.

Who may ask at all is `security.py`'s. A browser keeps the name in a cookie, a script sends it in a header.
"""

from __future__ import annotations

import unicodedata
from typing import Final
from urllib.parse import quote, unquote

import orjson
from flask import Blueprint, Response, abort, request

from fraudstream.alerts.changes import NOBODY, Actor
from fraudstream.dashboard.asked import posted_object
from fraudstream.transactions.cards import masked_text

COOKIE: Final = "fraudstream_actor"
HEADER: Final = "X-Fraudstream-Actor"
LONGEST_NAME: Final = 80
COOKIE_SECONDS: Final = 365 * 24 * 3600

WHO: Final = (
    f"say who you are: a name of 1 to {LONGEST_NAME} printable characters that hold no card number, "
    f"by POST /api/actor or in the header {HEADER} (percent-encoded UTF-8)"
)

blueprint = Blueprint("actor", __name__)


def actor() -> Actor:
    """Who makes this request; answers it with 400 where nobody says so."""
    return _given() or abort(400, WHO)


def actor_or_nobody() -> Actor:
    """Who makes this request, `NOBODY` where nobody says so: for what may be done without a name."""
    return _given() or NOBODY


def name_of(text: str) -> str | None:
    """A name as it is recorded: in Unicode's composed form, without blanks around it; None where it is none.

    What cannot be seen is no part of a name, so that no two people look the same by it. A card's number is no name:
    masked, two of them would look the same, and the record keeps what it was told for good.
    """
    name = unicodedata.normalize("NFC", text).strip()
    return name if 0 < len(name) <= LONGEST_NAME and name.isprintable() and masked_text(name) == name else None


@blueprint.get("/api/actor")
def who() -> Response:
    """Who this browser says it is."""
    return _told(_given())


@blueprint.post("/api/actor")
def introduce() -> Response:
    """Keep a name in this browser."""
    given = posted_object().get("name")
    name = name_of(given) if isinstance(given, str) else None
    if name is None:
        abort(400, f"name must be text of 1 to {LONGEST_NAME} printable characters that hold no card number")
    answer = _told(Actor(name))
    answer.set_cookie(COOKIE, quote(name, safe=""), max_age=COOKIE_SECONDS, samesite="Strict", secure=request.is_secure)
    return answer


@blueprint.delete("/api/actor")
def forget() -> Response:
    """Forget the name that this browser keeps."""
    answer = _told(None)
    answer.delete_cookie(COOKIE, samesite="Strict", secure=request.is_secure)
    return answer


def _given() -> Actor | None:
    given = request.headers.get(HEADER) or request.cookies.get(COOKIE)
    if not given:
        return None
    try:
        name = name_of(unquote(given, errors="strict"))
    except UnicodeDecodeError:
        name = None
    return None if name is None else Actor(name)


def _told(who: Actor | None) -> Response:
    told = None if who is None else {"name": who.name, "verified": who.verified}
    return Response(orjson.dumps({"actor": told}), mimetype="application/json")
