"""A small CSV with frauds in it, a demo that was trained on it, and the commands as a user runs them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from brokers import broker_plan, running_broker
from commands import FRAUDS, ROWS, Command, command_line, read_scores
from fraudstream.kafka.broker import RunningBroker
from fraudstream.runtime.jars import Jars
from fraudstream.runtime.java import Java
from running_demo import Demo, running_demo

ON_THE_DEMO = ("test_demo", "test_schema", "test_detector", "test_hostile_records", "test_demo_stops")
"""Modules that share one running demo, in this order: hostile records come last, since the schema is then theirs."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests on the demo first, in their order, so that no other test runs beside it."""
    order = {name: number for number, name in enumerate(ON_THE_DEMO)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(scope="session")
def run() -> Command:
    """Runs a command to its end."""

    def run(
        *arguments: object, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command_line(*arguments),
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            timeout=600,
            env={**os.environ, **(env or {})},
        )

    return run


@pytest.fixture(scope="session")
def payments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV in the manner of creditcard.csv: quoted header and class, sorted by time, frauds throughout."""
    rng = np.random.default_rng(3)
    fraud = np.zeros(ROWS, dtype=bool)
    fraud[rng.choice(ROWS, FRAUDS, replace=False)] = True
    values = rng.normal(size=(ROWS, 5)) + np.where(fraud[:, None], [3.0, -2.0, 0.0, 1.5, 0.0], 0.0)
    amounts = np.round(rng.lognormal(3.0, 1.2, ROWS), 2)
    header = '"Time","V1","V2","V3","V4","V5","Amount","Class"'
    lines = [
        ",".join([str(i * 3), *(repr(float(v)) for v in values[i]), repr(float(amounts[i])), f'"{int(fraud[i])}"'])
        for i in range(ROWS)
    ]
    path = tmp_path_factory.mktemp("payments") / "payments.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.fixture(scope="session")
def demo(payments: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo on the payments, which all tests of `ON_THE_DEMO` share, the last of which stops it."""
    with running_demo(payments, tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.fixture(scope="session")
def models(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the folder with the model that the demo trained."""
    return copytree(demo.workdir / "models", tmp_path_factory.mktemp("trained") / "models")


@pytest.fixture(scope="session")
def scores(payments: Path, models: Path, run: Command) -> dict[int, tuple[str, float | None]]:
    """Outcome and score of each row, by `fraudstream score`."""
    output = models.parent / "scores.csv"
    done = run("score", "--data", payments, "--model", models / "current", "--output", output)
    assert done.returncode == 0, done.stderr
    return read_scores(output)


@pytest.fixture(scope="session")
def frauds(scores: dict[int, tuple[str, float | None]]) -> dict[int, float]:
    """The score of each row that raises an alert."""
    frauds = {row: score for row, (outcome, score) in scores.items() if outcome == "alert" and score is not None}
    assert len(frauds) > 20
    return frauds


@pytest.fixture(scope="session", autouse=True)
def fetched(jars: Jars) -> Jars:
    """The jars are fetched once, not by each command at the same time."""
    return jars


@pytest.fixture
def own_broker(tmp_path: Path, java: Java, jars: Jars) -> Iterator[RunningBroker]:
    """A broker of this test's own: the detector reads the topic from its first record."""
    with running_broker(broker_plan(tmp_path, java, jars)) as running:
        yield running
