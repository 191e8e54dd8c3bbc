"""A process of the demo: readiness, restarts, giving up."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fraudstream.demo.child import Child, State
from fraudstream.errors import ProcessFailed
from fraudstream.runtime.processes import wait_until

READY = "import os, time; open(os.environ['FRAUDSTREAM_READY_FILE'], 'w').close(); time.sleep(60)"


class Clock:
    """Seconds that pass on request."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def all_children() -> Iterator[list[Child]]:
    children: list[Child] = []
    yield children
    for child in children:
        child.stop()


def make(all_children: list[Child], tmp_path: Path, clock: Clock, code: str, **options: Any) -> Child:
    child = Child(
        name="part",
        command=[sys.executable, "-c", code],
        log=tmp_path / "part.log",
        ready_file=tmp_path / "ready",
        environment=dict(os.environ),
        clock=clock,
        grace=5.0,
        **options,
    )
    all_children.append(child)
    child.start()
    return child


def look(child: Child, state: State) -> bool:
    def reached() -> bool:
        child.poll()
        return child.state is state

    return wait_until(reached, 60)


def test_a_child_runs_once_it_says_so(all_children: list[Child], tmp_path: Path, clock: Clock) -> None:
    child = make(all_children, tmp_path, clock, READY)
    assert child.state is State.STARTING
    assert look(child, State.RUNNING)


def test_a_child_that_was_ready_and_is_killed_starts_again_after_half_a_second(
    all_children: list[Child], tmp_path: Path, clock: Clock
) -> None:
    child = make(all_children, tmp_path, clock, READY)
    assert look(child, State.RUNNING)
    first = child.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert look(child, State.RESTARTING)
    assert child.poll() is False
    clock.now += 0.5
    assert child.poll() is True
    assert child.pid != first
    assert look(child, State.RUNNING)


def test_five_starts_that_never_became_ready_end_the_demo_with_the_last_words(
    all_children: list[Child], tmp_path: Path, clock: Clock
) -> None:
    child = make(all_children, tmp_path, clock, "raise SystemExit('no room left')")

    def give_up() -> bool:
        clock.now += 6.0
        child.poll()
        return False

    with pytest.raises(ProcessFailed, match=r"5 times in a row.*no room left"):
        wait_until(give_up, 20)
    assert child.starts == 5


def test_a_child_that_was_ready_once_is_never_given_up(all_children: list[Child], tmp_path: Path, clock: Clock) -> None:
    once = tmp_path / "once"
    code = f"import pathlib; p = pathlib.Path({str(once)!r}); p.exists() and exit('not now'); p.touch(); {READY}"
    child = make(all_children, tmp_path, clock, code)
    assert look(child, State.RUNNING)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)

    def started_often() -> bool:
        clock.now += 6.0
        child.poll()
        return child.starts >= 8

    assert wait_until(started_often, 60)


def test_a_child_whose_work_is_done_is_not_started_again(
    all_children: list[Child], tmp_path: Path, clock: Clock
) -> None:
    child = make(all_children, tmp_path, clock, "pass", ends=True)
    assert look(child, State.DONE)
    clock.now += 60
    assert child.poll() is False


def test_stopping_leaves_no_process(all_children: list[Child], tmp_path: Path, clock: Clock) -> None:
    child = make(all_children, tmp_path, clock, READY)
    assert look(child, State.RUNNING)
    child.stop()
    assert child.pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
