"""Percentiles of times and what repeats have in common; when a row was due is `schedule.py`'s."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

QUANTILES: Final[Mapping[str, float]] = MappingProxyType({"p50_ms": 50, "p90_ms": 90, "p99_ms": 99, "p999_ms": 99.9})


def summary(seconds: ArrayLike) -> dict[str, float | int | None]:
    """Percentiles of times in seconds, as milliseconds; each null where there is no time.

    A percentile is always a time that was measured (the next higher one), so that no tail is averaged away.
    """
    times = np.asarray(seconds, dtype=float) * 1000
    if not len(times):
        return {**dict.fromkeys(QUANTILES), "max_ms": None, "count": 0}
    percentiles = np.percentile(times, list(QUANTILES.values()), method="higher")
    return {
        **{name: round(float(value), 3) for name, value in zip(QUANTILES, percentiles, strict=True)},
        "max_ms": round(float(times.max()), 3),
        "count": len(times),
    }


def quantiles(values: Sequence[float], shares: Sequence[float] = (50, 99)) -> dict[str, float]:
    """Percentiles of values as they are, the largest, and how many there are; only how many where there are none."""
    if not len(values):
        return {"count": 0}
    percentiles = {f"p{share:g}": round(float(np.percentile(values, share)), 1) for share in shares}
    return percentiles | {"max": round(float(max(values)), 1), "count": len(values)}


def of_repeats(values: Sequence[float]) -> dict[str, Any]:
    """Median, least and largest of what several repeats measured; null where nothing was."""
    if not values:
        return {"median": None, "min": None, "max": None, "values": []}
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "values": list(values)}


def slope(at: Sequence[float], values: Sequence[float]) -> float:
    """By how much the values grow in a unit of `at`, by least squares; 0 with fewer than two of them."""
    if len(at) < 2 or max(at) == min(at):
        return 0.0
    return round(float(np.polyfit(at, values, 1)[0]), 3)
