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

from fraudstream.config import Settings
from fraudstream.kafka.rights import RIGHTS
from fraudstream.kafka.secured import SecureFolder
from fraudstream.runtime.processes import free_port, wait_until
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.wire import Topic
from secured import cluster_of

# In every change: logins and rights on a real broker in tests/kafka/test_secured_broker.py.
pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark, pytest.mark.nightly]

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
    visible: str

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
        outputs[name] = outputs.get(name, "") + log.read_text()
        assert process.poll() == (None if name in READY else 0), outputs[name]

    try:
        for line in block.splitlines():
            if line == function:
                continue
            start(line)
            if line.startswith("with produce"):
                send_others(folder, next(iter(frauds)))
                assert wait_until(lambda: len(stored(web)) >= len(frauds) + len(COMPRESSIONS), 60)
        # What the page leaves out, each with the rights of its user; the replay comes to the same outcome.
        environment["FRAUDSTREAM_API"] = f"http://127.0.0.1:{web}"
        for line in ("with dead-letters replay --all --why tested", "with checkpoint show", "with audit --deep"):
            start(line)
        answers = "".join(get(web, path) for path in ("/api/system", "/api/events", "/metrics"))
        end(processes[1])  # the detector
        start("with checkpoint rebuild")
        yield Steps(folder, outputs, stored(web), all_arguments() + answers)
    finally:
        for process in reversed(processes):
            if process.poll() is None:
                end(process)


def end(shell: Popen[bytes]) -> None:
    """End a command with its shell, which does not wait for it."""
    family = psutil.Process(shell.pid).children(recursive=True)
    os.killpg(shell.pid, signal.SIGTERM)
    shell.wait(60)
    _, alive = psutil.wait_procs(family, 60)
    assert alive == []


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return str(answer.read().decode())


def stored(port: int) -> list[tuple[int | None, str]]:
    alerts = json.loads(get(port, "/api/alerts?limit=1000"))["alerts"]
    return [(alert["source_row"], alert["topic"]) for alert in alerts]


def all_arguments() -> str:
    """The command lines of all processes, as `ps` shows them."""
    lines = []
    for process in psutil.process_iter(["cmdline"]):
        lines.append(" ".join(process.info["cmdline"] or ()))
    return "\n".join(lines)


def send_others(folder: Path, row: int) -> None:
    """Send a fraud with a key in each compression, and a dead letter, as another program of the company would."""
    cluster = cluster_of(SecureFolder(folder / "secure"), "produce", topic_prefix=PREFIX)
    value = next(open_data(folder / "payments.csv").json_rows(row))
    for compression in COMPRESSIONS:
        producer = Producer(cluster.client() | {"compression.type": compression})
        producer.produce(cluster.topic(Topic.TRANSACTIONS), value, key=f"card {compression}")
        assert producer.flush(30) == 0
    producer.produce(cluster.topic(Topic.TRANSACTIONS), b"{")
    assert producer.flush(30) == 0


def test_each_fraud_is_stored_once_whatever_its_compression(steps: Steps, frauds: dict[int, float]) -> None:
    rows = [row for row, _ in steps.stored if row is not None]
    assert sorted(rows) == sorted(frauds)
    assert len(steps.stored) == len(frauds) + len(COMPRESSIONS)
    assert {topic for _, topic in steps.stored} == {PREFIX + Topic.TRANSACTIONS.value}


def test_the_audit_of_its_own_user_finds_each_record_accounted_for(steps: Steps) -> None:
    for text in ("is accounted for", "and scored again as recorded"):
        assert text in " ".join(steps.outputs["audit"].split())


def test_a_replay_and_a_rebuilt_checkpoint_need_no_other_rights(steps: Steps) -> None:
    assert "1 of 1 sent again" in steps.outputs["dead-letters"]
    assert "intact" in steps.outputs["checkpoint"]
    assert "rebuilt" in steps.outputs["checkpoint"]


def test_the_authorizer_denied_no_request_of_these_users(steps: Steps) -> None:
    log = (steps.folder / "secure-kafka" / "broker.log").read_text()
    assert "setting StandardAcl" in log
    assert [line for line in log.splitlines() if "Principal" in line and "enied" in line] == []


def test_no_password_is_in_a_log_checkpoint_answer_or_command_line(steps: Steps) -> None:
    searched, logs = 0, Settings.load().cache / "logs"
    for path in (*steps.folder.rglob("*"), *logs.iterdir()):
        if path.is_file() and steps.folder / "secure" not in path.parents:
            content = path.read_bytes()
            searched += 1
            assert not any(password.encode() in content for password in steps.passwords), path
    assert searched > 30
    assert "fraudstream" in steps.visible
    assert not any(password in steps.visible for password in steps.passwords)
