"""The log of replays in the alert store: requested by a person, claimed by a sender, concluded with its result."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Row, and_, case, func, insert, or_, select, update

from fraudstream.errors import RequestError
from fraudstream.messages.answers import Claimed, Replay
from fraudstream.messages.requests import ReplayRequest, ReplayResult
from fraudstream.store import tables
from fraudstream.store.dead_letters import DeadLetterFilter, DeadLetterReader, StoredDeadLetter
from fraudstream.store.store import AlertStore
from fraudstream.times import from_microseconds, iso_z, microseconds
from fraudstream.transactions.wire import AlertField, DeadLetterField, ReplayState

MOST_AT_ONCE: Final = 100_000
"""Replays in one request."""

RESULT_SECONDS: Final = 30
"""A claimed replay without a result is given to the next sender after so long: its own may have been killed."""

_LOOKED_UP_AT_ONCE: Final = 500

# What a sender must know of the letter: where else its bytes are, whether they are whole, and which record it is.
_OF_THE_LETTER: Final = (
    DeadLetterField.DEAD_LETTER,
    DeadLetterField.EVENT_ID,
    DeadLetterField.ORIGINAL_BYTES,
    DeadLetterField.PRODUCED_AT,
)


class Requested(NamedTuple):
    """A request: its `batch`, and how many letters match, were replayed before, and do not say where they came from.

    `batch` is None where nothing is recorded.
    """

    batch: str | None
    letters: int
    replayed: int
    without_place: int


class ReplayLog:
    """Reads and moves the replays of one store."""

    def __init__(self, store: AlertStore) -> None:
        self._store = store

    def request(self, request: ReplayRequest, which: DeadLetterFilter, who: str, now: datetime) -> Requested:
        """Record replays of all letters that match, oldest first; none where one was replayed before, without `again`.

        Raises:
            RequestError: There are more than `MOST_AT_ONCE`.
            StoreError: The database did not take them.
        """
        letters: dict[str, dict[str, str]] = {}
        without_place = 0
        for letter in DeadLetterReader(self._store).every(which):
            if letter.origin is None:
                without_place += 1
            else:
                letters.setdefault(str(letter.origin), _noted(letter))
            if len(letters) > MOST_AT_ONCE:
                message = f"more than {MOST_AT_ONCE:,} match: narrow the filter, and replay in several steps"
                raise RequestError(message, status=422)
        column, origins = tables.replays.c, list(letters)
        before = select(func.count(column.origin.distinct())).where(column.state != ReplayState.FAILED.value)
        with self._store.writing() as connection:
            replayed = sum(
                connection.execute(before.where(column.origin.in_(origins[at : at + _LOOKED_UP_AT_ONCE]))).scalar_one()
                for at in range(0, len(origins), _LOOKED_UP_AT_ONCE)
            )
            if request.dry_run or not letters or (replayed and not request.again):
                return Requested(None, len(letters), replayed, without_place)
            at_us, batch = microseconds(now), uuid.uuid4().hex
            common = {"batch": batch, "state": ReplayState.REQUESTED.value, "requested_us": at_us, "changed_us": at_us}
            common |= {"who": who, "why": request.why, "payload": request.payload_base64}
            rows = [common | noted | {"replay_id": uuid.uuid4().hex} for noted in reversed(letters.values())]
            connection.execute(insert(tables.replays), rows)
        return Requested(batch, len(letters), replayed, without_place)

    def waiting(self, now: datetime, batch: str | None = None) -> int:
        """How many replays a sender may claim."""
        query = select(func.count()).select_from(tables.replays).where(*_claimable(now, batch))
        return self._store.scalar(query) or 0

    def claim(self, now: datetime, *, limit: int, batch: str | None = None) -> list[Claimed]:
        """Give replays to a sender, oldest first; one without a result is given again after `RESULT_SECONDS`.

        Raises StoreError where the database does not take the claim.
        """
        column = tables.replays.c
        with self._store.writing() as connection:
            query = select(tables.replays).where(*_claimable(now, batch)).order_by(column.seq).limit(limit)
            rows = connection.execute(query).all()
            sending = {"state": ReplayState.SENDING.value, "changed_us": microseconds(now)}
            connection.execute(update(tables.replays).where(column.seq.in_([row.seq for row in rows])).values(sending))
        return [Claimed(row.replay_id, row.origin, orjson.loads(row.letter), row.payload) for row in rows]

    def conclude(self, results: Sequence[ReplayResult], now: datetime) -> int:
        """Record what became of replays, all in one transaction; returns of how many that was news.

        Raises StoreError where the database does not take it.
        """
        column = tables.replays.c
        news = 0
        with self._store.writing() as connection:
            for each in results:
                values = {
                    "state": (ReplayState.FAILED if each.place is None else ReplayState.SENT).value,
                    "place": each.place,
                    "reason": each.reason,
                    "changed_us": microseconds(now),
                    # A corrected payload is kept, as a person typed it, only until it is sent.
                    "payload": case((column.payload.is_not(None), "")),
                }
                query = update(tables.replays).values(values).where(column.replay_id == each.replay_id)
                news += connection.execute(query.where(column.state == ReplayState.SENDING.value)).rowcount
        return news

    def replays(
        self,
        *,
        state: ReplayState | None = None,
        batch: str | None = None,
        origins: Sequence[str] | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Replay]:
        """The newest replays first."""
        column = tables.replays.c
        query = select(tables.replays).order_by(column.seq.desc()).limit(limit).where(*_of(batch))
        if state is not None:
            query = query.where(column.state == state.value)
        if origins is not None:
            query = query.where(column.origin.in_(origins))
        if before is not None:
            query = query.where(column.seq < before)
        return [_replay(row) for row in self._store.rows(query)]

    def counts(self, batch: str | None = None) -> dict[str, int]:
        """How many replays there are in each state."""
        column = tables.replays.c
        query = select(column.state, func.count()).where(*_of(batch)).group_by(column.state)
        found = {state: number for state, number in self._store.rows(query)}
        return {state.value: found.get(state.value, 0) for state in ReplayState}


def _noted(letter: StoredDeadLetter) -> dict[str, str]:
    # Not the letter itself: ten thousand of them may hold 64 KiB each.
    known = {name.value: letter.document.get(name) for name in _OF_THE_LETTER}
    if known[DeadLetterField.EVENT_ID.value] is None:
        known[DeadLetterField.EVENT_ID.value] = letter.document.get(AlertField.ALERT_ID)
    return {"kind": letter.kind.value, "origin": str(letter.origin), "letter": orjson.dumps(known).decode()}


def _claimable(now: datetime, batch: str | None) -> list[ColumnElement[bool]]:
    column = tables.replays.c
    silent = column.changed_us < microseconds(now - timedelta(seconds=RESULT_SECONDS))
    requested, sending = (column.state == state.value for state in (ReplayState.REQUESTED, ReplayState.SENDING))
    return [or_(requested, and_(sending, silent)), *_of(batch)]


def _of(batch: str | None) -> list[ColumnElement[bool]]:
    return [] if batch is None else [tables.replays.c.batch == batch]


def _replay(row: Row[Any]) -> Replay:
    requested_at, changed_at = (iso_z(from_microseconds(at_us)) for at_us in (row.requested_us, row.changed_us))
    return Replay(
        *(row.seq, row.replay_id, row.batch, row.kind, row.origin, row.state, row.place, row.reason, row.who, row.why),
        *(requested_at, changed_at, row.payload is not None),
    )
