"""Runs the relay with its threads: replays, verdicts, watermarks and the published head of the audit trail."""

import base64
import contextlib
import functools
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog
import urllib3
from confluent_kafka import KafkaError, KafkaException, Producer

from fraudstream.config import Settings
from fraudstream.errors import DashboardFailed, KafkaFailure
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import Watermarks, open_writer
from fraudstream.kafka.replay import ReplayedRecord, ReplayRefused, ReplayTopic
from fraudstream.kafka.topics import ensure_topics
from fraudstream.messages.base import Object, instant
from fraudstream.messages.verdicts import VerdictMessage
from fraudstream.relay.api_client import ApiRefused, ApiUnavailable, DashboardClient
from fraudstream.relay.carrier import open_consumer, relay_records
from fraudstream.relay.records import Route, encode
from fraudstream.runtime.processes import write_ready
from fraudstream.times import iso
from fraudstream.transactions.masking import DataMask
from fraudstream.transactions.wire import DeadLetterField, EventField, EventType, Header, RecordId, Topic

log = structlog.get_logger(__name__)

CLAIM: Final = "/api/replays/claim"
UNPUBLISHED: Final = "/api/verdicts/unpublished"
CLAIMED_AT_ONCE: Final = 100
DAY_SECONDS: Final = 24 * 3600.0
RETRY_SECONDS: Final = 10.0


class ReplaySender:
    """Claims replays, sends them, and posts their results; `connect` opens the input topic when one is waiting."""

    def __init__(self, dashboard: DashboardClient, connect: Callable[[], ReplayTopic]) -> None:
        self._dashboard = dashboard
        self._connect = connect
        self._topic: ReplayTopic | None = None

    def send_some(self, batch: str | None = None) -> int:
        """Send the next waiting replays, of one batch or of all; returns how many were claimed.

        Raises DashboardFailed, KafkaException or KafkaFailure; claimed replays can then be claimed again later.
        """
        if not self._dashboard.post(CLAIM, {"batch": batch, "limit": 0})["waiting"]:
            return 0
        # Before the claim: without a connection the replays stay in the queue.
        self._topic = self._topic or self._connect()
        claimed = self._dashboard.post(CLAIM, {"batch": batch, "limit": CLAIMED_AT_ONCE})["replays"]
        results: dict[str, RecordId | ReplayRefused] = {}
        replays: list[ReplayedRecord] = []
        for each in claimed:
            try:
                replays.append(_replay(each))
            except ValueError as e:
                results[each["replay_id"]] = ReplayRefused(f"it cannot be converted: {e}")
        # A replay that Kafka has not acknowledged has no result, and is claimed again later.
        results |= self._topic.send(replays)
        # A reason may quote the payload, at any length: if the API refused it, all of them would be sent again.
        concluded = [
            {"replay_id": replay_id, "reason" if isinstance(result, ReplayRefused) else "place": str(result)[:500]}
            for replay_id, result in results.items()
        ]
        self._dashboard.post("/api/replays/results", {"results": concluded})
        return len(claimed)

    def reconnect(self) -> None:
        """Close the connection to Kafka; the next replay opens another one."""
        if self._topic is not None:
            self._topic.close()
            self._topic = None


def send_replays(sender: ReplaySender, stop: threading.Event) -> None:
    """Send requested replays every second until `stop` is set; failures are retried."""
    while not stop.wait(1.0):
        try:
            while not stop.is_set() and (number := sender.send_some()):
                log.info("sent replays", replays=number)
        except (DashboardFailed, KafkaException, KafkaFailure) as e:
            log.debug("replays not sent", reason=str(e))
            sender.reconnect()
        except Exception as e:  # or the thread would end, and later replays never be sent
            log.error("replays not sent", reason=f"{type(e).__name__}: {e}")
            sender.reconnect()
    sender.reconnect()


def run_relay(settings: Settings, stop: threading.Event, *, from_beginning: bool = False) -> None:
    """Relay until `stop` is set, `from_beginning` everything in Kafka again; raises BrokerUnreachable or Fenced."""
    cluster = Cluster.of(settings)
    ensure_topics(cluster, settings.partitions, settings.max_record_bytes, "relay")
    # With the ingest token, which every relay has.
    api = DashboardClient(urllib3.PoolManager(maxsize=4), settings.api, settings.ingest_token, settings.ingest_token)
    relay_id = settings.relay_id or socket.gethostname()
    consumers = functools.partial(open_consumer, cluster, relay_id, settings.max_record_bytes)
    ready = functools.partial(write_ready, settings.ready_file)
    now = functools.partial(datetime.now, UTC)
    mask = DataMask(settings.card_columns)
    topic = cluster.topic(Topic.TRANSACTIONS)
    watermarks = Watermarks(cluster, topic)
    sender = ReplaySender(api, lambda: ReplayTopic(cluster))
    # In threads of their own, so that no alert waits for them.
    threads = [
        threading.Thread(target=post_positions, args=(api, topic, watermarks.read, now, stop), name="positions"),
        threading.Thread(target=send_replays, args=(sender, stop), name="replays"),
        threading.Thread(target=publish_heads, args=(api, cluster, now, stop), name="audit heads"),
        threading.Thread(target=publish_verdicts, args=(api, cluster, stop), name="verdicts"),
    ]
    try:
        for thread in threads:
            thread.start()
        relay_records(consumers, cluster, api, stop, mask, from_beginning=from_beginning, ready=ready)
    finally:
        stop.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()


def post_positions(
    api: DashboardClient,
    topic: str,
    ends: Callable[[], Mapping[int, tuple[int, int]]],
    now: Callable[[], datetime],
    stop: threading.Event,
) -> None:
    """Post the watermarks of the input `topic` every second until `stop`: they count payments without reading them.

    If Kafka does not respond, the error is posted, so that the dashboard can tell Kafka's failure from the relay's.
    """
    while not stop.wait(1.0):
        try:
            positions = {str(p): {"begin": begin, "end": end} for p, (begin, end) in ends().items()}
            content: Object = {EventField.POSITIONS: {topic: positions}}
        except (KafkaException, KafkaFailure) as e:
            reason = e.args[0].str() if isinstance(e, KafkaException) else e.what
            content = {EventField.POSITIONS: {}, EventField.TROUBLE: reason}
        at = iso(now())
        event = {EventField.EVENT_ID: f"position/{at}", EventField.TYPE: EventType.POSITION.value, EventField.AT: at}
        try:
            api.post_records(Route.EVENTS, [encode(event | content)])
        except (ApiUnavailable, ApiRefused) as e:
            log.debug("position not posted", reason=str(e))
        except Exception as e:  # or the thread would end, and the counters freeze without an error
            log.error("position not posted", reason=f"{type(e).__name__}: {e}")


def publish_heads(
    dashboard: DashboardClient, cluster: Cluster, now: Callable[[], datetime], stop: threading.Event
) -> None:
    """Publish the head of the audit trail daily until `stop` is set; a failure or an empty trail is retried."""
    wait = 0.0
    while not stop.wait(wait):
        wait = RETRY_SECONDS
        try:
            head = dashboard.get("/api/audit/head")
            if head["entries"] == 0:
                continue
            producer = open_writer(cluster, seconds=30.0)
            event = head_event(head, now())
            record = (EventType.AUDIT_HEAD.value, orjson.dumps(event), event[EventField.EVENT_ID])
            if _send(producer, cluster.topic(Topic.EVENTS), [record], stop):
                wait = DAY_SECONDS
        except (DashboardFailed, KafkaException) as e:
            log.debug("head of the audit trail not published", reason=str(e))


def publish_verdicts(dashboard: DashboardClient, cluster: Cluster, stop: threading.Event) -> None:
    """Publish new verdicts every second until `stop` is set, each at least once; failures are retried.

    The dashboard stores how far they are published; several relays may send one twice, under the same `event_id`.
    """
    topic, producer, until, wait = cluster.topic(Topic.VERDICTS), None, 0, 0.0
    while not stop.wait(wait):
        wait = 1.0
        try:
            answer = dashboard.post(UNPUBLISHED, {"until": until})
            verdicts = [VerdictMessage.model_validate(each) for each in answer["verdicts"]]
            if verdicts:
                producer = producer or open_writer(cluster, seconds=30.0)
                records = [(each.alert_id, each.model_dump_json().encode(), each.event_id) for each in verdicts]
                if not _send(producer, topic, records, stop):
                    continue
                log.info("published verdicts", verdicts=len(verdicts))
            if answer["until"] != until:
                until, wait = answer["until"], 0.0
        except (DashboardFailed, KafkaException) as e:
            log.warning("verdicts not published", reason=str(e))
            producer, wait = None, RETRY_SECONDS  # after a fatal error a producer sends nothing any more
        except Exception as e:  # or the thread would end, and later verdicts never be published
            log.error("verdicts not published", reason=f"{type(e).__name__}: {e}")
            producer, wait = None, RETRY_SECONDS


def _send(producer: Producer, topic: str, records: Sequence[tuple[str, bytes, str]], stop: threading.Event) -> bool:
    """Send records, each a key, a value and an event id; returns whether Kafka has acknowledged all of them."""
    errors: list[KafkaError | None] = []
    for key, value, event_id in records:
        headers: list[tuple[str, str | bytes | None]] = [(Header.EVENT_ID.value, event_id)]
        producer.produce(topic, value, key, headers=headers, on_delivery=lambda e, _: errors.append(e))
    while len(errors) < len(records) and not stop.is_set():
        producer.poll(0.5)
    if error := next(filter(None, errors), None):
        raise KafkaException(error)
    return len(errors) == len(records)


def head_event(head: Mapping[str, Any], at: datetime) -> Object:
    """Build the event for a head; its id is unique per day and head."""
    at = at.astimezone(UTC)
    return {
        EventField.EVENT_ID.value: f"audit_head/{at:%Y-%m-%d}/{head['seq']}/{head['hash'][:16]}",
        EventField.TYPE.value: EventType.AUDIT_HEAD.value,
        EventField.AT.value: iso(at),
        EventField.MESSAGE.value: f"Entries in the audit trail: {head['entries']:,}",
        **{name: head[name] for name in ("seq", "hash", "entries")},
    }


def _replay(claimed: Mapping[str, Any]) -> ReplayedRecord:
    fields, payload = claimed["letter"], claimed["payload_base64"]
    produced_us = dead_letter = None
    # These are as posted, and have not been validated.
    with contextlib.suppress(ValueError):
        produced_us = instant(fields.get(DeadLetterField.PRODUCED_AT))
    with contextlib.suppress(ValueError):
        dead_letter = RecordId.parse(str(fields.get(DeadLetterField.DEAD_LETTER)))
    return ReplayedRecord(
        replay_id=claimed["replay_id"],
        origin=RecordId.parse(claimed["origin"]),
        payload=None if payload is None else base64.b64decode(payload),
        dead_letter=dead_letter,
        original_bytes=fields.get(DeadLetterField.ORIGINAL_BYTES),
        produced_ms=None if produced_us is None else produced_us // 1000,
    )
