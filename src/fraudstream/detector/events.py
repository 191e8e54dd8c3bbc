"""Writes the detector's status and events to the topic `detector_events`."""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import orjson
import structlog
from confluent_kafka import KafkaException, Producer

from fraudstream.model.deployment.current import Deployment
from fraudstream.times import iso
from fraudstream.transactions.wire import DetectorState, EventField, EventType

log = structlog.get_logger(__name__)

STATUS_SECONDS: Final = 2.0
ALARMS: Final = frozenset({EventType.LOSS, EventType.STARVED})
"""Logged as errors."""


class EventWriter:
    """Writes events; one that Kafka rejects is only logged, since an event must never stop detection."""

    def __init__(self, producer: Producer, topic: str, now: Callable[[], datetime]) -> None:
        self._producer = producer
        self._topic = topic
        self._now = now
        self._state: tuple[DetectorState, str, Deployment | None] = (DetectorState.STARTING, "Spark is starting", None)
        self._details: Mapping[str, Any] = {}

    def write(self, kind: EventType, message: str, **details: Any) -> None:
        """Send one event and log it; `details` are additional keys of its JSON."""
        if message:
            loggable = {key: value for key, value in details.items() if not isinstance(value, dict)}
            (log.error if kind in ALARMS else log.info)(message, event_type=kind.value, **loggable)
        self._send(kind, message, details)

    def _send(self, kind: EventType, message: str, details: Mapping[str, Any]) -> None:
        event = {EventField.TYPE: kind.value, EventField.AT: iso(self._now()), EventField.MESSAGE: message, **details}
        try:
            self._producer.produce(self._topic, orjson.dumps(event, option=orjson.OPT_NON_STR_KEYS))
            self._producer.poll(0)
        except (BufferError, KafkaException, TypeError) as e:  # the last: half a surrogate pair in a message
            log.warning("an event could not be sent", topic=self._topic, error=str(e))

    def set_state(self, state: DetectorState, why: str, deployment: Deployment | None) -> None:
        """Set the detector's state, which `repeat_state` publishes."""
        self._state = (state, why, deployment or self._state[2])
        if state is not DetectorState.RUNNING:
            self._details = {}

    def describe(self, details: Mapping[str, Any]) -> None:
        """Set additional keys for the JSON of each status while the query runs."""
        self._details = details

    def repeat_state(self, stop: threading.Event) -> None:
        """Publish the detector's state every two seconds until `stop`, as a heartbeat."""
        while True:
            state, why, deployment = self._state
            status: dict[str, Any] = {EventField.STATE: state.value}
            if deployment is not None:
                status |= {EventField.MODEL_ID: deployment.model_id, EventField.REVISION: deployment.revision}
            self._send(EventType.STATUS, why, status | dict(self._details))
            if stop.wait(STATUS_SECONDS):
                return

    def flush(self, timeout: float = 5.0) -> None:
        """Wait until all events are acknowledged, at most `timeout` seconds."""
        self._producer.flush(timeout)
