"""Stores the end offset and scored position of each partition."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from sqlalchemy import Connection, select

from fraudstream.messages.posted import DeadLetter, EndsEvent, Event, PostedAlert, Progress, Sample
from fraudstream.store import tables
from fraudstream.store.database import upsert

RECREATED_SECONDS: Final = 5
"""A lower end offset within this time was read earlier, by another relay."""

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

    A much newer report with a lower end offset means that the topic was deleted and created again: the scored position
    of the old topic does not apply to the new one.
    """
    if current is None:
        begin = report.begin or 0
        return Position(begin, report.end, max(begin, report.position or 0), report.at_us)
    if report.end is None:
        return replace(current, position=max(current.position, report.position or 0))
    begin = report.begin or 0
    is_recreated = current.end is not None and report.end < current.end
    if current.at_us is not None and report.at_us is not None:
        seconds = (report.at_us - current.at_us) / 1_000_000
        if seconds < (RECREATED_SECONDS if is_recreated else 0):
            return current
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
