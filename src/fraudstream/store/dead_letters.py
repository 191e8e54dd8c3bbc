"""Reads dead letters and unscorable transactions as one filtered list."""

import base64
import heapq
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Select, Table, false, func, select

from fraudstream.messages.base import Object
from fraudstream.messages.requests import LATER, TIME, Query, Repeated, Time, Whole, parameter
from fraudstream.store import tables
from fraudstream.store.database import Repository
from fraudstream.store.filters import conditions
from fraudstream.store.reading import member_text
from fraudstream.transactions.wire import AlertField, DeadLetterField, Outcome, RecordId, ReplayState

PAGE_SIZE: Final = 200
"""Dead letters in memory at once during an iteration over all of them; a body may hold 64 KiB of base64."""

KINDS: Final = (Outcome.DEAD_LETTER, Outcome.UNSCORABLE)


class Cursor(NamedTuple):
    """The position in the list: rows of each table with a lower `seq` come next."""

    dead_letters: int
    unscorable: int

    def __str__(self) -> str:
        """Format it for a URL."""
        return f"{self.dead_letters}.{self.unscorable}"


def parse_cursor(text: str) -> Cursor:
    """Parse a cursor; raises ValueError if the text is not one."""
    first, _, second = text.partition(".")
    if not all(part.isascii() and part.isdecimal() and len(part) <= 19 for part in (first, second)):
        raise ValueError("must be a next_cursor of this list")
    return Cursor(int(first), int(second))


DeadLetterKind = Literal["dead_letter", "unscorable", "all"]


class DeadLetterFilter(Query):
    """A filter on dead letters and unscorable transactions; times are those of production."""

    kind: DeadLetterKind = parameter("all", "all", "dead letters, unscorable transactions or both")
    reason: str | None = parameter(None, "JSON", "text that the reason contains")
    since: Time | None = parameter(None, TIME, "produced at or after this time")
    until: Time | None = parameter(None, LATER, "produced before this time")
    topic: str | None = parameter(None, "credit_card_transactions", "the input topic")
    partition: Whole | None = parameter(None, 0, "the partition", le=10**9)
    offset: Whole | None = parameter(None, 7, "the offset", le=10**18)
    replayed: Literal["yes", "no"] | None = parameter(None, "no", "whether it was replayed, or a replay is pending")
    place: Annotated[list[str], Repeated] = parameter([], ["t/0/7"], "only these records, as topic/partition/offset")


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A stored dead letter or unscorable transaction; `seq` is its commit order within its kind."""

    seq: int
    kind: Outcome
    received_us: int
    document: Object

    @property
    def record_id(self) -> RecordId | None:
        """The record on the input topic; None for an unscorable transaction without one."""
        topic, partition, offset = (self.document.get(name) for name in ("topic", "partition", "offset"))
        return None if topic is None or partition is None or offset is None else RecordId(topic, partition, offset)

    @property
    def payload(self) -> bytes | None:
        """The value of the record, as far as it is stored; None for a tombstone."""
        if self.kind == Outcome.UNSCORABLE:
            return orjson.dumps(self.document.get(AlertField.TRANSACTION))
        encoded = self.document.get(DeadLetterField.PAYLOAD)
        try:
            return None if encoded is None else base64.b64decode(encoded, validate=True)
        except ValueError:
            return encoded.encode() if isinstance(encoded, str) else None

    @property
    def size(self) -> int:
        """The original size of the record's value, in bytes."""
        size = self.document.get(DeadLetterField.ORIGINAL_BYTES)
        return size if isinstance(size, int) else len(self.payload or b"")


class DeadLetterReader(Repository):
    """Reads dead letters from the alert store, newest first."""

    def page(
        self, query: DeadLetterFilter, *, after: Cursor | None, limit: int
    ) -> tuple[list[StoredDeadLetter], Cursor | None]:
        """Return the dead letters after a cursor, and the cursor of the next page; None on the last page."""
        start = after or Cursor(2**62, 2**62)
        with self._database.read() as connection:
            pages = [
                [
                    StoredDeadLetter(row.seq, kind, row.received_us, orjson.loads(row.body))
                    for row in connection.execute(rows.where(seq < before).order_by(seq.desc()).limit(limit))
                ]
                for (kind, rows, seq), before in zip(_queries(query), start, strict=True)
            ]
        dead_letters = list(heapq.merge(*pages, key=lambda each: -each.received_us))[:limit]
        if len(dead_letters) < limit:
            return dead_letters, None
        last = {each.kind: each.seq for each in dead_letters}
        return dead_letters, Cursor(*(last.get(kind, before) for kind, before in zip(KINDS, start, strict=True)))

    def every(self, query: DeadLetterFilter) -> Iterator[StoredDeadLetter]:
        """Yield all dead letters that match, with one page in memory at a time."""
        after: Cursor | None = None
        while True:
            dead_letters, after = self.page(query, after=after, limit=PAGE_SIZE)
            yield from dead_letters
            if after is None:
                return

    def count(self, query: DeadLetterFilter) -> int:
        """Count the dead letters that match."""
        with self._database.read() as connection:
            return sum(
                connection.execute(select(func.count()).select_from(rows.subquery())).scalar_one()
                for _, rows, _ in _queries(query)
            )


def _queries(query: DeadLetterFilter) -> Sequence[tuple[Outcome, Select[Any], ColumnElement[int]]]:
    """Build the query of each kind, with the column that it is ordered by."""
    dead_letters, alerts = tables.dead_letters.c, tables.alerts.c
    place = [member_text(alerts.body, name) for name in ("topic", "partition", "offset")]
    record_id = place[0] + "/" + place[1] + "/" + place[2]
    unscorable = alerts.outcome == Outcome.UNSCORABLE.value
    queries = (
        _query(query, Outcome.DEAD_LETTER, tables.dead_letters, dead_letters.body.is_not(None), dead_letters.id),
        _query(query, Outcome.UNSCORABLE, tables.alerts, unscorable, record_id),
    )
    return tuple(zip(KINDS, queries, (dead_letters.seq, alerts.seq), strict=True))


def _query(
    query: DeadLetterFilter, kind: Outcome, table: Table, condition: ColumnElement[bool], record_id: ColumnElement[str]
) -> Select[Any]:
    body, replays, produced_us = table.c.body, tables.replays.c, table.c.produced_us
    where = conditions((produced_us, operator.ge, query.since), (produced_us, operator.lt, query.until))
    where.append(condition if query.kind in (kind, "all") else false())
    for name in ("topic", "partition", "offset"):
        if (value := getattr(query, name)) is not None:
            where.append(member_text(body, name) == str(value))
    if query.reason is not None:
        reason = func.lower(func.coalesce(member_text(body, "reason"), ""))
        where.append(reason.contains(query.reason.lower(), autoescape=True))
    if query.place:
        where.append(record_id.in_(query.place))
    if query.replayed is not None:
        replay = select(replays.seq).where(replays.origin == record_id, replays.state != ReplayState.FAILED.value)
        where.append(replay.exists() if query.replayed == "yes" else ~replay.exists())
    return select(table.c.seq, table.c.received_us, body).where(*where)
