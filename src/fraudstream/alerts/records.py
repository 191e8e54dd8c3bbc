"""From a record on an output topic to what the API takes: alerts, dead letters, events; `relay.py` carries them."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson

from fraudstream.alerts.samples import describe_columns
from fraudstream.transactions.schema import schema_id
from fraudstream.transactions.wire import AlertField, DeadLetterField, EventField, EventType, Header, Topic


class Route(StrEnum):
    """Where the API takes what."""

    ALERTS = "/api/alerts"
    DEAD_LETTERS = "/api/dead-letters"
    EVENTS = "/api/events"
    LEDGER = "/api/ledger"


_DIGITS_OF_64_BITS = 19

ROUTE_OF = {
    Topic.ALERTS: Route.ALERTS,
    Topic.UNSCORABLE: Route.ALERTS,
    Topic.DEAD_LETTERS: Route.DEAD_LETTERS,
    Topic.EVENTS: Route.EVENTS,
    Topic.LEDGER: Route.LEDGER,
}


@dataclass(frozen=True)
class Record:
    """A record as it stands on an output topic; `timestamp_ms` is Kafka's."""

    topic: Topic
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]

    @property
    def place(self) -> str:
        """Where it stands, as an id."""
        return f"{self.topic.value}/{self.partition}/{self.offset}"


def to_payload(record: Record) -> dict[str, Any]:
    """What is posted for a record; a record that cannot be read is posted as it is, for the API to keep and show."""
    if record.topic is Topic.DEAD_LETTERS:
        return _dead_letter(record)
    content = _read(record.value)
    if not isinstance(content, dict):
        return {"unreadable_record": record.place, "payload_base64": _base64(record.value)}
    if record.topic is Topic.LEDGER:
        return content
    return _event(record, content) if record.topic is Topic.EVENTS else _alert(record, content)


def _alert(record: Record, alert: dict[str, Any]) -> dict[str, Any]:
    text = alert.pop(AlertField.TRANSACTION_TEXT, None)
    if isinstance(text, str):
        # Only leniently JSON: what Spark could carry was all text; here NaN and Infinity become text, and the rest
        # keeps its type.
        came = _read(text.encode())
        if isinstance(came, dict):
            alert[AlertField.TRANSACTION.value] = came
    alert[AlertField.DETECTED_AT.value] = _iso(record.timestamp_ms)
    transaction = alert.get(AlertField.TRANSACTION)
    if isinstance(transaction, dict):
        alert[AlertField.SCHEMA_ID.value] = schema_id(transaction)
    return alert


def _event(record: Record, event: dict[str, Any]) -> dict[str, Any]:
    if event.get(EventField.TYPE) == EventType.SAMPLE:
        text = event.pop(EventField.TRANSACTION_TEXT, None)
        event |= describe_columns(event, _read(text.encode()) if isinstance(text, str) else None)
    return {EventField.EVENT_ID.value: record.place, EventField.AT.value: _iso(record.timestamp_ms), **event}


def _dead_letter(record: Record) -> dict[str, Any]:
    headers: Mapping[str, bytes | None] = dict(record.headers)
    return {
        DeadLetterField.TOPIC.value: _text(headers.get(Header.ERROR_TOPIC)) or record.topic.value,
        DeadLetterField.PARTITION.value: _whole(headers.get(Header.ERROR_PARTITION), record.partition),
        DeadLetterField.OFFSET.value: _whole(headers.get(Header.ERROR_OFFSET), record.offset),
        DeadLetterField.EVENT_ID.value: _text(headers.get(Header.EVENT_ID)),
        DeadLetterField.PRODUCED_AT.value: _text(headers.get(Header.PRODUCED_AT)) or _iso(record.timestamp_ms),
        DeadLetterField.DETECTED_AT.value: _iso(record.timestamp_ms),
        DeadLetterField.REASON.value: _text(headers.get(Header.ERROR_MESSAGE)) or "no reason came with it",
        DeadLetterField.KEY.value: None if record.key is None else _text(record.key),
        DeadLetterField.PAYLOAD.value: None if record.value is None else _base64(record.value),
        DeadLetterField.HEADERS.value: {name: _text(value) for name, value in record.headers},
        DeadLetterField.ORIGINAL_BYTES.value: _whole(
            headers.get(Header.ERROR_ORIGINAL_BYTES), len(record.value or b"")
        ),
        DeadLetterField.DEAD_LETTER.value: record.place,
    }


def _read(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        pass
    try:
        lenient = json.loads(
            value.decode(errors="replace"), parse_constant=str, parse_int=_integer, parse_float=_finite
        )
        # Half a surrogate pair cannot be written as UTF-8: it would end the relay at every attempt to post it.
        return orjson.loads(json.dumps(lenient, ensure_ascii=False, allow_nan=False).encode(errors="replace"))
    except (ValueError, RecursionError):
        return None


def _integer(digits: str) -> Any:
    return int(digits) if len(digits) < _DIGITS_OF_64_BITS else _finite(digits)


def _finite(digits: str) -> Any:
    """The number, or its text where it is beyond a double: JSON cannot carry an infinity."""
    number = float(digits)
    return number if math.isfinite(number) else digits


def _iso(timestamp_ms: int) -> str:
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="backslashreplace")


def _whole(value: bytes | None, otherwise: int) -> int:
    return int(value) if value is not None and value.isdigit() else otherwise


def _base64(value: bytes | None) -> str:
    return base64.b64encode(value or b"").decode()
