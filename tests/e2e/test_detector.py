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

from commands import ROWS, Command, command_line
from fraudstream.kafka.broker import RunningBroker
from fraudstream.model.deployment.current import deploy, read_current
from fraudstream.runtime.processes import stop, wait_until
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES, OUTPUT_TOPICS, Topic
from running_demo import Demo

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
# What the table "Schema adaptation" of the documentation has for each change, as the names that are then imputed.
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


def send(bootstrap: str, payments: Path) -> None:
    """All rows of the payments with poison and odd rows between them."""
    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 2_000_000, "linger.ms": 5})
    sent = 0

    def one(name: str, value: bytes | None) -> None:
        nonlocal sent
        producer.produce(Topic.TRANSACTIONS.value, value, partition=sent % 2, headers=[("event_id", name.encode())])
        producer.poll(0)
        sent += 1

    odd = [*POISON.items(), *UNSCORABLE.items(), *ALERTS.items()]
    for number, row in enumerate(open_data(payments).json_rows()):
        if number % 50 == 25 and odd:
            one(f"odd: {odd[-1][0]}", odd.pop()[1])
        one(f"row {number}", row)
    assert not odd
    assert producer.flush(30) == 0


def read_all(bootstrap: str, ids: set[str]) -> dict[Topic, list[Message]]:
    """All records about rows and odd records on the output topics, once those of `ids` are there and no more come.

    Events have no such id and come all.
    """
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "test", "fetch.message.max.bytes": 10_000_000, "log_level": 0}
    )
    consumer.assign([TopicPartition(topic.value, 0, 0) for topic in OUTPUT_TOPICS])
    records: dict[Topic, list[Message]] = defaultdict(list)
    missing = set(ids)
    deadline = time.monotonic() + 180
    quiet_since = time.monotonic()
    while time.monotonic() < deadline and (missing or time.monotonic() - quiet_since < 3):
        for message in consumer.consume(500, timeout=0.5):
            assert message.error() is None
            topic = Topic(str(message.topic()))
            if topic is not Topic.EVENTS:
                name = identity(message)
                if not name.startswith(("row ", "odd: ")):
                    continue
                missing.discard(name)
                quiet_since = time.monotonic()
            records[topic].append(message)
    consumer.close()
    assert not missing, sorted(missing)
    return records


def identity(message: Message) -> str:
    """The event id of a dead letter, which has it in a header, or of an alert; empty for an entry of the ledger."""
    headers = dict(message.headers() or [])
    if isinstance(name := headers.get("event_id"), bytes):
        return name.decode()
    return str(content(message).get("alert_id", ""))


def content(message: Message) -> dict[str, Any]:
    value = message.value()
    assert value is not None
    loaded: dict[str, Any] = json.loads(value)
    return loaded


def check(bootstrap: str, frauds: dict[int, float]) -> None:
    """Check the outcome of every record that `send` sent."""
    ids = {f"row {row}" for row in frauds} | {f"odd: {name}" for name in {**ALERTS, **POISON, **UNSCORABLE}}
    records = read_all(bootstrap, ids)
    alerts = {alert["alert_id"]: alert for alert in map(content, records[Topic.ALERTS])}
    assert {f"row {row}": score for row, score in frauds.items()} == {
        name: alert["score"] for name, alert in alerts.items() if name.startswith("row ")
    }
    assert {name for name in alerts if name.startswith("odd: ")} == {f"odd: {name}" for name in ALERTS}
    assert {name: alerts[f"odd: {name}"]["imputed"] for name in CHANGED} == {
        name: imputed for name, (_, imputed) in CHANGED.items()
    }
    assert len(records[Topic.ALERTS]) == len(alerts)

    unscorable = [content(message)["alert_id"] for message in records[Topic.UNSCORABLE]]
    assert sorted(unscorable) == sorted(f"odd: {name}" for name in UNSCORABLE)

    dead_letters = {dict(m.headers() or [])["event_id"]: m.value() for m in records[Topic.DEAD_LETTERS]}
    assert dead_letters == {f"odd: {name}".encode(): value for name, value in POISON.items()}

    samples = [event for event in map(content, records[Topic.EVENTS]) if event["type"] == "sample"]
    assert samples
    assert {"alert", "clear"} >= {sample["outcome"] for sample in samples if sample.get("score") is not None}


def test_every_record_ends_in_its_outcome_and_none_stops_the_query(
    demo: Demo, payments: Path, frauds: dict[int, float]
) -> None:
    runs = demo.query_runs()
    send(demo.bootstrap, payments)
    check(demo.bootstrap, frauds)
    assert demo.query_runs() == runs
    assert "Traceback" not in (demo.workdir / "logs" / "detector.log").read_text()


@pytest.mark.nightly  # tests/unit/test_supervisor.py has it in every change
def test_a_second_detector_on_the_same_checkpoint_is_refused(demo: Demo, models: Path, run: Command) -> None:
    second = run(
        "detect", "--bootstrap-servers", demo.bootstrap, "--model", models / "current",
        "--checkpoint", demo.workdir / "checkpoint",
    )  # fmt: skip
    assert second.returncode == 1
    assert "another detector is using this checkpoint" in second.stderr


@pytest.mark.nightly  # the micro-batch trigger is the fallback, with the same plan
def test_every_record_ends_in_its_outcome_in_micro_batches(
    own_broker: RunningBroker, payments: Path, models: Path, frauds: dict[int, float], tmp_path: Path
) -> None:
    send(own_broker.bootstrap_servers, payments)
    log = tmp_path / "detector.log"
    with log.open("wb") as output:
        detector = subprocess.Popen(
            command_line(
                "detect", "--bootstrap-servers", own_broker.bootstrap_servers, "--model", models / "current",
                "--checkpoint", tmp_path / "checkpoint", "--trigger", "micro-batch",
            ),
            stdout=output,
            stderr=output,
        )  # fmt: skip
    try:
        check(own_broker.bootstrap_servers, frauds)
        assert detector.poll() is None, log.read_text()[-3000:]
    finally:
        stop(detector, 30)
    assert "Traceback" not in log.read_text()


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
        records = read_all(own_broker.bootstrap_servers, {f"row {row}" for row in range(ROWS)})
        by_revision: dict[int, int] = defaultdict(int)
        for alert in map(content, records[Topic.ALERTS]):
            by_revision[alert["revision"]] += 1
        assert by_revision[before.revision + 1] > 0
    finally:
        stop(detector, 30)
