"""Chains the entries of the audit trail by hashes, each over the entry and its predecessor's, and checks the chain."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Connection, func, select

from fraudstream.alerts import tables
from fraudstream.transactions.wire import EventField, EventType

MEMBERS: Final = (
    "change_id", "at_us", "actor", "verified", "session", "action", "subject", "before", "after", "why", "undoes",
)  # fmt: skip
"""What of an entry its hash covers, beside its items and the hash before."""

ROWS_AT_ONCE: Final = 1_000

ItemRow = tuple[int, str | None, str | None]
"""Alert, before and after as the table `change_items` has them."""

_CHANGE: Final = tables.changes.c
_ITEM: Final = tables.change_items.c
_LAST: Final = select(_CHANGE.seq, _CHANGE.hash).order_by(_CHANGE.seq.desc()).limit(1)


class Head(NamedTuple):
    """The newest entry of the chain and its hash, which stands for all before; 0 and empty where there is none."""

    seq: int
    hash: str
    entries: int


class PublishedHead(NamedTuple):
    """A head as an event tells it."""

    seq: int
    hash: str
    at: str

    @classmethod
    def of(cls, event: object) -> PublishedHead | None:
        """The head that an event of the type `audit_head` tells; None where it tells none."""
        if not isinstance(event, dict):
            return None
        seq, digest = event.get("seq"), event.get("hash")
        if not isinstance(seq, int) or not 0 <= seq < 2**53 or not isinstance(digest, str) or len(digest) > 64:
            return None
        return cls(seq, digest, str(event.get(EventField.AT)))


class BrokenLink(NamedTuple):
    """An entry whose hash is not that of its content and of the entry before."""

    seq: int
    change_id: str


def entry_hash(before: str, entry: Mapping[str, Any], items: Iterable[Sequence[Any]]) -> str:
    """The hash of an entry, in hexadecimal digits; `before` is that of the entry before, empty for the first.

    `items` are its rows of `change_items`, in order of the alert: (alert, before, after).
    """
    content = [before, [entry[name] for name in MEMBERS], [list(item) for item in items]]
    return hashlib.sha256(orjson.dumps(content)).hexdigest()


def last_hash(connection: Connection) -> str:
    """The hash of the newest entry; empty where there is none."""
    row = connection.execute(_LAST).one_or_none()
    return "" if row is None else row.hash


def head(connection: Connection) -> Head:
    """The head of the chain."""
    row = connection.execute(_LAST).one_or_none()
    entries = connection.execute(select(func.count()).select_from(tables.changes)).scalar_one()
    return Head(0, "", 0) if row is None else Head(row.seq, row.hash, entries)


def holds(connection: Connection, seq: int, published: str) -> bool:
    """Whether the chain has the entry that was its head when that was published; an empty chain is part of each."""
    if seq == 0:
        return published == ""
    found = connection.execute(select(_CHANGE.hash).where(_CHANGE.seq == seq)).scalar_one_or_none()
    return found == published


def stored_heads(connection: Connection, *, limit: int | None = None) -> list[PublishedHead]:
    """The published heads that came back as events, the newest first."""
    c = tables.events.c
    query = select(c.body).where(c.type == EventType.AUDIT_HEAD.value).order_by(c.seq.desc()).limit(limit)
    heads = (PublishedHead.of(orjson.loads(body)) for body in connection.execute(query).scalars())
    return [head for head in heads if head is not None]


def broken_links(connection: Connection, *, newest: int | None = None) -> Iterator[BrokenLink]:
    """The entries that do not fit, oldest first; of all, or of the newest so many.

    A changed entry is one broken link, and so is the entry behind those that were removed.
    """
    first = 0
    if newest is not None:
        skipped = select(_CHANGE.seq).order_by(_CHANGE.seq.desc()).offset(newest).limit(1)
        first = connection.execute(skipped).scalar() or 0
    before = connection.execute(select(_CHANGE.hash).where(_CHANGE.seq == first)).scalar_one_or_none() or ""
    items = _items_after(connection, first)
    waiting = next(items, None)
    entries = select(tables.changes).where(_CHANGE.seq > first).order_by(_CHANGE.seq)
    for row in connection.execute(entries.execution_options(yield_per=ROWS_AT_ONCE)):
        own: list[ItemRow] = []
        while waiting is not None and waiting[0] <= row.seq:
            if waiting[0] == row.seq:
                own = waiting[1]
            waiting = next(items, None)
        if row.hash != entry_hash(before, row._asdict(), own):
            yield BrokenLink(row.seq, row.change_id)
        before = row.hash


def _items_after(connection: Connection, first: int) -> Iterator[tuple[int, list[ItemRow]]]:
    query = select(_ITEM.change, _ITEM.alert, _ITEM.before, _ITEM.after).where(_ITEM.change > first)
    rows = connection.execute(query.order_by(_ITEM.change, _ITEM.alert).execution_options(yield_per=ROWS_AT_ONCE))
    for change, group in groupby(rows, key=lambda row: row.change):
        yield change, [(row.alert, row.before, row.after) for row in group]
