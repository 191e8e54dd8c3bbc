"""A dead letter from the real detector, corrected and sent again: it becomes an alert that names its origin."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from confluent_kafka import Producer

from commands import Command, command_line
from dashboards import RunningDashboard
from fraudstream.kafka.broker import RunningBroker
from fraudstream.runtime.processes import stop, wait_until
from fraudstream.transactions.wire import Topic

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark]

FRAUD = b'{"Time":1,"V1":9,"V2":-6,"V3":0,"V4":5,"V5":0,"Amount":1}'


@pytest.mark.nightly
def test_a_corrected_dead_letter_becomes_the_alert_of_its_event_and_names_its_origin(
    own_broker: RunningBroker, dashboard: RunningDashboard, models: Path, run: Command, tmp_path: Path
) -> None:
    kafka = ("--bootstrap-servers", own_broker.bootstrap_servers)
    producer = Producer({"bootstrap.servers": own_broker.bootstrap_servers, "log_level": 0})
    producer.produce(Topic.TRANSACTIONS.value, FRAUD[:-1], b"key", partition=1, headers=[("event_id", b"the-id")])
    producer.produce(Topic.TRANSACTIONS.value, b"{}", partition=1)
    producer.flush()
    checkpoint = tmp_path / "checkpoint"
    services = [
        command_line("detect", *kafka, "--model", models / "current", "--checkpoint", checkpoint),
        command_line("relay", *kafka, "--api", dashboard.url),
    ]
    with (tmp_path / "services.log").open("wb") as log:
        processes = [subprocess.Popen(service, stdout=log, stderr=log) for service in services]
    dead, missing = (f"{Topic.TRANSACTIONS.value}/1/{offset}" for offset in (0, 1))
    try:
        dead_letters = "/api/dead-letters?kind=all"
        assert wait_until(lambda: len(dashboard.get(dead_letters)["dead_letters"]) == 2, 300)
        corrected = tmp_path / "row.json"
        corrected.write_bytes(FRAUD)
        replay = (
            *("dead-letters", "replay", *kafka, "--api", dashboard.url),
            *("--id", dead, "--payload", corrected, "--why", "a brace was missing"),
        )
        done = run(*replay)
        assert done.returncode == 0, done.stderr
        assert wait_until(lambda: len(dashboard.get("/api/alerts")["alerts"]) == 1, 60)
        (alert,) = dashboard.get("/api/alerts")["alerts"]
        assert (alert["alert_id"], alert["replay_of"], alert["partition"]) == ("the-id", dead, 1)

        # A second copy, as a crash of the sender leaves one, is scored too and stored no second time.
        again = run(*replay, "--again")
        assert again.returncode == 0, again.stderr
        assert wait_until(lambda: dashboard.get("/api/stats")["duplicates"] >= 1, 60)
        assert dashboard.get("/api/alerts")["alerts"] == [alert]

        # What misses as much as before has the id of its origin, and so is not stored a second time.
        dashboard.post("/api/replays", {"places": [missing], "who": "Ada", "why": "mended"})
        assert wait_until(lambda: dashboard.get("/api/replays")["counts"]["sent"] == 3, 60)
        assert wait_until(lambda: dashboard.get("/api/stats")["payments_seen"] == 5, 60)
        assert wait_until(lambda: dashboard.get("/api/stats")["lag"] == 0, 60)
        assert [each["alert_id"] for each in dashboard.get("/api/dead-letters?kind=unscorable")["dead_letters"]] == [
            missing
        ]
    finally:
        for process in processes:
            stop(process, 30)
