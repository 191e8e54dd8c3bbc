"""Stores the schemas that were observed, with their first observation and the number of transactions."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from sqlalchemy import Connection, bindparam, delete, func, select, update

from fraudstream.messages.base import Object
from fraudstream.messages.posted import PostedAlert, Sample
from fraudstream.store import rows, tables
from fraudstream.store.positions import TopicPartition
from fraudstream.store.reading import Total
from fraudstream.times import microseconds
from fraudstream.transactions.drift import UNKNOWN, columns_of, listing
from fraudstream.transactions.masking import REMOVED
from fraudstream.transactions.wire import EventField, EventType, Outcome

LONGEST_ID: Final = 32

MOST_SCHEMAS: Final = 2_000
"""Schemas that are stored; beyond this number the one not observed for the longest time is deleted."""

MOST_EVENTS: Final = 100
"""Events for new schemas per hour; if there are more, one last event reports that."""

EVENTS_PERIOD: Final = timedelta(hours=1)

_SCHEMAS: Final = tables.schemas
_COUNTS: Final = ("sampled", "estimated", "alerts", "unscorable")
_UPDATE: Final = (
    update(_SCHEMAS)
    .where(_SCHEMAS.c.schema_id == bindparam("of"))
    .values({name: _SCHEMAS.c[name] + bindparam(f"more_{name}") for name in _COUNTS} | {"last_us": bindparam("now_us")})
)


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
    columns = columns_of(alert.transaction, alert.imputed or ())
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

    def __init__(self) -> None:
        self._last: dict[TopicPartition, tuple[int, int]] = {}  # offset and time

    def weigh(self, partition: TopicPartition, offset: int, produced_us: int | None) -> int:
        """Return the weight of a sample: 1 for the first of its partition, 0 for a transaction that is read again."""
        last, at_us = self._last.get(partition), produced_us or 0
        if last is not None and offset <= last[0] and at_us <= last[1] + self.REPLAY_US:
            return 0
        self._last[partition] = (offset, at_us)
        return 1 if last is None or offset <= last[0] else offset - last[0]


Describe = Callable[[SchemaObservation], Mapping[str, Any]]
"""Describes a new schema for its event: `message`, and the differences from the model's contract."""


def record(
    connection: Connection, observations: Iterable[tuple[SchemaObservation, int]], now: datetime, describe: Describe
) -> None:
    """Store schema observations, samples with their weights, and write the events for new schemas."""
    first: dict[str, SchemaObservation] = {}
    counts: dict[str, dict[str, int]] = {}
    for observation, weight in observations:
        first.setdefault(observation.schema_id, observation)
        count = counts.setdefault(observation.schema_id, dict.fromkeys(_COUNTS, 0))
        if observation.outcome is None:
            count["sampled"] += weight > 0
            count["estimated"] += weight
        else:
            count["alerts" if observation.outcome is Outcome.ALERT else "unscorable"] += 1
    new_schemas = 0
    for schema, observation in first.items():
        more = {f"more_{name}": number for name, number in counts[schema].items()}
        change = {"of": schema, "now_us": microseconds(now)} | more
        # Update first, without a SELECT: nearly every alert has a known schema.
        if connection.execute(_UPDATE, change).rowcount == 0:
            _insert(connection, observation, now)
            _insert_event(connection, observation, now, describe)
            connection.execute(_UPDATE, change)
            new_schemas += 1
    if new_schemas:
        _delete_oldest(connection)


def _insert(connection: Connection, observation: SchemaObservation, now: datetime) -> None:
    topic, partition = observation.partition or (None, None)
    row = {
        "schema_id": observation.schema_id,
        "columns": orjson.dumps(observation.columns).decode(),
        "column_count": observation.column_count,
        "first_us": microseconds(now) if observation.produced_us is None else observation.produced_us,
        "first_topic": topic,
        "first_partition": partition,
        "first_offset": observation.offset,
        "last_us": microseconds(now),
    }
    connection.execute(_SCHEMAS.insert(), row | dict.fromkeys(_COUNTS, 0))


def _insert_event(connection: Connection, observation: SchemaObservation, now: datetime, describe: Describe) -> None:
    event: Object = {EventField.TYPE.value: EventType.SCHEMA.value, EventField.AT.value: now.isoformat()}
    if _is_limit_reached(connection, now):
        message = f"more than {MOST_EVENTS} new schemas within an hour: further ones are only listed on the Schema page"
        flood = {EventField.EVENT_ID.value: f"schema/flood/{now:%Y-%m-%dT%H}", EventField.MESSAGE.value: message}
        rows.insert_event(connection, event | flood, now)
        return
    event |= {
        EventField.EVENT_ID.value: f"schema/{observation.schema_id}",
        EventField.MESSAGE.value: "a new schema",
        EventField.SCHEMA_ID.value: observation.schema_id,
        "sampled": True,
    }
    if observation.partition is not None:
        event |= observation.partition._asdict() | {EventField.OFFSET.value: observation.offset}
    rows.insert_event(connection, event | dict(describe(observation)), now)


def _is_limit_reached(connection: Connection, now: datetime) -> bool:
    column = tables.events.c
    newest = select(column.received_us).where(column.type == EventType.SCHEMA.value).order_by(column.seq.desc())
    hundredth = connection.execute(newest.offset(MOST_EVENTS - 1).limit(1)).scalar_one_or_none()
    return hundredth is not None and hundredth > microseconds(now - EVENTS_PERIOD)


def _delete_oldest(connection: Connection) -> None:
    stored: int = connection.execute(select(func.count()).select_from(_SCHEMAS)).scalar_one()
    surplus = stored - MOST_SCHEMAS
    if surplus > 0:
        oldest = select(_SCHEMAS.c.schema_id).order_by(_SCHEMAS.c.last_us, _SCHEMAS.c.first_us).limit(surplus)
        connection.execute(delete(_SCHEMAS).where(_SCHEMAS.c.schema_id.in_(oldest)))
        rows.count(connection, Total.SCHEMAS_FORGOTTEN, surplus)
