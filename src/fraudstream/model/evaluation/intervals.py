"""Computes 95 % intervals of shares, which need no resampling and hold where a bootstrap says nothing."""

import math
from typing import Final

from fraudstream.model.evaluation.bootstrap import Estimate, Floats, Interval

_Z: Final = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


def wilson(share: float, size: float) -> Interval:
    """Compute Wilson's interval of a share of `size` rows (without continuity correction); 0 to 1 without a row."""
    if size <= 0:
        return Interval(0.0, 1.0)
    centre = (share + _Z**2 / (2 * size)) / (1 + _Z**2 / size)
    half = _Z * math.sqrt(share * (1 - share) / size + _Z**2 / (4 * size**2)) / (1 + _Z**2 / size)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def share_of(count: float, size: float, effective: float | None = None) -> Estimate:
    """Return a share with Wilson's interval, for weighted rows by their effective size; 0 of none."""
    share = count / size if size else 0.0
    return Estimate(share, *wilson(share, size if effective is None else effective))


def effective_size(weight: Floats) -> float:
    """Return Kish's effective number of weighted rows, the size that `wilson` takes for them."""
    return float(weight.sum()) ** 2 / float(weight @ weight) if len(weight) else 0.0


def most_if_none(size: float) -> float:
    """Return the upper end of the share of what `size` sampled rows hold none of (the rule of three), at most 1."""
    return min(1.0, 3.0 / size) if size > 0 else 1.0
