"""The states of a replay, and what is told of it: shared by store, sender and API; who moves it is `replay_log.py`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sqlalchemy import Row

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ReplayState(StrEnum):
    """How far a replay is. `sending` is set before the record leaves: from then on it may stand in the topic."""

    REQUESTED = "requested"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"


OPEN: Final = (ReplayState.REQUESTED, ReplayState.SENDING)

LEASE_SECONDS: Final = 30.0
"""A sender that has told nothing of a replay for so long is taken for dead, and another one looks after it."""

SEND_SECONDS: Final = 10.0
"""A record that Kafka has not acknowledged by then is given up by its sender: well within the lease."""


class TooMany(Exception):
    """Raised when more than `MOST_AT_ONCE` letters match."""


class Asked(NamedTuple):
    """What became of a request.

    Attributes:
        batch: The id of the request; None where nothing was recorded.
        letters: How many letters it names.
        replayed: How many of them were replayed before, or are about to be.
        without_place: How many do not say where they came from, and so cannot be sent.
    """

    batch: str | None
    letters: int
    replayed: int
    without_place: int


class Result(NamedTuple):
    """What became of a replay: the `place` of the new record, or the `reason` why there is none."""

    replay_id: str
    place: str | None
    reason: str | None


def replay_document(row: Row[Any]) -> dict[str, Any]:
    """A row of the table `replays` as the API gives it."""
    return {
        "seq": row.seq,
        "replay_id": row.replay_id,
        "batch": row.batch,
        "kind": row.kind,
        "origin": row.origin,
        "state": row.state,
        "place": row.place,
        "reason": row.reason,
        "who": row.who,
        "why": row.why,
        "requested_at": _iso(row.requested_us),
        "changed_at": _iso(row.changed_us),
        "corrected": row.payload is not None,
    }


def _iso(at_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
