"""The alert store: writes alerts, events and dead letters so that none is lost or doubled; `reading.py` reads them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError

from fraudstream.errors import RecordError, StoreError
from fraudstream.messages.answers import Rejection
from fraudstream.messages.posted import Event, PostedAlert, Sample, check_alert, check_dead_letter, check_event
from fraudstream.store import ledger, positions, rows, tables
from fraudstream.store import schemas as observations
from fraudstream.store.changes import Action, Actor, Change, insert_change
from fraudstream.store.database import RELAXED, WRITE, add_words, open_engine
from fraudstream.store.filters import AlertFilter
from fraudstream.store.full_text import words_of_alert
from fraudstream.store.ledger import LedgerReader
from fraudstream.store.positions import (
    Place,
    Report,
    SampleWeights,
    SchemaObservation,
    observation_of_alert,
    observation_of_sample,
)
from fraudstream.store.reading import AlertReader, Row, StoredAlert, Total
from fraudstream.store.rows import InsertOutcome, store_once
from fraudstream.store.schemas import Describe
from fraudstream.store.search import AlertSearch
from fraudstream.times import microseconds
from fraudstream.transactions.wire import REJECTED_BECAUSE, EventType

__all__ = ["Added", "AlertFilter", "AlertStore", "Row", "StoredAlert", "Total"]

UNSTORED_EVENTS: Final = (EventType.SAMPLE, EventType.PROGRESS, EventType.POSITION, EventType.STATUS)
"""Events that only move counters: several a second, so that a row for each would soon be most of the database."""

_Checked = TypeVar("_Checked")


@dataclass(slots=True)
class Added:
    """What became of posted records: counts, the new alerts (`stored`, in order of commit), the valid events, and the
    samples among them with how many transactions each represents.
    """

    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: list[Rejection] = field(default_factory=list)
    stored: list[StoredAlert] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    samples: list[tuple[Sample, int]] = field(default_factory=list)

    def tally(self, new: bool) -> None:
        """Count a record as accepted, or as one that was there."""
        self.accepted += new
        self.duplicates += not new

    def merge(self, one: Added, index: int) -> None:
        """Add what became of a single record, the one at an index."""
        self.accepted += one.accepted
        self.duplicates += one.duplicates
        self.conflicts += one.conflicts
        self.rejected += [Rejection(index, rejection.reason) for rejection in one.rejected]
        self.stored += one.stored
        self.events += one.events


class AlertStore(AlertReader):
    """The one writer of its database within a process; another process's transactions are waited for.

    What writes raises StoreError where the database does not take it; nothing is stored then.
    """

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        """Take an engine that `database.open_engine` made, and the clock of commits."""
        super().__init__(engine)
        self.ledger = LedgerReader(self)
        self.search = AlertSearch(self)
        self._clock = clock
        self._writing = threading.Lock()
        self._weights = SampleWeights()

    @classmethod
    def open(
        cls, url: str, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC), card_columns: Iterable[str] = ()
    ) -> Self:
        """Open the database, made or brought up to date where needed.

        `url` is SQLAlchemy's, such as `sqlite:///alerts.db`; `clock` gives the time of commit, which is kept as
        `received_at`; `card_columns` is the setting, for what an earlier release has stored unmasked.

        Raises StoreError where it cannot be opened or written.
        """
        return cls(open_engine(url, card_columns), clock)

    def close(self) -> None:
        """Close every connection; the store is not to be used any more."""
        self._engine.dispose()

    def now(self) -> datetime:
        """The time by the clock of commits."""
        return self._clock()

    @property
    def path(self) -> Path:
        """The database's file."""
        return Path(str(self._engine.url.database)).absolute()

    def add_alerts(
        self,
        posted: Sequence[object],
        *,
        on_commit: Callable[[list[StoredAlert]], None] | None = None,
        describe: Describe | None = None,
    ) -> Added:
        """Store alerts and unscorable transactions, all in one transaction; what cannot be stored is kept apart.

        An id that is there already with the same transaction is a duplicate; with another transaction it is a conflict,
        which is kept in a row of its own, with the id `<id>~<first digits of its digest>`. An alert of a transaction
        that was unscorable is new: the former row goes on as `<id>~unscorable` (`rows.store_once`).

        `on_commit` is called with the new ones once they are committed and before the next writer commits: what it does
        happens in the order of `seq`. `describe` gives the text of the event of a new schema.
        """
        added = Added()
        with self._writing:
            with self._transaction() as connection:
                now = self._clock()
                fit = _sift(connection, "alert", posted, check_alert, added, now)
                sets: dict[tuple[str, ...], int] = {}
                seen: list[tuple[SchemaObservation, int]] = []
                for alert in fit:
                    if _add_alert(connection, alert, sets, added, now) and (observation := observation_of_alert(alert)):
                        seen.append((observation, 0))
                add_words(connection, ((stored.seq, words_of_alert(stored.document())) for stored in added.stored))
                observations.record(connection, seen, now, describe)
                positions.record(connection, positions.of_records(fit))
                rows.count_alerts(connection, added.stored, added.conflicts, added.duplicates)
            if on_commit is not None and added.stored:
                on_commit(added.stored)
        return added

    def add_events(self, posted: Sequence[object], *, describe: Describe | None = None) -> Added:
        """Store events, each once by its `event_id`; samples, progress and positions only move the positions.

        A sample also is an observation of a schema; the first one of each is an event, whose text `describe` gives.
        """
        added = Added()
        with self._writing:
            weights = self._weights.copy()
            with self._transaction() as connection:
                now = self._clock()
                news: list[Report] = []
                seen: list[tuple[SchemaObservation, int]] = []
                added.events = _sift(connection, "event", posted, check_event, added, now)
                for event in added.events:
                    news.extend(positions.reports(event))
                    if isinstance(event, Sample):
                        place = Place(event.topic, event.partition)
                        weight = weights.weigh(place, event.offset, event.produced_us)
                        added.samples.append((event, weight))
                        if observation := observation_of_sample(event):
                            seen.append((observation, weight))
                    added.tally(event.type in UNSTORED_EVENTS or rows.insert_event(connection, event.document, now))
                observations.record(connection, seen, now, describe)
                positions.record(connection, news)
            self._weights = weights
        return added

    def refuse_alias(self, new: str, old: str, *, who: str, why: str, session: str = "") -> None:
        """Remember that a suggested alias was refused, and record it as a change; again is no error, and no change."""
        refused = tables.refused_aliases
        once = insert(refused).on_conflict_do_nothing().returning(refused.c.new)
        with self._writing, self._transaction() as connection:
            now = self._clock()
            row = {"new": new, "old": old, "at_us": microseconds(now), "who": who, "why": why}
            if connection.execute(once, row).one_or_none() is not None:
                after = {"refused": {new: old}}
                actor = Actor(who, session=session)
                insert_change(connection, Change(actor, Action.ALIAS, f"{new} as {old}", None, after, why), now)

    def add_dead_letters(self, posted: Sequence[object]) -> Added:
        """Store dead letters, each once by `topic/partition/offset`; the payloads of the newest 10,000 are kept."""
        added = Added()
        with self._writing, self._transaction() as connection:
            now = self._clock()
            fit = _sift(connection, "dead letter", posted, check_dead_letter, added, now)
            for letter in fit:
                added.tally(rows.insert_dead_letter(connection, letter, now))
            positions.record(connection, positions.of_records(fit))
            rows.forget_old_payloads(connection, added.accepted)
            rows.count(connection, Total.DEAD_LETTERS, added.accepted)
        return added

    def add_ledger(self, posted: Sequence[object]) -> Added:
        """Store entries of the ledger, each once by its `entry_id`, and count what is new of them."""
        added = Added()
        with self._writing, self._transaction() as connection:
            now = self._clock()
            fit = _sift(connection, "ledger entry", posted, ledger.check_entry, added, now)
            positions.record(connection, ledger.record(connection, fit, added.tally, now))
        return added

    def reject(self, kind: str, raw: object, reason: str) -> Added:
        """Keep a record that could not be stored for a reason that no check had foreseen."""
        with self._writing, self._transaction() as connection:
            kept = rows.keep_rejected(connection, kind, raw, rows.as_readable(reason), self._clock())
            rows.count(connection, Total.REJECTED, kept)
        return Added(rejected=[Rejection(0, reason)])

    @contextmanager
    def writing(self, *, relaxed: bool = False) -> Iterator[Connection]:
        """A write transaction for what has a module of its own (`replay_log.py`), in turn with the store's others.

        A `relaxed` one does not wait for the disk: for what can be worked out again (`reasons.py`).
        """
        with self._writing, self._transaction(relaxed=relaxed, of_records=False) as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, relaxed: bool = False, of_records: bool = True) -> Iterator[Connection]:
        options = {WRITE: True, RELAXED: relaxed}
        try:
            with self._engine.connect().execution_options(**options) as connection, connection.begin():
                yield connection
        except DBAPIError as e:
            if of_records and isinstance(e, DataError | IntegrityError | InterfaceError):
                raise  # about what was posted, and not about the database
            raise StoreError(
                f"the alert store did not take a write: {e.orig}",
                where=str(self._engine.url.database),
                remedy="see that the disk has room and that no other program holds the file, then post again",
            ) from e


def _sift(
    connection: Connection,
    kind: str,
    posted: Sequence[object],
    check: Callable[[object], _Checked],
    added: Added,
    now: datetime,
) -> list[_Checked]:
    fit = []
    kept = 0
    for index, raw in enumerate(posted):
        try:
            fit.append(check(raw))
        except RecordError as e:
            # Who could not convert a record knows better why than a check that finds nothing of it.
            told = raw.get(REJECTED_BECAUSE) if isinstance(raw, dict) else None
            reason = rows.as_readable(told if isinstance(told, str) else e.what)
            added.rejected.append(Rejection(index, reason))
            kept += rows.keep_rejected(connection, kind, raw, reason, now)
    rows.count(connection, Total.REJECTED, kept)
    return fit


def _add_alert(
    connection: Connection, alert: PostedAlert, sets: dict[tuple[str, ...], int], added: Added, now: datetime
) -> bool:
    """Insert an alert and tally it; whether it is new."""
    insert_outcome, stored = store_once(connection, alert, sets, now)
    added.accepted += insert_outcome is InsertOutcome.NEW
    added.conflicts += insert_outcome is InsertOutcome.CONFLICT
    added.duplicates += insert_outcome is InsertOutcome.DUPLICATE
    if stored is not None:
        added.stored.append(stored)
    return stored is not None
