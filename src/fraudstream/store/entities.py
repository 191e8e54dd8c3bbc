"""Stores the entities of alerts (card, terminal, merchant) with them, and counts the alerts of an entity."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, Connection, case, func, literal, select

from fraudstream.messages.base import instant
from fraudstream.store import tables
from fraudstream.store.backends.backend import without_nul
from fraudstream.store.database import Repository, insert
from fraudstream.store.filters import AlertFilter, is_entity
from fraudstream.store.reading import StoredAlert
from fraudstream.store.triage_state import OPEN
from fraudstream.times import iso_time
from fraudstream.transactions.entities import Entity, EntityColumns, entities_of, entity_order

ColumnsOf = Callable[[str | None], EntityColumns]
"""Returns the entity columns of a model by its id."""

MOST_COUNTED: Final = 1_000
"""Alerts of an entity that are counted for a row of a page."""

MOST_GROUPED: Final = 100_000
"""The newest alerts among which entities are ranked, which takes at most 0.5 s."""

BARS: Final = 40
"""The parts of a timeline; those without alerts are left out."""

_INSERT: Final = insert(tables.alert_entities)
_OWN: Final = tables.alert_entities.alias("own")
_OTHER: Final = tables.alert_entities.alias("other")
_ALERT: Final = tables.alerts.c
_ENTITY: Final = tables.alert_entities.c
_AT: Final = func.coalesce(_ALERT.produced_us, _ALERT.received_us)


def insert_entities(connection: Connection, alerts: Iterable[tuple[int, Mapping[str, object], EntityColumns]]) -> None:
    """Insert the entities of alerts, from their `seq`, transactions and entity columns."""
    rows = {  # by name as PostgreSQL stores it, where two may be the same
        (seq, without_nul(column)): {"alert": seq, "column": column, "value": value}
        for seq, transaction, columns in alerts
        for column, value in entities_of(transaction, columns)
    }
    if rows:
        connection.execute(_INSERT, list(rows.values()))


@dataclass(frozen=True, slots=True)
class EntityCount:
    """An entity of an alert, and how many alerts it has, at most `MOST_COUNTED`."""

    column: str
    value: str
    alerts: int


@dataclass(frozen=True, slots=True)
class EntityTotals:
    """The alerts of an entity: how many, the sums of their amounts and expected losses, and the times of the first and
    the last; `undecided` without a verdict.
    """

    column: str
    value: str
    alerts: int
    undecided: int
    amount: float | None
    expected_loss: float | None
    first_at: str | None
    last_at: str | None


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a timeline: its number from 0 to `BARS`, its start, and the alerts in it."""

    number: int
    at: str
    alerts: int


class EntityReader(Repository):
    """Reads the entities of alerts."""

    def with_entities(self, alerts: Sequence[StoredAlert]) -> list[StoredAlert]:
        """Return the alerts with `entities`, the most useful first, each with its number of alerts; in one query."""
        counts = self.counts([alert.seq for alert in alerts])
        return [
            alert._replace(body=b'%s,"entities":%s}' % (alert.body[:-1], orjson.dumps(counts.get(alert.seq, []))))
            for alert in alerts
        ]

    def counts(self, seqs: Sequence[int]) -> dict[int, list[EntityCount]]:
        """Return the entities of alerts by `seq`, without those that have none."""
        of_entity = (_OTHER.c.column == _OWN.c.column, _OTHER.c.value == _OWN.c.value)
        others = select(literal(1)).where(*of_entity).correlate(_OWN).limit(MOST_COUNTED).subquery()
        count = select(func.count()).select_from(others).scalar_subquery()
        query = select(_OWN.c.alert, _OWN.c.column, _OWN.c.value, count).where(_OWN.c.alert.in_(seqs))
        counts: dict[int, list[EntityCount]] = {}
        for seq, *entity in self._database.rows(query) if seqs else ():
            counts.setdefault(seq, []).append(EntityCount(*entity))
        return {seq: sorted(each, key=lambda entity: entity_order(entity.column)) for seq, each in counts.items()}

    def columns(self) -> list[str]:
        """Return the columns that identify entities in the newest alerts, the most useful first."""
        newest = select(_ENTITY.column).order_by(_ENTITY.alert.desc()).limit(MOST_COUNTED).subquery()
        names = [row[0] for row in self._database.rows(select(newest.c.column).distinct())]
        return sorted(names, key=lambda name: (entity_order(name), name))

    def top(self, column: str, query: AlertFilter, limit: int) -> list[EntityTotals]:
        """Return the entities in a column with the most alerts that match, among the newest 100,000 alerts."""
        newest = select(func.max(_ALERT.seq)).scalar_subquery()
        where = (_ENTITY.column == column, _ENTITY.alert > newest - MOST_GROUPED, *query.conditions())
        return self._totals(*where, limit=limit)

    def totals(self, entity: Entity) -> EntityTotals | None:
        """Return the totals of an entity; None if it has no alert."""
        return next(iter(self._totals(is_entity(entity), limit=1)), None)

    def statuses(self, entity: Entity) -> dict[str, int]:
        """Return the number of alerts of an entity by status."""
        query = _of_alerts(_ALERT.status, func.count()).where(is_entity(entity)).group_by(_ALERT.status)
        return {status: count for status, count in self._database.rows(query)}

    def undecided(self, entity: Entity, limit: int) -> dict[str, int]:
        """Return the newest alerts of an entity without a verdict: their versions by id."""
        query = _of_alerts(_ALERT.alert_id, _ALERT.version).where(is_entity(entity), _ALERT.status.in_(OPEN))
        return {id_: version for id_, version in self._database.rows(query.order_by(_ENTITY.alert.desc()).limit(limit))}

    def timeline(self, totals: EntityTotals) -> list[Bar]:
        """Return the number of alerts of an entity in each part of the time from its first to its last alert."""
        entity = Entity(totals.column, totals.value)
        first_us, last_us = instant(totals.first_at), instant(totals.last_at)
        width_us = -(-(last_us - first_us + 1) // BARS)
        number = ((_AT - first_us) // width_us).label("number")
        query = _of_alerts(number, func.count()).where(is_entity(entity)).group_by(number).order_by(number)
        return [Bar(at, iso_time(first_us + at * width_us) or "", count) for at, count in self._database.rows(query)]

    def _totals(self, *conditions: ColumnElement[bool], limit: int) -> list[EntityTotals]:
        count, newest = func.count(), func.max(_ENTITY.alert)
        undecided = func.sum(case((_ALERT.status.in_(OPEN), 1), else_=0))
        sums = (func.sum(_ALERT.amount), func.sum(_ALERT.expected_loss), func.min(_AT), func.max(_AT))
        query = _of_alerts(_ENTITY.column, _ENTITY.value, count, undecided, *sums).where(*conditions)
        query = query.group_by(_ENTITY.column, _ENTITY.value).order_by(count.desc(), newest.desc())
        rows = self._database.rows(query.limit(limit))
        return [EntityTotals(*row[:-2], *map(iso_time, row[-2:])) for row in rows]


def _of_alerts(*columns: Any) -> Any:
    return select(*columns).join_from(tables.alert_entities, tables.alerts, _ENTITY.alert == _ALERT.seq)
