"""Which sets of columns were seen, since when and in how many rows: kept in the alert store, bounded in every way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from sqlalchemy import Connection, bindparam, delete, func, select, update

from fraudstream.alerts import rows, tables
from fraudstream.alerts.positions import Place
from fraudstream.alerts.reading import Total
from fraudstream.alerts.validation import CheckedAlert, Unfit, instant, integer, microseconds, text
from fraudstream.transactions.schema import columns_of, listed
from fraudstream.transactions.wire import AlertField, EventField, EventType, Outcome

MOST_SCHEMAS: Final = 2_000
"""Sets of columns that are kept; beyond it the one longest unseen makes room."""

MOST_EVENTS: Final = 100
"""Events of first sights an hour; a stream of ever new columns gets one more, which says so."""

EVENTS_PERIOD: Final = timedelta(hours=1)
LONGEST_ID: Final = 32

_SCHEMAS: Final = tables.schemas
_UPDATE: Final = (
    update(_SCHEMAS)
    .where(_SCHEMAS.c.schema_id == bindparam("of"))
    .values(
        last_us=bindparam("now_us"),
        sampled=_SCHEMAS.c.sampled + bindparam("more_sampled"),
        estimated=_SCHEMAS.c.estimated + bindparam("more_estimated"),
        alerts=_SCHEMAS.c.alerts + bindparam("more_alerts"),
        unscorable=_SCHEMAS.c.unscorable + bindparam("more_unscorable"),
    )
)


@dataclass(frozen=True, slots=True)
class Sight:
    """A row of which the columns are known: a sample, an alert or an unscorable row.

    Attributes:
        schema_id: Of its set of columns.
        columns: Type by name, as far as they are listed.
        column_count: How many there are.
        place: Topic and partition of the row, where it is told.
        offset: Of the row.
        produced_us: Its time of production.
        outcome: None for a sample.
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


Describe = Callable[[Sight], Mapping[str, Any]]
"""What an event says of a first sight beside its place: `message`, and what differs from the model's contract."""


class OffsetGaps:
    """How many rows a sample stands for: those since the sample before it on its partition."""

    REPLAY_US: Final = 5_000_000
    """A smaller offset of a row produced so much later is no replay: the topic was made anew."""

    def __init__(self, last: Mapping[Place, tuple[int, int]] | None = None) -> None:
        """Start from the last offset and time of each partition."""
        self._last = dict(last or {})

    def copy(self) -> OffsetGaps:
        """Another one that stands where this one stands."""
        return OffsetGaps(self._last)

    def weigh(self, place: Place | None, offset: int | None, produced_us: int | None) -> int:
        """The rows that a sample stands for: 1 for the first of its partition, 0 for a row that was read again."""
        if place is None or offset is None:
            return 0
        at_us = produced_us or 0
        known = self._last.get(place)
        if known is not None and offset <= known[0] and at_us <= known[1] + self.REPLAY_US:
            return 0
        self._last[place] = (offset, at_us)
        return 1 if known is None or offset <= known[0] else offset - known[0]


def sight_of_sample(event: Mapping[str, Any]) -> Sight | None:
    """The sight in a sample; None where it tells no `schema_id`.

    Raises:
        Unfit: It tells one that cannot be used.
    """
    schema = text(event, EventField.SCHEMA_ID)
    if event.get(EventField.TYPE) != EventType.SAMPLE or schema is None:
        return None
    columns, count = event.get(EventField.COLUMNS), integer(event, EventField.COLUMN_COUNT)
    if not isinstance(columns, dict) or not all(isinstance(kind, str) for kind in columns.values()):
        raise Unfit("columns must be an object of types by name")
    if not 1 <= len(schema) <= LONGEST_ID:
        raise Unfit(f"schema_id must be text of 1 to {LONGEST_ID} characters")
    topic, partition = text(event, EventField.TOPIC), integer(event, EventField.PARTITION)
    place = None if topic is None or partition is None else Place(topic, partition)
    return Sight(
        schema,
        listed(columns),
        max(count or 0, len(columns)),
        place,
        integer(event, EventField.OFFSET),
        instant(event, EventField.PRODUCED_AT),
    )


def sight_of_alert(alert: CheckedAlert) -> Sight | None:
    """The sight in an alert or unscorable row; None where it tells no usable `schema_id`."""
    schema = alert.document.get(AlertField.SCHEMA_ID)
    if not isinstance(schema, str) or not 1 <= len(schema) <= LONGEST_ID:
        return None
    columns = columns_of(alert.document[AlertField.TRANSACTION])
    place = None if alert.topic is None or alert.partition is None else Place(alert.topic, alert.partition)
    return Sight(schema, listed(columns), len(columns), place, alert.offset, alert.produced_us, alert.outcome)


def record(
    connection: Connection, sights: Iterable[Sight], gaps: OffsetGaps, now: datetime, describe: Describe | None
) -> None:
    """Take sights into the table within the caller's write transaction, and write the events of first sights.

    Args:
        connection: Within a write transaction.
        sights: In the order of their records.
        gaps: Where the samples of each partition stand; moves.
        now: The time of commit.
        describe: Words an event; None for the bare fact.
    """
    by_schema: dict[str, list[Sight]] = {}
    counts: dict[str, dict[str, int]] = {}
    for sight in sights:
        by_schema.setdefault(sight.schema_id, []).append(sight)
        count = counts.setdefault(sight.schema_id, dict.fromkeys(("sampled", "estimated", "alerts", "unscorable"), 0))
        if sight.outcome is None:
            stands_for = gaps.weigh(sight.place, sight.offset, sight.produced_us)
            count["sampled"] += stands_for > 0
            count["estimated"] += stands_for
        else:
            count["alerts" if sight.outcome is Outcome.ALERT else "unscorable"] += 1
    if not by_schema:
        return
    known = set(
        connection.execute(select(_SCHEMAS.c.schema_id).where(_SCHEMAS.c.schema_id.in_(by_schema))).scalars().all()
    )
    for schema, seen in by_schema.items():
        if schema not in known:
            _insert(connection, seen[0], now)
            _tell(connection, seen[0], now, describe)
        more = {f"more_{name}": number for name, number in counts[schema].items()}
        connection.execute(_UPDATE, {"of": schema, "now_us": microseconds(now)} | more)
    if len(by_schema) > len(known):
        _make_room(connection)


def _insert(connection: Connection, sight: Sight, now: datetime) -> None:
    connection.execute(
        _SCHEMAS.insert(),
        {
            "schema_id": sight.schema_id,
            "columns": orjson.dumps(sight.columns).decode(),
            "column_count": sight.column_count,
            "first_us": microseconds(now) if sight.produced_us is None else sight.produced_us,
            "first_topic": None if sight.place is None else sight.place.topic,
            "first_partition": None if sight.place is None else sight.place.partition,
            "first_offset": sight.offset,
            "last_us": microseconds(now),
            "sampled": 0,
            "estimated": 0,
            "alerts": 0,
            "unscorable": 0,
        },
    )


def _tell(connection: Connection, sight: Sight, now: datetime, describe: Describe | None) -> None:
    at = now.isoformat()
    if _told_enough(connection, now):
        flood = {
            EventField.EVENT_ID.value: f"schema/flood/{now:%Y-%m-%dT%H}",
            EventField.TYPE.value: EventType.SCHEMA.value,
            EventField.AT.value: at,
            EventField.MESSAGE.value: (
                f"more than {MOST_EVENTS} new sets of columns within an hour: further ones are counted, not told one "
                "by one; the page Schema lists them"
            ),
        }
        rows.insert_event(connection, flood, now)
        return
    event: dict[str, Any] = {
        EventField.EVENT_ID.value: f"schema/{sight.schema_id}",
        EventField.TYPE.value: EventType.SCHEMA.value,
        EventField.AT.value: at,
        EventField.MESSAGE.value: "a new set of columns",
        EventField.SCHEMA_ID.value: sight.schema_id,
        "sampled": True,
    }
    if sight.place is not None:
        event |= {
            EventField.TOPIC.value: sight.place.topic,
            EventField.PARTITION.value: sight.place.partition,
            EventField.OFFSET.value: sight.offset,
        }
    rows.insert_event(connection, event | dict(describe(sight) if describe is not None else {}), now)


def _told_enough(connection: Connection, now: datetime) -> bool:
    column = tables.events.c
    newest = select(column.received_us).where(column.type == EventType.SCHEMA.value).order_by(column.seq.desc())
    hundredth = connection.execute(newest.offset(MOST_EVENTS - 1).limit(1)).scalar_one_or_none()
    return hundredth is not None and hundredth > microseconds(now - EVENTS_PERIOD)


def _make_room(connection: Connection) -> None:
    stored: int = connection.execute(select(func.count()).select_from(_SCHEMAS)).scalar_one()
    surplus = stored - MOST_SCHEMAS
    if surplus > 0:
        oldest = select(_SCHEMAS.c.schema_id).order_by(_SCHEMAS.c.last_us, _SCHEMAS.c.first_us).limit(surplus)
        connection.execute(delete(_SCHEMAS).where(_SCHEMAS.c.schema_id.in_(oldest)))
        rows.count(connection, Total.SCHEMAS_FORGOTTEN, surplus)
