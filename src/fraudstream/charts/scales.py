"""From a value to a place on an axis, and where the axis has its ticks; what is drawn there is `plot.py`'s."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_MINUTE_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480)
_ODDS_TICKS: Final = (0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
_FEW_ODDS_TICKS: Final = (0.001, 0.1, 0.5, 0.9, 0.999)


@dataclass(frozen=True)
class Scale(ABC):
    """An axis from the value `low` to another, `high`, at `start` and `end` in the drawing, with about `most` ticks."""

    low: float
    high: float
    start: float
    end: float
    most: int = 5

    def at(self, value: float) -> float:
        """The place of a value."""
        low, high = self._even(self.low), self._even(self.high)
        return self.start + (self._even(value) - low) / (high - low) * (self.end - self.start)

    @abstractmethod
    def ticks(self) -> Sequence[float]:
        """Values worth a mark, in rising order."""

    @abstractmethod
    def _even(self, value: float) -> float:
        """What has even steps on the axis."""


class Linear(Scale):
    """Even steps of the values, beyond the ends too."""

    def ticks(self) -> Sequence[float]:
        """Round values."""
        step = round_above((self.high - self.low) / self.most)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    def _even(self, value: float) -> float:
        return value


class Minutes(Linear):
    """Even steps of time, in minutes since 1970."""

    def ticks(self) -> Sequence[float]:
        """Whole minutes, quarters of an hour or hours."""
        step = next((each for each in _MINUTE_STEPS if (self.high - self.low) / each <= self.most), 480)
        return range(math.ceil(self.low / step) * step, math.floor(self.high) + 1, step)


class LogOdds(Scale):
    """Even steps of the log odds, so that both ends of scores are seen; what lies beyond an end lies at it."""

    def ticks(self) -> Sequence[float]:
        """Powers of ten from both ends, and the middle."""
        ticks = _ODDS_TICKS if self.most > len(_FEW_ODDS_TICKS) else _FEW_ODDS_TICKS
        return [value for value in ticks if self.low <= value <= self.high]

    def _even(self, value: float) -> float:
        score = min(max(value, self.low), self.high)
        return math.log(score / (1 - score))


@dataclass(frozen=True)
class Logarithmic(Scale):
    """Even steps for powers of ten; what is not above `low` lies at the start."""

    most: int = 7

    def ticks(self) -> Sequence[float]:
        """Powers of ten, every second or third where there are too many; 2 and 5 between where there are few."""
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        apart = max(1, math.ceil((last - first + 1) / self.most))
        powers = [10.0**exponent for exponent in range(last, first - 1, -apart)][::-1]
        if len(powers) > 2:
            return powers
        finer = [step * 10.0**exponent for exponent in range(first - 1, last + 1) for step in (1, 2, 5)]
        return [value for value in finer if self.low <= value * (1 + 1e-9) and value <= self.high * (1 + 1e-9)]

    def _even(self, value: float) -> float:
        return math.log(max(value, self.low))


def decade_below(value: float) -> float:
    """The power of ten at or below a value above 0."""
    return float(10.0 ** math.floor(math.log10(value) + 1e-9))


def decade_above(value: float) -> float:
    """The power of ten at or above a value above 0."""
    return float(10.0 ** math.ceil(math.log10(value) - 1e-9))


def round_above(value: float) -> float:
    """The round number at or above a value above 0: 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in _STEPS if step * power >= value * (1 - 1e-9))
