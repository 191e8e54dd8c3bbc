"""From behaviour to V1..V28: standardised features on their principal components, widest first."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from fraudstream.transactions.simulation.arrays import Floats

COMPONENTS: Final = 28
DECIMALS: Final = 6
"""Rounding hides the last bits, in which processors differ, and halves the file."""


@dataclass(frozen=True)
class Components:
    """The projection: V = (features - mean) @ directions."""

    mean: Floats
    directions: Floats
    """[feature, component], divided by the features' standard deviations."""

    @classmethod
    def fit(cls, features: Floats) -> Self:
        """Fit on a pilot sample, [payment, feature]; each direction's largest weight is made positive."""
        mean, spread = features.mean(axis=0), features.std(axis=0)
        standard = (features - mean) / spread
        _, vectors = np.linalg.eigh(standard.T @ standard / len(standard))
        widest = vectors[:, ::-1][:, :COMPONENTS]
        largest = np.take_along_axis(widest, np.abs(widest).argmax(axis=0)[None], axis=0)
        return cls(mean=mean, directions=widest * np.sign(largest) / spread[:, None])

    def project(self, features: Floats) -> Floats:
        """[payment, component], rounded."""
        projected: Floats = np.round((features - self.mean) @ self.directions, DECIMALS)
        return projected
