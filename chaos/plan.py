"""The rounds of a run: which faults, how often, at which rate; drawn from the seed, so that a run can be had again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from random import Random
from typing import Final

from chaos.checkpoints import Damage, DamageCheckpoint
from chaos.disks import FillDisk
from chaos.faults import Disturb, Fault, Kill, Pause
from chaos.mixer import Mixture
from chaos.proxy import Line
from chaos.system import DASHBOARD, LINES, PROCESSES, PRODUCER, VOLUMES

REALTIME: Final = "realtime"
MICRO_BATCH: Final = "micro-batch"

SHORT_ROWS: Final = 8_000
LONG_ROWS: Final = 200_000
SHORT_SECONDS: Final = 1_200.0
"""The limit on a slow machine; a usual one needs about four minutes."""

LONG_SECONDS: Final = 2_700.0

SHORT_FAULT_SECONDS: Final = 6.0
"""Of a pause and of a disturbed line in the short form."""

FRINGE: Final = (PRODUCER, DASHBOARD)

KILLS: Final = 8
"""Of each process alone in the first round; two more each come in pairs."""

SLOWER: Final = 200.0
FASTER: Final = 1_000.0

OFTEN: Final = "30 seconds"
"""So that a round sees several batches committed: each has an entry of the ledger."""

FULL_SECONDS: Final = 40.0
"""Longer than a batch, so that the detector cannot but meet the full disk of its checkpoint."""


@dataclass(frozen=True)
class Round:
    """One system from its start to its check.

    Attributes:
        name: Its name.
        rate: Rows a second.
        steps: Faults in their order; those of one step happen together.
        trigger: As `fraudstream detect` takes it.
        mixture: What else is sent between the rows.
        small_disks: Whether each process gets a small volume of its own.
        least_seconds: How long rows flow at least.
        batch_interval: Between two commits of the checkpoint; None for the detector's own.
    """

    name: str
    rate: float
    steps: tuple[tuple[Fault, ...], ...]
    trigger: str = REALTIME
    mixture: Mixture = field(default_factory=Mixture)
    small_disks: bool = False
    least_seconds: float = 0.0
    batch_interval: str | None = OFTEN


def short_plan(chance: Random) -> list[Round]:
    """One system: a kill of each process, a pause, a cut, and odd records between the rows."""
    steps: list[tuple[Fault, ...]] = [(Kill(process),) for process in PROCESSES if process not in FRINGE]
    # These two have nothing in common, and each comes back within two seconds: together they cost one wait.
    steps.append(tuple(Kill(process) for process in FRINGE))
    line = (Line.CUT, Line.SILENT)[chance.randrange(2)]
    steps.append(
        (
            Pause(chance.choice(PROCESSES), SHORT_FAULT_SECONDS),
            Disturb(chance.choice(LINES), line, SHORT_FAULT_SECONDS),
        )
    )
    mixture = Mixture(odd=200, again=0.1, shuffled=500, ahead=100, behind=100, seconds=30.0)
    order = _shuffled(steps, chance)
    # On a fast machine all of it is over within OFTEN.
    return [Round("short", SLOWER, order, mixture=mixture, batch_interval="10 seconds")]


def long_plan(chance: Random, why_no_disks: str) -> list[Round]:
    """Everything: each kind of fault in a round of its own, so that a finding has few causes."""
    singles: list[tuple[Fault, ...]] = [(Kill(process),) for process in PROCESSES for _ in range(KILLS)]
    again: list[tuple[Fault, ...]] = [(Kill(process),) for process in PROCESSES for _ in range(2)]
    pauses: list[tuple[Fault, ...]] = [(Pause(process, 60.0),) for process in PROCESSES]
    lines: list[tuple[Fault, ...]] = [(Disturb(ends, line, 20.0),) for ends in LINES for line in _DISTURBED]
    mixed: list[tuple[Fault, ...]] = [
        (Kill(chance.choice(PROCESSES)), Disturb(chance.choice(LINES), chance.choice(_DISTURBED), 10.0)),
        (Kill(chance.choice(PROCESSES)), Pause(chance.choice(PROCESSES), 10.0)),
    ]
    damages: list[tuple[Fault, ...]] = [(DamageCheckpoint(damage),) for damage in Damage]
    disks: list[tuple[Fault, ...]] = [(FillDisk(volume, FULL_SECONDS, why_no_disks),) for volume in VOLUMES]
    kills: list[tuple[Fault, ...]] = [(Kill(process),) for process in PROCESSES]
    everything = Mixture(odd=1_000, again=0.2, shuffled=2_000, ahead=1_000, behind=1_000, seconds=60.0)
    return [
        Round("kills", SLOWER, _shuffled([*singles, *_pairs(chance)], chance), batch_interval=None),
        Round("kills at 1,000 rows/s", FASTER, _shuffled(again, chance), batch_interval=None),
        Round("odd records, no fault", SLOWER, (), mixture=everything, least_seconds=75.0),
        Round("pauses", SLOWER, _shuffled(pauses, chance)),
        Round("lines", SLOWER, _shuffled([*lines, *mixed], chance)),
        Round("full disks", SLOWER, _shuffled(disks, chance), small_disks=not why_no_disks),
        Round("damaged checkpoints", SLOWER, _shuffled(damages, chance), batch_interval="10 seconds"),
        Round("micro-batches", SLOWER, _shuffled(kills, chance), MICRO_BATCH, everything, least_seconds=60.0),
    ]


def chosen(rounds: Sequence[Round], patterns: Sequence[str]) -> list[Round]:
    """The rounds with only those faults whose names match a pattern (`kill-*`); none given keeps all of it."""
    if not patterns:
        return list(rounds)
    matches = []
    for each in rounds:
        steps = [step for step in each.steps if all(_matches(fault.name, patterns) for fault in step)]
        if steps or (_matches("odd-records", patterns) and each.mixture.odd):
            matches.append(Round(**{**vars(each), "steps": tuple(steps)}))
    return matches


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


_DISTURBED: Final = (Line.CUT, Line.SLOW, Line.SILENT)


def _pairs(chance: Random) -> list[tuple[Fault, ...]]:
    """Each process killed together with the next one of a random circle: two kills of each."""
    circle = list(PROCESSES)
    chance.shuffle(circle)
    return [(Kill(one), Kill(other)) for one, other in zip(circle, circle[1:] + circle[:1], strict=True)]


def _shuffled(steps: Sequence[tuple[Fault, ...]], chance: Random) -> tuple[tuple[Fault, ...], ...]:
    order = list(steps)
    chance.shuffle(order)
    return tuple(order)
