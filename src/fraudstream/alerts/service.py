"""`fraudstream relay` as a service: makes the clients and runs relay and positions until told to stop."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import urllib3
from confluent_kafka import Consumer

from fraudstream.alerts.api_client import HttpApi
from fraudstream.alerts.dashboard_client import DashboardClient
from fraudstream.alerts.head_publishing import publish_heads
from fraudstream.alerts.relay import GROUP, Relay, post_positions
from fraudstream.alerts.replaying import ReplaySender, send_replays
from fraudstream.config import Settings
from fraudstream.kafka.replay import open_replay_topic
from fraudstream.kafka.topics import ensure_topics
from fraudstream.kafka.watermarks import Watermarks
from fraudstream.runtime.processes import write_ready
from fraudstream.transactions.masking import DataMask
from fraudstream.transactions.wire import RELAYED_TOPICS, Topic, output_limit


def run_relay(settings: Settings, stop: threading.Event, *, from_beginning: bool = False) -> None:
    """Relay until `stop` is set; all that Kafka has, once more, where it is to begin at the beginning.

    Raises:
        BrokerUnreachable: Nobody answers at the bootstrap servers.
        KafkaFailure: Kafka does not tell how far the alerts were relayed.
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
    partitions = {topic: topics.partitions[topic.value] for topic in RELAYED_TOPICS}
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
