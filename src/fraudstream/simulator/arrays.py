"""Defines the simulator's array types, payment blocks and clock."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

TILL: Final = slice(0, 4)
"""Failed PINs, an unreadable chip, another entry mode, haste."""

ONLINE: Final = slice(4, 8)
"""Another device, another address, another network, an unusual session."""

SIGNALS: Final = 8

_WEIGHT: Final = np.array([1.0, 0.9, 0.8, 0.7, 1.0, 0.9, 0.8, 0.7])

_NOISE: Final = np.array([0.5, 0.6, 0.7, 0.8, 0.5, 0.6, 0.7, 0.8])


@dataclass(frozen=True)
class Payments:
    """Payments, one array entry each: the raw facts, from which features are derived."""

    time: Floats
    """Seconds since the start of the stream."""
    card: Ints
    terminal: Ints
    amount: Floats
    away_km: Floats
    """From the card's home to where its holder is: a trip moves it far beyond the terminals' own distance."""
    signals: Floats
    """[payment, signal]: how unlike the holder's behaviour it was (`TILL`, `ONLINE`)."""
    fraud: Flags

    def __len__(self) -> int:
        """How many payments."""
        return len(self.time)

    def at(self, rows: Ints) -> Self:
        """Select rows, in this order."""
        return type(self)(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Merge the parts in order of time; at the same time an earlier part comes before a later one."""
        whole = cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})
        return whole.at(np.argsort(whole.time, kind="stable"))


def signals(till: Floats, online: Floats, rng: np.random.Generator) -> Floats:
    """Return [payment, signal] from how unusual a payment is at the till and online (0: as usual; 1: an odd day).

    Each signal has its own weight and noise: an unusual payment is unusual in several ways at once.
    """
    unusual = np.empty((len(till), SIGNALS))
    unusual[:, TILL], unusual[:, ONLINE] = till[:, None], online[:, None]
    return np.asarray(unusual * _WEIGHT + rng.normal(0, 1, unusual.shape) * _NOISE)


DURATION_S: Final = 172_792.0
"""The span of creditcard.csv: two days."""

_PER_HOUR = [37, 20, 17, 24, 12, 21, 23, 42, 53, 79, 84, 85, 78, 79, 82, 81, 77, 76, 83, 76, 86, 89, 76, 49]
HOURLY_WEIGHT: Final = np.array(_PER_HOUR) / sum(_PER_HOUR)
"""Payments by hour of the day, as shares; the mean of the two days of creditcard.csv, rounded."""

_HOUR_STARTS: Final = np.append(np.arange(48) * 3600.0, DURATION_S)
_MADE_BEFORE: Final = np.concatenate([[0.0], np.cumsum(np.diff(_HOUR_STARTS) * np.tile(HOURLY_WEIGHT, 2))])
_SHARE_BEFORE: Final = _MADE_BEFORE / _MADE_BEFORE[-1]


def time_at(share: Floats) -> Floats:
    """Return the seconds from the start at which this share (0 to 1) of all legitimate payments has been made."""
    return np.asarray(np.interp(share, _SHARE_BEFORE, _HOUR_STARTS))


def share_at(time: Floats) -> Floats:
    """Return the share of all legitimate payments made before this second: the inverse of `time_at`."""
    return np.asarray(np.interp(time, _HOUR_STARTS, _SHARE_BEFORE))


def hour_of_day(time: Floats) -> Floats:
    """Return the hour of the day, 0 to 24, of a second since the start; the stream starts at midnight."""
    return (time / 3600.0) % 24.0


def hours_apart(hour: Floats, other: Floats) -> Floats:
    """Return the shortest distance between two hours of the day: 0 to 12."""
    gap = np.abs(hour - other)
    return np.minimum(gap, 24.0 - gap)
