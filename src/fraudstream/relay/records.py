"""Converts records of the output topics into the objects that the API accepts."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, Final, Self

import orjson
from confluent_kafka import Message

from fraudstream.kafka.reading import headers_of
from fraudstream.messages.base import Object
from fraudstream.times import from_microseconds, iso_z
from fraudstream.transactions.drift import UNKNOWN, columns_of, id_of, listing, schema_id
from fraudstream.transactions.presentable import present, read_json
from fraudstream.transactions.wire import (
    REJECTED_BECAUSE,
    AlertField,
    DeadLetterField,
    EventField,
    EventType,
    Header,
    Topic,
)

MOST_VALUES: Final = 256
"""Numeric values of one sample that are posted, to recognise a renamed column by its distribution."""


def describe_columns(sample: Mapping[str, Any], transaction: Object | None) -> Object:
    """Return the schema members for a sample, from its transaction, or from the column names if that was too long.

    `transaction` is parsed from the sample; None if the sample has none.
    """
    if transaction is not None:
        columns = columns_of(transaction, _imputed(sample))
    elif isinstance(names := sample.get(EventField.COLUMNS), list):
        columns = {str(name): UNKNOWN for name in names}
    else:
        return {}
    members: Object = {
        EventField.SCHEMA_ID.value: id_of(columns),
        EventField.COLUMNS.value: listing(columns),
        EventField.COLUMN_COUNT.value: len(columns),
    }
    # Only a transaction with missing features can have a renamed column.
    if sample.get(EventField.IMPUTED) and transaction is not None:
        numbers = ((name, float(value)) for name, value in transaction.items() if type(value) in (int, float))
        members[EventField.VALUES.value] = dict(islice(numbers, MOST_VALUES))
    return members


class Route(StrEnum):
    """The API route for each kind of record."""

    ALERTS = "/api/alerts"
    DEAD_LETTERS = "/api/dead-letters"
    EVENTS = "/api/events"
    LEDGER = "/api/ledger"


REJECTED_BYTES: Final = 48 * 1024
"""A record that cannot be converted is truncated to this length; the topic has all of it."""

_OFFSET_DIGITS: Final = 19
MAX_HEADERS: Final = 200
MAX_HEADER_CHARS: Final = 4_096

ROUTE_OF = {
    Topic.ALERTS: Route.ALERTS,
    Topic.UNSCORABLE: Route.ALERTS,
    Topic.DEAD_LETTERS: Route.DEAD_LETTERS,
    Topic.EVENTS: Route.EVENTS,
    Topic.LEDGER: Route.LEDGER,
}


@dataclass(frozen=True)
class PostedRecord:
    """A record of an output topic with its name on this cluster; `timestamp_ms` is Kafka's."""

    topic: Topic
    topic_name: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]

    @classmethod
    def of(cls, message: Message, topic: Topic) -> Self:
        """Build the record from a consumed message; ValueError if the name of a header is not UTF-8."""
        key, value = message.key(), message.value()
        return cls(
            topic=topic,
            topic_name=str(message.topic()),
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            timestamp_ms=message.timestamp()[1],
            key=key.encode() if isinstance(key, str) else key,
            value=value.encode() if isinstance(value, str) else value,
            headers=headers_of(message),
        )

    @property
    def record_id(self) -> str:
        """The id of the record: topic/partition/offset."""
        return f"{self.topic_name}/{self.partition}/{self.offset}"


def to_payload(record: PostedRecord) -> Object:
    """Convert a record for the API; one that is not a JSON object becomes a rejected record."""
    if record.topic is Topic.DEAD_LETTERS:
        return _dead_letter(record)
    content = _read(record.value)
    if not isinstance(content, dict):
        return rejected(record.record_id, record.value, "the record is not a JSON object")
    if record.topic is Topic.LEDGER:
        return content
    return _event(record, content) if record.topic is Topic.EVENTS else _alert(record, content)


def encode(payload: Mapping[str, Any]) -> bytes:
    """Encode a payload as JSON; raises `TypeError` if it is nested too deeply or has an unpaired surrogate."""
    return orjson.dumps(payload, option=orjson.OPT_NON_STR_KEYS)


def rejected(record_id: str, value: bytes | str | None, reason: str) -> Object:
    """Build an item that the API stores as a rejected record: it lacks every required member."""
    content = value.encode(errors="replace") if isinstance(value, str) else value or b""
    return {
        "unreadable_record": record_id,
        REJECTED_BECAUSE: reason,
        "bytes": len(content),
        "payload_base64": base64.b64encode(content[:REJECTED_BYTES]).decode(),
    }


def _alert(record: PostedRecord, alert: Object) -> Object:
    if (parsed := _parse_transaction(alert)) is not None:
        alert[AlertField.TRANSACTION.value] = parsed
    alert[AlertField.DETECTED_AT.value] = _iso(record.timestamp_ms)
    if as_text := present(alert):
        alert[AlertField.AS_TEXT.value] = as_text
    transaction = alert.get(AlertField.TRANSACTION)
    if isinstance(transaction, dict):
        alert[AlertField.SCHEMA_ID.value] = schema_id(transaction, _imputed(alert))
    return alert


def _event(record: PostedRecord, event: Object) -> Object:
    if event.get(EventField.TYPE) == EventType.SAMPLE:
        if (transaction := _parse_transaction(event)) is not None:
            present(transaction)
        event |= describe_columns(event, transaction)
    return {EventField.EVENT_ID.value: record.record_id, EventField.AT.value: _iso(record.timestamp_ms), **event}


def _dead_letter(record: PostedRecord) -> Object:
    # The detector appends its own headers, so the last of a name counts; of `event_id` the first, as in the detector.
    headers: Mapping[str, bytes | None] = dict(record.headers)
    event_id = next((value for name, value in record.headers if name == Header.EVENT_ID), None)
    return {
        DeadLetterField.TOPIC.value: _text(headers.get(Header.ERROR_TOPIC)) or record.topic_name,
        DeadLetterField.PARTITION.value: _whole(headers.get(Header.ERROR_PARTITION), record.partition),
        DeadLetterField.OFFSET.value: _whole(headers.get(Header.ERROR_OFFSET), record.offset),
        DeadLetterField.EVENT_ID.value: _text(event_id),
        DeadLetterField.PRODUCED_AT.value: _text(headers.get(Header.PRODUCED_AT)) or _iso(record.timestamp_ms),
        DeadLetterField.DETECTED_AT.value: _iso(record.timestamp_ms),
        DeadLetterField.REASON.value: _text(headers.get(Header.ERROR_MESSAGE)) or "no reason given",
        DeadLetterField.KEY.value: None if record.key is None else _text(record.key),
        DeadLetterField.PAYLOAD.value: None if record.value is None else base64.b64encode(record.value).decode(),
        DeadLetterField.HEADERS.value: {
            name[:MAX_HEADER_CHARS]: (_text(value) or "")[:MAX_HEADER_CHARS] if value is not None else None
            for name, value in record.headers[-MAX_HEADERS:]
        },
        DeadLetterField.ORIGINAL_BYTES.value: _whole(
            headers.get(Header.ERROR_ORIGINAL_BYTES), len(record.value or b"")
        ),
        DeadLetterField.DEAD_LETTER.value: record.record_id,
    }


def _parse_transaction(record: Object) -> Object | None:
    """Take the text of the transaction, as which Spark passed it on, from a record; None if it is no object.

    Lenient JSON: NaN and Infinity become text, and the rest keeps its type.
    """
    text = record.pop(AlertField.TRANSACTION_TEXT, None)
    transaction = _read(text.encode(errors="replace")) if isinstance(text, str) else None
    return transaction if isinstance(transaction, dict) else None


def _read(value: bytes | None) -> Any:
    try:
        return None if value is None else read_json(value)
    except ValueError:
        return None


def _iso(timestamp_ms: int) -> str | None:
    """Format a time; None outside the years 1 to 9999."""
    try:
        return iso_z(from_microseconds(timestamp_ms * 1000))
    except OverflowError:
        return None


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="backslashreplace")


def _whole(value: bytes | None, otherwise: int) -> int:
    return int(value) if value is not None and value.isdigit() and len(value) <= _OFFSET_DIGITS else otherwise


def _imputed(record: Mapping[str, Any]) -> list[str]:
    imputed = record.get(EventField.IMPUTED)
    return imputed if isinstance(imputed, list) else []
