"""Records that are made to stop a consumer, from a seed, sent between frauds that must all arrive."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import confluent_kafka
from confluent_kafka import KafkaError, Message, Producer
from sqlalchemy import create_engine, select
from sqlalchemy.pool import NullPool

from fraudstream.store import tables
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES, Header, Topic

RawHeaders = list[tuple[bytes, bytes | None]]

LARGEST: Final = DEFAULT_MAX_RECORD_BYTES - 2_000
"""The broker counts frame and headers too."""

DEEPEST: Final = 5_000
SCORED_DEPTH: Final = 990
"""Spark's JSON reader takes 1,000 levels; what is nested deeper is a dead letter."""

ONE_IS_LARGE_IN: Final = 200
LONG_KEY: Final = "a key of 1 MB"
YEAR_MS: Final = 365 * 86_400_000
FLUSH_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Hostile:
    """A record as it is sent.

    Attributes:
        kind: What is hostile about it.
        value: Its value; None for a tombstone.
        is_alert: Whether it is a fraud for sure, which has to reach the queue.
        key: Its key.
        headers: Beside its `event_id`; their names need not be UTF-8.
        timestamp: In milliseconds; 0 for now.
    """

    kind: str
    value: bytes | None
    is_alert: bool
    key: bytes | None = None
    headers: RawHeaders = field(default_factory=list)
    timestamp: int = 0


def hostile_records(count: int, fraud: bytes, seed: int) -> Iterator[Hostile]:
    """So many hostile records, all kinds by turns; 20 KB each on the average, one in 200 up to Kafka's limit.

    Args:
        count: How many.
        fraud: A row that raises an alert, as JSON.
        seed: Of all chance.
    """
    chance = Random(seed)
    kinds, large = list(KINDS.items()), list(_LARGE.items())
    for number in range(count):
        at, is_large = divmod(number, ONE_IS_LARGE_IN)
        kind, make = large[at % len(large)] if is_large == ONE_IS_LARGE_IN // 2 else kinds[number % len(kinds)]
        value, is_alert = make(fraud, chance)
        name, key, headers, timestamp = chance.choice(_BESIDE)(chance)
        if kind == LONG_KEY:
            key = b"\xff" * (LARGEST - len(fraud))
        yield Hostile(f"{kind}, {name}", value, is_alert, key, headers, timestamp)


Made = tuple[bytes | None, bool]
Maker = Callable[[bytes, Random], Made]
_Around = tuple[str, bytes | None, RawHeaders, int]


def nested(depth: int, opening: bytes = b'{"x":', closing: bytes = b"}", inside: bytes = b"1") -> bytes:
    """JSON of so many levels."""
    return opening * depth + inside + closing * depth


def _with(row: bytes, text: bytes) -> bytes:
    return row[:-1] + b"," + text + b"}"


def _member(text: bytes, *, is_alert: bool = True) -> Maker:
    return lambda row, chance: (_with(row, text), is_alert)


def _alone(value: bytes | None) -> Maker:
    return lambda row, chance: (value, False)


def _deep(opening: bytes, closing: bytes, more: bytes = b"") -> Maker:
    def make(row: bytes, chance: Random) -> Made:
        depth = chance.choice((chance.randint(0, 260), chance.randint(190, 1_010), chance.randint(0, DEEPEST)))
        return _with(row, more + b'"deep":' + nested(depth, opening, closing)), depth * opening.count(b"[") < 900 and (
            depth * (opening.count(b"{") + opening.count(b"[")) < SCORED_DEPTH
        )

    return make


def _changed(row: bytes, chance: Random) -> Made:
    at = chance.randrange(len(row))
    return row[:at] + bytes([chance.randrange(256)]) + row[at + 1 :], False


KINDS: Final[Mapping[str, Maker]] = {
    "deep objects": _deep(b'{"x":', b"}"),
    "deep lists": _deep(b"[", b"]"),
    "deep, full of quotes": _deep(b'{"\\"}{\\\\":', b"}"),
    "deep beside NaN": _deep(b'{"x":', b"}", b'"n":NaN,'),
    "deep lists and objects": _deep(b'[{"x":', b"}]"),
    "never closed": lambda row, chance: (row[:-1] + b',"x":' + b'{"x":[' * chance.randint(1, DEEPEST // 2), False),
    "only closed": lambda row, chance: (row + b"}]" * chance.randint(1, DEEPEST // 2), False),
    "long names, deep and wide": lambda row, chance: (
        _with(row, b'"w":' + nested(90, b'{"%s":' % (b"n" * 500), b"}", _columns(2_000))),
        True,
    ),
    "null": _alone(b"null"),
    "true": _alone(b"true"),
    "a number": _alone(b"1e400"),
    "a text": _alone(b'"\\ud800"'),
    "a list": lambda row, chance: (b"[" + row + b"]", False),
    "a list of lists": _alone(nested(DEEPEST, b"[", b"]")),
    "no columns": _alone(b"{}"),
    "tombstone": _alone(None),
    "empty": _alone(b""),
    "random bytes": lambda row, chance: (chance.randbytes(chance.randint(1, 20_000)), False),
    "cut short": lambda row, chance: (row[: chance.randint(1, len(row) - 1)], False),
    "a byte changed": _changed,
    "1e400": _member(b'"x":1e400,"y":[-1e400,{"z":1e400}]'),
    "not finite": _member(b'"x":NaN,"y":[Infinity,{"z":-Infinity}]'),
    "30 digits": _member(b'"x":%s,"y":-%s' % (b"9" * 30, b"9" * 30)),
    "30 digits beside NaN": _member(b'"x":%s,"y":NaN' % (b"9" * 30)),
    "5,000 digits": _member(b'"x":' + b"9" * 5_000, is_alert=False),
    "900 digits beside NaN": _member(b'"y":NaN,"x":' + b"9" * 900),
    "lone surrogates": _member(b'"x":"\\ud800","\\udfff":{"\\udc00":["\\udbff"]}'),
    "lone surrogates beside NaN": _member(b'"n":NaN,"x":"\\ud800","\\udfff":{"\\udc00":["\\udbff"]}'),
    "surrogates in UTF-8": _member(b'"x":"\xed\xa0\x80"', is_alert=False),
    "equal names": _member(b'"x":1,"x":{"x":2},"x":[3],"x":{"x":4}'),
    "control characters": _member(b'"x":"a\x01\x00b"', is_alert=False),
    "control characters, escaped": _member(b'"\\u0000":"\\u0000\\u001f\\u007f\\u2028\\ufeff"'),
    "odd names": _member(b'"":1," ":{"":2},"a.b":3,"[0]":4,"__proto__":5,"alert_id":6,"as_text":7,"$x":8'),
    "a long name": _member(b'"' + b"k" * 49_000 + b'":1'),
}


def _columns(count: int) -> bytes:
    return b"{" + b",".join(b'"c%d":%d' % (number, number) for number in range(count)) + b"}"


def _filled(before: bytes, unit: bytes, after: bytes, *, is_alert: bool) -> Maker:
    def make(row: bytes, chance: Random) -> Made:
        space = LARGEST - len(row) - len(before) - len(after) - 8
        return _with(row, before + unit * (space // len(unit)) + after), is_alert

    return make


_LARGE: Final[Mapping[str, Maker]] = {
    "a name of 1 MB": _filled(b'"', b"k", b'":1', is_alert=False),
    "a text of 1 MB, full of quotes": _filled(b'"x":"', b'\\"', b'"', is_alert=True),
    "1 MB of lone surrogates beside NaN": _filled(b'"n":NaN,"x":"', b"\\ud800", b'"', is_alert=True),
    "1 MB of lists": _filled(b'"x":[', b"[[]],", b"0]", is_alert=True),
    "1 MB, 300 deep": lambda row, chance: (
        _with(row, b'"x":' + nested(300, inside=b'"' + b'\\"' * (LARGEST // 2 - 2_000) + b'"')),
        True,
    ),
    LONG_KEY: lambda row, chance: (row, True),
    "20,000 columns": lambda row, chance: (_with(row, _columns(20_000)[1:-1]), True),
}

_OWN_HEADERS: Final = [Header.ERROR_TOPIC, Header.ERROR_PARTITION, Header.ERROR_OFFSET, Header.PRODUCED_AT]
_BESIDE: Final[list[Callable[[Random], _Around]]] = [
    lambda chance: ("nothing beside", None, [], 0),
    lambda chance: ("a key of random bytes", chance.randbytes(chance.randint(0, 200)), [], 0),
    lambda chance: ("the name of a header is not UTF-8", b"\xff\xfe", [(b"\xff\xc0\xaf", b"\xff"), (b"ok", b"1")], 0),
    lambda chance: ("headers without names and values", None, [(b"", None), (b"", b""), (b"\x00", b"\x00")], 0),
    lambda chance: ("equal headers", None, [(b"same", b"%d" % number) for number in range(200)], 0),
    lambda chance: ("headers like ours", None, [(name.encode(), b"\xff9" * 20) for name in _OWN_HEADERS], 0),
    lambda chance: ("source_row and replay_of", None, [(b"source_row", b"9" * 400), (b"replay_of", b"\xff" * 400)], 0),
    lambda chance: ("before 1970", None, [], -5 if chance.random() < 0.5 else -20 * YEAR_MS),
    lambda chance: ("in 90 years", None, [], int(time.time() * 1000) + 90 * YEAR_MS),
]


@dataclass
class Sent:
    """What Kafka has acknowledged.

    Attributes:
        frauds: The ids of the frauds between.
        alerts: Of the hostile records that are frauds too, the kind by id.
        hostile: How many hostile records, by what they are in themselves.
        size: Their bytes, in all.
        refused: What Kafka would not take, and why.
    """

    frauds: list[str] = field(default_factory=list)
    alerts: dict[str, str] = field(default_factory=dict)
    hostile: int = 0
    size: int = 0
    refused: list[str] = field(default_factory=list)


def send_between_frauds(
    bootstrap: str, records: Iterator[Hostile], fraud: bytes, *, every: int, rate: float, name: str
) -> Sent:
    """Send records at a rate, a plain fraud before each `every` of them and one at the end.

    Args:
        bootstrap: Kafka's address.
        records: What is sent between the frauds.
        fraud: A row that raises an alert.
        every: How many of them come between two frauds.
        rate: Records a second.
        name: The beginning of every event id.
    """
    sent = Sent()
    client = Producer(
        {"bootstrap.servers": bootstrap, "message.max.bytes": 2 * DEFAULT_MAX_RECORD_BYTES, "linger.ms": 0}
    )
    began = time.monotonic()

    def give(identity: str, record: Hostile) -> None:
        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                sent.refused.append(f"{record.kind}: {error.str()}")
                sent.alerts.pop(identity, None)

        headers = [(name.decode(), value) for name, value in record.headers]
        client.produce(
            Topic.TRANSACTIONS.value, record.value, record.key, partition=sent.hostile % 2,
            headers=[(Header.EVENT_ID.value, identity.encode()), *headers], timestamp=record.timestamp,
            on_delivery=delivered,
        )  # fmt: skip

    def give_fraud() -> None:
        identity = f"{name}-fraud-{len(sent.frauds)}"
        give(identity, Hostile("a fraud", fraud, True))
        sent.frauds.append(identity)

    with closing(RawProducer(bootstrap)) as raw:
        for number, record in enumerate(records):
            if number % every == 0:
                give_fraud()
            identity = f"{name}-{number}"
            if record.is_alert:
                sent.alerts[identity] = record.kind
            sent.hostile += 1
            sent.size += len(record.value or b"") + len(record.key or b"")
            if all(_is_utf8(header) for header, _ in record.headers):
                give(identity, record)
            else:
                raw.produce(Topic.TRANSACTIONS.value, sent.hostile % 2, identity, record)
            while client.poll(0) or time.monotonic() - began < number / rate:
                time.sleep(0.002)
        give_fraud()
    if left := client.flush(FLUSH_SECONDS):
        raise SystemExit(f"Kafka did not acknowledge {left} records")
    return sent


def stored_alerts(database: str) -> dict[str, float]:
    """Every alert in the store at a URL, with the milliseconds from its production to its commit."""
    alerts = tables.alerts.c
    with create_engine(database, poolclass=NullPool).connect() as connection:
        rows = connection.execute(select(alerts.alert_id, alerts.received_us - alerts.produced_us))
        return {alert_id: delay_us / 1000 for alert_id, delay_us in rows}


class RawProducer:
    """The C client below the Python one, which would take no header whose name is not UTF-8."""

    def __init__(self, bootstrap: str) -> None:
        """Connect to a broker."""
        folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
        self._library = ctypes.CDLL(str(next(folder.glob("librdkafka*"))))
        for function in (self._library.rd_kafka_conf_new, self._library.rd_kafka_new):
            function.restype = ctypes.c_void_p
        error, size = ctypes.create_string_buffer(512), ctypes.c_size_t(512)
        conf = ctypes.c_void_p(self._library.rd_kafka_conf_new())
        for name, value in ((b"bootstrap.servers", bootstrap.encode()), (b"message.max.bytes", b"2097152")):
            self._library.rd_kafka_conf_set(conf, name, value, error, size)
        self._client = ctypes.c_void_p(self._library.rd_kafka_new(0, conf, error, size))

    def produce(self, topic: str, partition: int, identity: str, record: Hostile) -> None:
        """Hand a record to the client.

        Raises:
            OSError: The client does not take it.
        """
        # Pairs of a tag of `rd_kafka_vtype_t` and its arguments: topic, partition, copied, value, key, time, headers.
        arguments: list[Any] = [1, topic.encode(), 3, partition, 7, 2]
        for tag, content in ((4, record.value), (5, record.key)):
            if content is not None:
                arguments += [tag, content, ctypes.c_size_t(len(content))]
        arguments += [8, ctypes.c_int64(record.timestamp)] if record.timestamp else []
        for name, value in [(Header.EVENT_ID.value.encode(), identity.encode()), *record.headers]:
            arguments += [9, name, value, ctypes.c_ssize_t(-1 if value is None else len(value))]
        if code := self._library.rd_kafka_producev(self._client, *arguments, 0):
            raise OSError(f"librdkafka refused a record: {code}")

    def close(self) -> None:
        """Return once everything was acknowledged.

        Raises:
            OSError: It was not.
        """
        left = self._library.rd_kafka_flush(self._client, int(FLUSH_SECONDS * 1000))
        self._library.rd_kafka_destroy(self._client)
        if left:
            raise OSError("Kafka did not acknowledge what the C client sent")


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
