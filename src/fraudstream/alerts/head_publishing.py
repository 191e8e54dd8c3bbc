"""Publishes the head of the audit trail's chain to `detector_events`, at the relay's start and once a day."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from fraudstream.alerts.dashboard_client import DashboardClient
from fraudstream.errors import DashboardFailed
from fraudstream.times import iso
from fraudstream.transactions.wire import EventField, EventType, Topic

DAY_SECONDS: Final = 24 * 3600.0
RETRY_SECONDS: Final = 10.0
SEND_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.5

log = structlog.get_logger(__name__)


def publish_heads(
    dashboard: DashboardClient, bootstrap_servers: str, now: Callable[[], datetime], stop: threading.Event
) -> None:
    """Publish until `stop` is set; what fails, and a trail without entries, is tried again.

    Args:
        dashboard: Asked for the head.
        bootstrap_servers: Kafka's address.
        now: The clock.
        stop: Ends it.
    """
    wait = 0.0
    while not stop.wait(wait):
        wait = RETRY_SECONDS
        try:
            head = dashboard.get("/api/audit/head")
            if head["entries"] == 0:
                continue
            event = head_event(head, now())
            producer = Producer(
                {
                    "bootstrap.servers": bootstrap_servers,
                    "enable.idempotence": True,
                    "message.timeout.ms": int(SEND_SECONDS * 1000),
                    "log_level": 0,
                }
            )
            if _send(producer, orjson.dumps(event), stop):
                wait = DAY_SECONDS
        except (DashboardFailed, KafkaException) as e:
            log.debug("the head of the audit trail is not published yet", reason=str(e))


def _send(producer: Producer, value: bytes, stop: threading.Event) -> bool:
    """Send one record; whether Kafka has it."""
    errors: list[KafkaError | None] = []
    producer.produce(
        Topic.EVENTS.value, key=EventType.AUDIT_HEAD.value, value=value, on_delivery=lambda e, _: errors.append(e)
    )
    while not errors and not stop.is_set():
        producer.poll(POLL_SECONDS)
    if errors and errors[0] is not None:
        raise KafkaException(errors[0])
    return bool(errors)


def head_event(head: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """The event that carries a head; one a day for each."""
    at = at.astimezone(UTC)
    return {
        EventField.EVENT_ID.value: f"audit_head/{at:%Y-%m-%d}/{head['seq']}/{head['hash'][:16]}",
        EventField.TYPE.value: EventType.AUDIT_HEAD.value,
        EventField.AT.value: iso(at),
        EventField.MESSAGE.value: f"Entries in the audit trail: {head['entries']:,}",
        **{name: head[name] for name in ("seq", "hash", "entries")},
    }
