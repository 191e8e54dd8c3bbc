"""From the rounds' results to one JSON, and whether the guarantee held; `docs/reliability.py` makes a page of it."""

from __future__ import annotations

import os
import platform
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from chaos.recovery import summary
from chaos.rounds import RoundResult

PACKAGES: Final = ("fraudstream", "pyspark", "confluent-kafka", "flask", "sqlalchemy")
LONGEST_RECOVERY: Final = 60.0
LONGEST_RECOVERY_AT_SPEED: Final = 30.0
AT_SPEED: Final = 1_000.0
NEEDS_AUDIT: Final = True
"""Whether a release without `fraudstream audit` is a failure."""


def to_json(results: Sequence[RoundResult], *, seed: int, rows: int, seconds: float, short: bool) -> dict[str, Any]:
    """All of it, with the machine and the versions."""
    attempts = defaultdict(list)
    killed: Counter[str] = Counter()
    for result in results:
        for aftermath in result.aftermaths:
            attempts[aftermath.attempt.name, result.round.rate, result.round.trigger].append(aftermath.to_json())
            killed.update(part for part in aftermath.attempt.name.split(" + ") if part.startswith("kill-"))
    return {
        "machine": {"cpu": platform.machine(), "cores": os.cpu_count(), "system": platform.system()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "seed": seed,
        "form": "short" if short else "long",
        "rows_in_file": rows,
        "seconds": round(seconds, 1),
        "kills": dict(sorted(killed.items())),
        "failures": failures(results, timed=not short),
        "faults": [
            {"fault": name, "rate": rate, "trigger": trigger, **summary(each)}
            for (name, rate, trigger), each in sorted(attempts.items())
        ],
        "rounds": [_round(result) for result in results],
    }


def joined(former: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Two runs as one: other faults of the same plan, in another session or beside it.

    Raises:
        ValueError: They are of other plans.
    """
    for key in ("machine", "versions", "seed", "form", "rows_in_file"):
        if former[key] != later[key]:
            raise ValueError(f"{key}: {former[key]} and {later[key]}")
    kills = Counter(former["kills"]) + Counter(later["kills"])
    both = {key: [*former[key], *later[key]] for key in ("failures", "rounds")}
    faults = sorted([*former["faults"], *later["faults"]], key=lambda each: (each["fault"], each["rate"]))
    seconds = round(former["seconds"] + later["seconds"], 1)
    return {**later, **both, "faults": faults, "kills": dict(sorted(kills.items())), "seconds": seconds}


def failures(results: Sequence[RoundResult], *, timed: bool) -> list[str]:
    """Everything by which the run has failed; empty when the guarantee held.

    Args:
        results: By round.
        timed: Whether a recovery that takes too long is a failure. The short run only reports it: machines differ by a
            factor of four from day to day.
    """
    return [f"{result.round.name}: {failure}" for result in results for failure in _failures(result, timed=timed)]


def _failures(result: RoundResult, *, timed: bool) -> list[str]:
    failures = [f"{count} {name.replace('_', ' ')}" for name, count in result.findings.counts().items() if count]
    limit = LONGEST_RECOVERY_AT_SPEED if result.round.rate >= AT_SPEED else LONGEST_RECOVERY
    for aftermath in result.aftermaths:
        name, seconds = aftermath.attempt.name, aftermath.recovered
        if seconds is None:
            failures.append(f"never well again after {name}")
        elif timed and seconds > limit:
            failures.append(f"{seconds:.0f} s to recover from {name}, at most {limit:.0f}")
        failures += [f"{name}: {note}" for note in aftermath.attempt.notes]
    if not result.round.steps:
        failures += [f"a query failed with no fault: {failure}" for failure in result.query_failures]
    if result.ledger is not None:
        failures += [f"ledger: {wrong}" for wrong in result.ledger.wrong]
    elif result.findings.all_well and result.round.batch_interval is not None:
        failures.append("there is no ledger")
    if NEEDS_AUDIT and not result.audits:
        failures.append("there is no audit")
    failures += [f"`fraudstream {command}` exits with {code}" for command, code in result.audits.items() if code]
    failures += [f"{name} was not tried: {why}" for name, why in result.not_tried.items() if why == "the time was up"]
    return failures


def _round(result: RoundResult) -> dict[str, Any]:
    ledger = result.ledger
    odd = Counter(oddity.kind for oddity in result.mixed.places.values())
    return {
        "name": result.round.name,
        "rate": result.round.rate,
        "trigger": result.round.trigger,
        "rows": result.rows,
        "records": result.records,
        "must_be_shown": result.must_be_stored,
        "findings": result.findings.counts(),
        "examples": result.findings.examples(),
        "odd_records": dict(sorted(odd.items())),
        "sent_again": result.mixed.again,
        "of_other_producers": len(result.mixed.ids),
        "refused_by_kafka": dict(result.mixed.refused),
        "query_failures": dict(Counter(result.query_failures)),
        "starts": result.starts,
        "audits": result.audits,
        "ledger": None if ledger is None else {"entries": ledger.entries, "records": ledger.records},
        "not_tried": result.not_tried,
        "attempts": [aftermath.to_json() for aftermath in result.aftermaths],
    }
