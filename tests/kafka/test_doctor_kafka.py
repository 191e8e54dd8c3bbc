"""What `fraudstream doctor` reports about a real broker."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fraudstream.config import Settings
from fraudstream.doctor.machine import Check
from fraudstream.doctor.services import examine, service_checks
from fraudstream.kafka.broker import RunningBroker
from fraudstream.transactions.wire import Topic

pytestmark = pytest.mark.kafka


def kafka_checks(broker: RunningBroker, **settings: Any) -> dict[str, Check]:
    settings = {"bootstrap_servers": broker.bootstrap_servers} | settings
    checks = service_checks(Settings.load(**settings), lambda: datetime.now(UTC))
    return {check.name: check for check in examine({"Kafka": checks["Kafka"]})}


def test_a_broker_with_our_topics_has_nothing_to_note(broker: RunningBroker) -> None:
    checks = kafka_checks(broker)
    assert {check.state for check in checks.values()} == {"ok"}
    assert checks["topics"].detail.count(",") == len(Topic) - 1
    assert "produce, detect, relay, archive, audit" in checks["rights"].detail
    assert checks["partitions"].detail.startswith("2 of the input topic")


def test_topics_that_may_not_be_created_are_missing(broker: RunningBroker) -> None:
    kafka = {"topic_prefix": "new.", "create_topics": False}
    missing = kafka_checks(broker, kafka=kafka)["topics"]
    assert missing.state == "failed"
    assert "new.fraud_alerts" in missing.detail
    assert "fraudstream kafka topics --create" in missing.remedy
    assert kafka_checks(broker, kafka=kafka | {"create_topics": True})["topics"].state == "ok"


def test_a_cluster_with_fewer_task_slots_than_partitions_is_noted(broker: RunningBroker) -> None:
    spark = {"spark_master": "spark://127.0.0.1:7077", "spark": {"spark.cores.max": "1"}}
    note = kafka_checks(broker, **spark)["partitions"]
    assert note.state == "note"
    assert "1 task slots" in note.detail
    assert "2 or more" in note.remedy


def test_tls_on_a_port_without_it_is_found(broker: RunningBroker) -> None:
    check = kafka_checks(broker, kafka={"security_protocol": "SSL"})["Kafka"]
    assert check.state == "failed"
    assert "FRAUDSTREAM_KAFKA_SECURITY_PROTOCOL" in check.remedy
