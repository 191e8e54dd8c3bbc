"""The shapes that the simulator's parts hand each other: array types and a block of payments."""

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
