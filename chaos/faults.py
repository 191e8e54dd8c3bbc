"""What is done to a running system and undone again; disks and checkpoints have modules of their own."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from chaos.proxy import Line
from chaos.system import System, still_there

GONE_SECONDS: Final = 2.0
"""Within this time, what a killed process had started must have ended too."""


class Impossible(Exception):
    """A fault that this machine or this release does not allow to try; its text says why."""


class Fault(Protocol):
    """Something that goes wrong for a while."""

    @property
    def name(self) -> str:
        """As `--faults` takes it."""

    @property
    def lasts(self) -> float:
        """Seconds from `inject` to `heal`."""

    @property
    def notes(self) -> list[str]:
        """What was seen that should not be, in words; empty when all was well."""

    def inject(self, system: System) -> float:
        """Let it happen, and return when it did (seconds of the clock); raises `Impossible` where it cannot."""

    def heal(self, system: System) -> float | None:
        """Undo it, and return when the system could begin to recover; None where nothing is to be undone."""


@dataclass
class Kill:
    """kill -9 of a process; its supervision starts it again."""

    process: str
    lasts: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As `--faults` takes it."""
        return f"kill-{self.process}"

    def inject(self, system: System) -> float:
        """Kill the process alone: what it started must not outlive it."""
        # A process that is only just being started again has nothing to lose; a kill is one of a process at work.
        system.wait(60.0, lambda: system.children[self.process].is_ready)
        family = system.family(self.process)
        moment = time.time()
        os.kill(family[0], signal.SIGKILL)
        if not system.wait(GONE_SECONDS, lambda: not still_there(family)):
            self.notes.append(f"{self.process} left processes behind")
        return moment

    def heal(self, system: System) -> None:
        """Supervision does it."""


@dataclass
class Pause:
    """SIGSTOP of a process with all that it started, then SIGCONT."""

    process: str
    lasts: float
    notes: list[str] = field(default_factory=list)
    _paused: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As `--faults` takes it."""
        return f"pause-{self.process}"

    def inject(self, system: System) -> float:
        """Stop it where it stands."""
        self._paused = system.family(self.process)
        _signal(self._paused, signal.SIGSTOP)
        return time.time()

    def heal(self, system: System) -> float:
        """Let it go on."""
        _signal(self._paused, signal.SIGCONT)
        return time.time()


@dataclass
class Disturb:
    """A line between two processes that is cut, slow or silent for a while."""

    ends: tuple[str, str]
    line: Line
    lasts: float
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As `--faults` takes it."""
        return f"{self.line.value}-{'-'.join(self.ends)}"

    def inject(self, system: System) -> float:
        """Disturb it."""
        system.proxies.set_line(system.lines[self.ends], self.line)
        return time.time()

    def heal(self, system: System) -> float:
        """Open it again."""
        system.proxies.set_line(system.lines[self.ends], Line.OPEN)
        return time.time()


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
