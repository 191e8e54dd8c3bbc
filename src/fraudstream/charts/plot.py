"""Draws a chart's frame: scales, axes, grid, legend, threshold mark and tooltips."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from markupsafe import Markup

from fraudstream.charts import svg

_MINUTE_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 1440, 2880)
_ODDS_TICKS: Final = (0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
_FEW_ODDS_TICKS: Final = (0.001, 0.1, 0.5, 0.9, 0.999)


@dataclass(frozen=True)
class Scale(ABC):
    """An axis from the value `low` to `high`, at `start` and `end` in the drawing, with about `most` ticks."""

    low: float
    high: float
    start: float
    end: float
    most: int = 5

    def at(self, value: float) -> float:
        """Return the position of a value."""
        low, high = self._linear(self.low), self._linear(self.high)
        return self.start + (self._linear(value) - low) / (high - low) * (self.end - self.start)

    @abstractmethod
    def ticks(self) -> Sequence[float]:
        """Return the tick values, in ascending order."""

    def _linear(self, value: float) -> float:
        """Transform a value to the axis' linear coordinate; on a linear axis it is the value."""
        return value


class Linear(Scale):
    """A linear scale, also beyond its ends."""

    def ticks(self) -> Sequence[float]:
        """Return round values."""
        step = round_above((self.high - self.low) / self.most)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


class Minutes(Linear):
    """A linear time scale, in minutes since 1970."""

    def ticks(self) -> Sequence[float]:
        """Return whole minutes, quarters of an hour or hours."""
        step = next((each for each in _MINUTE_STEPS if (self.high - self.low) / each <= self.most), 2880)
        return range(math.ceil(self.low / step) * step, math.floor(self.high) + 1, step)


class LogOdds(Scale):
    """A log odds scale, which shows both ends of the scores; values beyond an end are clamped to it."""

    def ticks(self) -> Sequence[float]:
        """Return powers of ten from both ends, and the middle."""
        ticks = _ODDS_TICKS if self.most > len(_FEW_ODDS_TICKS) else _FEW_ODDS_TICKS
        return [value for value in ticks if self.low <= value <= self.high]

    def _linear(self, value: float) -> float:
        score = min(max(value, self.low), self.high)
        return math.log(score / (1 - score))


@dataclass(frozen=True)
class Logarithmic(Scale):
    """A logarithmic scale; values not above `low` are at the start."""

    most: int = 7

    def ticks(self) -> Sequence[float]:
        """Return powers of ten: every second or third if there are too many, with 2 and 5 between if there are few."""
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        apart = max(1, math.ceil((last - first + 1) / self.most))
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


_TICK_CHAR_WIDTH = 7.4
_BOLD_CHAR_WIDTH = 8.4
"""Approximate width of a character of a tick, and of the threshold's label."""


@dataclass(frozen=True)
class Size:
    """The size of a chart, drawn once for a screen and once for a phone, so that its text is never scaled down.

    In units of the drawing, about a CSS pixel each. `is_narrow`: labels are above what they name, and ticks are few.
    """

    width: float
    height: float
    is_narrow: bool = False


WIDE = Size(840, 330)
NARROW = Size(350, 290, is_narrow=True)


@dataclass(frozen=True)
class Key:
    """An entry of a legend; `is_area` makes the mark a square or a dot instead of a line."""

    label: str
    class_: str
    is_area: bool = False


@dataclass(frozen=True)
class Figure:
    """A chart in both sizes, with the caption, headings and rows (the first cell is the row's header) of its table.

    `points` has a line for each position along the x axis: share of the axis' length, text, search for its alerts.
    """

    wide: Markup
    narrow: Markup
    caption: str = ""
    headings: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    keys: Sequence[Key] = ()
    points: str = ""

    @property
    def legend(self) -> Markup:
        """The legend as a list; empty without keys."""
        entries = (svg.element("li", _mark(key), key.label) for key in self.keys)
        return svg.element("ul", *entries, class_="keys") if self.keys else Markup("")


@dataclass(frozen=True)
class Area:
    """The plot area by its four edges; the axes' labels are outside."""

    left: float
    top: float
    right: float
    bottom: float

    @staticmethod
    def of(size: Size, left: float = 62, bottom: float = 44, top: float = 26) -> Area:
        """Return the default area, with margins for the ticks on the left, and for ticks and axis name below."""
        left = min(left, 52) if size.is_narrow else left
        return Area(left, top, size.width - 14, size.height - bottom)

    @property
    def width(self) -> float:
        """The width."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """The height."""
        return self.bottom - self.top

    def within(self, parts: Iterable[Markup]) -> Markup:
        """Clip parts to the area."""
        view = " ".join(map(svg.number, (self.left, self.top, self.width, self.height)))
        return svg.element("svg", *parts, x=self.left, y=self.top, width=self.width, height=self.height, viewBox=view)


def x_axis(area: Area, scale: Scale, label: Callable[[float], str], name: str) -> Iterator[Markup]:
    """Draw grid lines, ticks and the axis name below the area."""
    for tick in scale.ticks():
        at, text = scale.at(tick), label(tick)
        yield svg.line((at, area.top), (at, area.bottom), "grid")
        overflows = at + _TICK_CHAR_WIDTH / 2 * len(text) > area.right + 12
        x, anchor = (area.right + 10, "end") if overflows else (at, "middle")
        yield svg.text(x, area.bottom + 19, text, "tick", anchor)
    yield svg.line((area.left, area.bottom), (area.right, area.bottom), "axis")
    if name:
        yield svg.text((area.left + area.right) / 2, area.bottom + 39, name, "axis-name", "middle")


def y_axis(area: Area, scale: Scale, label: Callable[[float], str], name: str) -> Iterator[Markup]:
    """Draw grid lines, ticks, and the axis name horizontally above the area."""
    for tick in scale.ticks():
        at = scale.at(tick)
        yield svg.line((area.left, at), (area.right, at), "grid")
        yield svg.text(area.left - 7, at + 4, label(tick), "tick", "end")
    if name:
        yield svg.text(2, area.top - 12, name, "axis-name")


def threshold_mark(area: Area, at: float, name: str, value: str) -> Iterator[Markup]:
    """Draw a vertical line at the threshold, with its label on the right, where curves are flat.

    The label is only the value if space is tight, and is on the left only if the value does not fit.
    """
    yield svg.line((at, area.top), (at, area.bottom), "chosen")
    right, left = area.right - at - 8, at - area.left - 8
    label, width = f"{name} {value}", _BOLD_CHAR_WIDTH * len(f"{name} {value}")
    if right < width and (right >= _BOLD_CHAR_WIDTH * len(value) or left < width):
        label = value
    is_right = right >= _BOLD_CHAR_WIDTH * len(label)
    yield svg.text(at + 6 if is_right else at - 6, area.top + 14, label, "chosen-word", "start" if is_right else "end")


def tips(area: Area, points: Sequence[tuple[float, str]]) -> Iterator[Markup]:
    """Draw invisible strips with a tooltip each, from the middle between two points to the next."""
    middles = [(one[0] + other[0]) / 2 for one, other in pairwise(points)]
    for (_, text), (start, end) in zip(points, pairwise([area.left, *middles, area.right]), strict=False):
        if end > start:
            yield svg.rectangle((start, area.top), end - start, area.height, "tip", text)


def _mark(key: Key) -> Markup:
    if not key.is_area:
        mark = svg.line((0, 6), (22, 6), key.class_)
    elif "dot" in key.class_:
        mark = svg.circle((11, 6), 5, key.class_)
    else:
        mark = svg.rectangle((2, 1), 18, 10, key.class_)
    return svg.element("svg", mark, viewBox="0 0 22 12", aria_hidden="true")
