"""How long the system took to be well again after each fault, and what was lost while it was not; no I/O in here.

Well again: an alert that was produced after the moment is in the store, and so is everything expected from before it.
The moment is that of a kill, or the end of what lasts (a pause, a cut, a full disk).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from statistics import median
from typing import Any

from chaos.checker import Findings


@dataclass
class Attempt:
    """One or two faults at a time.

    Attributes:
        name: Of the fault, or of both.
        began: When it was injected, in seconds of the clock.
        moment: When the system could begin to recover.
        notes: What was seen that should not be.
    """

    name: str
    began: float
    moment: float
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Trace:
    """When a payment was produced and when its alert was in the store (None: never)."""

    produced: float
    stored: float | None


@dataclass(frozen=True)
class Aftermath:
    """What came of an attempt; `recovered` is None where the system never was well again."""

    attempt: Attempt
    rows: int
    lost: int
    doubled: int
    wrong: int
    recovered: float | None

    def to_json(self) -> dict[str, Any]:
        """For the results."""
        return {
            "fault": self.attempt.name,
            "began": round(self.attempt.began, 3),
            "lasted": round(self.attempt.moment - self.attempt.began, 3),
            "rows": self.rows,
            "lost": self.lost,
            "doubled": self.doubled,
            "wrong": self.wrong,
            "seconds_to_recover": None if self.recovered is None else round(self.recovered, 2),
            "notes": self.attempt.notes,
        }


def recovery(moment: float, traces: Sequence[Trace], latest: Sequence[float]) -> float | None:
    """Seconds from a moment until the system was well again; None where it never was.

    Args:
        moment: The moment.
        traces: Of every payment that must be in the store, in order of production.
        latest: By index, when the last of the traces up to there was stored (see `latest_stored`).
    """
    after = next((index for index, trace in enumerate(traces) if trace.produced > moment), len(traces))
    before = latest[after - 1] if after else moment
    first = min((trace.stored for trace in traces[after:] if trace.stored is not None), default=math.inf)
    well = max(before, first, moment)
    return None if math.isinf(well) else well - moment


def latest_stored(traces: Sequence[Trace]) -> list[float]:
    """For each trace, when it and all before it were in the store; infinity where one never was."""
    return list(accumulate((math.inf if trace.stored is None else trace.stored for trace in traces), max))


def aftermaths(
    attempts: Sequence[Attempt],
    produced: Mapping[str, float],
    stored: Mapping[str, float],
    stored_ids: set[str],
    findings: Findings,
) -> list[Aftermath]:
    """What came of each attempt: its rows are those produced from its beginning to the next one's.

    The rows before the first attempt are the first one's too, so that no loss is nobody's.

    Args:
        attempts: In order of time.
        produced: By event id, when each row of the running producer was produced.
        stored: By event id, when it came into the store.
        stored_ids: The ids that must be there.
        findings: The checker's.
    """
    order = sorted(produced, key=produced.__getitem__)
    traces = [Trace(produced[name], stored.get(name)) for name in order if name in stored_ids]
    latest = latest_stored(traces)
    edges = [-math.inf, *(attempt.began for attempt in attempts[1:]), math.inf]
    lost, doubled, wrong = set(findings.lost), set(findings.doubled), set(findings.wrong)
    results = []
    for number, attempt in enumerate(attempts):
        rows = {name for name in order if edges[number] <= produced[name] < edges[number + 1]}
        results.append(
            Aftermath(
                attempt,
                rows=len(rows),
                lost=len(rows & lost),
                doubled=len(rows & doubled),
                wrong=len(rows & wrong),
                recovered=recovery(attempt.moment, traces, latest),
            )
        )
    return results


def summary(attempts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One line of the table, over all attempts of a fault as `Aftermath.to_json` writes them."""
    times = [attempt["seconds_to_recover"] for attempt in attempts]
    known = [seconds for seconds in times if seconds is not None]
    return {
        "tried": len(attempts),
        **{name: sum(attempt[name] for attempt in attempts) for name in ("rows", "lost", "doubled", "wrong")},
        "never_recovered": len(times) - len(known),
        "recovery_p50": round(median(known), 1) if known else None,
        "recovery_max": round(max(known), 1) if known else None,
    }
