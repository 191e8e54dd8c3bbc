"""Writes alerts, events, dead letters and ledger entries to the alert store, each exactly once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self, TypeVar

from sqlalchemy import Connection

from fraudstream.errors import RecordError
from fraudstream.messages import posted as messages
from fraudstream.messages.answers import Rejection
from fraudstream.store import ledger, positions, rows, tables
from fraudstream.store import schemas as observations
from fraudstream.store.changes import Action, Actor, Change, insert_change
from fraudstream.store.database import Database, insert, open_database
from fraudstream.store.entities import ColumnsOf, EntityReader, insert_entities
from fraudstream.store.full_text import alert_tokens, index_tokens
from fraudstream.store.labels import LabelReader
from fraudstream.store.ledger import LedgerReader
from fraudstream.store.positions import Report, TopicPartition
from fraudstream.store.reading import AlertReader, StoredAlert, Total
from fraudstream.store.search import AlertSearch
from fraudstream.times import microseconds
from fraudstream.transactions.entities import UNKNOWN, EntityColumns
from fraudstream.transactions.wire import REJECTED_BECAUSE, EventType, Outcome

UNSTORED_EVENTS: Final = (EventType.SAMPLE, EventType.PROGRESS, EventType.POSITION, EventType.STATUS)
"""Events that only update counters: at several per second, their rows would soon be most of the database."""

_Checked = TypeVar("_Checked")


@dataclass(slots=True)
class Added:
    """The result of storing posted records: counts, the new alerts (`stored`, in commit order), the valid events, and
    the samples among them with the number of transactions that each represents.
    """

    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: list[Rejection] = field(default_factory=list)
    stored: list[StoredAlert] = field(default_factory=list)
    events: list[messages.Event] = field(default_factory=list)
    samples: list[tuple[messages.Sample, int]] = field(default_factory=list)

    def tally(self, new: bool) -> None:
        """Count a record as accepted or as a duplicate."""
        self.accepted += new
        self.duplicates += not new

    def merge(self, one: Self, index: int) -> None:
        """Add the result of the single record at an index."""
        self.accepted += one.accepted
        self.duplicates += one.duplicates
        self.conflicts += one.conflicts
        self.rejected += [Rejection(index, rejection.reason) for rejection in one.rejected]
        self.stored += one.stored
        self.events += one.events


class AlertStore(AlertReader):
    """The only writer of its database within a process; it waits for the transactions of other processes.

    Methods that write raise StoreError if the database refuses the write; nothing is stored then.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.ledger = LedgerReader(database)
        self.search = AlertSearch(self)
        self.entities = EntityReader(database)
        self.labels = LabelReader(database)
        self._weights = observations.SampleWeights()

    @classmethod
    def open(
        cls, url: str, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC), card_columns: Iterable[str] = ()
    ) -> Self:
        """Open the database, creating or migrating it if necessary, as `open_database`.

        `url` is SQLAlchemy's, such as `sqlite:///alerts.db`; `clock` gives the time of commit, stored as `received_at`.
        """
        return cls(open_database(url, clock, card_columns))

    def close(self) -> None:
        """Close all connections."""
        self.database.close()

    def add_alerts(
        self,
        posted: Sequence[object],
        *,
        on_commit: Callable[[list[StoredAlert]], None] | None = None,
        describe: observations.Describe = lambda observation: {},
        columns_of: ColumnsOf = lambda model_id: UNKNOWN,
    ) -> Added:
        """Store alerts and unscorable transactions in one transaction; invalid ones are stored as rejected records.

        An id that exists with the same transaction is a duplicate; with another transaction it is a conflict, stored in
        its own row with the id `<id>~<first digits of its digest>`. An alert for a transaction that was unscorable is
        new: the existing row is renamed to `<id>~unscorable` (`rows.store_once`).

        `on_commit` is called with the new alerts after their commit and before that of the next writer, so in the order
        of `seq`. `describe` provides the text of the event for a new schema, `columns_of` the entity columns.
        """
        added = Added()
        with self.database.write_lock:
            with self.database.write(of_records=True) as connection:
                now = self.database.now()
                valid = _validate(connection, "alert", posted, messages.check_alert, added, now)
                sets: dict[tuple[str, ...], int] = {}
                observed: list[tuple[observations.SchemaObservation, int]] = []
                with_entities: list[tuple[int, Mapping[str, Any], EntityColumns]] = []
                for alert in valid:
                    stored, is_conflict = rows.store_once(connection, alert, sets, now)
                    if stored is None:
                        added.duplicates += 1
                        continue
                    added.stored.append(stored)
                    added.conflicts += is_conflict
                    added.accepted += not is_conflict
                    if alert.outcome is Outcome.ALERT:
                        with_entities.append((stored.seq, alert.transaction, columns_of(alert.model_id)))
                    if observation := observations.observation_of_alert(alert):
                        observed.append((observation, 0))
                index_tokens(connection, ((stored.seq, alert_tokens(stored.document())) for stored in added.stored))
                insert_entities(connection, with_entities)
                observations.record(connection, observed, now, describe)
                positions.record(connection, positions.of_records(valid))
                for outcome in (Total.ALERTS, Total.UNSCORABLE):
                    rows.count(connection, outcome, sum(alert.outcome == outcome for alert in added.stored))
                rows.count(connection, Total.CONFLICTS, added.conflicts)
                rows.count(connection, Total.DUPLICATES, added.duplicates)
                if added.stored:
                    self.database.notify(connection, "alerts")
            if on_commit is not None and added.stored:
                on_commit(added.stored)
        return added

    def add_events(
        self, posted: Sequence[object], *, describe: observations.Describe = lambda observation: {}
    ) -> Added:
        """Store events, each once by its `event_id`; samples, progress and positions only update the positions.

        A sample is also a schema observation; a new schema is recorded as an event, whose text `describe` provides.
        """
        added = Added()
        with self.database.write_lock:
            weights = deepcopy(self._weights)
            with self.database.write(of_records=True) as connection:
                now = self.database.now()
                reports: list[Report] = []
                observed: list[tuple[observations.SchemaObservation, int]] = []
                added.events = _validate(connection, "event", posted, messages.check_event, added, now)
                for event in added.events:
                    reports.extend(positions.reports(event))
                    if isinstance(event, messages.Sample):
                        partition = TopicPartition(event.topic, event.partition)
                        weight = weights.weigh(partition, event.offset, event.produced_us)
                        added.samples.append((event, weight))
                        if observation := observations.observation_of_sample(event):
                            observed.append((observation, weight))
                    added.tally(event.type in UNSTORED_EVENTS or rows.insert_event(connection, event.document, now))
                observations.record(connection, observed, now, describe)
                positions.record(connection, reports)
            self._weights = weights
        return added

    def refuse_alias(self, new: str, old: str, *, who: str, why: str, session: str = "") -> None:
        """Store that a suggested alias was refused, and record the change; repeating it has no effect."""
        refused = tables.refused_aliases
        once = insert(refused).on_conflict_do_nothing().returning(refused.c.new)
        with self.database.write(of_records=True) as connection:
            now = self.database.now()
            row = {"new": new, "old": old, "at_us": microseconds(now), "who": who, "why": why}
            if connection.execute(once, row).one_or_none() is not None:
                after = {"refused": {new: old}}
                actor = Actor(who, session=session)
                insert_change(connection, Change(actor, Action.ALIAS, f"{new} as {old}", None, after, why), now)

    def add_dead_letters(self, posted: Sequence[object]) -> Added:
        """Store dead letters, each once by `topic/partition/offset`; only the newest 10,000 keep their payloads."""
        added = Added()
        with self.database.write(of_records=True) as connection:
            now = self.database.now()
            valid = _validate(connection, "dead letter", posted, messages.check_dead_letter, added, now)
            for dead_letter in valid:
                added.tally(rows.insert_dead_letter(connection, dead_letter, now))
            positions.record(connection, positions.of_records(valid))
            rows.delete_old_bodies(connection, added.accepted)
            rows.count(connection, Total.DEAD_LETTERS, added.accepted)
        return added

    def add_ledger(self, posted: Sequence[object]) -> Added:
        """Store ledger entries, each once by its `entry_id`, and add the new ones to the totals."""
        added = Added()
        with self.database.write(of_records=True) as connection:
            now = self.database.now()
            valid = _validate(connection, "ledger entry", posted, messages.check_entry, added, now)
            positions.record(connection, ledger.record(connection, valid, added.tally, now))
        return added

    def reject(self, kind: str, raw: object, reason: str) -> Added:
        """Store a rejected record that passed validation, but could not be inserted."""
        with self.database.write(of_records=True) as connection:
            inserted = rows.insert_rejected(connection, kind, raw, rows.as_readable(reason), self.database.now())
            rows.count(connection, Total.REJECTED, inserted)
        return Added(rejected=[Rejection(0, reason)])


def _validate(
    connection: Connection,
    kind: str,
    posted: Sequence[object],
    check: Callable[[object], _Checked],
    added: Added,
    now: datetime,
) -> list[_Checked]:
    valid = []
    inserted = 0
    for index, raw in enumerate(posted):
        try:
            valid.append(check(raw))
        except RecordError as e:
            # The relay knows better why it could not convert a record than the validation of what it posted instead.
            relay_reason = raw.get(REJECTED_BECAUSE) if isinstance(raw, dict) else None
            reason = rows.as_readable(relay_reason if isinstance(relay_reason, str) else e.what)
            added.rejected.append(Rejection(index, reason))
            inserted += rows.insert_rejected(connection, kind, raw, reason, now)
    rows.count(connection, Total.REJECTED, inserted)
    return valid
