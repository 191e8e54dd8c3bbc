"""The ledger and the checkpoint of a real detector on a real broker: crashes, damage, retention."""

from __future__ import annotations

import itertools
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition

from commands import ROWS, Command
from detectors import Detector
from fraudstream.kafka.broker import RunningBroker
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.topics import open_admin
from fraudstream.messages.ledger import EntryKind, LedgerEntry, Source
from fraudstream.runtime.processes import wait_until
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.wire import Topic

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark]


def send(bootstrap: str, payments: Path, rows: range) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
    for number, row in enumerate(open_data(payments).json_rows()):
        if number in rows:
            headers: list[tuple[str, str | bytes | None]] = [("event_id", f"row {number}")]
            producer.produce(Topic.TRANSACTIONS.value, row, partition=number % 2, headers=headers)
            producer.poll(0)
    assert producer.flush(30) == 0


def outcomes(entries: list[LedgerEntry]) -> dict[str, int]:
    return {
        name: sum(getattr(entry, name) for entry in entries if entry.kind is EntryKind.BATCH)
        for name in ("clear", "alert", "unscorable", "dead_letter")
    }


def expected(scores: dict[int, tuple[str, float | None]], rows: range) -> dict[str, int]:
    outcomes = [scores[row][0] for row in rows]
    return {name: outcomes.count(name) for name in ("clear", "alert", "unscorable", "dead_letter")}


def contiguous(entries: list[LedgerEntry], partition: int) -> list[tuple[int, int]]:
    spans = sorted((entry.from_offset, entry.until_offset) for entry in entries if entry.partition == partition)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(spans)), spans
    return spans


@pytest.mark.nightly
def test_the_ledger_accounts_for_every_record_through_crashes_damage_and_retention(
    own_broker: RunningBroker,
    payments: Path,
    models: Path,
    scores: dict[int, tuple[str, float | None]],
    run: Command,
    tmp_path: Path,
) -> None:
    bootstrap = own_broker.bootstrap_servers
    detector = Detector(bootstrap, models, tmp_path)
    first, second, third = range(ROWS // 2), range(ROWS // 2, ROWS * 3 // 4), range(ROWS * 3 // 4, ROWS)
    send(bootstrap, payments, first)
    with detector.running() as process:
        assert wait_until(lambda: detector.has_entered(len(first)), 300, every=0.5), detector.log.read_text()[-3000:]
        process.send_signal(signal.SIGKILL)
    observed = detector.entries()
    assert {entry.source for entry in observed} == {Source.OBSERVED}
    assert outcomes(observed) == expected(scores, first)

    # As if the crash had come between Spark's commit and our entry, while more rows came.
    note = json.loads((detector.checkpoint / "ledger.json").read_text())
    (detector.checkpoint / "ledger.json").write_text(json.dumps(note | {"batch": -1, "until": {"0": 0, "1": 0}}))
    send(bootstrap, payments, second)
    with detector.running() as process:
        assert wait_until(lambda: detector.has_entered(first.stop + len(second)), 300, every=0.5), (
            detector.log.read_text()[-3000:]
        )
        process.send_signal(signal.SIGKILL)
    entries = detector.entries()
    assert outcomes(entries) == expected(scores, range(second.stop))
    again = {entry.entry_id: entry for entry in entries if entry.source is Source.SCORED_AGAIN}
    assert {e.entry_id: (e.alert, e.clear) for e in observed} == {i: (e.alert, e.clear) for i, e in again.items()}
    for partition in (0, 1):
        contiguous(entries, partition)

    _is_named_and_rebuilt(detector, run)
    send(bootstrap, payments, third)
    _delete_records(bootstrap, partition=1, before=ROWS // 2 - 10)
    with detector.running():
        assert wait_until(lambda: _reaches(detector.entries(), ROWS // 2), 300, every=0.5), detector.entries()
    entries = detector.entries()
    for partition in (0, 1):
        assert contiguous(entries, partition)[-1][1] == ROWS // 2
    losses = [entry for entry in entries if entry.kind is EntryKind.LOSS]
    assert [(loss.partition, loss.until_offset) for loss in losses] == [(1, ROWS // 2 - 10)]
    assert losses[0].from_offset == second.stop // 2
    assert "records are lost: credit_card_transactions[1]" in detector.log.read_text()
    assert "Traceback" not in detector.log.read_text()


def _reaches(entries: list[LedgerEntry], until: int) -> bool:
    return all(max(e.until_offset for e in entries if e.partition == p) == until for p in (0, 1))


def _is_named_and_rebuilt(detector: Detector, run: Command) -> None:
    newest = max((detector.checkpoint / "offsets").glob("[0-9]*"), key=lambda file: int(file.name))
    whole = newest.read_bytes()
    show: list[Any] = ["checkpoint", "show", "--checkpoint", detector.checkpoint, "--bootstrap-servers"]
    for damage in (whole[: len(whole) // 2], b"\0" * len(whole), b""):
        newest.write_bytes(damage)
        refusal = run(*show, detector.bootstrap)
        assert refusal.returncode == 1
        assert str(newest) in refusal.stderr
        assert "fraudstream checkpoint rebuild" in refusal.stderr
    with detector.running() as process:
        assert process.wait(300) == 1
    assert f"offsets/{newest.name}" in detector.log.read_text()
    done = run("checkpoint", "rebuild", "--checkpoint", detector.checkpoint, "--bootstrap-servers", detector.bootstrap)
    assert done.returncode == 0, done.stderr
    assert f"credit_card_transactions[0] {ROWS * 3 // 4 // 2}" in done.stdout


def _delete_records(bootstrap: str, partition: int, before: int) -> None:
    place = TopicPartition(Topic.TRANSACTIONS.value, partition, before)
    admin = open_admin(Cluster(bootstrap))
    for answer in admin.delete_records([place]).values():
        answer.result(timeout=30)
