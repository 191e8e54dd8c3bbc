"""Defines charts of series on two axes, which `templates/chart.svg` draws and tables list."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from statistics import fmean
from typing import Final, Literal, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fraudstream.charts.scales import Scale

NOTHING: Final = "–"
_MOST_POINTS: Final = 80
"""If there are more values, neighbours are combined: a phone has no space for them."""

Label = Callable[[float], str]


@dataclass(frozen=True)
class Axis:
    """The scale and the formats of an axis.

    Attributes:
        name: Empty if the chart's heading names it.
        label: Formats a value for a tooltip or a table; `tick` for a tick.
        time: Formats a minute in ISO 8601, if values are per minute; neighbours may then be combined.
        query: Returns the two ends of neighbours as parameters of the search for their alerts.
    """

    name: str
    scale: Scale
    tick: Label
    label: Label
    time: Label | None = None
    query: Callable[[float, float], str] = lambda _first, _last: ""


@dataclass(frozen=True)
class Series:
    """A value for each position along the x axis; `class_` is its style.

    Attributes:
        values: A line breaks at None.
        intervals: The lower and upper ends of the values' intervals, which are drawn through dots.
        combine: Reduces neighbours to one value.
    """

    name: str
    class_: str
    values: Sequence[float | None]
    kind: Literal["line", "bars", "dots"] = "line"
    intervals: Sequence[tuple[float, float] | None] = ()
    combine: Callable[[Sequence[float]], float] = fmean

    def combined(self, groups: Sequence[slice]) -> list[float | None]:
        """Return one value for each group of neighbours."""
        known = ([value for value in self.values[group] if value is not None] for group in groups)
        return [self.combine(values) if values else None for values in known]


class Mark(NamedTuple):
    """A line at a value of one axis across the other one, or a dot at a value of both; with a label.

    Of a vertical line the label is above the area, or beside the line with the `value`, which is alone if space is
    tight.
    """

    class_: str
    x: float | None = None
    y: float | None = None
    label: str = ""
    value: str = ""
    is_above: bool = False


class Reading(NamedTuple):
    """What a chart shows at a position along the x axis: share of its length, text, and search for its alerts."""

    share: float
    text: str
    query: str


@dataclass(frozen=True)
class Chart:
    """Series, the first above the others, with a value for each of the ascending `at`, and marks.

    Attributes:
        about: The description; after `headline`, the most important figure, if there is one.
        sizes: Width and height for a screen and for a phone, so that text is never scaled down; in units of the
            drawing, about a CSS pixel each.
        columns: Further columns of the table, by heading.
    """

    about: str
    x: Axis
    y: Axis
    at: Sequence[float]
    series: Sequence[Series]
    marks: Sequence[Mark] = ()
    headline: str = ""
    sizes: tuple[tuple[int, int], tuple[int, int]] = ((840, 330), (350, 290))
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def drawings(self, *, has_tips: bool = False) -> Markup:
        """Draw the chart in both sizes, with values as tooltips (`has_tips`) or for the page's script."""
        return _macro("drawings")(self, has_tips)

    @property
    def legend(self) -> Markup:
        """The legend as a list."""
        return _macro("legend")(self.series)

    @property
    def headings(self) -> list[str]:
        """The headings of the table."""
        return [(self.x.name or "minute").capitalize(), *(one.name for one in self.series), *self.columns]

    @property
    def rows(self) -> list[list[str]]:
        """The rows of the table; of minutes the newest first, and with the time in the first column."""
        values = [[self._label(value) for value in one.values] for one in self.series]
        rows = [[self.x.label(at), *cells] for at, *cells in zip(self.at, *values, *self.columns.values(), strict=True)]
        time = self.x.time
        return rows if time is None else [[time(at), *row] for at, row in zip(self.at, rows, strict=True)][::-1]

    @cached_property
    def readings(self) -> list[Reading]:
        """The values at each position along the x axis."""
        columns = [one.combined(self._groups) for one in self.series]
        return [self._reading(self.at[group], values) for group, *values in zip(self._groups, *columns, strict=True)]

    def points(self, series: Series) -> list[tuple[float, float | None]]:
        """Return the positions of a series' values, as shares of the two axes."""
        heights = (None if value is None else self.y.scale.share(value) for value in series.combined(self._groups))
        return [(reading.share, height) for reading, height in zip(self.readings, heights, strict=True)]

    @property
    def _groups(self) -> list[slice]:
        return groups(len(self.at)) if self.x.time else [slice(number, number + 1) for number in range(len(self.at))]

    def _reading(self, group: Sequence[float], values: Sequence[float | None]) -> Reading:
        first, last = group[0], group[-1]
        position = " to ".join(map(self.x.label, dict.fromkeys((first, last))))
        position = f"{self.x.name} {position}".strip() + (", a minute" if len(group) > 1 else "")
        names = (f"{one.name[:1].lower()}{one.name[1:]}" for one in self.series)
        texts = (f"{name} {self._label(value)}" for name, value in zip(names, values, strict=True))
        share = self.x.scale.share((first + last) / 2)
        return Reading(share, f"{position}: {', '.join(texts)}", self.x.query(first, last))

    def _label(self, value: float | None) -> str:
        return NOTHING if value is None else self.y.label(value)


def groups(count: int) -> list[slice]:
    """Split `count` neighbours into the groups to combine; the last group is complete."""
    size = math.ceil(count / _MOST_POINTS)
    return [slice(max(end - size, 0), end) for end in range(count, 0, -size)][::-1]


@cache
def _macro(name: str) -> Callable[..., Markup]:
    environment = Environment(
        loader=PackageLoader("fraudstream.charts"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    macro: Callable[..., Markup] = getattr(environment.get_template("chart.svg").module, name)
    return macro
