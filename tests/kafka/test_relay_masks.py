"""What the relay posts of records on a real broker: masked, with keys, headers and payloads."""

from __future__ import annotations

import base64

import orjson
import pytest
from confluent_kafka import Producer

from fraudstream.kafka.broker import RunningBroker
from fraudstream.relay.records import Route
from fraudstream.runtime.processes import wait_until
from fraudstream.transactions.masking import DataMask
from fraudstream.transactions.wire import Topic
from relays import Api, relaying

pytestmark = pytest.mark.kafka

VISA = "4111111111111111"
CODE = "zq7391"
SECRETS = (VISA, CODE, "tok0123456789secret")


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
    api = Api()
    with relaying(broker.bootstrap_servers, api, mask=DataMask(["token"]), from_beginning=True):
        assert wait_until(lambda: {Route.ALERTS, Route.EVENTS, Route.DEAD_LETTERS} <= {r for r, _ in api.posts}, 60)
        assert wait_until(lambda: any(item.get("alert_id") == "masked" for _, item in api.posts), 60)
    payloads = [base64.b64decode(item["payload_base64"]) for _, item in api.posts if item.get("payload_base64")]
    posted = orjson.dumps([item for _, item in api.posts]) + b" ".join(payloads)
    assert [secret for secret in SECRETS if secret.encode() in posted] == []
    (stored,) = [item for _, item in api.posts if item.get("alert_id") == "masked"]
    assert stored["removed"] == ["cvv"]
    assert stored["transaction"]["card_number"] == "411111******1111"
    (dead_letter,) = [item for route, item in api.posts if route is Route.DEAD_LETTERS and "pan" in item["headers"]]
    assert dead_letter["key"] == "411111******1111"
    assert dead_letter["headers"]["pan"] == "411111******1111"
    assert len(base64.b64decode(dead_letter["payload_base64"])) == dead_letter["original_bytes"] == len(broken)
