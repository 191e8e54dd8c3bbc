"""Stores the end offset and scored position of each partition, and weighs samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from sqlalchemy import Connection, select

from fraudstream.messages.posted import DeadLetter, EndsEvent, Event, PostedAlert, Progress, Sample
from fraudstream.store import tables
from fraudstream.store.database import upsert
from fraudstream.transactions.drift import UNKNOWN, columns_of, listing
from fraudstream.transactions.masking import REMOVED
from fraudstream.transactions.wire import Outcome

_READ: Final = select(tables.positions).order_by(tables.positions.c.topic, tables.positions.c.partition)
_WRITE: Final = upsert(tables.positions)


class TopicPartition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Position:
    """One partition: its first offset, the offset after its last record, and the offset after the last one scored."""

    begin: int
    end: int | None
    position: int
    at_us: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A report on one partition: its watermarks (from the relay) or the position of the detector."""

    partition: TopicPartition
    begin: int | None = None
    end: int | None = None
    position: int | None = None
    at_us: int | None = None


def advance(current: Position | None, report: Report) -> Position:
    """Return the position after a report; it never moves back unless the topic was recreated.

    A newer report with a lower end offset means that the topic was deleted and created again: the scored position of
    the old topic does not apply to the new one.
    """
    if current is None:
        begin = report.begin or 0
        return Position(begin, report.end, max(begin, report.position or 0), report.at_us)
    if report.end is None:
        return replace(current, position=max(current.position, report.position or 0))
    if current.at_us is not None and report.at_us is not None and report.at_us < current.at_us:
        return current
    begin = report.begin or 0
    is_recreated = current.end is not None and report.end < current.end
    return Position(begin, report.end, begin if is_recreated else max(current.position, begin), report.at_us)


def reports(event: Event) -> list[Report]:
    """Return the reports in a `position`, `progress` or `sample` event; none for any other event."""
    if isinstance(event, Sample):
        return of_records([event])
    if isinstance(event, EndsEvent):
        return [
            Report(TopicPartition(topic, partition), begin=at.begin or 0, end=at.end, at_us=event.at_us)
            for topic, partitions in event.positions.items()
            for partition, at in partitions.items()
        ]
    return [
        Report(TopicPartition(topic, partition), position=at.position)
        for topic, partitions in (event.positions.items() if isinstance(event, Progress) else ())
        for partition, at in partitions.items()
    ]


def of_records(records: Iterable[PostedAlert | Sample | DeadLetter]) -> list[Report]:
    """Return the scored position of each partition according to records."""
    furthest: dict[TopicPartition, int] = {}
    for record in records:
        if record.topic is not None and record.partition is not None and record.offset is not None:
            partition = TopicPartition(record.topic, record.partition)
            furthest[partition] = max(furthest.get(partition, 0), record.offset + 1)
    return [Report(partition, position=position) for partition, position in furthest.items()]


def read(connection: Connection) -> dict[TopicPartition, Position]:
    """Return the positions of all partitions that were ever reported."""
    return {
        TopicPartition(row.topic, row.partition): Position(row.begin_offset, row.end_offset, row.position, row.at_us)
        for row in connection.execute(_READ)
    }


def record(connection: Connection, new: Iterable[Report]) -> None:
    """Apply reports to the table, within the caller's write transaction."""
    new = list(new)
    if not new:
        return
    stored = read(connection)
    changed: dict[TopicPartition, Position] = {}
    for report in new:
        before = changed.get(report.partition, stored.get(report.partition))
        changed[report.partition] = advance(before, report)
    for partition, position in changed.items():
        if stored.get(partition) != position:
            row = {"begin_offset": position.begin, "end_offset": position.end, "position": position.position}
            connection.execute(_WRITE, partition._asdict() | row | {"at_us": position.at_us})


LONGEST_ID: Final = 32


@dataclass(frozen=True, slots=True)
class SchemaObservation:
    """The schema of a sample (`outcome` is None), an alert or an unscorable transaction.

    `columns` maps names to types, as far as they are listed; `partition` is None if it is not known.
    """

    schema_id: str
    columns: Mapping[str, str]
    column_count: int
    partition: TopicPartition | None
    offset: int | None
    produced_us: int | None
    outcome: Outcome | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all its columns are listed."""
        return len(self.columns) == self.column_count

    @property
    def where(self) -> str:
        """The record as topic[partition] offset; empty if it is not known."""
        return "" if self.partition is None else f"{self.partition.topic}[{self.partition.partition}] {self.offset}"


def observation_of_sample(sample: Sample) -> SchemaObservation | None:
    """Return the schema observation in a sample; None if it has no `schema_id`."""
    if sample.schema_id is None or sample.columns is None:
        return None
    columns, partition = listing(sample.columns), TopicPartition(sample.topic, sample.partition)
    count = max(sample.column_count or 0, len(sample.columns))
    return SchemaObservation(sample.schema_id, columns, count, partition, sample.offset, sample.produced_us)


def observation_of_alert(alert: PostedAlert) -> SchemaObservation | None:
    """Return the schema observation in an alert or unscorable transaction; None without a usable `schema_id`."""
    schema = alert.schema_id
    if not schema or len(schema) > LONGEST_ID:
        return None
    columns = columns_of(alert.transaction)
    # The schema id was computed before they were removed.
    removed = alert.document.get(REMOVED)
    columns |= {name: UNKNOWN for name in removed if isinstance(name, str)} if isinstance(removed, list) else {}
    topic, number = alert.topic, alert.partition
    partition = None if topic is None or number is None else TopicPartition(topic, number)
    at = alert.offset, alert.produced_us, alert.outcome
    return SchemaObservation(schema, listing(columns), len(columns), partition, *at)


class SampleWeights:
    """Weighs samples: each represents the transactions since the previous sample of its partition."""

    REPLAY_US: Final = 5_000_000
    """A lower offset with a timestamp this much later is not a repeated read: the topic was recreated."""

    def __init__(self, last: Mapping[TopicPartition, tuple[int, int]] | None = None) -> None:
        """Start from the last offset and time of each partition."""
        self._last = dict(last or {})

    def copy(self) -> SampleWeights:
        """Return a copy in the same state."""
        return SampleWeights(self._last)

    def weigh(self, partition: TopicPartition, offset: int, produced_us: int | None) -> int:
        """Return the weight of a sample: 1 for the first of its partition, 0 for a transaction that is read again."""
        last, at_us = self._last.get(partition), produced_us or 0
        if last is not None and offset <= last[0] and at_us <= last[1] + self.REPLAY_US:
            return 0
        self._last[partition] = (offset, at_us)
        return 1 if last is None or offset <= last[0] else offset - last[0]
