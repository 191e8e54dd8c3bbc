"""What a round left behind, read without the product's own code: the topics by a plain consumer, the store by SQL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson
from confluent_kafka import Consumer, Message, TopicPartition
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from chaos.data import Verdict
from chaos.fuzz import Headers
from fraudstream.transactions.wire import Header, Outcome, Topic

READ_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.5

_ALERTS: Final = "SELECT alert_id, conflict_of, outcome, score, received_us, CAST(body AS TEXT) FROM alerts"
_DEAD_LETTERS: Final = "SELECT id, CAST(body AS TEXT) FROM dead_letters"
_PARTITIONS_SINCE: Final = "SELECT CAST(body AS TEXT) FROM alerts WHERE produced_us > :since AND produced_us < :until"
_DAY_US: Final = 43_200_000_000


@dataclass(frozen=True, slots=True)
class Sent:
    """A record of the input topic: where it stands, the id in its header, when it was produced (seconds)."""

    place: str
    event_id: str | None
    at: float


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A row of the alert store."""

    alert_id: str
    conflict_of: str | None
    verdict: Verdict
    at: float
    place: str


@dataclass(frozen=True)
class Store:
    """What the alert store holds: alerts and unscorable rows, dead letters with their reason, and what it refused."""

    rows: list[StoredRecord]
    dead_letters: dict[str, str]
    rejected: int


def read_store(database: str) -> Store:
    """The whole store at a URL.

    Raises:
        DBAPIError: It cannot be read at this moment.
    """
    with _open(database) as connection:
        records = [
            StoredRecord(alert_id, conflict_of, Verdict(Outcome(outcome), score), received_us / 1e6, _place_in(body))
            for alert_id, conflict_of, outcome, score, received_us, body in connection.execute(text(_ALERTS))
        ]
        dead_letters = {
            place: orjson.loads(body).get("reason") for place, body in connection.execute(text(_DEAD_LETTERS))
        }
        rejected = connection.execute(text("SELECT count(*) FROM rejected")).scalar_one()
    return Store(records, dead_letters, rejected)


def partitions_since(database: str, moment: float) -> int:
    """Of how many partitions an alert produced after a moment is in the store; 0 while that cannot be asked."""
    since = int(moment * 1e6)
    try:
        with _open(database) as connection:
            bodies = connection.execute(text(_PARTITIONS_SINCE), {"since": since, "until": since + _DAY_US}).scalars()
            return len({orjson.loads(body)["partition"] for body in bodies})
    except DBAPIError:
        return 0


def read_input(bootstrap: str) -> list[Sent]:
    """Every record of the input topic, in order within a partition."""
    return [
        Sent(_place(message), _event_id(message), message.timestamp()[1] / 1000)
        for message in read_topic(bootstrap, Topic.TRANSACTIONS)
    ]


def read_objects(bootstrap: str, topic: Topic) -> list[dict[str, Any]]:
    """Every record of a topic of JSON objects."""
    return [orjson.loads(value) for message in read_topic(bootstrap, topic) if (value := message.value())]


def read_topic(bootstrap: str, topic: Topic) -> Iterator[Message]:
    """Every record from the first to what is the end at the call.

    Raises:
        SystemExit: Kafka does not give them.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "chaos-checker",
            "enable.auto.commit": False,
            "enable.partition.eof": False,
            "fetch.message.max.bytes": 10_000_000,
            "log_level": 0,
        }
    )
    try:
        partitions = consumer.list_topics(topic.value, timeout=READ_SECONDS).topics[topic.value].partitions
        left = {}
        for partition in partitions:
            begin, end = consumer.get_watermark_offsets(TopicPartition(topic.value, partition), timeout=READ_SECONDS)
            if end > begin:
                left[partition] = (begin, end)
        consumer.assign([TopicPartition(topic.value, partition, begin) for partition, (begin, _) in left.items()])
        deadline = time.monotonic() + READ_SECONDS
        while left:
            messages = consumer.consume(5_000, timeout=POLL_SECONDS)
            if messages:
                deadline = time.monotonic() + READ_SECONDS
            elif time.monotonic() > deadline:
                raise SystemExit(f"Kafka does not give the records of {topic.value}")
            for message in messages:
                partition, offset = message.partition(), message.offset()
                if message.error() is not None or partition not in left or offset is None:
                    continue
                end = left[partition][1]
                if offset < end:
                    yield message
                if offset >= end - 1:
                    del left[partition]
    finally:
        consumer.close()


def _place(message: Message) -> str:
    return f"{message.topic()}/{message.partition()}/{message.offset()}"


def _event_id(message: Message) -> str | None:
    for name, value in cast(Headers, message.headers() or []):
        if name == Header.EVENT_ID.value and value is not None:
            return value.decode(errors="replace") if isinstance(value, bytes) else value
    return None


def _place_in(body: str) -> str:
    alert = orjson.loads(body)
    return f"{alert['topic']}/{alert['partition']}/{alert['offset']}"


@contextmanager
def _open(database: str) -> Iterator[Connection]:
    engine = create_engine(database, poolclass=NullPool)
    with engine.connect() as connection:
        yield connection
