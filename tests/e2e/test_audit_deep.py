"""`fraudstream audit --deep` on a demo's folder: what was written there is held against the model, offset by offset."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from confluent_kafka import Producer

import audits
from brokers import broker_plan, running_broker
from commands import ROWS, Command
from dashboards import alert as posted_alert
from fraudstream.kafka.topics import topic_id
from fraudstream.model.deployment.current import read_current
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java
from fraudstream.store.store import AlertStore
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.wire import Topic

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark, pytest.mark.nightly]

INPUT = Topic.TRANSACTIONS.value
Scores = Mapping[int, tuple[str, float | None]]


@pytest.fixture
def workdir(tmp_path: Path, models: Path) -> Path:
    """A demo's folder as it is left behind, without the records."""
    copytree(models, tmp_path / "demo" / "models")
    AlertStore.open(f"sqlite:///{tmp_path / 'demo' / 'alerts.db'}").close()
    return tmp_path / "demo"


def fill(
    workdir: Path, java: Java, jars: Jars, payments: Path, scores: Scores, change: Callable[[dict[int, float]], None]
) -> None:
    """Write payments, what the model makes of them, and one entry; `change` is given each alert's score by offset."""
    deployment = read_current(workdir / "models" / "current")
    alerts = {row: score for row, (outcome, score) in scores.items() if outcome == "alert" and score is not None}
    entry = audits.entry(0, ROWS, alert=len(alerts), model_id=deployment.model_id)
    plan = broker_plan(workdir, java, jars, partitions=1)
    with running_broker(plan) as broker:
        changes = {
            "topic_id": topic_id(plan.cluster, INPUT),
            "revision": deployment.revision,
            "threshold": deployment.threshold,
        }
        entry = entry.model_copy(update=changes)
        change(alerts)
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
        for row in open_data(payments).json_rows():
            producer.produce(INPUT, row, partition=0)
        for offset, score in alerts.items():
            of_model = {"model_id": deployment.model_id, "revision": deployment.revision}
            alert = posted_alert(offset, topic=INPUT, score=score, threshold=deployment.threshold, **of_model)
            producer.produce(Topic.ALERTS.value, json.dumps(alert).encode())
        producer.produce(Topic.LEDGER.value, entry.to_json(), key=entry.entry_id.encode())
        assert producer.flush(30) == 0


def test_a_stopped_demo_is_scored_again_and_each_offset_that_differs_is_named(
    workdir: Path, java: Java, jars: Jars, payments: Path, scores: Scores, run: Command
) -> None:
    missing, other, surplus = 0, 0, 0

    def change(alerts: dict[int, float]) -> None:
        nonlocal missing, other, surplus
        missing, other = sorted(alerts)[:2]
        del alerts[missing]
        alerts[other] += 1e-6
        surplus = next(row for row, (outcome, _) in scores.items() if outcome == "clear")
        alerts[surplus] = 0.99

    fill(workdir, java, jars, payments, scores, change)
    # As many alerts as the ledger counts: only scoring again tells that they are not the right ones.
    shallow = run("audit", "--workdir", workdir, "--json")
    assert shallow.returncode == 0, shallow.stdout + shallow.stderr
    assert json.loads(shallow.stdout)["accounted"] == ROWS
    deep = run("audit", "--workdir", workdir, "--deep", "--json")
    assert deep.returncode == 1, deep.stdout + deep.stderr
    report: dict[str, Any] = json.loads(deep.stdout)
    assert {(each["kind"], each["place"]) for each in report["findings"]} == {
        ("missing", f"{INPUT}[0] {missing}"),
        ("different", f"{INPUT}[0] {other}"),
        ("doubled", f"{INPUT}[0] {surplus}"),
    }
    assert (report["missing"], report["doubled"], report["different"]) == (1, 1, 1)


def test_what_is_as_the_model_says_is_well_and_a_model_that_is_gone_is_not(
    workdir: Path, java: Java, jars: Jars, payments: Path, scores: Scores, run: Command
) -> None:
    fill(workdir, java, jars, payments, scores, lambda alerts: None)
    deep = run("audit", "--workdir", workdir, "--deep")
    assert deep.returncode == 0, deep.stdout + deep.stderr
    assert "scored again as recorded" in " ".join(deep.stdout.split())
    model_id = read_current(workdir / "models" / "current").model_id
    (workdir / "models" / model_id).rename(workdir / "models" / "elsewhere")
    deep = run("audit", "--workdir", workdir, "--deep", "--json")
    assert deep.returncode == 1, deep.stdout + deep.stderr
    assert json.loads(deep.stdout)["unverified"] == ROWS
