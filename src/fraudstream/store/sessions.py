"""Stores sign-in sessions, which can be named, ended one by one, or revoked all at once."""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import delete, insert, select, update

from fraudstream.store import tables
from fraudstream.store.database import Database
from fraudstream.times import microseconds

SESSION_HOURS: Final = 12
SHORT_DIGITS: Final = 12

_COLUMN: Final = tables.sessions.c


class Session(NamedTuple):
    """An active session; `name` is empty until the person has entered one."""

    digest: str
    name: str

    @property
    def short_id(self) -> str:
        """The id in the audit trail: it distinguishes sessions, but cannot be used to sign in."""
        return self.digest[:SHORT_DIGITS]


class Sessions:
    """The sessions in a store.

    The database stores an HMAC of each random session id, keyed with the read token: a copy of the database opens no
    session, and a new token ends all of them. An empty `token` disables sessions.
    """

    def __init__(self, database: Database, token: str, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._token = token.encode()
        self._clock = clock

    def open(self, name: str) -> str:
        """Start a session for 12 hours; returns the id for the browser."""
        session_id, now = secrets.token_urlsafe(32), self._clock()
        expires_us = microseconds(now + timedelta(hours=SESSION_HOURS))
        with self._database.write() as connection:
            connection.execute(delete(tables.sessions).where(_COLUMN.expires_us <= microseconds(now)))
            row = {"digest": self._digest(session_id), "expires_us": expires_us, "name": name}
            connection.execute(insert(tables.sessions), row)
        return session_id

    def find(self, session_id: str) -> Session | None:
        """Return the session with an id; None if it has ended, was revoked or never existed."""
        if not session_id or not self._token:
            return None
        is_active = _COLUMN.expires_us > microseconds(self._clock())
        query = select(_COLUMN.digest, _COLUMN.name).where(_COLUMN.digest == self._digest(session_id), is_active)
        rows = self._database.rows(query)
        return Session(*rows[0]) if rows else None

    def name(self, session: Session, name: str) -> None:
        """Set the name of a session that has none yet."""
        with self._database.write() as connection:
            chosen = update(tables.sessions).where(_COLUMN.digest == session.digest, _COLUMN.name == "")
            connection.execute(chosen.values(name=name))

    def end(self, session: Session) -> None:
        """End one session."""
        with self._database.write() as connection:
            connection.execute(delete(tables.sessions).where(_COLUMN.digest == session.digest))

    def _digest(self, session_id: str) -> str:
        return hmac.new(self._token, session_id.encode(), hashlib.sha256).hexdigest()


def revoke_sessions(database: Database) -> int:
    """End every session; returns how many there were."""
    with database.write() as connection:
        return connection.execute(delete(tables.sessions)).rowcount
