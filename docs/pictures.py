"""Draw SVG bars, ranges and curves for the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

from fraudstream.charts import svg
from fraudstream.charts.plot import Area, Linear, Logarithmic, Size, x_axis, y_axis

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #57606a; }
.title { font-weight: 600; font-size: 15px; fill: #1f2933; }
.value { fill: #1f2933; }
.grid, .axis, .range { stroke: #d0d7de; fill: none; }
.range { stroke: #8aa4c8; stroke-width: 3; }
.bar { fill: #9aa7b5; } .bar.own { fill: #1d5fbf; }
.dot { fill: #1d5fbf; } .dot.second { fill: #c2410c; } .dot.third { fill: #57606a; }
.curve { fill: none; stroke: #1d5fbf; stroke-width: 2; } .curve.second { stroke: #c2410c; stroke-dasharray: 6 4; }
.reach { stroke: #15803d; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
  text { fill: #a7b1bd; } .title, .value { fill: #e6edf3; } .grid, .axis { stroke: #3d444d; }
  .bar.own, .dot { fill: #6ea8fe; } .curve { stroke: #6ea8fe; } .dot.second { fill: #fb923c; } .curve.second { stroke: #fb923c; }
  .dot.third { fill: #a7b1bd; } .reach { stroke: #4ade80; }
}
"""  # noqa: E501 - a rule a line
WIDTH, NAMES, ROW = 860, 250, 30
MARKS = ("", " second", " third")


class Bar(NamedTuple):
    """A bar: name, length, and whether it is fraudstream's own."""

    name: str
    value: float
    is_own: bool


class Spread(NamedTuple):
    """Values of one row on an axis, in ascending order, and the target values."""

    name: str
    values: Sequence[float]
    aims: Sequence[float] = ()


def bars(title: str, rows: Sequence[Bar]) -> str:
    """Draw horizontal bars, the longest first."""
    ranked = sorted(rows, key=lambda row: -row.value)
    scale = Linear(0.0, ranked[0].value * 1.15, NAMES, WIDTH - 20)
    parts = [_title(title)]
    for number, row in enumerate(ranked):
        top = 44 + number * ROW
        end = scale.at(row.value)
        parts += [
            svg.text(NAMES - 10, top + 15, row.name, "value" if row.is_own else "label", "end"),
            svg.rectangle((NAMES, top), end - NAMES, ROW - 10, "bar own" if row.is_own else "bar"),
            svg.text(end + 6, top + 15, f"{row.value:,.0f}", "value"),
        ]
    return _picture(44 + len(ranked) * ROW + 8, title, parts)


def spreads(title: str, names: Sequence[str], rows: Sequence[Spread], unit: str) -> str:
    """Draw the values of each row on a logarithmic axis, with green marks for targets."""
    area = Area(NAMES, 56, WIDTH - 20, 56.0 + len(rows) * ROW)
    height = area.bottom + 48
    lowest, highest = min(min(row.values) for row in rows), max(max(row.values) for row in rows)
    scale = Logarithmic(max(lowest * 0.7, 1e-3), highest * 1.4, area.left, area.right)
    parts = [_title(title), *_legend(names, 40), *x_axis(area, scale, lambda value: f"{value:g}", unit)]
    for number, row in enumerate(rows):
        middle = area.top + (number + 0.5) * ROW
        points_on_axis = [scale.at(value) for value in row.values]
        parts += [
            svg.text(NAMES - 10, middle + 4, row.name, "value", "end"),
            svg.line((points_on_axis[0], middle), (points_on_axis[-1], middle), "range"),
            *(svg.line((scale.at(aim), middle - 10), (scale.at(aim), middle + 10), "reach") for aim in row.aims),
        ]
        for point, value, mark in zip(points_on_axis, row.values, MARKS, strict=False):
            parts.append(svg.circle((point, middle), 5, f"dot{mark}", f"{row.name}: {value:g} {unit}"))
    return _picture(height, title, parts)


def curves(
    title: str, across: str, up: str, series: Sequence[tuple[str, Sequence[tuple[float, float]]]], *, log_up: bool
) -> str:
    """Draw lines through points on a logarithmic x axis."""
    points = [point for _, line in series for point in line]
    area = Area.of(Size(WIDTH, 330), left=74, top=76)
    xs, ys = [x for x, _ in points], [y for _, y in points]
    x = Logarithmic(min(xs) * 0.9, max(xs) * 1.1, area.left, area.right)
    y = (
        Logarithmic(min(ys) * 0.7, max(ys) * 1.3, area.bottom, area.top)
        if log_up
        else Linear(0.0, max(ys) * 1.1, area.bottom, area.top)
    )
    parts = [
        _title(title),
        *_legend([name for name, _ in series], 40),
        *x_axis(area, x, lambda value: f"{value:,g}", across),
        *y_axis(area, y, lambda value: f"{value:,g}", up),
    ]
    for (_, line), mark in zip(series, MARKS, strict=False):
        points_on_axis = [(x.at(first), y.at(second)) for first, second in line]
        parts.append(svg.polyline(points_on_axis, f"curve{mark}"))
        parts += [
            svg.circle(point, 4, f"dot{mark}", f"{first:,g}: {second:,g}")
            for point, (first, second) in zip(points_on_axis, line, strict=True)
        ]
    return _picture(330, title, parts)


def _title(title: str) -> Markup:
    return svg.text(2, 18, title, "title")


def _legend(names: Sequence[str], y: float) -> Iterator[Markup]:
    if len(names) < 2:
        return
    at = 8.0
    for name, mark in zip(names, MARKS, strict=False):
        yield svg.circle((at, y - 4), 5, f"dot{mark}")
        yield svg.text(at + 10, y, name)
        at += 34 + 7.4 * len(name)


def _picture(height: float, about: str, parts: Sequence[Markup]) -> str:
    drawn = str(svg.drawing(WIDTH, height, about, parts, "picture"))
    size = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:g}" '
    opening, rest = drawn.replace("<svg ", size, 1).split(">", 1)
    return f"{opening}><style>{STYLE}</style>{rest}\n"
