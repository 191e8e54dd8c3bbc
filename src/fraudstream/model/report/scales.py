"""From a value to a place on an axis, and where the axis has its ticks; what is drawn there is `plot.py`'s."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)


class Scale(Protocol):
    """An axis: `low` lies at `start`, `high` at `end` (in the units of the drawing)."""

    @property
    def low(self) -> float:
        """The value at the start."""

    @property
    def high(self) -> float:
        """The value at the end."""

    @property
    def start(self) -> float:
        """The place of `low`."""

    @property
    def end(self) -> float:
        """The place of `high`."""

    def at(self, value: float) -> float:
        """The place of a value."""

    def ticks(self) -> Sequence[float]:
        """Values worth a mark."""


@dataclass(frozen=True)
class Linear:
    """Even steps.

    Attributes:
        low: The value at the start.
        high: The value at the end, another one.
        start: The place of `low`.
        end: The place of `high`.
        wanted: About how many ticks.
    """

    low: float
    high: float
    start: float
    end: float
    wanted: int = 5

    def at(self, value: float) -> float:
        """The place of a value; beyond the ends too."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> Sequence[float]:
        """Round values, in rising order."""
        step = _round_step((self.high - self.low) / self.wanted)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


@dataclass(frozen=True)
class Logarithmic:
    """Even steps for powers of ten; what is not above `low` lies at the start.

    Attributes:
        low: The value at the start, above 0.
        high: The value at the end, above `low`.
        start: The place of `low`.
        end: The place of `high`.
        most: The most ticks.
    """

    low: float
    high: float
    start: float
    end: float
    most: int = 7

    def at(self, value: float) -> float:
        """The place of a value."""
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> Sequence[float]:
        """Powers of ten, every second or third where there are too many; 2 and 5 between where there are few."""
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        apart = max(1, math.ceil((last - first + 1) / self.most))
        powers = [10.0**exponent for exponent in range(last, first - 1, -apart)][::-1]
        if len(powers) > 2:
            return powers
        finer = [step * 10.0**exponent for exponent in range(first - 1, last + 1) for step in (1, 2, 5)]
        return [value for value in finer if self.low <= value * (1 + 1e-9) and value <= self.high * (1 + 1e-9)]


def decade_below(value: float) -> float:
    """The power of ten at or below a value above 0."""
    return float(10.0 ** math.floor(math.log10(value) + 1e-9))


def decade_above(value: float) -> float:
    """The power of ten at or above a value above 0."""
    return float(10.0 ** math.ceil(math.log10(value) - 1e-9))


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in _STEPS if step * power >= rough * (1 - 1e-9))
