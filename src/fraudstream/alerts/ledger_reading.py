"""What can be asked of the ledger in the store, none of it by a scan; `ledger.py` writes it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Engine, func, select

from fraudstream.alerts import tables
from fraudstream.alerts.changes import Action
from fraudstream.alerts.ledger import LedgerPlace
from fraudstream.alerts.positions import Place
from fraudstream.times import iso_time
from fraudstream.transactions.ledger import EntryKind

_PLACES: Final = select(tables.ledger_places).order_by(tables.ledger_places.c.topic, tables.ledger_places.c.partition)


class UnacknowledgedLosses(NamedTuple):
    """How many lost records nobody has acknowledged, up to which entry (0: none), and since when (ISO 8601)."""

    records: int
    until_seq: int
    since: str | None


class LedgerReader:
    """Reads the ledger; many threads may do so at once."""

    def __init__(self, engine: Engine) -> None:
        """Take an engine that `database.open_engine` made."""
        self._engine = engine

    def places(self) -> dict[Place, LedgerPlace]:
        """What the entries of each partition come to."""
        with self._engine.connect() as connection:
            found = [LedgerPlace.of_row(row) for row in connection.execute(_PLACES).mappings()]
        return {Place(place.topic, place.partition): place for place in found}

    def gap_counts(self) -> dict[Place, int]:
        """How many gaps each partition has, those that have one."""
        column = tables.ledger_gaps.c
        query = select(column.topic, column.partition, func.count()).group_by(column.topic, column.partition)
        with self._engine.connect() as connection:
            return {Place(topic, partition): number for topic, partition, number in connection.execute(query)}

    def gaps(self, *, limit: int = 100) -> list[dict[str, Any]]:
        """Ranges that no entry accounts for although later ones are, in the order of their offsets."""
        column = tables.ledger_gaps.c
        query = select(column.topic, column.partition, column.from_offset, column.until_offset)
        query = query.order_by(column.topic, column.partition, column.until_offset).limit(limit)
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def unacknowledged_losses(self, *, until: int | None = None) -> UnacknowledgedLosses:
        """The losses, up to an entry, behind the last one that a person acknowledged: `changes` keeps which it was."""
        change, entry = tables.changes.c, tables.ledger.c
        newest = select(change.after).where(change.action == Action.ACKNOWLEDGE.value).order_by(change.seq.desc())
        with self._engine.connect() as connection:
            known = connection.execute(newest.limit(1)).scalar_one_or_none()
            after = 0 if known is None else int(orjson.loads(known)["until_seq"])
            query = select(func.sum(entry.counted), func.max(entry.seq), func.min(entry.committed_us)).where(
                entry.kind == EntryKind.LOSS.value, entry.counted > 0, entry.seq > after
            )
            if until is not None:
                query = query.where(entry.seq <= until)
            records, last, since_us = connection.execute(query).one()
        return UnacknowledgedLosses(records or 0, last or 0, iso_time(since_us))

    def entries(
        self, *, kind: EntryKind | None = None, before: int | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """The newest entries first, as they came, each with its `seq` and what of it is `counted`."""
        column = tables.ledger.c
        query = select(column.seq, column.body).order_by(column.seq.desc()).limit(limit)
        if kind is not None:
            query = query.where(column.kind == kind.value)
        if before is not None:
            query = query.where(column.seq < before)
        with self._engine.connect() as connection:
            return [{"seq": row.seq} | orjson.loads(row.body) for row in connection.execute(query)]

    def conflicts(self, *, limit: int = 100) -> list[dict[str, Any]]:
        """The newest alerts that share an id with another transaction, first."""
        column = tables.alerts.c
        query = (
            select(column.alert_id, column.conflict_of, column.received_us)
            .where(column.conflict_of.is_not(None))
            .order_by(column.seq.desc())
            .limit(limit)
        )
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]
