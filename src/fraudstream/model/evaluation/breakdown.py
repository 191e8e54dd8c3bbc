"""Breaks the results at the threshold down by time, by amount and by category."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fraudstream.model.evaluation.bootstrap import Floats, ScoredRows, average_precision

_PARTS: Final = 6
"""Of a period of less than two days."""
_MOST_DAYS: Final = 14
"""A longer period is broken down by week."""
MOST_VALUES: Final = 8


@dataclass(frozen=True)
class Group:
    """Test rows with something in common, at the recommended threshold; `rows` and `false_alarms` are weighted.

    `average_precision` is within the group; None without both classes.
    """

    name: str
    rows: float
    frauds: int
    frauds_caught: int
    false_alarms: float
    average_precision: float | None


@dataclass(frozen=True)
class Breakdown:
    """Groups of the test rows; `by` says by what: "day", "week", "part of the period", or the column."""

    by: str
    groups: tuple[Group, ...]


def breakdown(
    by: str, names: Sequence[str], group: NDArray[np.int64], scored: ScoredRows, threshold: float
) -> Breakdown:
    """Summarize the rows of each group; `group` is the index of a row's name."""
    groups = []
    for number, name in enumerate(names):
        part = scored.of(np.flatnonzero(group == number))
        is_alert = part.score >= threshold
        figure = average_precision(part) if part.has_both_classes else None
        caught, false = int((is_alert & part.is_fraud).sum()), float(part.weight[is_alert & ~part.is_fraud].sum())
        groups.append(Group(name, float(part.weight.sum()), int(part.is_fraud.sum()), caught, false, figure))
    return Breakdown(by, tuple(each for each in groups if each.rows))


def by_time(days: Floats | None, start_of: Callable[[float], str], scored: ScoredRows, threshold: float) -> Breakdown:
    """Break down by day, by week if the period is long, or in six parts if it is less than two days.

    `days` are since the start of the period, by row; None for rows without a time, which are divided by their order.
    `start_of` formats such a time, or a row.
    """
    at = np.arange(len(scored.score), dtype=np.float64) if days is None else days
    span = float(at.max()) or 1.0
    if days is None or span < 2:
        by, width = "part of the period", span / _PARTS
    else:
        by, width = ("day", 1.0) if span <= _MOST_DAYS else ("week", 7.0)
    count = math.ceil(span / width)
    group = np.minimum(at // width, count - 1).astype(np.int64)  # the last moment ends a part and begins none
    return breakdown(by, [start_of(number * width) for number in range(count)], group, scored, threshold)


def by_amount(column: str, amounts: Floats, scored: ScoredRows, threshold: float) -> Breakdown:
    """Break down at the quartiles of the frauds' amounts, so that each group has frauds."""
    edges = np.unique(np.quantile(amounts[scored.is_fraud], (0.25, 0.5, 0.75)))
    ends = ["0", *(f"{edge:,.2f}" for edge in edges)]
    names = [f"{low} to {high}" for low, high in pairwise(ends)] + [f"from {ends[-1]}"]
    return breakdown(column, names, np.searchsorted(edges, amounts, side="right"), scored, threshold)


def by_category(
    column: str, values: Sequence[str], codes: NDArray[np.int32], scored: ScoredRows, threshold: float
) -> Breakdown:
    """Break down by the most frequent values of a column; the rest, and what has no value, is one group."""
    most = np.argsort(-np.bincount(codes[codes >= 0], minlength=len(values)), kind="stable")[:MOST_VALUES]
    group = np.full(len(codes), len(most))
    for number, code in enumerate(most):
        group[codes == code] = number
    return breakdown(column, [*(values[code] for code in most), "others"], group, scored, threshold)
