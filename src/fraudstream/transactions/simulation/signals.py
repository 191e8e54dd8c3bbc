"""The small signs that somebody else is paying; `payments.py` and `scenarios.py` say when there are any."""

from __future__ import annotations

from typing import Final

import numpy as np

from fraudstream.transactions.simulation.arrays import Floats

TILL: Final = slice(0, 4)
"""Failed secrets, a chip that is not read, another way of entry, haste."""

ONLINE: Final = slice(4, 8)
"""Another device, another address, another network, an unusual session."""

SIGNALS: Final = 8

_WEIGHT: Final = np.array([1.0, 0.9, 0.8, 0.7, 1.0, 0.9, 0.8, 0.7])
_NOISE: Final = np.array([0.5, 0.6, 0.7, 0.8, 0.5, 0.6, 0.7, 0.8])


def signals(till: Floats, online: Floats, rng: np.random.Generator) -> Floats:
    """[payment, signal] from how strange a payment is at the till and online (0: as ever; 1: a holder's odd day).

    Each sign sees the strangeness with a weight and a noise of its own: what is strange is so in several ways at once.
    """
    strange = np.empty((len(till), SIGNALS))
    strange[:, TILL], strange[:, ONLINE] = till[:, None], online[:, None]
    seen: Floats = strange * _WEIGHT + rng.normal(0, 1, strange.shape) * _NOISE
    return seen
