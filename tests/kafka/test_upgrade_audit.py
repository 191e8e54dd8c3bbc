"""What release 112b93f left, with its Kafka: the audit passes, and the detector can go on from its checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fraudstream.cli.entry import cli
from fraudstream.kafka.broker import BrokerPlan, start_broker
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java
from fraudstream.runtime.processes import free_port
from fraudstream.store.store import AlertStore
from fraudstream.transactions.wire import DEFAULT_MAX_RECORD_BYTES
from releases import unpack_release

pytestmark = pytest.mark.kafka


def test_the_audit_passes_and_the_checkpoint_is_whole_after_the_upgrade(tmp_path: Path, java: Java, jars: Jars) -> None:
    workdir = unpack_release("release_112b93f", tmp_path)
    AlertStore.open(f"sqlite:///{workdir / 'alerts.db'}").close()
    plan = BrokerPlan(
        port=free_port(),
        data_dir=workdir / "kafka",
        java=java,
        jars=jars.broker,
        partitions=2,
        max_record_bytes=DEFAULT_MAX_RECORD_BYTES,
        heap="256m",
    )
    with start_broker(plan, lambda line: None) as broker:
        assert broker is not None
        kafka = ["--bootstrap-servers", broker.bootstrap_servers]
        audit = CliRunner().invoke(cli, ["audit", "--workdir", str(workdir), *kafka, "--json"])
        show = CliRunner().invoke(cli, ["checkpoint", "show", "--checkpoint", str(workdir / "checkpoint"), *kafka])
    assert audit.exit_code == 0, audit.output
    assert json.loads(audit.stdout)["findings"] == []
    assert show.exit_code == 0, show.output
    assert "intact; batch" in show.stdout
