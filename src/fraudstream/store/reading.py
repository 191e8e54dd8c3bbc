"""Reads the alert store in pages of bounded size."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import JSON, ColumnElement, Select, Table, func, select, type_coerce
from sqlalchemy import Row as DatabaseRow

from fraudstream.messages.base import Object
from fraudstream.store import positions, tables
from fraudstream.store.database import Database
from fraudstream.store.filters import AlertFilter, conditions
from fraudstream.store.positions import Position, TopicPartition
from fraudstream.store.triage_state import OPEN, UNTOUCHED, TriageState
from fraudstream.times import iso_time
from fraudstream.transactions.wire import Outcome

EXPORT_PAGE: Final = 500
"""Alerts in memory at once during an iteration over all of them."""

COLUMN_SETS: Final = 50
"""The newest sets of columns, whose names can be searched for."""


class Total:
    """The names of the counts that the store maintains."""

    ALERTS: Final = Outcome.ALERT.value
    UNSCORABLE: Final = Outcome.UNSCORABLE.value
    DEAD_LETTERS: Final = "dead_letters"
    CONFLICTS: Final = "conflicts"
    DUPLICATES: Final = "duplicates"
    REJECTED: Final = "rejected"
    SCHEMAS_FORGOTTEN: Final = "schemas_forgotten"
    PRUNED_ALERTS: Final = "pruned_alerts"
    PRUNED_BEFORE: Final = "pruned_before_us"
    """Not a count, but the time before which alerts were pruned."""
    VERDICTS_PUBLISHED: Final = "verdicts_published"
    """Not a count, but the change up to which verdicts were published."""
    EVERY: Final = (ALERTS, UNSCORABLE, DEAD_LETTERS, CONFLICTS, DUPLICATES, REJECTED, SCHEMAS_FORGOTTEN)


class StoredAlert(NamedTuple):
    """A stored alert, masked; `seq` is its commit order."""

    seq: int
    outcome: str
    produced_us: int | None
    body: bytes

    def document(self) -> Object:
        """Parse the alert."""
        loaded: Object = orjson.loads(self.body)
        return loaded


@dataclass(frozen=True, slots=True)
class StoredSchema:
    """A schema that was observed; times in microseconds, `estimated` transactions extrapolated from samples."""

    schema_id: str
    columns: dict[str, str]
    column_count: int
    first_us: int
    first_topic: str | None
    first_partition: int | None
    first_offset: int | None
    last_us: int
    sampled: int
    estimated: int
    alerts: int
    unscorable: int


@dataclass(frozen=True, slots=True)
class Summary:
    """How many alerts match, the sum of their expected losses, and when the oldest was produced."""

    count: int
    at_risk: float
    oldest_at: str | None


class Row(NamedTuple):
    """An event, a dead letter or a rejected record."""

    seq: int
    document: Object


TRIAGE_COLUMNS: Final = tuple(tables.alerts.c[name] for name in TriageState._fields)
"""The columns of a `TriageState`, in its order."""

STORED_COLUMNS: Final = (
    tables.alerts.c.seq,
    tables.alerts.c.outcome,
    tables.alerts.c.produced_us,
    tables.alerts.c.body,
    *TRIAGE_COLUMNS,
)
"""The columns that `stored_alert` reads."""


def member_text(body: ColumnElement[str], name: str) -> ColumnElement[str]:
    """Return a member of a stored JSON object, by its name, as text; null if it is absent."""
    text: ColumnElement[str] = type_coerce(body, JSON)[name].as_string()
    return text


def alert_json(seq: int, body: str, work: bytes = UNTOUCHED) -> bytes:
    """Splice `seq` and `work` into the JSON of a stored alert, without parsing it."""
    return b'{"seq":%d,"work":%s,%s' % (seq, work, body[1:].encode())


def stored_alert(row: DatabaseRow[Any]) -> StoredAlert:
    """Build the alert from a row of `STORED_COLUMNS`."""
    state = TriageState(*(getattr(row, name) for name in TriageState._fields))
    return StoredAlert(row.seq, row.outcome, row.produced_us, alert_json(row.seq, row.body, state.json()))


class AlertReader:
    """Reads the alert store; thread-safe, also while another thread writes."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.rows, self.scalar = database.rows, database.scalar

    def latest_seq(self) -> int:
        """Return the `seq` of the newest alert, or 0."""
        return self.scalar(select(func.max(tables.alerts.c.seq))) or 0

    def alerts(
        self, query: AlertFilter | None = None, *, before: int | None = None, limit: int = 100
    ) -> list[StoredAlert]:
        """Return alerts with a `seq` below `before`, newest first, filtered by stored columns only."""
        seq = tables.alerts.c.seq
        where = (query or AlertFilter()).conditions() + conditions((seq, operator.lt, before))
        return self._page(where, seq.desc(), limit)

    def alerts_after(self, seq: int, *, up_to: int | None = None, limit: int = EXPORT_PAGE) -> list[StoredAlert]:
        """Return the alerts after `seq`, in commit order."""
        column = tables.alerts.c.seq
        return self._page(conditions((column, operator.gt, seq), (column, operator.le, up_to)), column.asc(), limit)

    def verdicts_since(self, at_us: int | None) -> int | None:
        """Count the alerts that were decided at or after a time; None if it is unknown."""
        return None if at_us is None else self.database.count(tables.alerts, tables.alerts.c.decided_us >= at_us)

    def count(self, query: AlertFilter) -> int:
        """Count the alerts that match."""
        return self.database.count(tables.alerts, *query.conditions())

    def summary(self, query: AlertFilter) -> Summary:
        """Count and sum up the alerts that match, by stored columns only."""
        alert = tables.alerts.c
        sums = select(func.count(), func.sum(alert.expected_loss), func.min(alert.produced_us))
        count, at_risk, oldest_us = self.rows(sums.where(*query.conditions()))[0]
        return Summary(count, at_risk or 0.0, iso_time(oldest_us))

    def columns(self) -> list[str]:
        """Return the columns of the transactions of alerts, those of the newest sets of columns first."""
        sets = self.rows(select(tables.column_sets.c.names).order_by(tables.column_sets.c.id.desc()).limit(COLUMN_SETS))
        return list(dict.fromkeys(name for row in sets for name in orjson.loads(row.names)))

    def alerts_of(self, seqs: Sequence[int]) -> list[StoredAlert]:
        """Return alerts by their `seq`, in commit order."""
        seq = tables.alerts.c.seq
        return self._page([seq.in_(seqs)], seq.asc(), len(seqs))

    def alert(self, alert_id: str) -> StoredAlert | None:
        """Return an alert by its id."""
        return next(iter(self._page([tables.alerts.c.alert_id == alert_id], tables.alerts.c.seq, 1)), None)

    def totals(self) -> dict[str, int]:
        """Return the counts of `Total`."""
        rows = self.rows(select(tables.totals.c.name, tables.totals.c.value))
        return dict.fromkeys(Total.EVERY, 0) | {row.name: row.value for row in rows}

    def positions(self) -> dict[TopicPartition, Position]:
        """Return the end offset and the scored position of each partition."""
        with self.database.read() as connection:
            return positions.read(connection)

    def events(self, *, kind: str | None = None, before: int | None = None, limit: int = 100) -> list[Row]:
        """Return events, newest first."""
        column = tables.events.c
        where = conditions((column.type, operator.eq, kind), (column.seq, operator.lt, before))
        return [Row(row.seq, orjson.loads(row.body)) for row in self._newest(tables.events, limit, *where)]

    def open_alerts(self) -> int:
        """Count the alerts that nobody has decided."""
        return self.count(AlertFilter(statuses=OPEN))

    def rejected(self, *, limit: int = 100) -> list[Row]:
        """Return rejected records, newest first."""
        return [
            Row(row.seq, {"kind": row.kind, "reason": row.reason, "payload": row.payload})
            for row in self._newest(tables.rejected, limit)
        ]

    def schemas(self, *, limit: int = 100) -> list[StoredSchema]:
        """Return schemas, the newest first observation first."""
        column = tables.schemas.c
        return self._schemas(select(tables.schemas).order_by(column.first_us.desc(), column.schema_id).limit(limit))

    def schema(self, schema_id: str) -> StoredSchema | None:
        """Return a schema by its id."""
        schemas = self._schemas(select(tables.schemas).where(tables.schemas.c.schema_id == schema_id))
        return schemas[0] if schemas else None

    def schema_count(self) -> int:
        """Count the stored schemas."""
        return self.database.count(tables.schemas)

    def refusals(self) -> Sequence[DatabaseRow[Any]]:
        """Return the rows of `refused_aliases`, newest first."""
        return self.rows(select(tables.refused_aliases).order_by(tables.refused_aliases.c.at_us.desc()))

    def _newest(self, table: Table, limit: int, *conditions: ColumnElement[bool]) -> Sequence[DatabaseRow[Any]]:
        return self.rows(select(table).where(*conditions).order_by(table.c.seq.desc()).limit(limit))

    def _schemas(self, query: Select[Any]) -> list[StoredSchema]:
        return [StoredSchema(row.schema_id, orjson.loads(row.columns), *row[2:]) for row in self.rows(query)]

    def _page(self, conditions: list[ColumnElement[bool]], order: ColumnElement[Any], limit: int) -> list[StoredAlert]:
        query = select(*STORED_COLUMNS).where(*conditions).order_by(order).limit(limit)
        return [stored_alert(row) for row in self.rows(query)]
