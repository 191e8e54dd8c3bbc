"""What the relay posts of records on a real broker: masked, with keys, headers and payloads."""

from __future__ import annotations

import base64
import threading
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer, Producer

from fraudstream.kafka.broker import RunningBroker
from fraudstream.relay.api_client import DashboardClient
from fraudstream.relay.carrier import Relay
from fraudstream.relay.records import Route
from fraudstream.runtime.processes import wait_until
from fraudstream.transactions.masking import DataMask
from fraudstream.transactions.wire import RELAYED_TOPICS, Topic

pytestmark = pytest.mark.kafka

VISA = "4111111111111111"
CODE = "zq7391"
SECRETS = (VISA, CODE, "tok0123456789secret")


class Api(DashboardClient):
    """Takes everything."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, Any]]] = []

    def post_records(self, route: str, records: Sequence[bytes]) -> None:
        self.posts += [(route, orjson.loads(record)) for record in records]


def test_the_relay_posts_no_secret_of_any_topic(broker: RunningBroker) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    payment = {"card_number": VISA, "cvv": CODE, "note": f"{VISA}", "token": SECRETS[2]}
    alert = {"alert_id": "masked", "transaction_text": orjson.dumps(payment).decode(), "score": 0.9}
    sample = {"type": "sample", "transaction_text": alert["transaction_text"], "imputed": ["V1"], "message": VISA}
    headers: list[tuple[str, str | bytes | None]] = [
        ("event_id", b"id"),
        ("pan", VISA.encode()),
        ("cvv", CODE.encode()),
    ]
    broken = f'{{"card_number": {VISA}, "cvv": "{CODE}", "x'.encode()
    producer.produce(Topic.DEAD_LETTERS.value, broken, key=VISA, headers=headers)
    producer.produce(Topic.EVENTS.value, orjson.dumps(sample))
    producer.produce(Topic.ALERTS.value, f'no object {VISA} {{"cvv":"{CODE}"'.encode())
    producer.produce(Topic.ALERTS.value, orjson.dumps(alert), key=VISA)
    assert producer.flush(30) == 0
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap_servers, "group.id": "fraudstream-relay", "enable.auto.commit": False}
    )
    api = Api()
    relay = Relay(consumer, api, dict.fromkeys(RELAYED_TOPICS, 1), DataMask(["token"]))
    stop = threading.Event()
    assert relay.assign(stop, from_beginning=True)
    running = threading.Thread(target=relay.run, args=(stop,))
    running.start()
    try:
        assert wait_until(lambda: {Route.ALERTS, Route.EVENTS, Route.DEAD_LETTERS} <= {r for r, _ in api.posts}, 60)
        assert wait_until(lambda: any(item.get("alert_id") == "masked" for _, item in api.posts), 60)
    finally:
        stop.set()
        running.join()
        consumer.close()
    payloads = [base64.b64decode(item["payload_base64"]) for _, item in api.posts if item.get("payload_base64")]
    posted = orjson.dumps([item for _, item in api.posts]) + b" ".join(payloads)
    assert [secret for secret in SECRETS if secret.encode() in posted] == []
    (stored,) = [item for _, item in api.posts if item.get("alert_id") == "masked"]
    assert stored["removed"] == ["cvv"]
    assert stored["transaction"]["card_number"] == "411111******1111"
    (dead_letter,) = [item for route, item in api.posts if route is Route.DEAD_LETTERS and item["key"]]
    assert dead_letter["key"] == "411111******1111"
    assert dead_letter["headers"]["pan"] == "411111******1111"
    assert len(base64.b64decode(dead_letter["payload_base64"])) == dead_letter["original_bytes"] == len(broken)
