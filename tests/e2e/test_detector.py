"""The detector on a real broker: rows of every kind, poison among them, in both triggers."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from commands import ROWS, command_line
from fraudstream.kafka.broker import RunningBroker
from fraudstream.model.deployment.current import deploy, read_current
from fraudstream.runtime.processes import stop, wait_until
from fraudstream.transactions.csv_source import open_csv
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES, OUTPUT_TOPICS, Topic

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark]

FRAUD = '{"Time":1,"V1":9,"V2":-6,"V3":0,"V4":5,"V5":0,"Amount":1'
POISON: dict[str, bytes | None] = {
    "empty": b"",
    "tombstone": None,
    "truncated": b'{"Time":1,"V1":',
    "array": b"[1,2]",
    "text": b'"hello"',
    "not utf-8": b'{"V1":"\xff\xfe"}',
    "two objects": b'{"V1":1}{"V1":2}',
    "deep": b'{"x":' * 5_000 + b"1" + b"}" * 5_000,
}
UNSCORABLE = {"nothing known": b"{}", "one of six": b'{"V1":1,"x":2}'}
# The broker takes a record up to its limit, of which the frame and the headers take some hundred bytes.
LARGEST = DEFAULT_MAX_RECORD_BYTES - 1_000
ALERTS = {
    "text": (FRAUD.replace(":9", ':" 9.0 "') + "}").encode(),
    "nan beside": (FRAUD + ',"extra":NaN}').encode(),
    "900 KB": (FRAUD + ',"note":"' + "x" * 900_000 + '"}').encode(),
    "at the limit, full of quotes": (FRAUD + ',"note":"' + '\\"' * ((LARGEST - 100) // 2) + '"}').encode(),
    "at the limit and only leniently JSON": (
        FRAUD + ',"extra":NaN,"note":"' + '\\"' * ((LARGEST - 120) // 2) + '"}'
    ).encode(),
    "10,000 columns": (FRAUD + "".join(f',"c{i}":{i}' for i in range(10_000)) + "}").encode(),
}
# What the table "Schema adaptation" of the documentation says of each change, as the names that are then imputed.
CHANGED: dict[str, tuple[str, list[str]]] = {
    "columns reordered": ('{"Amount":1,"V5":0,"V4":5,"V3":0,"V2":-6,"V1":9,"Time":1}', []),
    "a column more": (FRAUD + ',"Channel":"web"}', []),
    "a column less": (FRAUD.replace('"V3":0,', "") + "}", ["V3"]),
    "null": (FRAUD.replace('"V3":0', '"V3":null') + "}", ["V3"]),
    "a number as text": (FRAUD.replace('"V3":0', '"V3":" 1e0 "') + "}", []),
    "text that is no number": (FRAUD.replace('"V3":0', '"V3":"1,5"') + "}", ["V3"]),
    "NaN": (FRAUD.replace('"V3":0', '"V3":NaN') + "}", ["V3"]),
    "infinite": (FRAUD.replace('"V3":0', '"V3":-Infinity') + "}", ["V3"]),
    "as C writes it": (FRAUD.replace('"V3":0', '"V3":-nan') + "}", ["V3"]),
    "beyond a double": (FRAUD.replace('"V3":0', '"V3":1e999') + "}", ["V3"]),
    "boolean": (FRAUD.replace('"V3":0', '"V3":true') + "}", ["V3"]),
    "an array": (FRAUD.replace('"V3":0', '"V3":[0]') + "}", ["V3"]),
    "another case": (FRAUD.replace('"V3"', '"v3"') + "}", ["V3"]),
    "nested objects": (FRAUD + ',"x":{"y":{"V3":[1,{"z":2}]}}}', []),
    "named twice": (FRAUD.replace('"V3":0', '"V3":"no number","V3":0') + "}", []),
    "odd names": (FRAUD + ',"ü \\"\'`$ .":1,"":2," ":3}', []),
}
ALERTS |= {name: text.encode() for name, (text, _) in CHANGED.items()}


@pytest.fixture(params=["realtime", pytest.param("micro-batch", marks=pytest.mark.nightly)])
def trigger(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def send(bootstrap: str, payments: Path) -> int:
    """All rows of the payments with poison and odd rows between them; returns how many records."""
    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 2_000_000, "linger.ms": 5})
    sent = 0

    def one(name: str, value: bytes | None) -> None:
        nonlocal sent
        producer.produce(Topic.TRANSACTIONS.value, value, partition=sent % 2, headers=[("event_id", name.encode())])
        producer.poll(0)
        sent += 1

    odd = [*POISON.items(), *UNSCORABLE.items(), *ALERTS.items()]
    for number, row in enumerate(open_csv(payments).json_rows()):
        if number % 50 == 25 and odd:
            one(f"odd: {odd[-1][0]}", odd.pop()[1])
        one(f"row {number}", row)
    assert not odd
    assert producer.flush(30) == 0
    return sent


def read_all(bootstrap: str, until: int) -> dict[Topic, list[Message]]:
    """Everything on the output topics but samples, once at least `until` records are there and no more come."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "test", "fetch.message.max.bytes": 10_000_000, "log_level": 0}
    )
    consumer.assign([TopicPartition(topic.value, 0, 0) for topic in OUTPUT_TOPICS])
    found: dict[Topic, list[Message]] = defaultdict(list)
    deadline = time.monotonic() + 180
    quiet_since = time.monotonic()
    while time.monotonic() < deadline:
        messages = consumer.consume(500, timeout=0.5)
        for message in messages:
            assert message.error() is None
            topic = Topic(str(message.topic()))
            if topic is not Topic.EVENTS:
                quiet_since = time.monotonic()
            found[topic].append(message)
        enough = sum(len(m) for t, m in found.items() if t is not Topic.EVENTS) >= until
        if enough and time.monotonic() - quiet_since > 3:
            break
    consumer.close()
    return found


def content(message: Message) -> dict[str, Any]:
    value = message.value()
    assert value is not None
    loaded: dict[str, Any] = json.loads(value)
    return loaded


def test_every_record_ends_in_its_outcome_and_none_stops_the_query(
    own_broker: RunningBroker,
    payments: Path,
    models: Path,
    scores: dict[int, tuple[str, float | None]],
    trigger: str,
    tmp_path: Path,
) -> None:
    send(own_broker.bootstrap_servers, payments)
    log = tmp_path / "detector.log"
    arguments = command_line(
        "detect", "--bootstrap-servers", own_broker.bootstrap_servers, "--model", models / "current",
        "--checkpoint", tmp_path / "checkpoint", "--trigger", trigger,
    )  # fmt: skip
    with log.open("wb") as output:
        detector = subprocess.Popen(arguments, stdout=output, stderr=output)
    try:
        frauds = {row: score for row, (outcome, score) in scores.items() if outcome == "alert"}
        found = read_all(own_broker.bootstrap_servers, len(frauds) + len(ALERTS) + len(POISON) + len(UNSCORABLE))
        assert detector.poll() is None, log.read_text()[-3000:]

        alerts = {a["alert_id"]: a for a in map(content, found[Topic.ALERTS])}
        assert {f"row {row}": score for row, score in frauds.items()} == {
            name: alert["score"] for name, alert in alerts.items() if name.startswith("row ")
        }
        assert {name for name in alerts if name.startswith("odd: ")} == {f"odd: {name}" for name in ALERTS}
        assert {name: alerts[f"odd: {name}"]["imputed"] for name in CHANGED} == {
            name: imputed for name, (_, imputed) in CHANGED.items()
        }
        assert len(found[Topic.ALERTS]) == len(alerts)

        assert {a["alert_id"] for a in map(content, found[Topic.UNSCORABLE])} == {f"odd: {n}" for n in UNSCORABLE}

        letters = {dict(m.headers() or [])["event_id"]: m.value() for m in found[Topic.DEAD_LETTERS]}
        assert letters == {f"odd: {name}".encode(): value for name, value in POISON.items()}

        samples = [e for e in map(content, found[Topic.EVENTS]) if e["type"] == "sample"]
        assert {"alert", "clear"} >= {s["outcome"] for s in samples if s.get("score") is not None}
        assert samples
        # One start and no other: whatever came, the same run of the query read on.
        assert [e["message"] for e in map(content, found[Topic.EVENTS]) if e["type"] == "query"] == [
            "the query is running"
        ]
        _refuses_a_second(arguments)
    finally:
        stop(detector, 30)
    assert "Traceback" not in log.read_text()


def _refuses_a_second(arguments: list[str]) -> None:
    second = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    assert second.returncode == 1
    assert "another detector is using this checkpoint" in second.stderr


@pytest.mark.nightly  # test_schema.py has a new revision taken up in every change
def test_a_new_threshold_is_taken_up_from_the_checkpoint(
    own_broker: RunningBroker, payments: Path, models: Path, tmp_path: Path
) -> None:
    own = copytree(models, tmp_path / "models")
    send(own_broker.bootstrap_servers, payments)
    ready = tmp_path / "ready"
    with (tmp_path / "detector.log").open("wb") as output:
        detector = subprocess.Popen(
            command_line(
                "detect", "--bootstrap-servers", own_broker.bootstrap_servers, "--model", own / "current",
                "--checkpoint", tmp_path / "checkpoint",
            ),
            stdout=output,
            stderr=output,
            env={**os.environ, "FRAUDSTREAM_READY_FILE": str(ready)},
        )  # fmt: skip
    try:
        assert wait_until(ready.exists, 300)
        ready.unlink()
        before = read_current(own / "current")
        deploy(own, before.model_id, 0.0, who="test", why="everything is an alert", now=datetime.now(UTC))
        assert wait_until(ready.exists, 300), (tmp_path / "detector.log").read_text()[-3000:]
        found = read_all(own_broker.bootstrap_servers, ROWS)
        by_revision: dict[int, int] = defaultdict(int)
        for alert in map(content, found[Topic.ALERTS]):
            by_revision[alert["revision"]] += 1
        assert by_revision[before.revision + 1] > 0
    finally:
        stop(detector, 30)
