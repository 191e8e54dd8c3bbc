"""`fraudstream relay` as a service: its clients, and its threads until it is to stop; it publishes the trail's head."""

import base64
import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import orjson
import structlog
import urllib3
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from pydantic import SecretStr
from urllib3.exceptions import HTTPError

from fraudstream.config import Settings
from fraudstream.errors import DashboardFailed, KafkaFailure
from fraudstream.kafka.reading import Watermarks, open_writer
from fraudstream.kafka.replay import Replay, ReplayRefused, ReplayTopic, open_replay_topic
from fraudstream.kafka.topics import ensure_topics
from fraudstream.messages.base import Object, instant
from fraudstream.relay.api_client import DashboardClient
from fraudstream.relay.carrier import GROUP, ApiRefused, ApiUnavailable, Relay, post_positions
from fraudstream.relay.records import Route
from fraudstream.runtime.processes import write_ready
from fraudstream.times import iso
from fraudstream.transactions.masking import DataMask
from fraudstream.transactions.wire import (
    RELAYED_TOPICS,
    DeadLetterField,
    EventField,
    EventType,
    RecordId,
    Topic,
    output_limit,
)

CLAIM: Final = "/api/replays/claim"
RESULTS: Final = "/api/replays/results"
CLAIMED_AT_ONCE: Final = 100
LOOK_SECONDS: Final = 1.0
MOST_CHARS: Final = 500


class Dashboard(Protocol):
    """The dashboard's API, as a sender of replays uses it; `DashboardClient` is one."""

    def post(self, route: str, content: Mapping[str, Any]) -> Object:
        """Post an object, and return the one that is answered; raises `DashboardFailed`."""


class ReplaySender:
    """Claims replays, sends them, and concludes them.

    `connect` opens the input topic; called when there is something to send, and again after a failure.
    """

    def __init__(self, dashboard: Dashboard, connect: Callable[[], ReplayTopic]) -> None:
        self._dashboard = dashboard
        self._connect = connect
        self._topic: ReplayTopic | None = None

    def send_some(self, batch: str | None = None) -> int:
        """Send the next replays that wait, of one request or of all; returns how many were claimed, 0 where none waits.

        Raises DashboardFailed, KafkaException or KafkaFailure; what was claimed is claimed again later.
        """
        if not self._dashboard.post(CLAIM, {"batch": batch, "limit": 0})["waiting"]:
            return 0
        # Before the claim: what nobody can send now goes on waiting.
        self._topic = self._topic or self._connect()
        claimed = self._dashboard.post(CLAIM, {"batch": batch, "limit": CLAIMED_AT_ONCE})["replays"]
        results: dict[str, RecordId | ReplayRefused] = {}
        replays: list[Replay] = []
        for each in claimed:
            try:
                replays.append(_replay(each))
            except ValueError as e:
                results[each["replay_id"]] = ReplayRefused(f"it cannot be converted: {e}")
        # What Kafka has not acknowledged has no result, and is claimed again later.
        results |= self._topic.send(replays)
        # A reason may repeat what was posted, at any length: one that is refused would have all of them sent again.
        concluded = [
            {
                "replay_id": replay_id,
                "reason" if isinstance(result, ReplayRefused) else "place": str(result)[:MOST_CHARS],
            }
            for replay_id, result in results.items()
        ]
        self._dashboard.post(RESULTS, {"results": concluded})
        return len(claimed)

    def reconnect(self) -> None:
        """Let go of Kafka; the next replay opens the topic anew."""
        if self._topic is not None:
            self._topic.close()
            self._topic = None


def send_replays(sender: ReplaySender, stop: threading.Event) -> None:
    """Send what was requested, a second later at the latest, until `stop` is set; whatever fails is tried again."""
    while not stop.wait(LOOK_SECONDS):
        try:
            while not stop.is_set() and (number := sender.send_some()):
                log.info("records were sent again", replays=number)
        except (DashboardFailed, KafkaException, KafkaFailure) as e:
            log.debug("no replays this second", reason=str(e))
            sender.reconnect()
        except Exception as e:  # a thread that ended would leave every later replay unsent, and say nothing
            log.error("replays could not be sent", reason=f"{type(e).__name__}: {e}")
            sender.reconnect()
    sender.reconnect()


TIMEOUT: Final = urllib3.Timeout(connect=2.0, read=30.0)

# A request that is at fault itself; all other answers (401 while a token is changed, 429, 5xx) may change.
_REFUSALS: Final = frozenset({400, 404, 405, 413, 415, 422})
DAY_SECONDS: Final = 24 * 3600.0
RETRY_SECONDS: Final = 10.0
SEND_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.5

log = structlog.get_logger(__name__)


def run_relay(settings: Settings, stop: threading.Event, *, from_beginning: bool = False) -> None:
    """Relay until `stop` is set; all that Kafka has, once more, where it is to begin at the beginning.

    Raises BrokerUnreachable, or KafkaFailure where Kafka does not say how far the alerts were relayed.
    """
    topics = ensure_topics(settings.bootstrap_servers, settings.partitions, settings.max_record_bytes)
    api = HttpApi(urllib3.PoolManager(maxsize=2), settings.api, settings.ingest_token)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "group.id": GROUP,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 100,
            "socket.nagle.disable": True,
            "fetch.message.max.bytes": output_limit(settings.max_record_bytes),
            "queued.max.messages.kbytes": 65_536,
            "log_level": 0,
        }
    )
    partitions = {topic: topics[topic.value] for topic in RELAYED_TOPICS}
    relay = Relay(consumer, api, partitions, DataMask(settings.card_columns))
    watermarks = Watermarks(settings.bootstrap_servers, Topic.TRANSACTIONS.value)
    # Beside the relay, so that no alert waits while the broker is asked for its offsets.
    counting = threading.Thread(
        target=post_positions, args=(api, watermarks.read, lambda: datetime.now(UTC), stop), name="positions"
    )
    replaying = threading.Thread(target=send_replays, args=(replay_sender(settings), stop), name="replays")
    # The ingest token, which every relay has.
    dashboard = DashboardClient(urllib3.PoolManager(), settings.api, settings.ingest_token, settings.ingest_token)
    sealing = threading.Thread(
        target=publish_heads,
        args=(dashboard, settings.bootstrap_servers, lambda: datetime.now(UTC), stop),
        name="audit heads",
    )
    try:
        if not relay.assign(stop, from_beginning=from_beginning):
            return
        write_ready(settings.ready_file)
        counting.start()
        replaying.start()
        sealing.start()
        relay.run(stop)
    finally:
        stop.set()
        for thread in (counting, replaying, sealing):
            if thread.ident is not None:
                thread.join()
        consumer.close()


def replay_sender(settings: Settings) -> ReplaySender:
    """What sends replays; it connects when there is one."""
    dashboard = DashboardClient(urllib3.PoolManager(), settings.api, settings.read_token, settings.ingest_token)
    return ReplaySender(dashboard, lambda: open_replay_topic(settings.bootstrap_servers))


class HttpApi:
    """Posts lists to the dashboard."""

    def __init__(self, pool: urllib3.PoolManager, url: str, token: SecretStr | None) -> None:
        self._pool = pool
        self._url = url.rstrip("/")
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token.get_secret_value()}"

    def post(self, route: Route, items: Sequence[bytes]) -> None:
        """Post a list of JSON objects; returns once the dashboard has committed it.

        Raises:
            ApiUnavailable: Nobody answered, or the answer says: later.
            ApiRefused: The request as a whole will never be taken.
        """
        body = b"[%s]" % b",".join(items)
        try:
            answer = self._pool.request(
                "POST", self._url + route.value, body=body, headers=self._headers, timeout=TIMEOUT, retries=False
            )
        except HTTPError as e:
            raise ApiUnavailable(f"{self._url}: {type(e).__name__}") from e
        if 200 <= answer.status < 300:
            return
        reason = f"{answer.status} {answer.data[:200].decode(errors='replace')}"
        raise ApiRefused(reason) if answer.status in _REFUSALS else ApiUnavailable(reason)


def publish_heads(
    dashboard: DashboardClient, bootstrap_servers: str, now: Callable[[], datetime], stop: threading.Event
) -> None:
    """Publish until `stop` is set; what fails, and a trail without entries, is tried again."""
    wait = 0.0
    while not stop.wait(wait):
        wait = RETRY_SECONDS
        try:
            head = dashboard.get("/api/audit/head")
            if head["entries"] == 0:
                continue
            producer = open_writer(bootstrap_servers, SEND_SECONDS)
            if _send(producer, orjson.dumps(head_event(head, now())), stop):
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


def head_event(head: Mapping[str, Any], at: datetime) -> Object:
    """The event that carries a head; one a day for each."""
    at = at.astimezone(UTC)
    return {
        EventField.EVENT_ID.value: f"audit_head/{at:%Y-%m-%d}/{head['seq']}/{head['hash'][:16]}",
        EventField.TYPE.value: EventType.AUDIT_HEAD.value,
        EventField.AT.value: iso(at),
        EventField.MESSAGE.value: f"Entries in the audit trail: {head['entries']:,}",
        **{name: head[name] for name in ("seq", "hash", "entries")},
    }


def _replay(claimed: Mapping[str, Any]) -> Replay:
    letter, payload = claimed["letter"], claimed["payload_base64"]
    produced_us = dead_letter = None
    # A letter holds what was posted: nobody else has looked at these.
    with contextlib.suppress(ValueError):
        produced_us = instant(letter.get(DeadLetterField.PRODUCED_AT))
    with contextlib.suppress(ValueError):
        dead_letter = RecordId.parse(str(letter.get(DeadLetterField.DEAD_LETTER)))
    return Replay(
        replay_id=claimed["replay_id"],
        origin=RecordId.parse(claimed["origin"]),
        payload=None if payload is None else base64.b64decode(payload),
        dead_letter=dead_letter,
        original_bytes=letter.get(DeadLetterField.ORIGINAL_BYTES),
        produced_ms=None if produced_us is None else produced_us // 1000,
    )
