"""Writes and verifies the audit trail: a hash chain of every change that a person made, with actor, before and after.

It is append-only: nothing here alters or deletes an entry, and database triggers refuse it.
"""

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any, Final, NamedTuple, Self

import orjson
from sqlalchemy import Column, Connection, Row, Select, func, select

from fraudstream.errors import RequestError
from fraudstream.messages.verdicts import DEFAULT_REASON_CODES, VERDICT_NAMES, ReasonCodes
from fraudstream.store import tables
from fraudstream.store.database import ROWS_AT_ONCE, Repository, insert
from fraudstream.store.triage_state import TriageState
from fraudstream.times import microseconds
from fraudstream.transactions.wire import EventField, EventType

MEMBERS: Final = (
    "change_id", "at_us", "actor", "verified", "session", "action", "subject", "before", "after", "why", "undoes",
)  # fmt: skip
"""The members of an entry that its hash covers, besides its items and the previous hash."""

_CHANGE: Final = tables.changes.c
_ITEM: Final = tables.change_items.c
ITEM_STATES: Final = (_ITEM.before.label("item_before"), _ITEM.after.label("item_after"))
_LAST: Final = select(_CHANGE.seq, _CHANGE.hash).order_by(_CHANGE.seq.desc()).limit(1)


@dataclass(frozen=True)
class Head:
    """The newest entry of the chain and its hash, which covers all earlier ones; 0 and empty for an empty chain."""

    seq: int
    hash: str
    entries: int


class PublishedHead(NamedTuple):
    """A head that was published as an event."""

    seq: int
    hash: str
    at: str

    @classmethod
    def of(cls, event: object) -> Self | None:
        """Parse the head from an `audit_head` event; None if it is not valid."""
        if not isinstance(event, dict):
            return None
        seq, digest = event.get("seq"), event.get("hash")
        if not isinstance(seq, int) or not 0 <= seq < 2**53 or not isinstance(digest, str) or len(digest) > 64:
            return None
        return cls(seq, digest, str(event.get(EventField.AT)))


class BrokenLink(NamedTuple):
    """An entry whose hash does not match its content and the previous hash."""

    seq: int
    change_id: str


def entry_hash(before: str, entry: Mapping[str, Any], items: Iterable[Sequence[Any]]) -> str:
    """Compute the hash of an entry in hexadecimal; `before` is the previous hash, empty for the first entry.

    `items` are its rows of `change_items` ordered by alert: (alert, before, after).
    """
    content = [before, [entry[name] for name in MEMBERS], [list(item) for item in items]]
    return hashlib.sha256(orjson.dumps(content)).hexdigest()


def head(connection: Connection) -> Head:
    """Return the head of the chain."""
    seq, digest = connection.execute(_LAST).one_or_none() or (0, "")
    return Head(seq, digest, connection.execute(select(func.count()).select_from(tables.changes)).scalar_one())


def holds(connection: Connection, seq: int, published: str) -> bool:
    """Whether the chain contains the published head; every chain contains the head of an empty one."""
    if seq == 0:
        return published == ""
    stored = connection.execute(select(_CHANGE.hash).where(_CHANGE.seq == seq)).scalar_one_or_none()
    return stored == published


def stored_heads(connection: Connection, *, limit: int | None = None) -> list[PublishedHead]:
    """Return the heads of the stored `audit_head` events, newest first."""
    c = tables.events.c
    query = select(c.body).where(c.type == EventType.AUDIT_HEAD.value).order_by(c.seq.desc()).limit(limit)
    heads = (PublishedHead.of(orjson.loads(body)) for body in connection.execute(query).scalars())
    return [head for head in heads if head is not None]


def broken_links(connection: Connection, *, newest: int | None = None) -> Iterator[BrokenLink]:
    """Yield the broken links, oldest first, among all entries or the `newest` ones.

    An altered entry is one broken link, and so is the entry after deleted ones.
    """
    first = 0
    if newest is not None:
        skipped = select(_CHANGE.seq).order_by(_CHANGE.seq.desc()).offset(newest).limit(1)
        first = connection.execute(skipped).scalar() or 0
    before = connection.execute(select(_CHANGE.hash).where(_CHANGE.seq == first)).scalar_one_or_none() or ""
    for entry, items in entries(connection, first):
        if entry.hash != entry_hash(before, entry._asdict(), items):
            yield BrokenLink(entry.seq, entry.change_id)
        before = entry.hash


def entries(connection: Connection, after: int = 0) -> Iterator[tuple[Row[Any], Sequence[Sequence[Any]]]]:
    """Yield the entries after a `seq`, oldest first, each with its items as `entry_hash` takes them."""
    query = (
        select(tables.changes, _ITEM.alert, *ITEM_STATES)
        .join_from(tables.changes, tables.change_items, _ITEM.change == _CHANGE.seq, isouter=True)
        .where(_CHANGE.seq > after)
        .order_by(_CHANGE.seq, _ITEM.alert)
    )
    rows = connection.execute(query.execution_options(yield_per=ROWS_AT_ONCE))
    for _, group in groupby(rows, key=attrgetter("seq")):
        joined = list(group)
        items = [(row.alert, row.item_before, row.item_after) for row in joined if row.alert is not None]
        yield joined[0], items


@dataclass(frozen=True, slots=True)
class Actor:
    """The person who makes a change: a name, empty if none was given, and the short id of the session, if there is one.

    `verified` is whether the name was authenticated, not only claimed.
    """

    name: str
    verified: bool = False
    session: str = ""


NOBODY: Final = Actor("")
"""An actor without a name, where none is required."""


class Action(StrEnum):
    """The kind of a change."""

    CLAIM = "claim"
    RELEASE = "release"
    VERDICT = "verdict"
    NOTE = "note"
    UNDO = "undo"
    ESCALATE = "escalate"
    NEEDS_INFORMATION = "needs_information"
    THRESHOLD = "threshold"
    ALIAS = "alias"
    MODEL = "model"
    EXPORT = "export"
    ACKNOWLEDGE = "acknowledge"
    REASON_CODES = "reason_codes"
    LABELS = "labels"


TRIAGE_ACTIONS: Final = (
    *(Action.CLAIM, Action.RELEASE, Action.VERDICT, Action.NOTE, Action.UNDO),
    *(Action.ESCALATE, Action.NEEDS_INFORMATION),
)
"""The actions on alerts; their changes have items."""


class Item(NamedTuple):
    """The effect of a change on one alert, by its `seq`; None if its state does not change."""

    alert: int
    before: TriageState | None
    after: TriageState | None


@dataclass(frozen=True, slots=True)
class Change:
    """A change to record.

    Attributes:
        subject: The object of the change, briefly: the id of an alert or model, the name of a file.
        before: The old value; JSON-serialisable, as is `after`.
        undoes: The `change_id` of the change that it undoes; its own is generated if None.
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
    """Record a change in the transaction that makes it; None if its `change_id` is already recorded."""
    change_id = change.change_id or uuid.uuid4().hex
    actor = change.actor
    row: dict[str, object] = {name: getattr(change, name) for name in ("action", "subject", "why", "undoes")}
    row |= {"before": _json(change.before), "after": _json(change.after)}
    row |= {"actor": actor.name, "verified": int(actor.verified), "session": actor.session}
    row |= {"change_id": change_id, "at_us": microseconds(at)}
    items = [(item.alert, *(_json(each and each.document()) for each in item[1:])) for item in change.items]
    newest = connection.execute(_LAST).one_or_none()
    row["hash"] = entry_hash("" if newest is None else newest.hash, row, sorted(items, key=itemgetter(0)))
    query = insert(tables.changes).on_conflict_do_nothing(index_elements=["change_id"]).returning(tables.changes.c.seq)
    seq: int | None = connection.execute(query, row).scalar_one_or_none()
    if seq is None:
        return None
    if items:
        connection.execute(
            insert(tables.change_items),
            [{"change": seq, "alert": alert, "before": before, "after": after} for alert, before, after in items],
        )
    return change_id


class ChangeLog(Repository):
    """Records changes that are made outside the store: of thresholds, aliases and models, and exports.

    The list of reason codes has no table: the newest change of it is the list.
    """

    def reason_codes(self) -> ReasonCodes:
        """Return the team's reason codes; the default ones until somebody changes them."""
        after = self._database.scalar(_newest_codes(_CHANGE.after))
        return DEFAULT_REASON_CODES if after is None else ReasonCodes.model_validate_json(after)

    def reason_codes_change(self) -> str:
        """Return the `change_id` of the newest change of the reason codes; empty before the first."""
        return self._database.scalar(_newest_codes(_CHANGE.change_id)) or ""

    def change_reason_codes(self, actor: Actor, codes: ReasonCodes, former: str | None = None) -> str | None:
        """Replace the reason codes; returns the `change_id`, None if they are the same.

        Raises RequestError if `former` is not the `change_id` of the newest change of them, or StoreError.
        """
        with self._database.write() as connection:
            before, after = (each.model_dump(include={*VERDICT_NAMES}) for each in (self.reason_codes(), codes))
            if before == after:
                return None
            if former not in (None, self.reason_codes_change()):
                raise RequestError("somebody else has changed the reasons since this page was opened", status=409)
            change = Change(actor, Action.REASON_CODES, "reason codes", before, after)
            return insert_change(connection, change, self._database.now())

    def record(self, actor: Actor, action: Action, subject: str, after: Mapping[str, Any] | None, why: str = "") -> str:
        """Record one change as of now, without a state before it; returns its `change_id`, raises StoreError."""
        change = Change(actor, action, subject, None, after, why)
        with self._database.write() as connection:
            return str(insert_change(connection, change, self._database.now()))

    def record_once(self, changes: Sequence[tuple[Change, datetime]]) -> int:
        """Record changes with their times, unless their `change_id` is already recorded; returns how many were new."""
        with self._database.write() as connection:
            return sum(insert_change(connection, change, at) is not None for change, at in changes)


def _newest_codes(column: Column[Any]) -> Select[Any]:
    query = select(column).where(_CHANGE.action == Action.REASON_CODES.value)
    return query.order_by(_CHANGE.seq.desc()).limit(1)


def parse_state(text: str | None) -> TriageState | None:
    """Parse the triage state in an item."""
    return None if text is None else TriageState.of(orjson.loads(text))


def _json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()
