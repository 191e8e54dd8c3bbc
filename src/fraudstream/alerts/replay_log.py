"""The log of replays in the alert store: asked for, claimed by a sender, told of; `replaying.py` sends them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, and_, case, func, insert, or_, select, update

from fraudstream.alerts import tables
from fraudstream.alerts.letters import Letter, LetterFilter, LetterReader
from fraudstream.alerts.replay_state import (
    LEASE_SECONDS,
    OPEN,
    Asked,
    ReplayState,
    Result,
    TooMany,
    replay_document,
)
from fraudstream.alerts.store import AlertStore
from fraudstream.alerts.validation import microseconds
from fraudstream.transactions.wire import AlertField, DeadLetterField

MOST_AT_ONCE: Final = 100_000
"""Replays in one request."""

_LOOKED_UP_AT_ONCE: Final = 500

# What a sender must know of the letter: where else its bytes are, whether they are whole, and which record it is.
_OF_THE_LETTER: Final = (
    DeadLetterField.DEAD_LETTER,
    DeadLetterField.EVENT_ID,
    DeadLetterField.ORIGINAL_BYTES,
    DeadLetterField.PRODUCED_AT,
)


@dataclass(frozen=True, slots=True)
class Request:
    """Who wants what sent again, and why.

    Attributes:
        wanted: Which letters.
        who: As the person says; nobody verifies it.
        why: What was mended.
        again: Letters that were replayed before too.
        payload: A corrected value in base64, for a single letter.
        sender: Reserves the replays for one sender for as long as its lease runs; None for whoever comes first.
        dry_run: Only count.
    """

    wanted: LetterFilter
    who: str
    why: str
    again: bool = False
    payload: str | None = None
    sender: str | None = None
    dry_run: bool = False


class ReplayLog:
    """Reads and moves the replays of one store."""

    def __init__(self, store: AlertStore) -> None:
        """Take the open store."""
        self._store = store

    def request(self, asked: Request, now: datetime) -> Asked:
        """Record replays of all letters that match, oldest first.

        Nothing is recorded where one of them was replayed before and that was not asked for (`Asked.batch` is None).

        Raises:
            TooMany: There are more than `MOST_AT_ONCE`.
            StoreError: The database did not take them.
        """
        letters: dict[str, dict[str, str]] = {}
        without_place = 0
        for letter in LetterReader(self._store).every(asked.wanted):
            if letter.origin is None:
                without_place += 1
            else:
                letters.setdefault(str(letter.origin), _noted(letter))
            if len(letters) > MOST_AT_ONCE:
                raise TooMany
        oldest_first = list(reversed(letters.items()))
        with self._store.writing() as connection:
            replayed = sum(
                connection.execute(_replayed([origin for origin, _ in some])).scalar_one()
                for some in _pieces(oldest_first)
            )
            if asked.dry_run or not letters or (replayed and not asked.again):
                return Asked(None, len(letters), replayed, without_place)
            batch = uuid.uuid4().hex
            for some in _pieces(oldest_first):
                connection.execute(insert(tables.replays), [_row(asked, batch, *each, now) for each in some])
        return Asked(batch, len(letters), replayed, without_place)

    def waiting(self, sender: str, now: datetime, batch: str | None = None) -> int:
        """How many replays a sender may claim."""
        with self._store.reading() as connection:
            query = select(func.count()).select_from(tables.replays).where(*_claimable(sender, now, batch))
            found: int = connection.execute(query).scalar_one()
            return found

    def claim(
        self, sender: str, ends: Mapping[str, Any], now: datetime, *, limit: int, batch: str | None = None
    ) -> list[dict[str, Any]]:
        """Give replays to a sender, oldest first; from now on each may stand in the topic.

        Args:
            sender: Its id, new for each process.
            ends: The ends of the input topic as the sender has just read them: a record that it sends stands at one
                of them or after it. Kept at the first claim, for whoever must look for the record.
            now: The time.
            limit: At most so many.
            batch: Of this request only.

        Returns:
            Each with `replay_id`, `origin`, `letter`, `payload_base64`, and `ends`, which is None where no other
            sender can have sent it before.

        Raises:
            StoreError: The database did not take the claim.
        """
        column = tables.replays.c
        with self._store.writing() as connection:
            query = select(tables.replays).where(*_claimable(sender, now, batch)).order_by(column.seq).limit(limit)
            rows = connection.execute(query).all()
            at = microseconds(now)
            for row in rows:
                first = {"ends": orjson.dumps(ends).decode()} if row.state == ReplayState.REQUESTED else {}
                values = {"state": ReplayState.SENDING.value, "sender": sender, "claimed_us": at, "changed_us": at}
                connection.execute(update(tables.replays).where(column.seq == row.seq).values(values | first))
        return [
            {
                "replay_id": row.replay_id,
                "origin": row.origin,
                "letter": orjson.loads(row.letter),
                "payload_base64": row.payload,
                "ends": orjson.loads(row.ends) if row.state == ReplayState.SENDING else None,
            }
            for row in rows
        ]

    def conclude(self, sender: str, results: Sequence[Result], now: datetime) -> int:
        """Record what became of replays, all in one transaction; returns of how many that was news.

        That a record was sent is taken from any sender; that it cannot be, only from the one that has the claim.

        Raises:
            StoreError: The database did not take it.
        """
        column = tables.replays.c
        news = 0
        with self._store.writing() as connection:
            for each in results:
                conditions = [column.replay_id == each.replay_id, column.state == ReplayState.SENDING.value]
                if each.place is None:
                    conditions.append(column.sender == sender)
                values = {
                    "state": (ReplayState.FAILED if each.place is None else ReplayState.SENT).value,
                    "place": each.place,
                    "reason": each.reason,
                    "changed_us": microseconds(now),
                    # A corrected payload is kept, as a person typed it, only until it is sent.
                    "payload": case((column.payload.is_not(None), "")),
                }
                news += connection.execute(update(tables.replays).where(*conditions).values(values)).rowcount
        return news

    def replays(
        self,
        *,
        state: ReplayState | None = None,
        batch: str | None = None,
        origins: Sequence[str] | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """The newest replays first."""
        column = tables.replays.c
        query = select(tables.replays).order_by(column.seq.desc()).limit(limit).where(*_of(batch, state))
        if origins is not None:
            query = query.where(column.origin.in_(origins))
        if before is not None:
            query = query.where(column.seq < before)
        with self._store.reading() as connection:
            return [replay_document(row) for row in connection.execute(query)]

    def counts(self, batch: str | None = None) -> dict[str, int]:
        """How many replays there are in each state."""
        column = tables.replays.c
        query = select(column.state, func.count()).where(*_of(batch, None)).group_by(column.state)
        with self._store.reading() as connection:
            found = {state: number for state, number in connection.execute(query)}
        return {state.value: found.get(state.value, 0) for state in ReplayState}


def _noted(letter: Letter) -> dict[str, str]:
    # Not the letter itself: ten thousand of them may hold 64 KiB each.
    known = {name.value: letter.document.get(name) for name in _OF_THE_LETTER}
    if known[DeadLetterField.EVENT_ID.value] is None:
        known[DeadLetterField.EVENT_ID.value] = letter.document.get(AlertField.ALERT_ID)
    return {"kind": letter.kind.value, "letter": orjson.dumps(known).decode()}


def _row(asked: Request, batch: str, origin: str, noted: dict[str, str], now: datetime) -> dict[str, Any]:
    at = microseconds(now)
    return noted | {
        "replay_id": uuid.uuid4().hex,
        "batch": batch,
        "origin": origin,
        "state": ReplayState.REQUESTED.value,
        "who": asked.who,
        "why": asked.why,
        "requested_us": at,
        "changed_us": at,
        "sender": asked.sender,
        "claimed_us": None if asked.sender is None else at,
        "payload": asked.payload,
    }


def _claimable(sender: str, now: datetime, batch: str | None) -> list[ColumnElement[bool]]:
    column = tables.replays.c
    expired = column.claimed_us < microseconds(now - timedelta(seconds=LEASE_SECONDS))
    free = or_(column.sender.is_(None), column.sender == sender, expired)
    claimable = or_(
        and_(column.state == ReplayState.REQUESTED.value, free),
        and_(column.state == ReplayState.SENDING.value, expired),
    )
    return [claimable, *_of(batch, None)]


def _of(batch: str | None, state: ReplayState | None) -> list[ColumnElement[bool]]:
    column = tables.replays.c
    asked = ((column.batch, batch), (column.state, state))
    return [each == value for each, value in asked if value is not None]


def _replayed(origins: Sequence[str]) -> Any:
    column = tables.replays.c
    return select(func.count(column.origin.distinct())).where(
        column.origin.in_(origins), column.state.in_([*OPEN, ReplayState.SENT])
    )


def _pieces(letters: Sequence[tuple[str, dict[str, str]]]) -> list[Sequence[tuple[str, dict[str, str]]]]:
    return [letters[at : at + _LOOKED_UP_AT_ONCE] for at in range(0, len(letters), _LOOKED_UP_AT_ONCE)]
