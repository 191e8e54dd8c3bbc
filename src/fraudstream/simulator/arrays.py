"""The array types and blocks of payments that the simulator's parts share, and its clock."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

TILL: Final = slice(0, 4)
"""Failed secrets, a chip that is not read, another way of entry, haste."""

ONLINE: Final = slice(4, 8)
"""Another device, another address, another network, an unusual session."""

SIGNALS: Final = 8

_WEIGHT: Final = np.array([1.0, 0.9, 0.8, 0.7, 1.0, 0.9, 0.8, 0.7])

_NOISE: Final = np.array([0.5, 0.6, 0.7, 0.8, 0.5, 0.6, 0.7, 0.8])


@dataclass(frozen=True)
class Payments:
    """Some payments, one array entry each: what happened, before anybody works out how unusual it was."""

    time: Floats
    """Seconds since the start of the stream."""
    card: Ints
    terminal: Ints
    amount: Floats
    away_km: Floats
    """From the card's home to where its holder is: a trip moves it far from any terminal's own distance."""
    signals: Floats
    """[payment, signal]: how unlike the holder it was done (`TILL`, `ONLINE`)."""
    fraud: Flags

    def __len__(self) -> int:
        """How many payments."""
        return len(self.time)

    def at(self, rows: Ints) -> Self:
        """These rows, in this order."""
        return type(self)(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All parts, in order of time; at the same time an earlier part comes before a later one."""
        whole = cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})
        return whole.at(np.argsort(whole.time, kind="stable"))


def signals(till: Floats, online: Floats, rng: np.random.Generator) -> Floats:
    """[payment, signal] from how strange a payment is at the till and online (0: as ever; 1: a holder's odd day).

    Each sign sees the strangeness with a weight and a noise of its own: what is strange is so in several ways at once.
    """
    strange = np.empty((len(till), SIGNALS))
    strange[:, TILL], strange[:, ONLINE] = till[:, None], online[:, None]
    seen: Floats = strange * _WEIGHT + rng.normal(0, 1, strange.shape) * _NOISE
    return seen


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
