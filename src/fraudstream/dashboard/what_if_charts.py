"""The charts of the page What if: a figure by threshold, a line for each source; figures are `what_if.py`'s."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from fraudstream.dashboard.what_if import WhatIf, curve
from fraudstream.dashboard.what_if_sources import Figures
from fraudstream.model.report import svg
from fraudstream.model.report.formats import NONE, count, percent, plain, score
from fraudstream.model.report.plot import Area, Figure, Key, Size, in_both_sizes, threshold_mark, x_axis, y_axis
from fraudstream.model.report.scales import Linear, Logarithmic, Scale, decade_above

_TICKS: Final = (0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
_FEW_TICKS: Final = (0.001, 0.1, 0.5, 0.9, 0.999)
_CLASSES: Final = {"test": "curve", "live": "second dashed", "verdicts": "other dotted"}
_ROWS_OF_TABLE: Final = 3
"""Every third threshold of the curve is a row of the table."""

_Of = Callable[[Figures, str], float | None]
"""The figure that a chart shows, of a source by its key; None where the source cannot tell."""


@dataclass(frozen=True)
class LogOdds:
    """An axis of scores with even steps in their log odds: both ends are seen as well as the middle.

    Attributes:
        low: The value at the start, above 0.
        high: The value at the end, below 1.
        start: The place of `low`.
        end: The place of `high`.
        values: Where marks are.
    """

    low: float
    high: float
    start: float
    end: float
    values: Sequence[float] = _TICKS

    def at(self, value: float) -> float:
        """The place of a value; what lies beyond an end lies at it."""
        within = min(max(value, self.low), self.high)
        share = (_log_odds(within) - _log_odds(self.low)) / (_log_odds(self.high) - _log_odds(self.low))
        return self.start + share * (self.end - self.start)

    def ticks(self) -> Sequence[float]:
        """The marks within the ends."""
        return [value for value in self.values if self.low <= value <= self.high]


def charts(found: WhatIf) -> list[tuple[str, Figure]]:
    """The charts with their headings."""
    points = curve(found.sources)
    return [
        ("Alerts a day", _alerts(found, points)),
        ("Share of the frauds caught", _caught(found, points)),
        ("Money saved", _saved(found, points)),
    ]


_Points = Sequence[tuple[float, dict[str, Figures]]]


def _alerts(found: WhatIf, points: _Points) -> Figure:
    def of(figures: Figures, key: str) -> float | None:
        return figures.alerts_per_day

    most = max((each.alerts_per_day or 0.0 for _, at in points for each in at.values()), default=0.0)
    top = decade_above(max(most, 10.0))

    def scale(area: Area) -> Scale:
        return Logarithmic(1.0, top, area.bottom, area.top, 5)

    return _figure(
        found, points, of, scale, _short, "alerts a day (1 or fewer at the bottom)", "Alerts a day by threshold"
    )


def _caught(found: WhatIf, points: _Points) -> Figure:
    def of(figures: Figures, key: str) -> float | None:
        frauds = figures.frauds_caught + figures.frauds_missed
        return figures.frauds_caught / frauds if frauds else None

    def scale(area: Area) -> Scale:
        return Linear(0.0, 1.0, area.bottom, area.top)

    return _figure(
        found,
        points,
        of,
        scale,
        lambda value: percent(value, 0),
        "share of the frauds caught",
        "Frauds caught by threshold",
    )


def _saved(found: WhatIf, points: _Points) -> Figure:
    # Sources are of periods and traffic of their own size: what each could save at most is 100 % of it.
    most = {
        source.key: max((each.saved for _, at in points if (each := at.get(source.key)) and each.saved), default=0.0)
        for source in found.sources
    }

    def of(figures: Figures, key: str) -> float | None:
        return None if figures.saved is None or most[key] <= 0 else figures.saved / most[key]

    def scale(area: Area) -> Scale:
        return Linear(-0.5, 1.0, area.bottom, area.top)

    return _figure(
        found,
        points,
        of,
        scale,
        lambda value: percent(value, 0),
        "share of the most that the source could save",
        "Money saved by threshold, as a share of the most",
    )


def _figure(
    found: WhatIf,
    points: _Points,
    of: _Of,
    scale: Callable[[Area], Scale],
    words: Callable[[float], str],
    axis: str,
    about: str,
) -> Figure:
    sources = [source for source in found.sources if source.at is not None]

    def draw(size: Size) -> tuple[float, Iterable[Markup]]:
        area = Area.of(size, left=74)
        across = LogOdds(points[0][0], points[-1][0], area.left, area.right, _FEW_TICKS if size.is_narrow else _TICKS)
        up = scale(area)
        parts: list[Markup] = [
            *x_axis(area, across, lambda value: plain(value, 4), "threshold"),
            *y_axis(area, up, words, axis),
        ]
        inside = []
        for source in sources:
            line = [
                (across.at(threshold) - area.left, up.at(value) - area.top)
                for threshold, at in points
                if source.key in at and (value := of(at[source.key], source.key)) is not None
            ]
            inside.append(svg.polyline([(x + area.left, y + area.top) for x, y in line], _CLASSES[source.key]))
        parts.append(area.within(inside))
        in_force = across.at(found.in_force.threshold)
        parts.append(svg.line((in_force, area.top), (in_force, area.bottom), "axis in-force"))
        parts += threshold_mark(area, across.at(found.threshold), "threshold", score(found.threshold))
        return size.height, parts

    return in_both_sizes(
        draw,
        f"{about}, from {len(sources)} sources; the threshold looked at is {score(found.threshold)}",
        about,
        ("threshold", *(source.title for source in sources)),
        [
            (
                plain(threshold, 4),
                *(_cell(at[source.key], source.key, of, words) if source.key in at else NONE for source in sources),
            )
            for threshold, at in points[::_ROWS_OF_TABLE]
        ],
        [Key(f"{source.title} ({source.kind})", _CLASSES[source.key]) for source in sources],
    )


def _short(value: float) -> str:
    """A number of alerts in so few characters that it fits beside an axis."""
    return count(value) if value < 1e6 else f"{value / 1e6:,.3g} M"


def _cell(figures: Figures, key: str, of: _Of, words: Callable[[float], str]) -> str:
    value = of(figures, key)
    return NONE if value is None else words(value)


def _log_odds(value: float) -> float:
    return math.log(value / (1 - value))
