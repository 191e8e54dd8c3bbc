"""The four scripts of `fraud_detection_project/`, typed as their users type them, on a real Kafka and a real Spark."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any
from urllib.error import URLError

import orjson
import pytest

from commands import ROWS, Command, alive, descendants, read_scores
from fraudstream.runtime.java import STORE_PASSWORD, write_trust_store
from fraudstream.runtime.processes import free_port, spawn, stop, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.spark]

PROJECT = Path(__file__).parents[2] / "fraud_detection_project"
SCRIPTS = ("kafka_producer.py", "model.py", "spark_consumer.py", "dashboard.py")
GENERATED = ("creditcard.csv", "models", "*_model", "checkpoint", "alerts.db*", ".produce", "__pycache__")
TOPIC = "credit_card_transactions"
PARTITIONS = 3
PACKAGES = "org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0"
LOAD = """
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.feature import StandardScalerModel
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
scaler = StandardScalerModel.load("scaler_model")
model = LogisticRegressionModel.load("fraud_detection_model")
print("loaded", scaler.mean.size, model.numFeatures)
"""


def copied_project(parent: Path, payments: Path) -> Path:
    """The folder of the scripts, with the payments as its creditcard.csv."""
    folder = copytree(PROJECT, parent / "fraud_detection_project", ignore=ignore_patterns(*GENERATED))
    (folder / "creditcard.csv").write_bytes(payments.read_bytes())
    return folder


@pytest.fixture(scope="module")
def environment(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """That of a shell in which the virtual environment is active."""
    folder = tmp_path_factory.mktemp("shell")
    # What --packages fetches is kept from one run of the tests to the next.
    (folder / "spark-defaults.conf").write_text(f"spark.jars.ivy {cache / 'ivy' / 'tests'}\n")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SPARK_CONF_DIR": str(folder),
    }
    if write_trust_store(folder / "trust.jks"):
        # As `fraudstream setup` does where Java does not know an authority that the machine trusts.
        environment["SPARK_SUBMIT_OPTS"] = (
            f"-Djavax.net.ssl.trustStore={folder / 'trust.jks'} -Djavax.net.ssl.trustStorePassword={STORE_PASSWORD}"
        )
    return environment


@dataclass
class Project:
    """A copy of the folder, in use."""

    folder: Path
    port: int
    environment: dict[str, str]

    @property
    def working_directory(self) -> Path:
        """Not the folder: the scripts find what is theirs from anywhere."""
        return self.folder.parent

    def log(self, name: str) -> Path:
        return self.working_directory / f"{name}.log"

    def start(self, name: str, *command: object) -> subprocess.Popen[bytes]:
        return spawn(
            [str(part) for part in command], log=self.log(name), env=self.environment, cwd=self.working_directory
        )

    def type(self, name: str, *command: object, cwd: Path | None = None) -> str:
        """Run a command to its end, which must be a good one; returns what it printed."""
        done = subprocess.run(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=200,
            env=self.environment,
            cwd=cwd or self.working_directory,
        )
        self.log(name).write_text(done.stdout)
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://localhost:{self.port}{path}", timeout=10) as answer:
            body: bytes = answer.read()
        return body

    def stats(self) -> dict[str, Any]:
        try:
            stats: dict[str, Any] = orjson.loads(self.get("/api/stats"))
        except (URLError, OSError):
            return {}
        return stats

    def alerts(self) -> list[dict[str, Any]]:
        frauds: list[dict[str, Any]] = orjson.loads(self.get("/api/alerts?limit=200"))["alerts"]
        return frauds

    def explain(self) -> str:
        return "".join(f"\n== {log.name}\n{log.read_text()[-2500:]}" for log in self.working_directory.glob("*.log"))


@dataclass
class Running:
    """The project with its scripts running, the topic sent through and scored."""

    project: Project
    processes: dict[str, subprocess.Popen[bytes]]
    scores: dict[int, float]
    loaded: str


@pytest.fixture(scope="module")
def running(payments: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = copied_project(tmp_path_factory.mktemp("user"), payments)
    kafka, port = free_port(), free_port()
    project = Project(
        folder,
        port,
        {**environment, "FRAUDSTREAM_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka}", "FRAUDSTREAM_PORT": str(port)},
    )
    processes: dict[str, subprocess.Popen[bytes]] = {}
    with ExitStack() as stack:

        def start(name: str, *command: object) -> None:
            processes[name] = project.start(name, *command)
            stack.callback(stop, processes[name], 20)

        start("broker", "fraudstream", "broker", "--port", kafka, "--data-dir", folder.parent / "kafka")
        project.type("model", "spark-submit", folder / "model.py")
        assert wait_until(lambda: "ready on" in project.log("broker").read_text(), 60), project.explain()
        topics = ("fraudstream", "kafka", "topics", "--bootstrap-server", f"127.0.0.1:{kafka}", "--topic", TOPIC)
        project.type("delete", *topics, "--delete")
        project.type("create", *topics, "--create", "--partitions", PARTITIONS, "--replication-factor", 1)

        start("dashboard", "python", folder / "dashboard.py")
        start("consumer", "spark-submit", "--packages", PACKAGES, folder / "spark_consumer.py")
        start("producer", "python", folder / "kafka_producer.py")
        scores = scored(project)
        (folder / "load.py").write_text(LOAD)
        loaded = project.type("load", "spark-submit", folder / "load.py", cwd=folder)
        assert wait_until(lambda: is_through(project, processes, len(scores)), 90, every=0.2), project.explain()
        yield Running(project, processes, scores, loaded)


def scored(project: Project) -> dict[int, float]:
    """The frauds of the file, by `fraudstream score` and the model beside the scripts."""
    output = project.working_directory / "scores.csv"
    data, model = project.folder / "creditcard.csv", project.folder / "models" / "current"
    project.type("score", "fraudstream", "score", "--data", data, "--model", model, "--output", output)
    frauds = {row: score for row, (outcome, score) in read_scores(output).items() if outcome == "alert"}
    assert len(frauds) > 20
    return {row: score for row, score in frauds.items() if score is not None}


def is_through(project: Project, processes: dict[str, subprocess.Popen[bytes]], alerts: int) -> bool:
    ended = {name: code for name, process in processes.items() if (code := process.poll())}
    assert not ended, project.explain()
    stats = project.stats()
    return (stats.get("payments_seen"), stats.get("scored"), stats.get("alerts")) == (ROWS, ROWS, alerts)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_has_at_most_fifteen_lines(script: str) -> None:
    assert len((PROJECT / script).read_text().splitlines()) <= 15


@pytest.mark.nightly
def test_the_page_shows_exactly_the_frauds_that_score_finds(running: Running) -> None:
    assert {alert["source_row"]: alert["score"] for alert in running.project.alerts()} == running.scores


@pytest.mark.nightly
def test_the_topic_that_kafkas_own_tool_created_is_respected(running: Running) -> None:
    assert {alert["partition"] for alert in running.project.alerts()} == set(range(PARTITIONS))


@pytest.mark.nightly
def test_both_models_load_with_sparks_own_classes(running: Running) -> None:
    assert "loaded 6 6" in running.loaded


@pytest.mark.nightly
def test_the_page_comes_from_the_template_beside_the_script(running: Running) -> None:
    page = running.project.folder / "templates" / "dashboard.html"
    assert "<title>Fraud Detection Dashboard</title>" in running.project.get("/").decode()
    own = page.read_text().replace("{% block above %}", "{% block above %}<p>Our own words</p>")
    page.write_text(own)
    assert "<p>Our own words</p>" in running.project.get("/").decode()


@pytest.mark.nightly
def test_all_that_was_written_lies_beside_the_scripts(running: Running) -> None:
    written = {path.name for path in running.project.folder.iterdir()}
    assert written >= {"models", "scaler_model", "fraud_detection_model", "checkpoint", "alerts.db", ".produce"}


@pytest.mark.nightly
def test_sigterm_ends_each_script_with_all_that_it_started_and_without_a_trace(
    running: Running, payments: Path, tmp_path: Path
) -> None:
    project = running.project
    assert running.processes["producer"].wait(60) == 0
    again = project.start("producer again", "python", project.folder / "kafka_producer.py")
    training = Project(copied_project(tmp_path, payments), 0, project.environment)
    model = training.start("model", "spark-submit", training.folder / "model.py")
    try:
        assert wait_until(lambda: project.stats().get("payments_seen", 0) > ROWS, 60), project.explain()
        assert wait_until(lambda: "starting Spark" in training.log("model").read_text(), 60), training.explain()
        assert ends_whole(again) == 0
        assert ends_whole(model) == 128 + signal.SIGTERM
        # The JVM's own code: SIGTERM goes to spark-submit.
        assert ends_whole(running.processes["consumer"]) == 128 + signal.SIGTERM
        assert ends_whole(running.processes["dashboard"]) == 0
    finally:
        stop(again, 5)
        stop(model, 5)
    assert "Traceback" not in project.explain() + training.explain()
    assert "unexpected error" not in project.explain() + training.explain()
    assert not list(training.folder.glob("models/.unfinished-*"))


def ends_whole(process: subprocess.Popen[bytes]) -> int:
    """Send SIGTERM and wait for the process and all below it; returns its exit code."""
    below = descendants(process.pid)
    process.terminate()
    code = process.wait(30)
    assert wait_until(lambda: not alive(below), 60), alive(below)
    return code


@pytest.mark.parametrize("script", ["kafka_producer.py", "model.py"])
def test_without_a_creditcard_csv_the_path_and_a_remedy_are_printed(
    script: str, payments: Path, tmp_path: Path
) -> None:
    folder = copied_project(tmp_path, payments)
    (folder / "creditcard.csv").unlink()
    error = refused([sys.executable, folder / script])
    assert str(folder / "creditcard.csv") in error
    assert "fraudstream simulate" in error


# The commands, whose functions the scripts call, refuse alike in every change: test_bad_input.py.
@pytest.mark.nightly
@pytest.mark.parametrize("script", ["kafka_producer.py", "spark_consumer.py"])
def test_without_a_broker_its_address_and_a_remedy_are_printed(
    script: str, models: Path, payments: Path, tmp_path: Path
) -> None:
    folder = copied_project(tmp_path, payments)
    copytree(models, folder / "models")
    nobody = f"127.0.0.1:{free_port()}"
    error = refused([sys.executable, folder / script], FRAUDSTREAM_BOOTSTRAP_SERVERS=nobody)
    assert nobody in error
    assert "FRAUDSTREAM_BOOTSTRAP_SERVERS" in error


@pytest.mark.nightly
def test_without_a_model_the_script_that_trains_one_is_named(payments: Path, tmp_path: Path) -> None:
    folder = copied_project(tmp_path, payments)
    nobody = f"127.0.0.1:{free_port()}"
    error = refused([sys.executable, folder / "spark_consumer.py"], FRAUDSTREAM_BOOTSTRAP_SERVERS=nobody)
    assert "spark-submit model.py" in error


def refused(command: Sequence[object], **environment: str) -> str:
    """Run a script that cannot go on; returns its one message."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert done.returncode not in (0, None)
    assert "Traceback" not in done.stderr
    assert done.stderr.count("fraudstream: ") == 1, done.stderr
    assert "remedy:" in done.stderr
    return done.stderr


def test_kafkas_tools_pass_on_arguments_and_exit_code(run: Command) -> None:
    answer = run("kafka", "topics", "--help")
    assert answer.returncode == 1  # Kafka's own answer to --help
    assert "--bootstrap-server" in answer.stderr + answer.stdout
    unknown = run("kafka", "mirror-maker")
    assert unknown.returncode == 2
    assert "topics, configs" in unknown.stderr
