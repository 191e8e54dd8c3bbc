"""How far each partition is filled and scored, as the store keeps it, and the weights of samples."""

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


class Place(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Position:
    """One partition: its first offset, the offset after its last record, the offset after the last one scored."""

    begin: int
    end: int | None
    position: int
    at_us: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What one record says of one partition: the ends (from the relay) or how far the detector has come."""

    place: Place
    begin: int | None = None
    end: int | None = None
    position: int | None = None
    at_us: int | None = None


def advance(known: Position | None, report: Report) -> Position:
    """The position after a report: it only ever grows, but for a topic that was made anew.

    A newer report with an end before the known one means that the topic was deleted and created again: what was
    scored of the old one says nothing of the new one.
    """
    if known is None:
        begin = report.begin or 0
        return Position(begin, report.end, max(begin, report.position or 0), report.at_us)
    if report.end is None:
        return replace(known, position=max(known.position, report.position or 0))
    if known.at_us is not None and report.at_us is not None and report.at_us < known.at_us:
        return known
    begin = report.begin or 0
    made_anew = known.end is not None and report.end < known.end
    return Position(begin, report.end, begin if made_anew else max(known.position, begin), report.at_us)


def reports(event: Event) -> list[Report]:
    """What a `position`, `progress` or `sample` event says of its partitions; nothing for any other event."""
    if isinstance(event, Sample):
        return of_records([event])
    if isinstance(event, EndsEvent):
        return [
            Report(Place(topic, partition), begin=at.begin or 0, end=at.end, at_us=event.at_us)
            for topic, partitions in event.positions.items()
            for partition, at in partitions.items()
        ]
    return [
        Report(Place(topic, partition), position=at.position)
        for topic, partitions in (event.positions.items() if isinstance(event, Progress) else ())
        for partition, at in partitions.items()
    ]


def of_records(records: Iterable[PostedAlert | Sample | DeadLetter]) -> list[Report]:
    """How far records say that their partitions are scored."""
    furthest: dict[Place, int] = {}
    for record in records:
        if record.topic is not None and record.partition is not None and record.offset is not None:
            place = Place(record.topic, record.partition)
            furthest[place] = max(furthest.get(place, 0), record.offset + 1)
    return [Report(place, position=position) for place, position in furthest.items()]


def read(connection: Connection) -> dict[Place, Position]:
    """Every partition that was ever reported."""
    return {
        Place(row.topic, row.partition): Position(row.begin_offset, row.end_offset, row.position, row.at_us)
        for row in connection.execute(_READ)
    }


def record(connection: Connection, news: Iterable[Report]) -> None:
    """Take reports into the table, within the caller's write transaction."""
    news = list(news)
    if not news:
        return
    known = read(connection)
    changed: dict[Place, Position] = {}
    for report in news:
        before = changed.get(report.place, known.get(report.place))
        changed[report.place] = advance(before, report)
    for place, position in changed.items():
        if known.get(place) != position:
            row = {"begin_offset": position.begin, "end_offset": position.end, "position": position.position}
            connection.execute(_WRITE, place._asdict() | row | {"at_us": position.at_us})


LONGEST_ID: Final = 32


@dataclass(frozen=True, slots=True)
class SchemaObservation:
    """A row of which the columns are known: a sample (`outcome` is None), an alert or an unscorable row.

    `columns` has the type by name, as far as they are listed; `place` is None where the row does not say its own.
    """

    schema_id: str
    columns: Mapping[str, str]
    column_count: int
    place: Place | None
    offset: int | None
    produced_us: int | None
    outcome: Outcome | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all its columns are listed."""
        return len(self.columns) == self.column_count

    @property
    def where(self) -> str:
        """topic[partition] offset, empty where it is not told."""
        return "" if self.place is None else f"{self.place.topic}[{self.place.partition}] {self.offset}"


def observation_of_sample(sample: Sample) -> SchemaObservation | None:
    """The sight in a sample; None where it has no `schema_id`."""
    if sample.schema_id is None or sample.columns is None:
        return None
    count, place = max(sample.column_count or 0, len(sample.columns)), Place(sample.topic, sample.partition)
    return SchemaObservation(sample.schema_id, listing(sample.columns), count, place, sample.offset, sample.produced_us)


def observation_of_alert(alert: PostedAlert) -> SchemaObservation | None:
    """The sight in an alert or unscorable row; None where it tells no usable `schema_id`."""
    schema = alert.schema_id
    if not schema or len(schema) > LONGEST_ID:
        return None
    columns = columns_of(alert.transaction)
    # Its id was worked out before they were removed.
    removed = alert.document.get(REMOVED)
    columns |= {name: UNKNOWN for name in removed if isinstance(name, str)} if isinstance(removed, list) else {}
    place = None if alert.topic is None or alert.partition is None else Place(alert.topic, alert.partition)
    return SchemaObservation(
        schema, listing(columns), len(columns), place, alert.offset, alert.produced_us, alert.outcome
    )


class SampleWeights:
    """How many transactions a sample represents: those since the sample before it on its partition."""

    REPLAY_US: Final = 5_000_000
    """A smaller offset of a transaction produced so much later is no replay: the topic was made anew."""

    def __init__(self, last: Mapping[Place, tuple[int, int]] | None = None) -> None:
        """Start from the last offset and time of each partition."""
        self._last = dict(last or {})

    def copy(self) -> SampleWeights:
        """Another one in the same state."""
        return SampleWeights(self._last)

    def weigh(self, place: Place, offset: int, produced_us: int | None) -> int:
        """The weight of a sample: 1 for the first of its partition, 0 for a transaction that was read again."""
        at_us = produced_us or 0
        known = self._last.get(place)
        if known is not None and offset <= known[0] and at_us <= known[1] + self.REPLAY_US:
            return 0
        self._last[place] = (offset, at_us)
        return 1 if known is None or offset <= known[0] else offset - known[0]
