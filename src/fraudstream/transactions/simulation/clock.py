"""The clock of the simulated two days: when payments happen, from the share of the stream to the second and back."""

from typing import Final

import numpy as np

from fraudstream.transactions.simulation.arrays import Floats

DURATION_S: Final = 172_792.0
"""The span of creditcard.csv: two days."""

_PER_HOUR = [37, 20, 17, 24, 12, 21, 23, 42, 53, 79, 84, 85, 78, 79, 82, 81, 77, 76, 83, 76, 86, 89, 76, 49]
HOURLY_WEIGHT: Final = np.array(_PER_HOUR) / sum(_PER_HOUR)
"""Payments by hour of the day, as shares; the mean of the two days of creditcard.csv, rounded."""

_HOUR_STARTS: Final = np.append(np.arange(48) * 3600.0, DURATION_S)
_MADE_BEFORE: Final = np.concatenate([[0.0], np.cumsum(np.diff(_HOUR_STARTS) * np.tile(HOURLY_WEIGHT, 2))])
_SHARE_BEFORE: Final = _MADE_BEFORE / _MADE_BEFORE[-1]


def time_at(share: Floats) -> Floats:
    """Seconds from the start at which this share (0 to 1) of all legitimate payments has been made."""
    seconds: Floats = np.interp(share, _SHARE_BEFORE, _HOUR_STARTS)
    return seconds


def share_at(time: Floats) -> Floats:
    """The share of all legitimate payments made before this second: the inverse of `time_at`."""
    share: Floats = np.interp(time, _HOUR_STARTS, _SHARE_BEFORE)
    return share


def hour_of_day(time: Floats) -> Floats:
    """Hour of the day, 0 to 24, of a second since the start; the stream starts at midnight."""
    hour: Floats = (time / 3600.0) % 24.0
    return hour


def hours_apart(hour: Floats, other: Floats) -> Floats:
    """Hours between two hours of the day, the short way round: 0 to 12."""
    gap = np.abs(hour - other)
    short: Floats = np.minimum(gap, 24.0 - gap)
    return short
