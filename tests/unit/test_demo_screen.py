"""The progress of a demo: one rewritten line on a terminal, and each step once elsewhere."""

from __future__ import annotations

import io
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from columns import NOW
from fraudstream.demo.child import Child, State
from fraudstream.demo.run import Screen
from fraudstream.demo.system import has_model_of
from fraudstream.model.deployment.current import deploy
from fraudstream.model.manifest import Refit, TrainingData
from fraudstream.transactions.data_source import open_data
from saved_models import linear_manifest, linear_model

URL = "http://localhost:5000"
STATS = {"payments_seen": 1200, "alerts": 3, "rate": 200.0, "p50_ms": 8.0, "p99_ms": 21.0}


@pytest.mark.parametrize(("refit", "is_usable"), [(None, True), (Refit(1, 1, ""), False)])
def test_a_demo_uses_a_model_that_some_rows_are_new_to(tmp_path: Path, refit: Refit | None, is_usable: bool) -> None:
    data = tmp_path / "a.csv"
    data.write_text("a,Class\n1,0\n")
    source = open_data(data)
    linear = replace(linear_manifest(), refit=refit, training_data=TrainingData("a.csv", source.fingerprint, 1, 0))
    linear_model(tmp_path, linear=linear)
    deploy(tmp_path, linear.model_id, 0.5, who="test", why="", now=NOW)
    assert has_model_of(tmp_path, source, "logistic-regression") == is_usable


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def screen(clock: Clock, *, terminal: bool) -> tuple[Screen, io.StringIO]:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=100, color_system=None, _environ={})
    return Screen(console, URL, clock), output


def child(tmp_path: Path, state: State) -> Child:
    each = Child(
        name="relay",
        command=[sys.executable, "-c", ""],
        log=tmp_path / "log",
        ready_file=tmp_path / "ready",
        environment=dict(os.environ),
    )
    each.state = state
    return each


def test_a_log_gets_each_step_once_with_its_seconds(clock: Clock, tmp_path: Path) -> None:
    using, output = screen(clock, terminal=False)
    children = {"relay": child(tmp_path, State.STARTING)}
    assert using.live is None
    using.step("training the model")
    for _ in range(66):
        clock.now += 1
        using.show(children, dict)
    using.step("starting Spark")
    clock.now += 12.4
    using.show(children, dict)
    using.step("")
    assert output.getvalue() == "training the model: 66 s\nstarting Spark: 12 s\n"


def test_a_terminal_has_one_line_with_the_step_and_its_seconds(clock: Clock, tmp_path: Path) -> None:
    using, output = screen(clock, terminal=True)
    assert using.live is not None
    with using.live:
        using.step("training the model")
        clock.now += 12
        using.show({"relay": child(tmp_path, State.STARTING)}, dict)
        assert output.getvalue().endswith(f"{URL}  training the model (12 s)  [relay starting]")
        clock.now += 2
        using.show({"relay": child(tmp_path, State.STARTING)}, dict)
        assert output.getvalue().endswith(f"\r\x1b[2K{URL}  training the model (14 s)  [relay starting]")
        using.step("")
        using.show({"relay": child(tmp_path, State.RUNNING)}, lambda: STATS)
        assert output.getvalue().endswith(f"{URL}  payments 1,200  alerts 3  200/s  p50 8 ms  p99 21 ms")
        assert "\n" not in output.getvalue().replace("training the model: 14 s\n", "")
