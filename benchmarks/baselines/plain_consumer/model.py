"""The exported model: a scaler with a linear model or with trees, scored a matrix at a time; `consumer.py` fills it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ROWS_AT_ONCE = 256
"""Through the trees: the places of so many rows in all the trees stay in the cache of a core."""


@dataclass(frozen=True)
class Trees:
    """All trees as one list of nodes: the right child stands behind the left, a leaf is its own left child.

    Attributes:
        slot: Which value is compared.
        split: A value above it goes right; infinity in a leaf, which nothing is above.
        left: Place of the left child.
        value: What a leaf adds to the margin.
        roots: Places of the roots.
        depth: Of the deepest tree.
    """

    slot: NDArray[np.int64]
    split: Floats
    left: NDArray[np.int64]
    value: Floats
    roots: NDArray[np.int64]
    depth: int

    def margins(self, matrix: Floats) -> Floats:
        """The sum of the leaves that each row ends in."""
        sums = np.empty(len(matrix))
        for start in range(0, len(matrix), ROWS_AT_ONCE):
            part = np.ascontiguousarray(matrix[start : start + ROWS_AT_ONCE])
            flat, own = part.ravel(), (np.arange(len(part)) * part.shape[1])[:, None]
            at = np.tile(self.roots, (len(part), 1))
            for _ in range(self.depth):
                at = self.left.take(at) + (flat.take(own + self.slot.take(at)) > self.split.take(at))
            sums[start : start + len(part)] = self.value.take(at).sum(axis=1)
        return sums


@dataclass(frozen=True)
class Model:
    """What a consumer needs to score: names in the order of the vector, and how to score it."""

    model_id: str
    revision: int
    threshold: float
    missing_limit: int
    names: tuple[str, ...]
    medians: Floats
    mean: Floats
    factor: Floats
    coefficients: Floats
    intercept: float
    trees: Trees | None
    is_log_odds: bool
    calibration: tuple[float, float, float]

    def scores(self, matrix: Floats) -> Floats:
        """The score of each row: scaled, margin, probability, calibrated."""
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (matrix - self.mean) * self.factor
            margin = self.trees.margins(scaled) if self.trees else scaled @ self.coefficients + self.intercept
            raw = 1.0 / (1.0 + np.exp(-margin)) if self.is_log_odds else margin
            a, b, c = self.calibration
            if (a, b, c) == (1.0, 1.0, 0.0):
                return raw
            for_fraud, against = np.power(raw, a), np.power(1.0 - raw, b) * np.exp(-c)
            return np.asarray(for_fraud / (for_fraud + against))


def load_model(path: Path) -> Model:
    """Read what `exported.py` wrote."""
    with np.load(path, allow_pickle=False) as saved:
        model = json.loads(str(saved["model"]))
        trees = None
        if "roots" in saved:
            arrays = {name: saved[name] for name in ("slot", "split", "left", "value", "roots")}
            trees = Trees(**arrays, depth=model["depth"])
        return Model(
            model_id=model["model_id"],
            revision=model["revision"],
            threshold=model["threshold"],
            missing_limit=model["missing_limit"],
            names=tuple(model["names"]),
            medians=saved["medians"],
            mean=saved["mean"],
            factor=saved["factor"],
            coefficients=saved["coefficients"],
            intercept=model["intercept"],
            trees=trees,
            is_log_odds=model["is_log_odds"],
            calibration=(model["calibration"]["a"], model["calibration"]["b"], model["calibration"]["c"]),
        )
