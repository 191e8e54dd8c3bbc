"""Which new column may be a missing feature under another name: judged by the distributions, decided by a person."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

import numpy as np

from fraudstream.alerts.sampling import Sight

LEAST_VALUES: Final = 30
LARGEST_DISTANCE: Final = 0.2
LEAST_LEAD: Final = 0.05
"""The runner-up, among the missing features as among the new columns, must be so much farther away."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A column of numbers that the contract does not know: the newest sampled `values`, and where it was `first` seen.

    `never_beside` are the features that were missing in every row that had it.
    """

    values: Sequence[float]
    first: Sight
    never_beside: Set[str]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An alias of the missing feature `old` that the data speak for, with the evidence.

    Attributes:
        distance: Kolmogorov-Smirnov distance of the sampled values from the training quantiles, 0 to 1.
        values: How many sampled values it rests on.
        runner_up: Distance of the next best pair of either; None where there is none.
        first: Where the new column was first seen.
    """

    new: str
    old: str
    distance: float
    values: int
    runner_up: float | None
    first: Sight


def distance(values: Sequence[float], quantiles: Sequence[float]) -> float:
    """The Kolmogorov-Smirnov distance of values from a distribution known by evenly spaced quantiles.

    Between two quantiles the distribution is taken as even; where several are equal it jumps, and both sides of each
    jump are compared.
    """
    sample, known = np.sort(np.asarray(values, dtype=float)), np.asarray(quantiles, dtype=float)
    shares = np.linspace(0.0, 1.0, len(known))
    at, first = np.unique(known, return_index=True)
    last = np.append(first[1:], len(known)) - 1
    points = np.unique(np.concatenate([sample, at]))
    # Each value twice, with the shares before and after its jump.
    jumps = np.column_stack([shares[first], shares[last]]).ravel()
    # Between quantiles that are a subnormal apart the slope overflows: no share is above 1 all the same.
    below = np.clip(np.nan_to_num(np.interp(points, np.repeat(at, 2), jumps, left=0.0, right=1.0)), 0.0, 1.0)
    up_to = below.copy()
    is_jump = np.isin(points, at)
    below[is_jump], up_to[is_jump] = shares[first], shares[last]
    counted = len(sample)
    here_below = np.searchsorted(sample, points, side="left") / counted
    here_up_to = np.searchsorted(sample, points, side="right") / counted
    return float(max(np.abs(here_below - below).max(), np.abs(here_up_to - up_to).max()))


def suggest(
    candidates: Mapping[str, Candidate],
    quantiles: Mapping[str, Sequence[float]],
    missing: Set[str],
    refused: Set[tuple[str, str]],
) -> list[Suggestion]:
    """The best pairs of a new column and a missing feature, the closest first; each is in one pair at most.

    `refused` are the pairs (new, old) that a person has refused.
    """
    distances = {
        (new, old): distance(candidate.values, quantiles[old])
        for new, candidate in candidates.items()
        if len(candidate.values) >= LEAST_VALUES
        for old in sorted(missing & candidate.never_beside)
        if len(quantiles.get(old, ())) > 1
    }
    found = []
    for (new, old), far in sorted(distances.items(), key=lambda pair: pair[1]):
        others = [d for (n, o), d in distances.items() if (n == new) != (o == old)]
        runner_up = min(others, default=None)
        leads = runner_up is None or runner_up >= far + LEAST_LEAD
        if far <= LARGEST_DISTANCE and leads and (new, old) not in refused:
            candidate = candidates[new]
            found.append(Suggestion(new, old, far, len(candidate.values), runner_up, candidate.first))
    return found
