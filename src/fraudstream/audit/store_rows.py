"""Reads the alert store's file as it stands at one moment, beside a dashboard that writes it; never writes itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import orjson
from sqlalchemy import Connection, create_engine, select
from sqlalchemy.exc import DBAPIError

from fraudstream.alerts import tables
from fraudstream.alerts.changes import PublishedHead, broken_links, holds, stored_heads
from fraudstream.alerts.database import parse_url
from fraudstream.audit.facts import Kept
from fraudstream.audit.report import Finding, Kind
from fraudstream.errors import StoreError
from fraudstream.transactions.wire import AlertField, Outcome

SUPERSEDED_SUFFIX: Final = "~unscorable"
"""What the store puts behind the id of an unscorable row when an alert takes it."""

ROWS_AT_ONCE: Final = 1_000
SHOWN_CHARS: Final = 120
_IGNORED_KINDS: Final = ("event",)


@dataclass(frozen=True)
class StoreSnapshot:
    """The store at one moment."""

    connection: Connection

    @classmethod
    @contextmanager
    def open(cls, url: str) -> Iterator[StoreSnapshot]:
        """Open the database read-only, for one transaction; StoreError where it is not there, or cannot be read."""
        path = Path(str(parse_url(url).database))
        if not path.is_file():
            raise StoreError(
                "there is no alert store", where=str(path), remedy="name it with --database, or a demo with --workdir"
            )
        address = f"file:{quote(str(path.absolute()))}?mode=ro"
        engine = create_engine(
            "sqlite://", creator=lambda: sqlite3.connect(address, uri=True, timeout=30, isolation_level=None)
        )
        try:
            with engine.connect().execution_options(stream_results=True) as connection:
                yield cls(connection)
        except DBAPIError as e:
            raise StoreError(
                f"the alert store cannot be read: {e.orig}",
                where=str(path),
                remedy="check that the file is a fraudstream database of this release and that it may be read",
            ) from e
        finally:
            engine.dispose()

    def rows(self) -> Iterator[Kept]:
        """Every alert, unscorable row and dead letter."""
        # The driver begins a transaction before a write only; this one makes all that follows one moment.
        self.connection.exec_driver_sql("BEGIN")
        yield from self._alerts()
        letters = select(tables.dead_letters.c.id)
        for (identity,) in self.connection.execute(letters).yield_per(ROWS_AT_ONCE):
            topic, partition, offset = identity.rsplit("/", 2)
            yield Kept(identity, identity, False, Outcome.DEAD_LETTER.value, topic, int(partition), int(offset))

    def _alerts(self) -> Iterator[Kept]:
        c = tables.alerts.c
        chosen = select(c.alert_id, c.conflict_of, c.outcome, c.topic, c.model_id, c.digest, c.body)
        for row in self.connection.execute(chosen).yield_per(ROWS_AT_ONCE):
            body: dict[str, Any] = orjson.loads(row.body)
            superseded = row.outcome == Outcome.UNSCORABLE and row.alert_id.endswith(SUPERSEDED_SUFFIX)
            own = row.alert_id.removesuffix(SUPERSEDED_SUFFIX) if superseded else row.alert_id
            yield Kept(
                row.alert_id,
                row.conflict_of or own,
                row.conflict_of is not None and not superseded,
                row.outcome,
                row.topic,
                _whole(body.get(AlertField.PARTITION)),
                _whole(body.get(AlertField.OFFSET)),
                row.model_id,
                _whole(body.get(AlertField.REVISION)),
                row.digest,
            )

    def trail(self, published: Iterable[PublishedHead]) -> Iterator[Finding]:
        """The first entry of the audit trail that does not fit its hash, and heads published that the trail lacks."""
        broken = list(broken_links(self.connection))
        if broken:
            place = f"entry {broken[0].seq} ({broken[0].change_id})"
            what = f"{place} does not fit its hash: it or the one before was altered or removed"
            yield Finding(Kind.ALTERED, what, count=len(broken))
        heads = {(head.seq, head.hash): head for head in (*published, *stored_heads(self.connection))}
        for head in sorted(heads.values()):
            if not holds(self.connection, head.seq, head.hash):
                what = f"the head published at {head.at} (entry {head.seq}, hash {head.hash[:12]}…) is not in the trail"
                yield Finding(Kind.ALTERED, what)

    def rejected(self) -> Iterator[Finding]:
        """What was posted as an outcome or as an entry of the ledger and could not be stored."""
        c = tables.rejected.c
        chosen = select(c.seq, c.kind, c.reason, c.payload).where(c.kind.not_in(_IGNORED_KINDS)).order_by(c.seq)
        for seq, kind, reason, payload in self.connection.execute(chosen).yield_per(ROWS_AT_ONCE):
            head = payload if len(payload) <= SHOWN_CHARS else payload[:SHOWN_CHARS] + "…"
            yield Finding(Kind.REJECTED, f"{kind} {seq} was not stored: {reason}: {head}")


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
