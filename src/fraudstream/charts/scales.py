"""Maps values to positions on an axis, and selects its ticks."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_MINUTE_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 1440, 2880)
_ODDS_TICKS: Final = (0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
_FEW_ODDS_TICKS: Final = (0.001, 0.1, 0.5, 0.9, 0.999)


@dataclass(frozen=True)
class Scale(ABC):
    """An axis from the value `low` to `high`."""

    low: float
    high: float

    def share(self, value: float) -> float:
        """Return the position of a value as a share of the axis: 0 at `low`, 1 at `high`."""
        low, high = self._linear(self.low), self._linear(self.high)
        return (self._linear(value) - low) / (high - low)

    @abstractmethod
    def ticks(self, most: int) -> Sequence[float]:
        """Return about `most` tick values, in ascending order."""

    def _linear(self, value: float) -> float:
        """Transform a value to the axis' linear coordinate; on a linear axis it is the value."""
        return value


class Linear(Scale):
    """A linear scale, also beyond its ends."""

    def ticks(self, most: int) -> Sequence[float]:
        """Return round values."""
        step = round_above((self.high - self.low) / most)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


@dataclass(frozen=True)
class Minutes(Scale):
    """A linear time scale, in minutes since 1970; `offset` is how many the clocks of its ticks are ahead of UTC."""

    offset: float = 0.0

    def ticks(self, most: int) -> Sequence[float]:
        """Return whole minutes, quarters of an hour or hours."""
        step = next((each for each in _MINUTE_STEPS if (self.high - self.low) / each <= most), _MINUTE_STEPS[-1])
        first, last = math.ceil((self.low + self.offset) / step), math.floor((self.high + self.offset) / step)
        return [number * step - self.offset for number in range(first, last + 1)]


class LogOdds(Scale):
    """A log odds scale, which shows both ends of the scores; values beyond an end are clamped to it."""

    def ticks(self, most: int) -> Sequence[float]:
        """Return powers of ten from both ends, and the middle."""
        ticks = _ODDS_TICKS if most > len(_FEW_ODDS_TICKS) else _FEW_ODDS_TICKS
        return [value for value in ticks if self.low <= value <= self.high]

    def _linear(self, value: float) -> float:
        score = min(max(value, self.low), self.high)
        return math.log(score / (1 - score))


class Logarithmic(Scale):
    """A logarithmic scale; values not above `low` are at the start."""

    def ticks(self, most: int) -> Sequence[float]:
        """Return powers of ten: every second or third if there are too many, with 2 and 5 between if there are few."""
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        apart = max(1, math.ceil((last - first + 1) / most))
        powers = [10.0**exponent for exponent in range(last, first - 1, -apart)][::-1]
        if len(powers) > 2:
            return powers
        finer = [step * 10.0**exponent for exponent in range(first - 1, last + 1) for step in (1, 2, 5)]
        return [value for value in finer if self.low <= value * (1 + 1e-9) and value <= self.high * (1 + 1e-9)]

    def _linear(self, value: float) -> float:
        return math.log(max(value, self.low))


def decade_below(value: float) -> float:
    """Return the power of ten at or below a value above 0."""
    return float(10.0 ** math.floor(math.log10(value) + 1e-9))


def decade_above(value: float) -> float:
    """Return the power of ten at or above a value above 0."""
    return float(10.0 ** math.ceil(math.log10(value) - 1e-9))


def round_above(value: float) -> float:
    """Return the round number at or above a value above 0: 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 2.5, 5.0, 10.0) if step * power >= value * (1 - 1e-9))
