"""Draw SVG bars, ranges and curves for the documentation, by `pictures.svg.jinja`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fraudstream.charts.scales import Linear, Logarithmic

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
    scale = Linear(0.0, ranked[0].value * 1.15)
    return _picture("bars", title, 44 + len(ranked) * ROW + 8, rows=ranked, scale=scale)


def spreads(title: str, names: Sequence[str], rows: Sequence[Spread], unit: str) -> str:
    """Draw the values of each row on a logarithmic axis, with green marks for targets."""
    lowest, highest = min(min(row.values) for row in rows), max(max(row.values) for row in rows)
    scale = Logarithmic(max(lowest * 0.7, 1e-3), highest * 1.4)
    return _picture("spreads", title, 56 + len(rows) * ROW + 48, series=names, rows=rows, scale=scale, unit=unit)


def curves(
    title: str, across: str, up: str, series: Sequence[tuple[str, Sequence[tuple[float, float]]]], *, log_up: bool
) -> str:
    """Draw lines through points on a logarithmic x axis."""
    points = [point for _, line in series for point in line]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    x_scale = Logarithmic(min(xs) * 0.9, max(xs) * 1.1)
    y_scale = Logarithmic(min(ys) * 0.7, max(ys) * 1.3) if log_up else Linear(0.0, max(ys) * 1.1)
    return _picture("curves", title, 330, series=series, x_scale=x_scale, y_scale=y_scale, across=across, up=up)


def _picture(kind: str, title: str, height: int, **content: object) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["number"] = lambda value: f"{value:.1f}".removesuffix(".0")
    environment.globals["marks"] = MARKS
    sizes = {"width": WIDTH, "height": height, "names": NAMES, "row_height": ROW}
    return environment.get_template("pictures.svg.jinja").render(kind=kind, title=title, **sizes, **content) + "\n"
