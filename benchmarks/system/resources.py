"""Memory and processor time of running processes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import psutil

from benchmarks.system.percentiles import slope

MIB: Final = 2**20


def _processes(pid: int) -> list[psutil.Process]:
    """A process and all that it started, theirs included; empty where it has ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def family(pid: int) -> list[int]:
    """The pids of a process and of all that it started, theirs included; empty where it has ended."""
    return [each.pid for each in _processes(pid)]


def resident_mib(pid: int) -> float:
    """Resident memory of a process and all that it started; a page that two share counts in each."""
    used = 0
    for each in _processes(pid):
        with suppress(psutil.NoSuchProcess):
            used += each.memory_info().rss
    return round(used / MIB, 1)


def proportional_mib(pid: int) -> float | None:
    """The same with a shared page divided among those that share it (PSS); None where the system does not tell."""
    used = 0
    for each in _processes(pid):
        # A process that has just ended has no memory.
        with suppress(psutil.NoSuchProcess):
            try:
                used += each.memory_full_info().pss
            except (psutil.AccessDenied, AttributeError):
                return None
    return round(used / MIB, 1)


def cpu_seconds(pid: int) -> float:
    """Processor time so far of a process and all that it started, of those that ended too."""
    total = 0.0
    for each in _processes(pid):
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


@dataclass
class Usage:
    """What some processes took over a stretch of time.

    Attributes:
        samples: Seconds since the first look, and resident MiB by process.
    """

    samples: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    _began: float = 0.0
    _cpu: dict[str, float] = field(default_factory=dict)
    _spent: dict[str, float] = field(default_factory=dict)
    _proportional: dict[str, dict[str, float | None]] = field(default_factory=dict)

    def begin(self, pids: Mapping[str, int]) -> None:
        """The stretch begins."""
        self._began = time.monotonic()
        self._cpu = {name: cpu_seconds(pid) for name, pid in pids.items()}
        self._proportional["start"] = {name: proportional_mib(pid) for name, pid in pids.items()}
        self.look(pids)

    def look(self, pids: Mapping[str, int]) -> None:
        """Note the resident memory."""
        at = round(time.monotonic() - self._began, 1)
        self.samples.append((at, {name: resident_mib(pid) for name, pid in pids.items()}))

    def end(self, pids: Mapping[str, int]) -> None:
        """The stretch ends; call it while the processes still run."""
        self._spent = {name: max(0.0, cpu_seconds(pid) - self._cpu.get(name, 0.0)) for name, pid in pids.items()}
        self._proportional["end"] = {name: proportional_mib(pid) for name, pid in pids.items()}
        self.look(pids)

    def total(self) -> float:
        """Resident MiB of all processes at the last look."""
        return sum(self.samples[-1][1].values())

    def memory(self) -> dict[str, Any]:
        """MiB at the start, each minute and at the end, by process and of all, and how fast all of it grows."""
        names = sorted({name for _, sample in self.samples for name in sample})
        totals = [(at, round(sum(sample.values()), 1)) for at, sample in self.samples]
        return {
            "resident_mib": {
                name: _ends([sample[name] for _, sample in self.samples if name in sample]) for name in names
            }
            | {"all": _ends([total for _, total in totals])},
            "proportional_mib": {when: dict(sizes) | _all(sizes) for when, sizes in self._proportional.items()},
            "samples": [
                {"seconds": at, "resident_mib": {**sample, "all": round(sum(sample.values()), 1)}}
                for at, sample in _each_minute(self.samples)
            ],
            "slope_mib_per_minute": slope([at / 60 for at, _ in totals], [total for _, total in totals]),
        }

    def cpu_per_1000(self, rows: int) -> dict[str, float]:
        """Processor seconds for 1,000 of so many rows, by process and of all."""
        each = {name: round(seconds / max(rows, 1) * 1000, 4) for name, seconds in self._spent.items()}
        return each | {"all": round(sum(self._spent.values()) / max(rows, 1) * 1000, 4)}


def _ends(values: Sequence[float]) -> dict[str, float]:
    return {"start": values[0], "max": max(values), "end": values[-1]} if values else {}


def _all(values: Mapping[str, float | None]) -> dict[str, float | None]:
    known = [value for value in values.values() if value is not None]
    return {"all": round(sum(known), 1) if len(known) == len(values) else None}


def _each_minute(samples: Sequence[tuple[float, dict[str, float]]]) -> list[tuple[float, dict[str, float]]]:
    minutes: list[tuple[float, dict[str, float]]] = []
    for at, sample in samples[:-1]:
        if not minutes or at - minutes[-1][0] >= 59.0:
            minutes.append((at, sample))
    return [*minutes, *samples[-1:]]
