"""Identifies the actor of a request: the name of the session, or else the name in the request.

Names are self-declared and not verified. A session keeps its first name. Without a session the header takes precedence
over the cookie, and the cookie over `who` in the body.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from flask import Response, request

from fraudstream.dashboard.web.formats import COOKIE_SECONDS
from fraudstream.dashboard.web.routing import Api, json_response
from fraudstream.dashboard.web.security import acting_session
from fraudstream.errors import RequestError
from fraudstream.messages.answers import Introduced
from fraudstream.messages.requests import Introduction
from fraudstream.store.changes import NOBODY, Actor
from fraudstream.store.sessions import Sessions
from fraudstream.store.triage_state import LONGEST_NAME, is_same_person, name_of

COOKIE: Final = "fraudstream_actor"
HEADER: Final = "X-Fraudstream-Actor"

A_NAME: Final = f"a name of 1 to {LONGEST_NAME} printable characters of one script, without a card number"
ACTS_AS: Final = "this session acts as {}: sign out to act under another name"
WHO: Final = f"give your name: {A_NAME}, by POST /api/actor or in the header {HEADER} (percent-encoded UTF-8)"

api = Api("actor")


@dataclass(frozen=True)
class Actors:
    """Identifies the actor of a request, and sets the name of a browser's user."""

    sessions: Sessions

    def require(self, who: str | None = None) -> Actor:
        """Return the actor; raises RequestError (400) without a name, or if `who` in the body differs."""
        acting = self._acting(who)
        if acting is None:
            raise RequestError(WHO)
        return acting

    def current(self, who: str | None = None) -> Actor:
        """Return the actor, `NOBODY` without a name: for actions that need none."""
        return self._acting(who) or NOBODY

    @api.operation("GET", "/api/actor", Introduced)
    def who(self) -> Response:
        """The name of this browser's user."""
        return _answer(self._acting())

    @api.operation("POST", "/api/actor", Introduced, 409)
    def introduce(self, body: Introduction) -> Response:
        """Set the name of this browser's user, and of its session if it has one."""
        name = name_of(body.name)
        if name is None:
            raise RequestError(f"name must be {A_NAME}")
        session = acting_session()
        if session is not None:
            if session.name and not is_same_person(session.name, name):
                raise RequestError(ACTS_AS.format(session.name), status=409)
            name = session.name or name
            self.sessions.name(session, name)
        answer = _answer(Actor(name))
        answer.set_cookie(
            COOKIE, quote(name, safe=""), max_age=COOKIE_SECONDS, samesite="Strict", secure=request.is_secure
        )
        return answer

    @api.operation("DELETE", "/api/actor", Introduced, 409)
    def forget(self) -> Response:
        """Remove the name from this browser; a session keeps its name until it ends."""
        session = acting_session()
        if session is not None and session.name:
            raise RequestError(ACTS_AS.format(session.name), status=409)
        answer = _answer(None)
        answer.delete_cookie(COOKIE, samesite="Strict", secure=request.is_secure)
        return answer

    def _acting(self, who: str | None = None) -> Actor | None:
        declared = name_of(who) if who else None
        if who and not declared:
            raise RequestError(f"who must be {A_NAME}")
        session = acting_session()
        if session is None:
            name = _declared(request.headers.get(HEADER)) or remembered_name() or declared
        else:
            name = session.name or _declared(request.headers.get(HEADER)) or declared
            if name and not session.name:
                self.sessions.name(session, name)
        if declared and name and not is_same_person(name, declared):
            raise RequestError(f"who is {declared}, but this request is made by {name}: leave who out")
        return Actor(name, session=session.short_id if session else "") if name else None


def remembered_name() -> str:
    """Return the name in the browser's cookie, for a new session; empty without one."""
    return _declared(request.cookies.get(COOKIE)) or ""


def _declared(name: str | None) -> str | None:
    try:
        return name_of(unquote(name, errors="strict")) if name else None
    except UnicodeDecodeError:
        return None


def _answer(who: Actor | None) -> Response:
    document = None if who is None else {"name": who.name, "verified": who.verified}
    return json_response({"actor": document})
