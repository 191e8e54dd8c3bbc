"""What can be asked of the alert store, in pages of bounded size; what is written to it is `store.py`'s."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

import orjson
from sqlalchemy import ColumnElement, Connection, Engine, Executable, Select, Table, func, literal, select
from sqlalchemy import Row as DatabaseRow

from fraudstream.messages.base import Object
from fraudstream.store import positions, tables
from fraudstream.store.filters import AlertFilter as AlertFilter
from fraudstream.store.positions import Place, Position
from fraudstream.store.triage_state import UNTOUCHED, TriageState
from fraudstream.times import iso_time
from fraudstream.transactions.wire import Outcome

_Value = TypeVar("_Value")

EXPORT_PAGE: Final = 500
"""Alerts held at once while all of them are walked through."""


class Total:
    """The counts that the store keeps."""

    ALERTS: Final = Outcome.ALERT.value
    UNSCORABLE: Final = Outcome.UNSCORABLE.value
    DEAD_LETTERS: Final = "dead_letters"
    CONFLICTS: Final = "conflicts"
    DUPLICATES: Final = "duplicates"
    REJECTED: Final = "rejected"
    SCHEMAS_FORGOTTEN: Final = "schemas_forgotten"
    EVERY: Final = (ALERTS, UNSCORABLE, DEAD_LETTERS, CONFLICTS, DUPLICATES, REJECTED, SCHEMAS_FORGOTTEN)


class StoredAlert(NamedTuple):
    """An alert as the store gives it back, masked as it was stored; `seq` is the order of its commit."""

    seq: int
    outcome: str
    produced_us: int | None
    body: bytes

    def document(self) -> Object:
        """The alert as a dict."""
        loaded: Object = orjson.loads(self.body)
        return loaded


@dataclass(frozen=True, slots=True)
class StoredSchema:
    """A set of columns that was seen; times in microseconds, `estimated` rows from samples."""

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


class Refusal(NamedTuple):
    """An alias that was suggested and refused."""

    new: str
    old: str
    at_us: int
    who: str
    why: str


class Row(NamedTuple):
    """An event, a dead letter or a rejected record."""

    seq: int
    document: Object


WORK_COLUMNS: Final = tuple(tables.alerts.c[name] for name in TriageState._fields)
"""The columns that make a `Work`, in its order."""

STORED_COLUMNS: Final = (
    tables.alerts.c.seq,
    tables.alerts.c.outcome,
    tables.alerts.c.produced_us,
    tables.alerts.c.body,
    *WORK_COLUMNS,
)
"""The columns that make a `StoredAlert`, for `stored_alert`."""


def alert_json(seq: int, body: str, work: bytes = UNTOUCHED) -> bytes:
    """The JSON object of a stored alert, with `seq` and `work` in front: spliced, so that nothing is parsed."""
    return b'{"seq":%d,"work":%s,%s' % (seq, work, body[1:].encode())


def stored_alert(row: DatabaseRow[Any]) -> StoredAlert:
    """The alert of a row of `STORED_COLUMNS`."""
    work = TriageState(*(getattr(row, name) for name in TriageState._fields))
    return StoredAlert(row.seq, row.outcome, row.produced_us, alert_json(row.seq, row.body, work.json()))


class AlertReader:
    """Reads the alert store; many threads may do so at once, also while one writes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for what has a module of its own (`letters.py`, `replay_log.py`)."""
        with self._engine.connect() as connection:
            yield connection

    def rows(self, query: Executable) -> Sequence[Any]:
        """Every row of a query."""
        with self._engine.connect() as connection:
            return connection.execute(query).all()

    def scalar(self, query: Select[_Value]) -> _Value | None:
        """The first value of a query; None where there is none."""
        with self._engine.connect() as connection:
            return connection.execute(query).scalar()

    def answers(self) -> None:
        """Ask the database for nothing, to see that it answers."""
        self.scalar(select(literal(1)))

    def latest_seq(self) -> int:
        """The `seq` of the newest alert, 0 where there is none."""
        return self.scalar(select(func.max(tables.alerts.c.seq))) or 0

    def alerts(
        self, wanted: AlertFilter | None = None, *, before: int | None = None, limit: int = 100
    ) -> list[StoredAlert]:
        """The newest alerts first, those with a `seq` below `before`, by what has a column of its own."""
        column = tables.alerts.c
        conditions = (wanted or AlertFilter()).conditions()
        if before is not None:
            conditions.append(column.seq < before)
        return self._page(conditions, column.seq.desc(), limit)

    def alerts_after(
        self, seq: int, wanted: AlertFilter | None = None, *, up_to: int | None = None, limit: int = EXPORT_PAGE
    ) -> list[StoredAlert]:
        """The alerts that followed `seq`, in order of commit."""
        column = tables.alerts.c
        conditions = [*(wanted or AlertFilter(outcome=None)).conditions(), column.seq > seq]
        if up_to is not None:
            conditions.append(column.seq <= up_to)
        return self._page(conditions, column.seq.asc(), limit)

    def work_of(self, seqs: Sequence[int]) -> dict[int, tuple[str, str | None, str | None]]:
        """Status, assignee and time of the verdict of some alerts, by their `seq`."""
        column = tables.alerts.c
        query = select(column.seq, column.status, column.assignee, column.decided_us).where(column.seq.in_(seqs))
        return {row.seq: (row.status, row.assignee, iso_time(row.decided_us)) for row in self.rows(query)}

    def count(self, wanted: AlertFilter) -> int:
        """How many alerts match."""
        query = select(func.count()).select_from(tables.alerts).where(*wanted.conditions())
        return self.scalar(query) or 0

    def alert(self, alert_id: str) -> StoredAlert | None:
        """One alert by its id."""
        found = self._page([tables.alerts.c.alert_id == alert_id], tables.alerts.c.seq, 1)
        return found[0] if found else None

    def totals(self) -> dict[str, int]:
        """The counts of `Total`, zero where nothing was counted."""
        rows = self.rows(select(tables.totals.c.name, tables.totals.c.value))
        return dict.fromkeys(Total.EVERY, 0) | {row.name: row.value for row in rows}

    def positions(self) -> dict[Place, Position]:
        """How far each partition is filled and scored."""
        with self._engine.connect() as connection:
            return positions.read(connection)

    def events(self, *, kind: str | None = None, before: int | None = None, limit: int = 100) -> list[Row]:
        """The newest events first."""
        conditions = [] if kind is None else [tables.events.c.type == kind]
        return [Row(row.seq, orjson.loads(row.body)) for row in self._newest(tables.events, before, limit, *conditions)]

    def dead_letters(self, *, before: int | None = None, limit: int = 100) -> list[Row]:
        """The newest dead letters first, as far as they are still kept."""
        table = tables.dead_letters
        return [
            Row(row.seq, orjson.loads(row.body))
            for row in self._newest(table, before, limit, table.c.body.is_not(None))
        ]

    def rejected(self, *, before: int | None = None, limit: int = 100) -> list[Row]:
        """The newest rejected records first."""
        return [
            Row(row.seq, {"kind": row.kind, "reason": row.reason, "payload": row.payload})
            for row in self._newest(tables.rejected, before, limit)
        ]

    def schemas(self, *, limit: int = 100) -> list[StoredSchema]:
        """The sets of columns, the one last met for the first time first."""
        column = tables.schemas.c
        return self._schemas(select(tables.schemas).order_by(column.first_us.desc(), column.schema_id).limit(limit))

    def schema(self, schema_id: str) -> StoredSchema | None:
        """One set of columns by its id."""
        found = self._schemas(select(tables.schemas).where(tables.schemas.c.schema_id == schema_id))
        return found[0] if found else None

    def schema_count(self) -> int:
        """How many sets of columns are kept."""
        return self.scalar(select(func.count()).select_from(tables.schemas)) or 0

    def refusals(self) -> list[Refusal]:
        """The aliases that were refused, newest first."""
        found = self.rows(select(tables.refused_aliases).order_by(tables.refused_aliases.c.at_us.desc()))
        return [Refusal(*row) for row in found]

    def _newest(
        self, table: Table, before: int | None, limit: int, *conditions: ColumnElement[bool]
    ) -> Sequence[DatabaseRow[Any]]:
        seq = table.c.seq
        query = select(table).where(*conditions, *([] if before is None else [seq < before]))
        return self.rows(query.order_by(seq.desc()).limit(limit))

    def _schemas(self, query: Select[Any]) -> list[StoredSchema]:
        return [StoredSchema(row.schema_id, orjson.loads(row.columns), *row[2:]) for row in self.rows(query)]

    def _page(self, conditions: list[ColumnElement[bool]], order: ColumnElement[Any], limit: int) -> list[StoredAlert]:
        query = select(*STORED_COLUMNS).where(*conditions).order_by(order).limit(limit)
        return [stored_alert(row) for row in self.rows(query)]
