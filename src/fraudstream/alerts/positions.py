"""How far each partition is filled and scored, as the store keeps it; what is shown of it is `dashboard/stats.py`'s."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select

from fraudstream.alerts import tables
from fraudstream.alerts.dialect import upsert
from fraudstream.alerts.validation import CheckedAlert, Unfit, check_object, instant, integer
from fraudstream.transactions.wire import EventField, EventType

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


def reports(event: Mapping[str, Any]) -> list[Report]:
    """What a `position`, `progress` or `sample` event says of its partitions; nothing for any other event.

    Raises:
        Unfit: The event does not look as its type says.
    """
    kind = event.get(EventField.TYPE)
    if kind == EventType.SAMPLE:
        partition, offset = integer(event, EventField.PARTITION), integer(event, EventField.OFFSET)
        topic = event.get(EventField.TOPIC)
        if not isinstance(topic, str) or partition is None or offset is None:
            raise Unfit("a sample needs topic, partition and offset")
        return [Report(Place(topic, partition), position=offset + 1)]
    if kind not in (EventType.POSITION, EventType.PROGRESS):
        return []
    at_us = instant(event, EventField.AT)
    found = []
    for topic, partitions in check_object(event.get(EventField.POSITIONS), "positions").items():
        for number, values in check_object(partitions, f"positions.{topic}").items():
            entry = check_object(values, f"positions.{topic}.{number}")
            if not number.isdecimal() or len(number) > 9:
                raise Unfit(f"positions.{topic}: {number!r} is not a partition")
            found.append(_report(Place(topic, int(number)), entry, at_us, ends=kind == EventType.POSITION))
    return found


def of_alerts(alerts: Iterable[CheckedAlert]) -> list[Report]:
    """How far alerts say that their partitions are scored."""
    furthest: dict[Place, int] = {}
    for alert in alerts:
        if alert.topic is not None and alert.partition is not None and alert.offset is not None:
            place = Place(alert.topic, alert.partition)
            furthest[place] = max(furthest.get(place, 0), alert.offset + 1)
    return [Report(place, position=position) for place, position in furthest.items()]


def _report(place: Place, entry: Mapping[str, Any], at_us: int | None, *, ends: bool) -> Report:
    if ends:
        begin, end = integer(entry, "begin"), integer(entry, "end")
        if end is None:
            raise Unfit(f"positions.{place.topic}.{place.partition}: end must be an integer")
        return Report(place, begin=begin or 0, end=end, at_us=at_us)
    position = integer(entry, "position")
    if position is None:
        raise Unfit(f"positions.{place.topic}.{place.partition}: position must be an integer")
    return Report(place, position=position)


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
            row = place._asdict() | {
                "begin_offset": position.begin,
                "end_offset": position.end,
                "position": position.position,
                "at_us": position.at_us,
            }
            connection.execute(_WRITE, row)
