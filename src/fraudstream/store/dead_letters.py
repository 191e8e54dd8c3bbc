"""Dead letters and unscorable rows as a person works them: one list, filtered; their replays are `replay_log.py`'s."""

import base64
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Select, Table, false, func, select

from fraudstream.messages.base import Object
from fraudstream.messages.requests import LATER, TIME, Query, Repeated, Time, Whole, parameter
from fraudstream.store import tables
from fraudstream.store.reading import AlertReader
from fraudstream.transactions.wire import AlertField, DeadLetterField, Outcome, RecordId, ReplayState

WALKED_AT_ONCE: Final = 200
"""Letters held at once while all of them are walked through; a body may hold 64 KiB of base64."""

KINDS: Final = (Outcome.DEAD_LETTER, Outcome.UNSCORABLE)

# Julian days of 1970-01-01, and milliseconds of a day: SQLite counts time in whole milliseconds inside.
_EPOCH_DAYS: Final = 2_440_587.5
_DAY_MS: Final = 86_400_000.0


class Cursor(NamedTuple):
    """How far a list was read: each table before its `seq`."""

    dead_letters: int
    unscorable: int

    def __str__(self) -> str:
        """As text for a URL."""
        return f"{self.dead_letters}.{self.unscorable}"


_START: Final = Cursor(2**62, 2**62)


def parse_cursor(text: str) -> Cursor:
    """The cursor that a text is; raises ValueError where it is none."""
    first, _, second = text.partition(".")
    if not all(part.isascii() and part.isdecimal() and len(part) <= 19 for part in (first, second)):
        raise ValueError("must be a next_cursor of this list")
    return Cursor(int(first), int(second))


EVERY: Final = "all"
DeadLetterKind = Literal["dead_letter", "unscorable", "all"]


class DeadLetterFilter(Query):
    """Which dead letters and unscorable transactions; times are those of production."""

    kind: DeadLetterKind = parameter("all", "all", "which of the two")
    reason: str | None = parameter(None, "JSON", "text that the reason holds")
    since: Time | None = parameter(None, TIME, "from this time of the record on")
    until: Time | None = parameter(None, LATER, "before this time of the record")
    topic: str | None = parameter(None, "credit_card_transactions", "the input topic")
    partition: Whole | None = parameter(None, 0, "its partition", le=10**9)
    offset: Whole | None = parameter(None, 7, "its offset", le=10**18)
    replayed: Literal["yes", "no"] | None = parameter(None, "no", "whether it was sent again, or is about to be")
    place: Annotated[list[str], Repeated] = parameter([], ["t/0/7"], "only these records, as topic/partition/offset")


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter or an unscorable row as the store keeps it; `seq` is the order of commit among its kind."""

    seq: int
    kind: Outcome
    received_us: int
    document: Object

    @property
    def origin(self) -> RecordId | None:
        """Where the record stands on the input; None for an unscorable row that does not say so."""
        topic, partition, offset = (self.document.get(name) for name in ("topic", "partition", "offset"))
        return None if topic is None or partition is None or offset is None else RecordId(topic, partition, offset)

    @property
    def payload(self) -> bytes | None:
        """What the record held, as far as it is kept; None for a tombstone."""
        if self.kind == Outcome.UNSCORABLE:
            return orjson.dumps(self.document.get(AlertField.TRANSACTION))
        encoded = self.document.get(DeadLetterField.PAYLOAD)
        try:
            return None if encoded is None else base64.b64decode(encoded, validate=True)
        except ValueError:
            return encoded.encode() if isinstance(encoded, str) else None

    @property
    def size(self) -> int:
        """The record's value in bytes, as it came."""
        told = self.document.get(DeadLetterField.ORIGINAL_BYTES)
        return told if isinstance(told, int) else len(self.payload or b"")


class DeadLetterReader:
    """Reads letters out of the alert store, newest first."""

    def __init__(self, store: AlertReader) -> None:
        self._store = store

    def page(
        self, wanted: DeadLetterFilter, *, after: Cursor | None, limit: int
    ) -> tuple[list[StoredDeadLetter], Cursor | None]:
        """The letters that follow a cursor, and the cursor of those that follow them; None where these are the last."""
        start = after or _START
        with self._store.reading() as connection:
            found = [
                [
                    StoredDeadLetter(row.seq, kind, row.received_us, orjson.loads(row.body))
                    for row in connection.execute(query.where(seq < before).order_by(seq.desc()).limit(limit))
                ]
                for (kind, query, seq), before in zip(_tables(wanted), start, strict=True)
            ]
        letters = list(heapq.merge(*found, key=lambda letter: -letter.received_us))[:limit]
        if len(letters) < limit:
            return letters, None
        last = {letter.kind: letter.seq for letter in letters}
        return letters, Cursor(*(last.get(kind, before) for kind, before in zip(KINDS, start, strict=True)))

    def every(self, wanted: DeadLetterFilter) -> Iterator[StoredDeadLetter]:
        """All letters, a page of them in memory at a time."""
        after: Cursor | None = None
        while True:
            letters, after = self.page(wanted, after=after, limit=WALKED_AT_ONCE)
            yield from letters
            if after is None:
                return

    def count(self, wanted: DeadLetterFilter) -> int:
        """How many there are."""
        with self._store.reading() as connection:
            return sum(
                connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
                for _, query, _ in _tables(wanted)
            )


def _tables(wanted: DeadLetterFilter) -> Sequence[tuple[Outcome, Select[Any], ColumnElement[int]]]:
    """For each kind of letter its query, and the column that puts it in order."""
    letters, alerts = tables.dead_letters.c, tables.alerts.c
    at = func.round((func.julianday(_key(letters.body, "produced_at")) - _EPOCH_DAYS) * _DAY_MS) * 1000
    place = _key(alerts.body, "topic") + "/" + _key(alerts.body, "partition") + "/" + _key(alerts.body, "offset")
    unscorable = alerts.outcome == Outcome.UNSCORABLE.value
    queries = (
        _query(wanted, Outcome.DEAD_LETTER, tables.dead_letters, letters.body.is_not(None), letters.id, at),
        _query(wanted, Outcome.UNSCORABLE, tables.alerts, unscorable, place, alerts.produced_us),
    )
    return tuple(zip(KINDS, queries, (letters.seq, alerts.seq), strict=True))


def _query(
    wanted: DeadLetterFilter,
    kind: Outcome,
    table: Table,
    kept: ColumnElement[bool],
    origin: ColumnElement[str],
    produced_us: ColumnElement[Any],
) -> Select[Any]:
    body, replays = table.c.body, tables.replays.c
    conditions: list[ColumnElement[bool]] = [kept if wanted.kind in (kind, EVERY) else false()]
    for name in ("topic", "partition", "offset"):
        if (value := getattr(wanted, name)) is not None:
            conditions.append(_key(body, name) == value)
    if wanted.reason is not None:
        reason = func.lower(func.coalesce(_key(body, "reason"), ""))
        conditions.append(func.instr(reason, wanted.reason.lower()) > 0)
    if wanted.since is not None:
        conditions.append(produced_us >= wanted.since)
    if wanted.until is not None:
        conditions.append(produced_us < wanted.until)
    if wanted.place:
        conditions.append(origin.in_(wanted.place))
    if wanted.replayed is not None:
        replay = select(replays.seq).where(replays.origin == origin, replays.state != ReplayState.FAILED.value)
        conditions.append(replay.exists() if wanted.replayed == "yes" else ~replay.exists())
    return select(table.c.seq, table.c.received_us, body).where(*conditions)


def _key(body: ColumnElement[Any], name: str) -> ColumnElement[Any]:
    return func.json_extract(body, f"$.{name}")
