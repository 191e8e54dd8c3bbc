"""The record of what people change: who, when, before, after; `change_reading.py` reads it, `work.py` changes alerts.

It is append-only: there is nothing here that alters or takes back an entry, and triggers of the database refuse it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from sqlalchemy import Connection
from sqlalchemy.dialects.sqlite import insert

from fraudstream.store import tables
from fraudstream.store.triage_state import TriageState
from fraudstream.times import microseconds, parse_time

if TYPE_CHECKING:
    from fraudstream.store.store import AlertStore


import hashlib
from collections.abc import Iterable, Iterator
from itertools import groupby

from sqlalchemy import func, select

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


@dataclass(frozen=True)
class Head:
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


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something.

    Attributes:
        name: Empty for somebody who gave none.
        verified: Whether anything but the person's own word stands for it.
        session: The short id of the session that acts; empty where there is none.
    """

    name: str
    verified: bool = False
    session: str = ""


NOBODY: Final = Actor("")
"""Somebody who gave no name, where none is asked for."""


class Action(StrEnum):
    """What a change is."""

    CLAIM = "claim"
    RELEASE = "release"
    VERDICT = "verdict"
    NOTE = "note"
    UNDO = "undo"
    THRESHOLD = "threshold"
    ALIAS = "alias"
    MODEL = "model"
    EXPORT = "export"
    ACKNOWLEDGE = "acknowledge"


WORK_ACTIONS: Final = (Action.CLAIM, Action.RELEASE, Action.VERDICT, Action.NOTE, Action.UNDO)
"""What is done to alerts; each has its items."""


class Item(NamedTuple):
    """What a change does to one alert, by its `seq`; None for what stays as it is."""

    alert: int
    before: TriageState | None
    after: TriageState | None


@dataclass(frozen=True, slots=True)
class Change:
    """A change that is about to be recorded.

    Attributes:
        subject: What it is made to, briefly: an alert's id, a model's, a file's name.
        before: What was, as JSON takes it.
        undoes: The `change_id` of the change that this one takes back.
        change_id: A fresh one where none is given.
    """

    actor: Actor
    action: Action
    subject: str
    before: Any = None
    after: Any = None
    why: str = ""
    undoes: str | None = None
    items: Sequence[Item] = ()
    change_id: str | None = None


def insert_change(connection: Connection, change: Change, at: datetime) -> str | None:
    """Record a change in the transaction that makes it; None where its `change_id` is there already."""
    change_id = change.change_id or uuid.uuid4().hex
    row: dict[str, object] = {
        "change_id": change_id,
        "at_us": microseconds(at),
        "actor": change.actor.name,
        "verified": int(change.actor.verified),
        "action": change.action.value,
        "subject": change.subject,
        "before": _json(change.before),
        "after": _json(change.after),
        "why": change.why,
        "undoes": change.undoes,
        "session": change.actor.session,
    }
    items = [(item.alert, _work(item.before), _work(item.after)) for item in change.items]
    row["hash"] = entry_hash(last_hash(connection), row, sorted(items, key=itemgetter(0)))
    once = insert(tables.changes).on_conflict_do_nothing(index_elements=["change_id"]).returning(tables.changes.c.seq)
    seq: int | None = connection.execute(once, row).scalar_one_or_none()
    if seq is None:
        return None
    if items:
        connection.execute(
            insert(tables.change_items),
            [{"change": seq, "alert": alert, "before": before, "after": after} for alert, before, after in items],
        )
    return change_id


class ChangeLog:
    """Records changes that have no transaction of their own in the store: of thresholds, aliases, models, exports."""

    def __init__(self, store: AlertStore) -> None:
        self._store = store

    def record(
        self,
        actor: Actor,
        action: Action,
        subject: str,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
        why: str = "",
    ) -> str:
        """Record one change, made now, or raise StoreError; returns its `change_id`."""
        change = Change(actor, action, subject, before, after, why, change_id=uuid.uuid4().hex)
        self.record_once([(change, self._store.now())])
        return str(change.change_id)

    def record_once(self, changes: Sequence[tuple[Change, datetime]]) -> int:
        """Record changes with the times at which they were made, without those whose `change_id` is there.

        Returns how many were new. Raises StoreError where the database does not take them; none is recorded then.
        """
        with self._store.writing() as connection:
            return sum(insert_change(connection, change, at) is not None for change, at in changes)


def work_of(text: str | None) -> TriageState | None:
    """What an item keeps of an alert, read again."""
    if text is None:
        return None
    kept = orjson.loads(text)
    return TriageState(kept["status"], kept["assignee"], kept["version"], _us(kept["decided_at"]), _us(kept["since"]))


def _work(work: TriageState | None) -> str | None:
    return None if work is None else work.json().decode()


def _us(text: str | None) -> int | None:
    return None if text is None else microseconds(parse_time(text))


def _json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _items_after(connection: Connection, first: int) -> Iterator[tuple[int, list[ItemRow]]]:
    query = select(_ITEM.change, _ITEM.alert, _ITEM.before, _ITEM.after).where(_ITEM.change > first)
    rows = connection.execute(query.order_by(_ITEM.change, _ITEM.alert).execution_options(yield_per=ROWS_AT_ONCE))
    for change, group in groupby(rows, key=lambda row: row.change):
        yield change, [(row.alert, row.before, row.after) for row in group]
