"""What is measured of a contender that catches up, by one definition for all; `contenders.py` starts them.

The steady rate is that between the first sample with a tenth of the rows scored and the last before all are: start-up,
warming up and the last, half-empty fetch stay out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

WARM_UP_SHARE: Final = 0.1


class Sample(NamedTuple):
    """So many rows were scored at a time (seconds of the clock)."""

    at: float
    rows: int


def merged(processes: Iterable[Sequence[Sample]]) -> list[Sample]:
    """The samples of several processes that share the rows, as those of one."""
    events = sorted((sample.at, number, sample.rows) for number, samples in enumerate(processes) for sample in samples)
    latest: dict[int, int] = {}
    combined: list[Sample] = []
    for at, number, rows in events:
        latest[number] = rows
        combined.append(Sample(at, sum(latest.values())))
    return combined


def steady_rate(samples: Sequence[Sample], rows: int) -> float | None:
    """Rows a second in the steady state; None where the samples are too few to tell.

    Where less than two lie inside, as with few and large batches, the one with which all rows were scored counts too.
    """
    warm = [sample for sample in samples if sample.rows >= WARM_UP_SHARE * rows]
    inside = [sample for sample in warm if sample.rows < rows]
    if len(inside) < 2:
        inside += [sample for sample in warm if sample.rows >= rows][:1]
    if len(inside) < 2:
        return None
    first, last = inside[0], inside[-1]
    return (last.rows - first.rows) / (last.at - first.at) if last.at > first.at else None


def finished_at(samples: Sequence[Sample], rows: int) -> float | None:
    """When all rows were scored."""
    return next((sample.at for sample in samples if sample.rows >= rows), None)


def read_lines(log: Path) -> list[Sample]:
    """Read a baseline's progress from its standard output, as `reporting.py` writes it; other lines are skipped."""
    samples: list[Sample] = []
    for line in log.read_text(errors="replace").splitlines():
        try:
            document = json.loads(line)
            samples.append(Sample(float(document["at"]), int(document["rows"])))
        except (ValueError, TypeError, KeyError):
            continue
    return samples
