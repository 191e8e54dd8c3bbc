"""Calibrates a classifier's raw score to a probability, with a strictly increasing map.

Beta calibration (Kull, Silva Filho and Flach 2017): odds(q) = e^c p^a / (1 - p)^b with a and b above 0.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_SLOPE: Final = 0.05
"""A flatter calibration would lose the order of close scores to rounding."""
FEW_FRAUDS: Final = 20
"""With fewer frauds, only the intercept is fitted: three parameters from so few would be noise."""
FOLDS: Final = 5
PRIOR_ROWS: Final = 1.0
"""Weight of the prior towards the identity: one row's worth on each slope."""
_CLIP: Final = 1e-15
_ROUNDS: Final = 200


@dataclass(frozen=True)
class Calibration:
    """A strictly increasing map of [0, 1] onto itself; the identity by default.

    Attributes:
        a: Slope on the logarithm of the score, above 0.
        b: Slope on the logarithm of one less the score, above 0.
        c: Intercept, in log odds.
    """

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    @property
    def is_identity(self) -> bool:
        """Whether scores are unchanged."""
        return self == IDENTITY

    def of(self, raw: Floats) -> Floats:
        """Return the calibrated scores."""
        if self.is_identity:
            return raw
        for_fraud = np.power(raw, self.a)
        against = np.power(1.0 - raw, self.b) * math.exp(-self.c)
        # Without logarithms, so that 0 stays 0 and 1 stays 1.
        return np.asarray(for_fraud / (for_fraud + against), dtype=np.float64)

    def raw_at(self, calibrated: float) -> float:
        """Return the lowest raw score whose calibrated score is at or above `calibrated`, to the last bit."""
        if self.is_identity or calibrated <= 0.0:
            return max(calibrated, 0.0)
        # Doubles from 0 up are in the order of their bits, read as integers.
        doubles = range(int(np.float64(1.0).view(np.int64)) + 1)
        bits = bisect_left(doubles, calibrated, key=lambda bits: float(self.of(np.array([bits]).view(np.float64))[0]))
        return float(np.int64(bits).view(np.float64))


IDENTITY: Final = Calibration()


def fit_calibration(raw: Floats, is_fraud: NDArray[np.bool_], weight: Floats) -> Calibration:
    """Fit the calibration of maximum weighted likelihood, with both slopes at least `LEAST_SLOPE`.

    `raw` are scores by a model not fitted on the rows; `weight` is how many rows of the full data each represents.
    """
    if not is_fraud.any() or is_fraud.all():
        return IDENTITY
    clipped = np.clip(raw, _CLIP, 1.0 - _CLIP)
    inputs = np.column_stack([np.log(clipped), -np.log1p(-clipped), np.ones(len(clipped))])
    target = is_fraud.astype(np.float64)
    free = np.array([False, False, True])
    if int(is_fraud.sum()) >= FEW_FRAUDS:
        free[:] = True
    start = np.array([1.0, 1.0, 0.0])
    coefficients = _newton(inputs, target, weight, start, free)
    for slope in (0, 1):
        if coefficients[slope] < LEAST_SLOPE:
            free[slope], start[slope] = False, LEAST_SLOPE
            coefficients = _newton(inputs, target, weight, start, free)
    a, b, c = (float(value) for value in coefficients)
    return Calibration(max(a, LEAST_SLOPE), max(b, LEAST_SLOPE), c)


def held_out_gain(raw: Floats, is_fraud: NDArray[np.bool_], weight: Floats) -> float:
    """Return by how much a calibration lowers the mean log loss of rows that it is not fitted on.

    Cross-fitted over `FOLDS` blocks in time (the order of the rows) of each class; 0 if there is only one.
    """
    if not is_fraud.any() or is_fraud.all():
        return 0.0
    fold = np.empty(len(raw), np.int64)
    for rows in (np.flatnonzero(is_fraud), np.flatnonzero(~is_fraud)):
        fold[rows] = np.arange(len(rows)) * FOLDS // len(rows)
    held_out = np.empty(len(raw))
    for number in range(FOLDS):
        fitted, other = fold != number, fold == number
        held_out[other] = fit_calibration(raw[fitted], is_fraud[fitted], weight[fitted]).of(raw[other])
    losses = [-np.log(np.clip(np.where(is_fraud, score, 1.0 - score), _CLIP, 1.0)) for score in (raw, held_out)]
    return float(weight @ (losses[0] - losses[1])) / float(weight.sum())


def _newton(inputs: Floats, target: Floats, weight: Floats, start: Floats, free: NDArray[np.bool_]) -> Floats:
    """Run Newton's method on the free coefficients, halving each step until the loss decreases."""
    prior = np.array([PRIOR_ROWS, PRIOR_ROWS, 0.0])

    def loss(at: Floats) -> float:
        margin = inputs @ at
        return float(weight @ (np.logaddexp(0.0, margin) - target * margin) + prior @ (at - start) ** 2 / 2)

    at, now = start.copy(), loss(start)
    for _ in range(_ROUNDS):
        probability = 1.0 / (1.0 + np.exp(-np.clip(inputs @ at, -700, 700)))
        gradient = inputs.T @ (weight * (probability - target)) + prior * (at - start)
        curvature = inputs.T @ (inputs * (weight * probability * (1.0 - probability))[:, None]) + np.diag(prior)
        step = np.zeros(3)
        inner = curvature[np.ix_(free, free)] + 1e-12 * np.eye(int(free.sum()))
        step[free] = np.linalg.solve(inner, gradient[free])
        share = 1.0
        while share > 1e-6 and loss(at - share * step) > now:
            share /= 2
        following = at - share * step
        after = loss(following)
        if now - after <= 1e-10 * (1.0 + abs(now)):
            break
        at, now = following, after
    return at
