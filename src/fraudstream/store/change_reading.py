"""Reads the audit trail: a page of it, the history of an alert, or all of it for an export."""

import operator
from collections.abc import Iterator
from typing import Annotated, Any, Final, TypeVar, cast

import orjson
from pydantic import AfterValidator
from sqlalchemy import Column, ColumnElement, Connection, Select, func, select, tuple_

from fraudstream.messages.answers import AlertChange, Change, ListedChange, Touched
from fraudstream.messages.requests import LATER, MOST_ALERTS, TIME, Query, Time, Verdict, parameter
from fraudstream.messages.verdicts import UnpublishedVerdicts, VerdictMessage
from fraudstream.store import tables
from fraudstream.store.changes import ITEM_STATES, Action, parse_state
from fraudstream.store.database import Repository, upsert
from fraudstream.store.filters import conditions
from fraudstream.store.reading import Total
from fraudstream.store.triage_state import VERDICTS
from fraudstream.times import from_microseconds, iso_time, iso_z
from fraudstream.transactions.masking import typed

SHOWN_ITEMS: Final = 5
"""Alerts of one change that a list shows; an export has all of them."""

HISTORY: Final = 500
"""Changes in the history of one alert."""

PAGE_SIZE: Final = 1_000

_CHANGE: Final = tables.changes.c
_ITEM: Final = tables.change_items.c
_ALERT: Final = tables.alerts.c

_Kind = TypeVar("_Kind", bound=Change)

NO_NAME: Final = "-"
"""The `actor` of a query for changes without a name."""


class ChangeQuery(Query):
    """A filter on changes."""

    action: Action | None = parameter(None, "verdict", "the kind of change")
    actor: Annotated[str, AfterValidator(lambda name: "" if name == NO_NAME else name)] | None = parameter(
        None, "Mia", f"who made it; `{NO_NAME}`: no name was given"
    )
    alert_id: str | None = parameter(None, "id-1", "the alert that it affected, among others")
    since: Time | None = parameter(None, TIME, "made at or after this time")
    until: Time | None = parameter(None, LATER, "made before this time")

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions on the table `changes`."""
        of_alert = None if self.alert_id is None else select(_ITEM.change).where(*self.of_alert())
        return conditions(
            (_CHANGE.action, operator.eq, self.action),
            (_CHANGE.actor, operator.eq, self.actor),
            (_CHANGE.at_us, operator.ge, self.since),
            (_CHANGE.at_us, operator.lt, self.until),
            (_CHANGE.seq, Column.in_, of_alert),
        )

    def of_alert(self) -> list[ColumnElement[bool]]:
        """Return the condition on `change_items` for the alert of the query, if it has one."""
        seq = select(_ALERT.seq).where(_ALERT.alert_id == self.alert_id).scalar_subquery()
        return [] if self.alert_id is None else [_ITEM.alert == seq]


class ChangeReader(Repository):
    """Reads the changes in an alert store for display: card numbers in free text are masked."""

    def page(self, changes: ChangeQuery, *, before: int | None = None, limit: int = 100) -> list[ListedChange]:
        """Return changes with a `seq` below `before`, newest first."""
        where = changes.conditions() + conditions((_CHANGE.seq, operator.lt, before))
        query = _changes().where(*where).order_by(_CHANGE.seq.desc()).limit(limit)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            changed = _ITEM.change.in_([row.seq for row in rows])
            items = select(_ITEM.change, func.count()).where(changed).group_by(_ITEM.change)
            counts = {change: count for change, count in connection.execute(items)}
            return [
                _change(
                    *(ListedChange, row, row.before, row.after),
                    seq=row.seq,
                    alerts=counts.get(row.seq, 0),
                    touched=self._touched(connection, row.seq, changes) if row.seq in counts else [],
                )
                for row in rows
            ]

    def history(self, alert_seq: int) -> list[Change]:
        """Return the changes of one alert, newest first; `before` and `after` are the alert's own."""
        query = (
            _changes(*ITEM_STATES)
            .join(tables.change_items, _ITEM.change == _CHANGE.seq)
            .where(_ITEM.alert == alert_seq)
            .order_by(_CHANGE.seq.desc())
            .limit(HISTORY)
        )
        return [_change(Change, row, row.item_before, row.item_after) for row in self._database.rows(query)]

    def unpublished_verdicts(self, until: int) -> UnpublishedVerdicts:
        """Return the next verdicts to publish, after storing that those `until` a change are published.

        A position beyond the newest change is another store's, and ignored: later verdicts would count as published.
        """
        names = tables.totals.c
        after = self._database.scalar(select(names.value).where(names.name == Total.VERDICTS_PUBLISHED)) or 0
        if after < until <= self.latest_seq():
            row = {"name": Total.VERDICTS_PUBLISHED, "value": until}
            with self._database.write() as connection:
                connection.execute(upsert(tables.totals, where=names.value < until), row)
            after = until
        query = (
            select(tables.changes, *ITEM_STATES, _ALERT.alert_id, _ALERT.outcome, _ALERT.model_id, _ALERT.score)
            .join_from(tables.changes, tables.change_items, _ITEM.change == _CHANGE.seq)
            .join(tables.alerts, _ALERT.seq == _ITEM.alert)
            .where(_CHANGE.seq > after)
            .order_by(_CHANGE.seq, _ITEM.alert)
            .limit(2 * MOST_ALERTS)  # at least one change in full
        )
        rows = self._database.rows(query)
        if not rows:
            return UnpublishedVerdicts([], after)
        until = rows[-1].seq - (len(rows) == 2 * MOST_ALERTS)
        messages = (_verdict(row) for row in rows if row.seq <= until)
        return UnpublishedVerdicts([each for each in messages if each is not None], until)

    def people(self) -> list[str]:
        """Return who made the newest changes, in alphabetical order."""
        newest = select(_CHANGE.actor).order_by(_CHANGE.seq.desc()).limit(PAGE_SIZE)
        return sorted({str(typed(name)) for (name,) in self._database.rows(newest) if name})

    def count(self, changes: ChangeQuery) -> int:
        """Count the changes that match."""
        return self._database.count(tables.changes, *changes.conditions())

    def latest_seq(self) -> int:
        """Return the `seq` of the newest change, or 0."""
        return self._database.scalar(select(func.max(_CHANGE.seq))) or 0

    def every(self, changes: ChangeQuery, *, up_to: int) -> Iterator[list[AlertChange]]:
        """Yield all changes up to a `seq` in pages, oldest first, with one object per affected alert."""
        last = (0, 0)
        alert = func.coalesce(_ITEM.alert, 0)
        query = (
            _changes(*ITEM_STATES, _ALERT.alert_id, alert.label("a"))
            .join(tables.change_items, _ITEM.change == _CHANGE.seq, isouter=True)
            .join(tables.alerts, _ALERT.seq == _ITEM.alert, isouter=True)
            .where(*changes.conditions(), *changes.of_alert(), _CHANGE.seq <= up_to)
            .order_by(_CHANGE.seq, _ITEM.alert)
            .limit(PAGE_SIZE)
        )
        while rows := self._database.rows(query.where(tuple_(_CHANGE.seq, alert) > last, _CHANGE.seq >= last[0])):
            last = (rows[-1].seq, rows[-1].a)
            yield [_of_alert(row) for row in rows]

    def _touched(self, connection: Connection, change: int, changes: ChangeQuery) -> list[Touched]:
        query = (
            select(_ITEM.alert, _ALERT.alert_id, _ITEM.before, _ITEM.after)
            .join_from(tables.change_items, tables.alerts, _ALERT.seq == _ITEM.alert)
            .where(_ITEM.change == change, *changes.of_alert())
            .order_by(_ITEM.alert)
            .limit(SHOWN_ITEMS)
        )
        return [
            Touched(seq, alert_id, typed(_loaded(before)), typed(_loaded(after)))
            for seq, alert_id, before, after in connection.execute(query)
        ]


def _changes(*more: ColumnElement[Any]) -> Select[Any]:
    undo = tables.changes.alias("undo")
    undone_by = select(func.max(undo.c.change_id)).where(undo.c.undoes == _CHANGE.change_id).scalar_subquery()
    columns: list[Any] = [*tables.changes.c, undone_by.label("undone_by"), *more]
    return select(*columns).select_from(tables.changes)


def _change(kind: type[_Kind], row: Any, before: str | None, after: str | None, **more: Any) -> _Kind:
    """Build a change from a row, with card numbers in free text masked: a name may be one."""
    names = ("change_id", "action", "subject", "why", "undoes", "undone_by", "hash")
    members = {name: getattr(row, name) for name in names} | {"at": iso_time(row.at_us), "verified": bool(row.verified)}
    members |= {"actor": row.actor or None, "session": row.session or None}
    return kind(**typed(members | {"before": _loaded(before), "after": _loaded(after)}), **more)


def _verdict(row: Any) -> VerdictMessage | None:
    """Return the message of a change of an alert; None if it concerns no verdict."""
    before, after = parse_state(row.item_before), parse_state(row.item_after)
    former, verdict = (each.status if each and each.status in VERDICTS else None for each in (before, after))
    if after is None or (former is None and verdict is None):
        return None
    return VerdictMessage(
        event_id=f"verdict/{row.change_id}/{row.alert_id}",
        verdict=cast(Verdict | None, verdict),
        former_verdict=cast(Verdict | None, former),
        reason_code=after.reason_code,
        by=typed(row.actor),
        verified=bool(row.verified),
        at=iso_z(from_microseconds(row.at_us)),
        version=after.version,
        **{name: getattr(row, name) for name in ("alert_id", "action", "change_id", "model_id", "score", "outcome")},
    )


def _of_alert(row: Any) -> AlertChange:
    before, after = (row.before, row.after) if row.alert_id is None else (row.item_before, row.item_after)
    return _change(AlertChange, row, before, after, alert_id=typed(row.alert_id))


def _loaded(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)
