"""Stores what became known of transactions, by event id: verdicts, chargebacks and lists of labels."""

import operator
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, func, select

from fraudstream.errors import RequestError
from fraudstream.history.labels import DAY_US, KnownLabel, LabelSource, LabelValue
from fraudstream.messages.labels import AddedLabels, NewLabel, StoredLabel
from fraudstream.messages.requests import LATER, TIME, Query, Time, parameter
from fraudstream.store import tables
from fraudstream.store.changes import Action, Actor, Change, Item, insert_change
from fraudstream.store.database import ROWS_AT_ONCE, Database, Repository, insert
from fraudstream.store.filters import conditions
from fraudstream.store.rows import SUPERSEDED_ID
from fraudstream.store.triage_state import AlertStatus
from fraudstream.times import iso_time, microseconds

LABEL_OF_VERDICT: Final[Mapping[str, LabelValue]] = {
    AlertStatus.CONFIRMED_FRAUD: LabelValue.FRAUD,
    AlertStatus.FALSE_ALARM: LabelValue.LEGITIMATE,
}

_LABEL: Final = tables.labels.c
_ALERT: Final = tables.alerts.c


class LabelQuery(Query):
    """A filter on labels."""

    event_id: str | None = parameter(None, "id-1", "of this transaction")
    label: LabelValue | None = parameter(None, "fraud", "this label")
    source: LabelSource | None = parameter(None, "chargeback", "from this source")
    since: Time | None = parameter(None, TIME, "known at or after this time")
    until: Time | None = parameter(None, LATER, "known before this time")

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions on the table `labels`."""
        return conditions(
            (_LABEL.event_id, operator.eq, self.event_id),
            (_LABEL.label, operator.eq, self.label),
            (_LABEL.source, operator.eq, self.source),
            (_LABEL.known_us, operator.ge, self.since),
            (_LABEL.known_us, operator.lt, self.until),
        )


class LabelReader(Repository):
    """Reads the stored labels."""

    def page(self, labels: LabelQuery, *, before: int | None = None, limit: int = 100) -> list[StoredLabel]:
        """Return labels with a `seq` below `before`, the newest in the store first."""
        where = labels.conditions() + conditions((_LABEL.seq, operator.lt, before))
        return self._labels(where, _LABEL.seq.desc(), limit)

    def every(self, labels: LabelQuery) -> Iterator[list[StoredLabel]]:
        """Yield all labels in pages, the oldest in the store first, up to the newest at the time of the call."""
        last, up_to = 0, self._database.scalar(select(func.max(_LABEL.seq))) or 0
        where = [*labels.conditions(), _LABEL.seq <= up_to]
        while page := self._labels([*where, _LABEL.seq > last], _LABEL.seq, ROWS_AT_ONCE):
            yield page
            last = page[-1].seq

    def count(self, labels: LabelQuery) -> int:
        """Count the labels that match."""
        return self._database.count(tables.labels, *labels.conditions())

    def _labels(self, where: Sequence[ColumnElement[bool]], order: Any, limit: int) -> list[StoredLabel]:
        rows = self._database.rows(select(tables.labels).where(*where).order_by(order).limit(limit))
        return [
            StoredLabel(
                *(row.seq, row.event_id, row.label, row.source),
                *(iso_time(row.event_us), str(iso_time(row.known_us)), row.who),
            )
            for row in rows
        ]


class TransactionLabel(NamedTuple):
    """A label of a transaction, and the time of the transaction if it is known."""

    event_id: str
    known: KnownLabel
    event_us: int | None


def labels_by_event(connection: Connection) -> Iterator[tuple[str, int | None, list[KnownLabel]]]:
    """Yield each transaction that has labels, with its time if it is known, and the labels, the oldest first."""
    rows = connection.execute(select(tables.labels).order_by(_LABEL.event_id, _LABEL.known_us, _LABEL.seq))
    for event_id, group in groupby(rows, attrgetter("event_id")):
        labels = list(group)
        yield event_id, next((each.event_us for each in labels if each.event_us), None), [*map(_known, labels)]


def insert_verdicts(connection: Connection, items: Iterable[Item], who: str, now_us: int) -> None:
    """Insert the labels that follow from changes of alerts, in their transaction; a withdrawn verdict is `unknown`."""
    labels = {}
    for alert, before, after in items:
        former, label = (each and LABEL_OF_VERDICT.get(each.status, LabelValue.UNKNOWN) for each in (before, after))
        if label and label != former:
            labels[alert] = KnownLabel(label, LabelSource.VERDICT, now_us)
    if not labels:
        return
    alerts = select(_ALERT.seq, _ALERT.alert_id, _ALERT.produced_us).where(_ALERT.seq.in_(labels)).order_by(_ALERT.seq)
    ids = ((seq, SUPERSEDED_ID.sub("", alert_id), at_us) for seq, alert_id, at_us in connection.execute(alerts).all())
    _insert(connection, [TransactionLabel(event_id, labels[seq], at_us) for seq, event_id, at_us in ids], who)


def add_labels(
    database: Database, new: Iterable[NewLabel], actor: Actor, subject: str, details: Mapping[str, Any] | None = None
) -> AddedLabels:
    """Store labels and one entry of the audit trail, in one transaction.

    A label is new if its source said another one, or nothing, until then: the same labels again change nothing. Raises
    RequestError if one becomes known more than a day from now, or StoreError.
    """
    with database.write() as connection:
        now = database.now()
        rows = [(each, microseconds(now) if each.known_at is None else each.known_at) for each in new]
        rows.sort(key=itemgetter(1))
        if rows and rows[-1][1] > microseconds(now) + DAY_US:
            raise RequestError(f"known_at of {rows[-1][0].event_id!r} is in the future")
        added: Counter[str] = Counter()
        for at in range(0, len(rows), ROWS_AT_ONCE):
            _add(connection, rows[at : at + ROWS_AT_ONCE], actor.name, added)
        change_id = None
        if added:
            after = {"labels": dict(added), **(details or {})}
            change_id = insert_change(connection, Change(actor, Action.LABELS, subject, None, after), now)
    return AddedLabels(dict(added), len(rows) - added.total(), change_id)


def _add(connection: Connection, rows: Sequence[tuple[NewLabel, int]], who: str, added: Counter[str]) -> None:
    """Insert those of some labels, each with the time at which it became known, that say something new."""
    ids = {each.event_id for each, _ in rows}
    stored: dict[str, list[KnownLabel]] = defaultdict(list)
    for row in connection.execute(select(tables.labels).where(_LABEL.event_id.in_(ids)).order_by(_LABEL.seq)):
        stored[row.event_id].append(_known(row))
    alerts = select(_ALERT.alert_id, _ALERT.produced_us).where(_ALERT.alert_id.in_(ids))
    times: dict[str, int | None] = {alert_id: produced_us for alert_id, produced_us in connection.execute(alerts)}
    inserted = []
    for new, known_us in rows:
        known = KnownLabel(LabelValue(new.label), LabelSource(new.source), known_us)
        labels = stored[new.event_id]
        former = [each for each in labels if each.source is known.source and each.known_us <= known_us]
        newest = max(reversed(former), key=attrgetter("known_us"), default=None)
        if known.label is (LabelValue.UNKNOWN if newest is None else newest.label):
            continue
        labels.append(known)
        added[known.label.value] += 1
        event_us = times.get(new.event_id) if new.event_at is None else new.event_at
        inserted.append(TransactionLabel(new.event_id, known, event_us))
    _insert(connection, inserted, who)


def _insert(connection: Connection, labels: Sequence[TransactionLabel], who: str) -> None:
    rows = [
        {"event_id": each.event_id, **each.known._asdict(), "event_us": each.event_us, "who": who} for each in labels
    ]
    if rows:
        connection.execute(insert(tables.labels), rows)


def _known(row: Any) -> KnownLabel:
    return KnownLabel(LabelValue(row.label), LabelSource(row.source), row.known_us)
