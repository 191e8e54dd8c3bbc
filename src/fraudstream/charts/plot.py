"""The frame of a chart: size, scales, axes, grid, legend, the mark of the threshold, tooltips."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from markupsafe import Markup

from fraudstream.charts import svg

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


_LETTER = 7.4
_LETTER = 8.4
"""About the width of a letter of a tick's words, and of the threshold's."""


@dataclass(frozen=True)
class Size:
    """How large a chart is drawn: once for a screen, once for a telephone, so that its text is never scaled down.

    In units of the drawing, about a CSS pixel each. `is_narrow`: labels are above what they name, and ticks are few.
    """

    width: float
    height: float
    is_narrow: bool = False


WIDE = Size(840, 330)
NARROW = Size(350, 290, is_narrow=True)


@dataclass(frozen=True)
class Key:
    """An entry of a legend; `is_area` says that the mark is a square or a dot instead of a line."""

    label: str
    class_: str
    is_area: bool = False


@dataclass(frozen=True)
class Figure:
    """A chart in both sizes, for a screen and paper and for a telephone, with its figures.

    The caption, headings and rows (the first cell the row's name) are those of its table. `points` is what reads at
    each place along the x axis, a line each: share of the axis' length, text, times in it.
    """

    wide: Markup
    narrow: Markup
    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    keys: Sequence[Key] = field(default=())
    points: str = ""

    @property
    def legend(self) -> Markup:
        """The legend as a list; empty where there is none."""
        entries = (svg.element("li", _mark(key), key.label) for key in self.keys)
        return svg.element("ul", *entries, class_="keys") if self.keys else Markup("")


def in_both_sizes(
    draw: Callable[[Size], tuple[float, Iterable[Markup]]],
    about: str,
    caption: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    keys: Sequence[Key] = (),
    sizes: tuple[Size, Size] = (WIDE, NARROW),
) -> Figure:
    """Draw a chart twice and put its table and legend to it; `draw` gives the height and the parts for a size."""
    drawn = []
    for size in sizes:
        height, parts = draw(size)
        drawn.append(svg.drawing(size.width, height, about, parts, "narrow" if size.is_narrow else "wide"))
    return Figure(drawn[0], drawn[1], caption, headings, rows, keys)


@dataclass(frozen=True)
class Area:
    """Where the curves are, by its four edges; the axes' labels are outside."""

    left: float
    top: float
    right: float
    bottom: float

    @staticmethod
    def of(size: Size, left: float = 62, bottom: float = 44, top: float = 26) -> Area:
        """The usual area: room at the left for the ticks' words, below for these and the axis' name."""
        left = min(left, 52) if size.is_narrow else left
        return Area(left, top, size.width - 14, size.height - bottom)

    @property
    def width(self) -> float:
        """From left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """From top to bottom."""
        return self.bottom - self.top

    def within(self, parts: Iterable[Markup]) -> Markup:
        """What of the parts lies in the area."""
        return svg.cut((self.left, self.top), self.width, self.height, parts)


def x_axis(
    area: Area, scale: Scale, label: Callable[[float], str], name: str, time: Callable[[float], str] | None = None
) -> Iterator[Markup]:
    """Grid lines, ticks and the axis' name below the area; `time` is that of a value, in ISO 8601."""
    for tick in scale.ticks():
        at, text = scale.at(tick), label(tick)
        yield svg.line((at, area.top), (at, area.bottom), "grid")
        reaches_out = at + _LETTER / 2 * len(text) > area.right + 12
        place, anchor = (area.right + 10, "end") if reaches_out else (at, "middle")
        yield svg.text(place, area.bottom + 19, text, "tick", anchor, time(tick) if time is not None else "")
    yield svg.line((area.left, area.bottom), (area.right, area.bottom), "axis")
    if name:
        yield svg.text((area.left + area.right) / 2, area.bottom + 39, name, "axis-name", "middle")


def y_axis(area: Area, scale: Scale, label: Callable[[float], str], name: str) -> Iterator[Markup]:
    """Grid lines, ticks, and the axis' name above the area, where nobody has to turn the head."""
    for tick in scale.ticks():
        at = scale.at(tick)
        yield svg.line((area.left, at), (area.right, at), "grid")
        yield svg.text(area.left - 7, at + 4, label(tick), "tick", "end")
    if name:
        yield svg.text(2, area.top - 12, name, "axis-name")


def threshold_mark(area: Area, at: float, name: str, value: str) -> Iterator[Markup]:
    """A line down the area at the threshold, with its words right of it, where curves are flat.

    The value alone where there is little room; left of it only where there is no room for the value.
    """
    yield svg.line((at, area.top), (at, area.bottom), "chosen")
    right, left = area.right - at - 8, at - area.left - 8
    words = f"{name} {value}"
    if right < _LETTER * len(words) and (right >= _LETTER * len(value) or left < _LETTER * len(words)):
        words = value
    is_right = right >= _LETTER * len(words)
    yield svg.text(at + 6 if is_right else at - 6, area.top + 14, words, "chosen-word", "start" if is_right else "end")


def tips(area: Area, points: Sequence[tuple[float, str]]) -> Iterator[Markup]:
    """Unseen strips with a tooltip each, from half way to the last point to half way to the next."""
    middles = [(one[0] + other[0]) / 2 for one, other in pairwise(points)]
    for (_, text), (start, end) in zip(points, pairwise([area.left, *middles, area.right]), strict=False):
        if end > start:
            yield svg.rectangle((start, area.top), end - start, area.height, "tip", text)


def _mark(key: Key) -> Markup:
    if not key.is_area:
        mark = svg.line((0, 6), (22, 6), key.class_)
    elif "dot" in key.class_ or key.class_ in ("best", "period"):
        mark = svg.circle((11, 6), 3 if key.class_ == "period" else 5, key.class_)
    else:
        mark = svg.rectangle((2, 1), 18, 10, key.class_)
    return svg.element("svg", mark, viewBox="0 0 22 12", aria_hidden="true")
