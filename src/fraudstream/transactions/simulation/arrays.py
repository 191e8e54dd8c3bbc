"""The shapes that the simulator's parts hand each other: array types and a block of payments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]


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
    """[payment, signal]: how unlike the holder it was done, `signals.py` has the names."""
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
