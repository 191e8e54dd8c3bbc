"""What the tests of this folder share: command lines, the output of `score`, and a look at processes from outside."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

Command = Callable[..., subprocess.CompletedProcess[str]]

ROWS = 2_000
FRAUDS = 50


def command_line(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "fraudstream", *map(str, arguments)]


def read_scores(path: Path) -> dict[int, tuple[str, float | None]]:
    lines = [line.split(",") for line in path.read_text().splitlines()]
    assert lines[0] == ["row", "outcome", "score", "threshold"]
    assert [line[0] for line in lines[1:]] == [str(i) for i in range(len(lines) - 1)]
    return {int(row): (outcome, float(score) if score else None) for row, outcome, score, _ in lines[1:]}


def alive(pids: Sequence[int]) -> list[int]:
    return [pid for pid in pids if is_running(pid)]


def is_running(pid: int) -> bool:
    """Whether there is such a process and it is more than an entry that nobody has collected yet."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def descendants(pid: int) -> list[int]:
    """A process's children, their children, and so on."""
    try:
        return [each.pid for each in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
