"""What release 112b93f left, with its Kafka: the audit passes, and the detector can go on from its checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from brokers import broker_plan, running_broker
from fraudstream.cli.entry import cli
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java
from fraudstream.store.store import AlertStore
from releases import unpack_release

pytestmark = pytest.mark.kafka


def test_the_audit_passes_and_the_checkpoint_is_whole_after_the_upgrade(tmp_path: Path, java: Java, jars: Jars) -> None:
    workdir = unpack_release("release_112b93f", tmp_path)
    AlertStore.open(f"sqlite:///{workdir / 'alerts.db'}").close()
    with running_broker(broker_plan(workdir, java, jars)) as broker:
        kafka = ["--bootstrap-servers", broker.bootstrap_servers]
        audit = CliRunner().invoke(cli, ["audit", "--workdir", str(workdir), *kafka, "--json"])
        show = CliRunner().invoke(cli, ["checkpoint", "show", "--checkpoint", str(workdir / "checkpoint"), *kafka])
    assert audit.exit_code == 0, audit.output
    assert json.loads(audit.stdout)["findings"] == []
    assert show.exit_code == 0, show.output
    assert "intact; batch" in show.stdout
