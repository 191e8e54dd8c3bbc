"""The steps of docs/production.md on a secured broker, with a prefix for every name."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from subprocess import Popen

import psutil
import pytest
from confluent_kafka import Producer

from fraudstream.kafka.rights import RIGHTS
from fraudstream.kafka.secured import SecureFolder
from fraudstream.runtime.processes import free_port, wait_until
from fraudstream.transactions.csv_source import open_csv
from fraudstream.transactions.wire import Topic
from secured import cluster_of

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark]

PAGE = Path(__file__).parents[2] / "docs" / "production.md"
READY = {
    "broker": "ready on",
    "detect": "the query is running",
    "dashboard": "dashboard is ready",
    "relay": "partitions assigned",
}
PREFIX = "acme."
COMPRESSIONS = ("gzip", "snappy", "lz4", "zstd")


@dataclass(frozen=True)
class Steps:
    """What came of the page's commands, each with its own log."""

    folder: Path
    outputs: dict[str, str]
    stored: list[tuple[int | None, str]]
    arguments: str

    @property
    def passwords(self) -> list[str]:
        return [(self.folder / "secure" / f"{user}.password").read_text() for user in ("admin", *RIGHTS)]


@pytest.fixture(scope="module")
def steps(
    payments: Path, models: Path, frauds: dict[int, float], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Steps]:
    """Run the commands as they stand, each in a shell of its own; a free port takes the place of the default."""
    folder = tmp_path_factory.mktemp("production")
    copytree(models, folder / "models")
    (folder / "payments.csv").symlink_to(payments)
    kafka, web = free_port(), free_port()
    ports = {"broker": f"--port {kafka}", "dashboard": f"--port {web}", "relay": f"--api http://127.0.0.1:{web}"}
    (block,) = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    (function,) = (line for line in block.splitlines() if "() {" in line)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "FRAUDSTREAM_KAFKA_TOPIC_PREFIX": PREFIX,
        "FRAUDSTREAM_BATCH_INTERVAL": "5 seconds",
    }
    processes: list[Popen[bytes]] = []
    outputs: dict[str, str] = {}

    def start(line: str) -> None:
        name = line.split()[1]
        text, log = f"{function}\n{line.removesuffix('&')} {ports.get(name, '')}", folder / f"{name}.log"
        with log.open("wb") as output:
            process = Popen(
                ["bash", "-c", text], cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
            )
        processes.append(process)
        assert wait_until(lambda: process.poll() is not None or READY.get(name, "\0") in log.read_text(), 120)
        outputs[name] = log.read_text()
        assert process.poll() == (None if name in READY else 0), outputs[name]

    try:
        for line in block.splitlines():
            if line == function:
                continue
            start(line)
            if line.startswith("with produce"):
                send_compressed(folder, next(iter(frauds)))
                assert wait_until(lambda: len(stored(web)) >= len(frauds) + len(COMPRESSIONS), 60)
        yield Steps(folder, outputs, stored(web), all_arguments())
    finally:
        for process in reversed(processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(60)


def stored(port: int) -> list[tuple[int | None, str]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/alerts?limit=1000", timeout=10) as answer:
        return [(alert["source_row"], alert["topic"]) for alert in json.load(answer)["alerts"]]


def all_arguments() -> str:
    """The command lines of all processes, as `ps` shows them."""
    lines = []
    for process in psutil.process_iter(["cmdline"]):
        lines.append(" ".join(process.info["cmdline"] or ()))
    return "\n".join(lines)


def send_compressed(folder: Path, row: int) -> None:
    """Send a fraud with a key in each compression, as another program of the company would."""
    cluster = cluster_of(SecureFolder(folder / "secure"), "produce", topic_prefix=PREFIX)
    value = next(open_csv(folder / "payments.csv").json_rows(row))
    for compression in COMPRESSIONS:
        producer = Producer(cluster.client() | {"compression.type": compression})
        producer.produce(cluster.topic(Topic.TRANSACTIONS), value, key=f"card {compression}")
        assert producer.flush(30) == 0


def test_each_fraud_is_stored_once_whatever_its_compression(steps: Steps, frauds: dict[int, float]) -> None:
    rows = [row for row, _ in steps.stored if row is not None]
    assert sorted(rows) == sorted(frauds)
    assert len(steps.stored) == len(frauds) + len(COMPRESSIONS)
    assert {topic for _, topic in steps.stored} == {PREFIX + Topic.TRANSACTIONS.value}


def test_the_audit_of_its_own_user_finds_each_record_accounted_for(steps: Steps) -> None:
    assert "Every acknowledged record is accounted for" in steps.outputs["audit"]


def test_the_authorizer_denied_no_request_of_these_users(steps: Steps) -> None:
    log = (steps.folder / "secure-kafka" / "broker.log").read_text()
    assert "setting StandardAcl" in log
    assert [line for line in log.splitlines() if "Principal" in line and "enied" in line] == []


def test_no_password_is_in_a_log_a_checkpoint_or_a_command_line(steps: Steps) -> None:
    searched = 0
    for path in steps.folder.rglob("*"):
        if path.is_file() and "secure" not in path.relative_to(steps.folder).parts[:1]:
            content = path.read_bytes()
            searched += 1
            assert not any(password.encode() in content for password in steps.passwords), path
    assert searched > 30
    assert "fraudstream" in steps.arguments
    assert not any(password in steps.arguments for password in steps.passwords)
