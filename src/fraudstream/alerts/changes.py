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

from fraudstream.alerts import tables
from fraudstream.alerts.chain import entry_hash, last_hash
from fraudstream.alerts.status import Work
from fraudstream.times import microseconds, parse_time

if TYPE_CHECKING:
    from fraudstream.alerts.store import AlertStore


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
    before: Work | None
    after: Work | None


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
    row: dict[str, Any] = {
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


def work_of(text: str | None) -> Work | None:
    """What an item keeps of an alert, read again."""
    if text is None:
        return None
    kept = orjson.loads(text)
    return Work(kept["status"], kept["assignee"], kept["version"], _us(kept["decided_at"]), _us(kept["since"]))


def _work(work: Work | None) -> str | None:
    return None if work is None else work.json().decode()


def _us(text: str | None) -> int | None:
    return None if text is None else microseconds(parse_time(text))


def _json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()
