"""What the detector says of itself, on the topic `detector_events`; samples leave by the plan (`route.py`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from confluent_kafka import KafkaException, Producer

from fraudstream.transactions.wire import EventField, EventType, Topic

log = structlog.get_logger(__name__)


class EventWriter:
    """Writes events; one that Kafka refuses is logged, since no event may stop a detection."""

    def __init__(self, producer: Producer, now: Callable[[], datetime]) -> None:
        self._producer = producer
        self._now = now

    def write(self, kind: EventType, message: str, **details: Any) -> None:
        """Send one event and log it; `details` are further keys of its JSON."""
        if message:
            log.info(message, event_type=kind.value, **_loggable(details))
        event = {
            EventField.TYPE: kind.value,
            EventField.AT: self._now().astimezone(UTC).isoformat(timespec="milliseconds"),
            EventField.MESSAGE: message,
            **details,
        }
        try:
            self._producer.produce(Topic.EVENTS.value, orjson.dumps(event, option=orjson.OPT_NON_STR_KEYS))
            self._producer.poll(0)
        except (BufferError, KafkaException) as e:
            log.warning("an event could not be sent", topic=Topic.EVENTS.value, error=str(e))

    def flush(self, timeout: float = 5.0) -> None:
        """Wait until what was written is acknowledged, or `timeout` seconds."""
        self._producer.flush(timeout)


def _loggable(details: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in details.items() if not isinstance(value, dict)}
