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
    """One partition, or what a record reports of it.

    Attributes:
        begin: Its first offset.
        end: The offset after its last record; None if that is not known, or not reported.
        position: The offset after the last record scored; 0 if that is not reported.
        at_us: When begin and end were read.
    """

    begin: int = 0
    end: int | None = None
    position: int = 0
    at_us: int | None = None


Report = tuple[TopicPartition, Position]


def advance(current: Position | None, report: Position) -> Position:
    """Return the position after a report; it never moves back unless the topic was recreated.

    A much newer report with a lower end offset means that the topic was deleted and created again: the scored position
    of the old topic does not apply to the new one.
    """
    if current is None:
        return replace(report, position=max(report.begin, report.position))
    if report.end is None:
        return replace(current, position=max(current.position, report.position))
    is_recreated = current.end is not None and report.end < current.end
    if current.at_us is not None and report.at_us is not None:
        seconds = (report.at_us - current.at_us) / 1_000_000
        if seconds < (RECREATED_SECONDS if is_recreated else 0):
            return current
    return replace(report, position=report.begin if is_recreated else max(current.position, report.begin))


def reports(event: Event) -> list[Report]:
    """Return the reports in a `position`, `progress` or `sample` event; none for any other event."""
    if isinstance(event, Sample):
        return of_records([event])
    if isinstance(event, EndsEvent):
        return [
            (TopicPartition(topic, partition), Position(at.begin or 0, at.end, at_us=event.at_us))
            for topic, partitions in event.positions.items()
            for partition, at in partitions.items()
        ]
    return [
        (TopicPartition(topic, partition), Position(position=at.position))
        for topic, partitions in (event.positions.items() if isinstance(event, Progress) else ())
        for partition, at in partitions.items()
    ]


def of_records(records: Iterable[PostedAlert | Sample | DeadLetter]) -> list[Report]:
    """Return the scored positions according to records."""
    return [
        (TopicPartition(record.topic, record.partition), Position(position=record.offset + 1))
        for record in records
        if record.topic is not None and record.partition is not None and record.offset is not None
    ]


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
    changed = dict(stored)
    for partition, report in new:
        changed[partition] = advance(changed.get(partition), report)
    for partition, position in changed.items():
        if stored.get(partition) != position:
            row = {"begin_offset": position.begin, "end_offset": position.end, "position": position.position}
            connection.execute(_WRITE, partition._asdict() | row | {"at_us": position.at_us})
