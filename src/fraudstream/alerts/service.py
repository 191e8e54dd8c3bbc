"""`fraudstream relay` as a service: its clients, and its threads until it is to stop; it publishes the trail's head."""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog
import urllib3
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from pydantic import SecretStr
from urllib3.exceptions import HTTPError

from fraudstream.alerts.dashboard_client import DashboardClient
from fraudstream.alerts.records import Route
from fraudstream.alerts.relay import GROUP, ApiRefused, ApiUnavailable, Relay, post_positions
from fraudstream.alerts.replaying import ReplaySender, send_replays
from fraudstream.config import Settings
from fraudstream.errors import DashboardFailed
from fraudstream.kafka.reading import Watermarks, open_writer
from fraudstream.kafka.replay import open_replay_topic
from fraudstream.kafka.topics import ensure_topics
from fraudstream.runtime.processes import write_ready
from fraudstream.times import iso
from fraudstream.transactions.masking import DataMask
from fraudstream.transactions.wire import RELAYED_TOPICS, EventField, EventType, Topic, output_limit

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
