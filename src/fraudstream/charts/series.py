"""Draws line and bar charts on two axes, with a tooltip at each value."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import fmean
from typing import Final

from markupsafe import Markup

from fraudstream.charts import svg
from fraudstream.charts.plot import NARROW, WIDE, Area, Figure, Key, Scale, Size, tips, x_axis, y_axis

NOTHING: Final = "–"
_MOST_POINTS: Final = 80
"""If there are more values, neighbours are combined: a phone has no space for them."""

Label = Callable[[float], str]
Marks = Callable[[Area, Scale, Scale], Iterable[Markup]]


@dataclass(frozen=True)
class Axis:
    """The scale and the formats of an axis.

    Attributes:
        name: Empty if the chart's heading names it.
        scale: Builds the scale from its two ends in the drawing and the approximate number of ticks.
        label: Formats a value for a tooltip or a table; `tick` for a tick.
        time: Formats a minute in ISO 8601, if values are per minute; neighbours may then be combined.
        query: Returns the two ends of neighbours as parameters of the search for their alerts.
    """

    name: str
    scale: Callable[[float, float, int], Scale]
    tick: Label
    label: Label
    time: Label | None = None
    query: Callable[[float, float], str] = lambda _first, _last: ""


@dataclass(frozen=True)
class Series:
    """A value for each position along the x axis, a line breaks at None; `combine` reduces neighbours to one value."""

    name: str
    class_: str
    values: Sequence[float | None]
    is_bars: bool = False
    combine: Callable[[Sequence[float]], float] = fmean


def series_chart(
    x: Axis,
    y: Axis,
    at: Sequence[float],
    series: Sequence[Series],
    *,
    about: str,
    caption: str = "",
    headings: Sequence[str] = (),
    rows: Sequence[Sequence[str]] = (),
    marks: Marks = lambda _area, _across, _up: (),
    left: float = 62,
    sizes: tuple[Size, Size] = (WIDE, NARROW),
    has_tips: bool = False,
) -> Figure:
    """Draw series with a value for each of the ascending `at`, the first above the others, and `marks`.

    Values are shown as tooltips (`has_tips`), else by the page's script.
    """
    parts = groups(len(at)) if x.time else [slice(number, number + 1) for number in range(len(at))]
    middles = [(at[part][0] + at[part][-1]) / 2 for part in parts]
    plotted = [replace(one, values=[combined(one, part) for part in parts]) for one in series]
    texts = [_text(x, y, at[part], plotted, number) for number, part in enumerate(parts)]

    def draw(size: Size) -> Markup:
        area = Area.of(size, left, 44 if x.name else 26, 26 if y.name else 12)
        across = x.scale(area.left, area.right, 4 if size.is_narrow else 7)
        up = y.scale(area.bottom, area.top, 5 if size.height > 250 else 4)
        xs = [across.at(middle) for middle in middles]
        drawing = [
            *x_axis(area, across, x.tick, x.name),
            *y_axis(area, up, y.tick, y.name),
            area.within(
                mark for one in plotted[::-1] for mark in _draw_series(one, xs, area, up, is_time=bool(x.time))
            ),
            *(tips(area, list(zip(xs, texts, strict=True))) if has_tips else _pointer(area)),
            *marks(area, across, up),
        ]
        return svg.drawing(size.width, size.height, about, drawing, "narrow" if size.is_narrow else "wide")

    keys = [Key(one.name, one.class_, one.is_bars) for one in series]
    shares = (x.scale(0.0, 1.0, 1).at(middle) for middle in middles)
    queries = (x.query(at[part][0], at[part][-1]) for part in parts)
    points = (f"{share:.4f}|{text}|{query}" for share, text, query in zip(shares, texts, queries, strict=True))
    wide, narrow = map(draw, sizes)
    return Figure(wide, narrow, caption, headings, rows, keys, "\n".join(points))


def table_rows(x: Axis, y: Axis, at: Sequence[float], series: Sequence[Series]) -> list[list[str]]:
    """Return the values as a table, with a row for each position along the x axis."""
    columns = [[_label(y, value) for value in one.values] for one in series]
    return [[x.label(value), *cells] for value, *cells in zip(at, *columns, strict=True)]


def groups(count: int) -> list[slice]:
    """Split `count` neighbours into the groups to combine; the last group is complete."""
    size = math.ceil(count / _MOST_POINTS)
    return [slice(max(end - size, 0), end) for end in range(count, 0, -size)][::-1]


def combined(series: Series, group: slice) -> float | None:
    """Combine a group of neighbours to one value."""
    values = [value for value in series.values[group] if value is not None]
    return series.combine(values) if len(values) > 1 else values[0] if values else None


def _draw_series(series: Series, xs: Sequence[float], area: Area, up: Scale, *, is_time: bool) -> Iterator[Markup]:
    points = [(x, None if value is None else up.at(value)) for x, value in zip(xs, series.values, strict=True)]
    if series.is_bars:
        bars = [
            (x, min(y, area.bottom - 1.5))
            for (x, y), value in zip(points, series.values, strict=True)
            if y is not None and value
        ]
        # The newest minute is incomplete.
        complete = [bar for bar in bars if not is_time or bar[0] < xs[-1]]
        width = 0.8 * area.width / len(xs)
        yield svg.columns(complete, area.bottom, width, series.class_)
        yield svg.columns(bars[len(complete) :], area.bottom, width, f"{series.class_} running")
        return
    for is_missing, run in groupby(points, key=lambda point: point[1] is None):
        if not is_missing:
            line = [(x, y) for x, y in run if y is not None]
            x, y = line[0]
            yield svg.polyline(line if len(line) > 1 else [(x - 1.5, y), (x + 1.5, y)], series.class_)


def _pointer(area: Area) -> Iterator[Markup]:
    """Draw the cursor line that the page's script moves, and the area in which it tracks the pointer."""
    yield svg.rectangle((area.left, area.top), area.width, area.height, "area")
    yield svg.rectangle((area.left, area.top), 0, area.height, "brush")
    yield svg.line((area.left, area.top), (area.left, area.bottom), "pointer")


def _text(x: Axis, y: Axis, group: Sequence[float], plotted: Sequence[Series], number: int) -> str:
    ends = _ends(group)
    position = f"{x.name} {' to '.join(map(x.label, ends))}".strip() + (", a minute" if len(ends) > 1 else "")
    values = (f"{one.name[:1].lower()}{one.name[1:]} {_label(y, one.values[number])}" for one in plotted)
    return f"{position}: {', '.join(values)}"


def _ends(group: Sequence[float]) -> Sequence[float]:
    return group if len(group) == 1 else (group[0], group[-1])


def _label(y: Axis, value: float | None) -> str:
    return NOTHING if value is None else y.label(value)
