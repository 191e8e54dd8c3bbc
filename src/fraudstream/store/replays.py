"""Stores replays: requested by a person, claimed by a sender, completed with a result."""

import operator
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Column, ColumnElement, Row, and_, case, func, insert, or_, select, update

from fraudstream.errors import RequestError
from fraudstream.messages.answers import Claimed, Replay
from fraudstream.messages.requests import ReplayRequest, ReplayResult
from fraudstream.store import tables
from fraudstream.store.database import Repository
from fraudstream.store.dead_letters import DeadLetterFilter, DeadLetterReader, StoredDeadLetter
from fraudstream.store.filters import conditions
from fraudstream.times import from_microseconds, iso_z, microseconds
from fraudstream.transactions.wire import AlertField, DeadLetterField, ReplayState

MOST_AT_ONCE: Final = 100_000
"""Replays in one request."""

RESULT_SECONDS: Final = 30
"""A claimed replay without a result can be claimed again after this long: its sender may have been killed."""

_LOOKED_UP_AT_ONCE: Final = 500

# What a sender needs of the dead letter: where its copy is, whether that is complete, and which record it is.
_SENDER_FIELDS: Final = (
    DeadLetterField.DEAD_LETTER,
    DeadLetterField.EVENT_ID,
    DeadLetterField.ORIGINAL_BYTES,
    DeadLetterField.PRODUCED_AT,
)


class ReplayBatch(NamedTuple):
    """A batch (None if nothing was recorded), and how many dead letters match, were replayed, and have no record id."""

    batch: str | None
    letters: int
    replayed: int
    without_place: int


class ReplayLog(Repository):
    """Reads and updates the replays of one store."""

    def request(self, request: ReplayRequest, which: DeadLetterFilter, who: str, now: datetime) -> ReplayBatch:
        """Record replays of all matches, oldest first; none if one was replayed before, unless `again` is set.

        Raises RequestError if more than `MOST_AT_ONCE` match.
        """
        rows_by_id: dict[str, dict[str, str]] = {}
        without_place = 0
        for dead_letter in DeadLetterReader(self._database).every(which):
            if dead_letter.record_id is None:
                without_place += 1
            else:
                rows_by_id.setdefault(str(dead_letter.record_id), _replay_row(dead_letter))
            if len(rows_by_id) > MOST_AT_ONCE:
                message = f"more than {MOST_AT_ONCE:,} match: narrow the filter and replay in several steps"
                raise RequestError(message, status=422)
        column, origins = tables.replays.c, list(rows_by_id)
        before = select(func.count(column.origin.distinct())).where(column.state != ReplayState.FAILED.value)
        with self._database.write() as connection:
            replayed = sum(
                connection.execute(before.where(column.origin.in_(origins[at : at + _LOOKED_UP_AT_ONCE]))).scalar_one()
                for at in range(0, len(origins), _LOOKED_UP_AT_ONCE)
            )
            if request.dry_run or not rows_by_id or (replayed and not request.again):
                return ReplayBatch(None, len(rows_by_id), replayed, without_place)
            at_us, batch = microseconds(now), uuid.uuid4().hex
            common = {"batch": batch, "state": ReplayState.REQUESTED.value, "requested_us": at_us, "changed_us": at_us}
            common |= {"who": who, "why": request.why, "payload": request.payload_base64}
            rows = [common | row | {"replay_id": uuid.uuid4().hex} for row in reversed(rows_by_id.values())]
            connection.execute(insert(tables.replays), rows)
        return ReplayBatch(batch, len(rows_by_id), replayed, without_place)

    def waiting(self, now: datetime, batch: str | None = None) -> int:
        """Count the replays that a sender can claim."""
        return self._database.count(tables.replays, *_claimable(now, batch))

    def claim(self, now: datetime, *, limit: int, batch: str | None = None) -> list[Claimed]:
        """Assign replays to a sender, oldest first; one without a result is assigned again after `RESULT_SECONDS`."""
        column = tables.replays.c
        with self._database.write() as connection:
            query = select(tables.replays).where(*_claimable(now, batch)).order_by(column.seq).limit(limit)
            rows = connection.execute(query).all()
            sending = {"state": ReplayState.SENDING.value, "changed_us": microseconds(now)}
            connection.execute(update(tables.replays).where(column.seq.in_([row.seq for row in rows])).values(sending))
        return [Claimed(row.replay_id, row.origin, orjson.loads(row.letter), row.payload) for row in rows]

    def conclude(self, results: Sequence[ReplayResult], now: datetime) -> int:
        """Record the results of replays in one transaction; returns how many were not recorded yet."""
        column = tables.replays.c
        recorded = 0
        with self._database.write() as connection:
            for each in results:
                values = {
                    "state": (ReplayState.FAILED if each.place is None else ReplayState.SENT).value,
                    "place": each.place,
                    "reason": each.reason,
                    "changed_us": microseconds(now),
                    # A corrected payload is stored as typed, and only until it is sent.
                    "payload": case((column.payload.is_not(None), "")),
                }
                query = update(tables.replays).values(values).where(column.replay_id == each.replay_id)
                recorded += connection.execute(query.where(column.state == ReplayState.SENDING.value)).rowcount
        return recorded

    def replays(
        self,
        *,
        state: ReplayState | None = None,
        batch: str | None = None,
        origins: Sequence[str] | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Replay]:
        """Return replays, newest first."""
        column = tables.replays.c
        where = conditions(
            (column.batch, operator.eq, batch),
            (column.state, operator.eq, state),
            (column.origin, Column.in_, origins),
            (column.seq, operator.lt, before),
        )
        query = select(tables.replays).where(*where).order_by(column.seq.desc()).limit(limit)
        return [_replay(row) for row in self._database.rows(query)]

    def counts(self, batch: str | None = None) -> dict[str, int]:
        """Count the replays in each state."""
        column = tables.replays.c
        where = conditions((column.batch, operator.eq, batch))
        query = select(column.state, func.count()).where(*where).group_by(column.state)
        counts = {state: number for state, number in self._database.rows(query)}
        return {state.value: counts.get(state.value, 0) for state in ReplayState}


def _replay_row(dead_letter: StoredDeadLetter) -> dict[str, str]:
    # Not the dead letter itself: ten thousand of them may hold 64 KiB each.
    document, event_id = dead_letter.document, DeadLetterField.EVENT_ID.value
    fields = {name.value: document.get(name) for name in _SENDER_FIELDS}
    fields[event_id] = document.get(AlertField.ALERT_ID) if fields[event_id] is None else fields[event_id]
    encoded = orjson.dumps(fields).decode()
    return {"kind": dead_letter.kind.value, "origin": str(dead_letter.record_id), "letter": encoded}


def _claimable(now: datetime, batch: str | None) -> list[ColumnElement[bool]]:
    column = tables.replays.c
    expired = column.changed_us < microseconds(now - timedelta(seconds=RESULT_SECONDS))
    requested, sending = (column.state == state.value for state in (ReplayState.REQUESTED, ReplayState.SENDING))
    return [or_(requested, and_(sending, expired)), *conditions((column.batch, operator.eq, batch))]


def _replay(row: Row[Any]) -> Replay:
    requested_at, changed_at = (iso_z(from_microseconds(at_us)) for at_us in (row.requested_us, row.changed_us))
    return Replay(
        *(row.seq, row.replay_id, row.batch, row.kind, row.origin, row.state, row.place, row.reason, row.who, row.why),
        *(requested_at, changed_at, row.payload is not None),
    )
