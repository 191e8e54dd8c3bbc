"""Supervises one process of the demo: starts it, and restarts it when it dies."""

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

import structlog

from fraudstream.errors import ProcessFailed
from fraudstream.runtime.processes import spawn, stop

log = structlog.get_logger(__name__)

AFTER_RUNNING_SECONDS: Final = 0.1
"""Delay before a process that was running is restarted, so that a kill -9 costs little time."""
FIRST_BACKOFF_SECONDS: Final = 0.5
LONGEST_BACKOFF_SECONDS: Final = 5.0
MOST_STARTS_NEVER_READY: Final = 5
READY_VARIABLE: Final = "FRAUDSTREAM_READY_FILE"


class State(StrEnum):
    """The state of a child, as shown on the status screen."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "starting again"
    DONE = "done"
    STOPPED = "stopped"


@dataclass
class Child:
    """A process that is kept running.

    Args:
        ready_file: File that the process writes when it is ready.
        grace: Seconds between SIGTERM and SIGKILL.
        ends: Whether exit code 0 means that its work is done.
    """

    name: str
    command: Sequence[str]
    log: Path
    ready_file: Path
    environment: Mapping[str, str]
    grace: float = 10.0
    ends: bool = False
    clock: Callable[[], float] = time.monotonic
    state: State = field(default=State.WAITING, init=False)
    starts: int = field(default=0, init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _next_start: float = field(default=0.0, init=False)
    _never_ready: int = field(default=0, init=False)
    _was_ready: bool = field(default=False, init=False)

    @property
    def pid(self) -> int | None:
        """The id of the latest process; None before the first start."""
        return None if self._process is None else self._process.pid

    @property
    def is_ready(self) -> bool:
        """Whether it is running and ready, or has done its work."""
        return self.state in (State.RUNNING, State.DONE)

    @property
    def has_failed(self) -> bool:
        """Whether its latest process ended with a non-zero exit code."""
        return self._process is not None and self._process.poll() not in (None, 0)

    def start(self) -> None:
        """Start the process."""
        self.ready_file.unlink(missing_ok=True)
        self._process = spawn(
            self.command,
            log=self.log,
            env={**self.environment, READY_VARIABLE: str(self.ready_file)},
        )
        self.state = State.STARTING if self.starts == 0 else State.RESTARTING
        self.starts += 1

    def poll(self) -> bool:
        """Check the process and restart it when that is due; return whether a new process was started.

        Raises ProcessFailed if it ended five times before it was ever ready.
        """
        if self._process is None or self.state in (State.DONE, State.STOPPED):
            return False
        code = self._process.poll()
        if code is None:
            if self.ready_file.exists():
                self.state, self._was_ready, self._never_ready = State.RUNNING, True, 0
            return False
        if self.ends and code == 0:
            self.state = State.DONE
            return False
        if self._next_start == 0.0:
            self._plan_restart(code)
        if self.clock() < self._next_start:
            return False
        self._next_start = 0.0
        self.start()
        return True

    def stop(self) -> None:
        """Stop the process, if there is one."""
        if self._process is not None and self.state is not State.DONE:
            stop(self._process, self.grace)
            self.state = State.STOPPED

    def _plan_restart(self, code: int) -> None:
        was_ready = self.state is State.RUNNING
        self._never_ready = 0 if was_ready else self._never_ready + 1
        # One that worked once can work again: what it waits for (a frozen broker) may take its time.
        if not self._was_ready and self._never_ready >= MOST_STARTS_NEVER_READY:
            raise ProcessFailed(
                f"{self.name} ended {self._never_ready} times in a row before it was ready (exit code {code}): "
                f"{log_tail(self.log)}",
                where=f"log: {self.log}",
                remedy="fix the error in the log, or run `fraudstream doctor`",
            )
        backoff = min(FIRST_BACKOFF_SECONDS * 2 ** max(self._never_ready - 1, 0), LONGEST_BACKOFF_SECONDS)
        if was_ready:
            backoff = AFTER_RUNNING_SECONDS
        self.state = State.RESTARTING
        self._next_start = self.clock() + backoff
        log.warning(
            "restarting a process that ended",
            process=self.name,
            exit_code=code,
            seconds=backoff,
            log_tail=None if was_ready else log_tail(self.log),
        )


def log_tail(path: Path, lines: int = 3) -> str:
    """Read the last lines of a log, for a message."""
    try:
        tail = path.read_text(errors="replace").strip().splitlines()[-lines:]
    except OSError:
        return "there is no log"
    return " / ".join(tail) or "the log is empty"
