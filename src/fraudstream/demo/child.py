"""One process of the demo: started, watched, started again when it dies; which processes there are says `system.py`."""

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
"""Until one that ran is started again: whoever kills it -9 waits for its work, not for our patience."""
FIRST_BACKOFF_SECONDS: Final = 0.5
LONGEST_BACKOFF_SECONDS: Final = 5.0
MOST_STARTS_NEVER_READY: Final = 5
READY_TIMEOUT_SECONDS: Final = 600.0
"""A detector on a machine with ten times as much to do as cores has taken more than three minutes."""
READY_VARIABLE: Final = "FRAUDSTREAM_READY_FILE"


class State(StrEnum):
    """What a child is doing, in the words of the status screen."""

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
        ready_file: File that the process writes once it is ready.
        grace: Seconds that it has to end after SIGTERM.
        limit: Seconds that it has to become ready, or to end where it `ends`.
        ends: Whether exit code 0 means that its work is done.
        clock: Monotonic seconds.
    """

    name: str
    command: Sequence[str]
    log: Path
    ready_file: Path
    environment: Mapping[str, str]
    grace: float = 10.0
    limit: float = READY_TIMEOUT_SECONDS
    ends: bool = False
    clock: Callable[[], float] = time.monotonic
    state: State = field(default=State.WAITING, init=False)
    was_too_slow: bool = field(default=False, init=False)
    starts: int = field(default=0, init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _started_at: float = field(default=0.0, init=False)
    _next_start: float = field(default=0.0, init=False)
    _never_ready: int = field(default=0, init=False)
    _was_ready: bool = field(default=False, init=False)

    @property
    def pid(self) -> int | None:
        """The newest process's id; None before the first start."""
        return None if self._process is None else self._process.pid

    @property
    def is_ready(self) -> bool:
        """Whether it runs and said that it is ready, or has done its work."""
        return self.state in (State.RUNNING, State.DONE)

    @property
    def has_failed(self) -> bool:
        """Whether its newest process ended with an exit code that is not 0."""
        return self._process is not None and self._process.poll() not in (None, 0)

    def start(self) -> None:
        """Start the process."""
        self.ready_file.unlink(missing_ok=True)
        self.was_too_slow = False
        self._process = spawn(
            self.command,
            log=self.log,
            env={**self.environment, READY_VARIABLE: str(self.ready_file)},
        )
        self.state = State.STARTING if self.starts == 0 else State.RESTARTING
        self.starts += 1
        self._started_at = self.clock()

    def look(self) -> bool:
        """See what became of it and start it again when that is due; returns whether a new process was started.

        Raises ProcessFailed where it ended five times before it was ever ready.
        """
        if self._process is None or self.state in (State.DONE, State.STOPPED):
            return False
        code = self._process.poll()
        if code is None:
            self._look_at_running()
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
        """End the process; does nothing where there is none."""
        if self._process is not None and self.state is not State.DONE:
            stop(self._process, self.grace)
            self.state = State.STOPPED

    def _look_at_running(self) -> None:
        if self.state is State.RUNNING:
            return
        if self.ready_file.exists():
            self.state = State.RUNNING
            self._was_ready = True
            self._never_ready = 0
        elif self.clock() - self._started_at > self.limit and self._process is not None:
            self.was_too_slow = True
            log.warning("a process did not become ready in time and is ended", process=self.name, seconds=self.limit)
            stop(self._process, 1.0)

    def _plan_restart(self, code: int) -> None:
        was_ready = self.state is State.RUNNING
        self._never_ready = 0 if was_ready else self._never_ready + 1
        # One that worked once can work again: what it waits for (a broker that is frozen) may take its time.
        if not self._was_ready and self._never_ready >= MOST_STARTS_NEVER_READY:
            raise ProcessFailed(
                f"{self.name} ended {self._never_ready} times in a row before it was ready "
                f"({f'at its limit of {self.limit:.0f} s' if self.was_too_slow else f'exit code {code}'}): "
                f"{last_words(self.log)}",
                where=f"log: {self.log}",
                remedy="mend what the log says, or run `fraudstream doctor`",
            )
        backoff = min(FIRST_BACKOFF_SECONDS * 2 ** max(self._never_ready - 1, 0), LONGEST_BACKOFF_SECONDS)
        if was_ready:
            backoff = AFTER_RUNNING_SECONDS
        self.state = State.RESTARTING
        self._next_start = self.clock() + backoff
        log.warning(
            "a process ended and is started again",
            process=self.name,
            exit_code=code,
            seconds=backoff,
            last_words=None if was_ready else last_words(self.log),
        )


def last_words(path: Path, lines: int = 3) -> str:
    """The last lines of a log, for a message."""
    try:
        words = path.read_text(errors="replace").strip().splitlines()[-lines:]
    except OSError:
        return "it left no log"
    return " / ".join(words) or "it said nothing"
