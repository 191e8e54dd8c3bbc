"""A real detector of a model with history on a real broker: kill -9, batches counted again, a rebuilt checkpoint."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from confluent_kafka import Producer

from commands import Command
from detectors import Detector
from fraudstream.history.spec import HistoryEntity, HistorySpec, LiveFeature, Measure
from fraudstream.kafka.broker import RunningBroker
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.reading import open_reader
from fraudstream.messages.ledger import Source
from fraudstream.model.artifact import MANIFEST_FILE, read_manifest
from fraudstream.model.deployment.current import read_current
from fraudstream.model.manifest import manifest_to_json
from fraudstream.runtime.processes import wait_until
from fraudstream.transactions.wire import Topic

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark, pytest.mark.nightly]

COUNT = "payments by this card in 24 h"
HISTORY = HistorySpec(
    (HistoryEntity("card", "card"),), time="at", amount="Amount", clock=1, live=(LiveFeature(COUNT, Measure.COUNT, 24),)
)
PER_CARD, CARDS = 50, 20


@pytest.fixture
def counting(models: Path, tmp_path: Path) -> Path:
    """The trained model with the count in place of a column; every payment is an alert, with its history."""
    copytree(models, tmp_path / "models")
    current = tmp_path / "models" / "current"
    artifact = current.parent / read_current(current).model_id
    manifest = read_manifest(artifact)
    features = tuple(replace(each, name=COUNT) if each.name == "V5" else each for each in manifest.features)
    (artifact / MANIFEST_FILE).write_bytes(manifest_to_json(replace(manifest, features=features, history=HISTORY)))
    deployment = json.loads(current.read_text()) | {"threshold": 0.0}
    current.write_text(json.dumps(deployment))
    return current.parent


def send(bootstrap: str, numbers: range) -> None:
    """Each card's payments, the cards in turn; those of a card are in one partition."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
    for number in numbers:
        for card in range(CARDS):
            payment = {f"V{column}": 0.1 for column in range(1, 5)} | {"Amount": 5.0, "card": card, "at": number * 60}
            headers: list[tuple[str, str | bytes | None]] = [("event_id", f"{card}/{number}")]
            producer.produce(
                Topic.TRANSACTIONS.value, json.dumps(payment).encode(), partition=card % 2, headers=headers
            )
        producer.poll(0)
    assert producer.flush(30) == 0


def alerts(bootstrap: str) -> dict[str, list[dict[str, Any]]]:
    """All alerts on the topic by event id."""
    by_id: dict[str, list[dict[str, Any]]] = {}
    consumer = open_reader(Cluster(bootstrap), group_id="test", auto_offset_reset="earliest", enable_partition_eof=True)
    consumer.subscribe([Topic.ALERTS.value])
    while (message := consumer.poll(10)) is not None and message.error() is None:
        alert = json.loads(message.value() or b"")
        by_id.setdefault(alert["alert_id"], []).append(alert)
    consumer.close()
    return by_id


def test_history_is_exact_through_kills_a_recount_and_a_rebuilt_checkpoint(
    own_broker: RunningBroker, counting: Path, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAUDSTREAM_ENTITY_KEY", str(tmp_path / "entity.key"))
    bootstrap = own_broker.bootstrap_servers
    detector = Detector(bootstrap, counting, tmp_path)

    def scores(until: int, *, ends: bool) -> None:
        sent = until * CARDS
        with detector.running() as process:
            is_done = detector.has_entered if ends else lambda records: len(alerts(bootstrap)) >= records
            assert wait_until(lambda: is_done(sent), 300, every=0.5), detector.log.read_text()[-3000:]
            process.send_signal(signal.SIGKILL)

    send(bootstrap, range(10))
    scores(10, ends=True)
    # Killed within the batch: it is processed again.
    send(bootstrap, range(10, 20))
    scores(20, ends=False)
    send(bootstrap, range(20, 30))
    scores(30, ends=True)
    # As if the crash had come between Spark's commit and our entry.
    note = json.loads((detector.checkpoint / "ledger.json").read_text())
    batch = note["batch"] - 1
    before = {e.partition: e.until_offset for e in detector.entries() if e.batch_id == batch}
    (detector.checkpoint / "ledger.json").write_text(
        json.dumps(note | {"batch": batch, "until": {str(p): before.get(p, note["until"][str(p)]) for p in (0, 1)}})
    )
    send(bootstrap, range(30, 40))
    scores(40, ends=True)
    answer = run("checkpoint", "show", "--bootstrap-servers", bootstrap, "--checkpoint", detector.checkpoint)
    assert "intact; history of card in 2 of 2 partitions" in answer.stdout, answer
    rebuilt = run("checkpoint", "rebuild", "--bootstrap-servers", bootstrap, "--checkpoint", detector.checkpoint)
    assert rebuilt.returncode == 0, rebuilt
    send(bootstrap, range(40, PER_CARD))
    scores(PER_CARD, ends=True)

    by_id = alerts(bootstrap)
    assert len(by_id) == CARDS * PER_CARD
    wrong = {
        name: [alert["history"] for alert in copies]
        for name, copies in by_id.items()
        if {alert["history"][COUNT] for alert in copies} != {float(name.partition("/")[2])}
    }
    assert wrong == {}
    entries = detector.entries()
    assert sum(entry.alert for entry in entries) == CARDS * PER_CARD
    assert Counter(entry.source for entry in entries)[Source.SCORED_AGAIN] <= 2
    assert oct(os.stat(tmp_path / "entity.key").st_mode)[-3:] == "600"
