"""The frame of a chart: size, axes, grid, legend, the mark of the threshold, tooltips; the charts are beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from fraudstream.model.report import svg
from fraudstream.model.report.scales import Scale

_LETTER = 7.4
_BOLD_LETTER = 8.4
"""About the width of a letter of a tick's words, and of the threshold's."""


@dataclass(frozen=True)
class Size:
    """How large a chart is drawn: once for a screen, once for a telephone, so that its text is never scaled down.

    Attributes:
        width: In units of the drawing, about a CSS pixel each.
        height: As above.
        is_narrow: Whether labels stand above what they name, and ticks are few.
        class_: Which the style sheet shows or hides.
    """

    width: float
    height: float
    is_narrow: bool
    class_: str


WIDE = Size(840, 330, is_narrow=False, class_="wide")
NARROW = Size(350, 290, is_narrow=True, class_="narrow")


@dataclass(frozen=True)
class Key:
    """An entry of a legend.

    Attributes:
        words: What it says.
        class_: Of the mark.
        is_area: Whether the mark is a square instead of a line.
    """

    words: str
    class_: str
    is_area: bool = False


@dataclass(frozen=True)
class Figure:
    """A chart in both sizes with its figures.

    Attributes:
        wide: For a screen and for paper.
        narrow: For a telephone.
        caption: What its table is called.
        headings: Of the table's columns.
        rows: Of the table, the first cell the row's name.
        keys: The legend.
    """

    wide: Markup
    narrow: Markup
    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    keys: Sequence[Key] = field(default=())


def in_both_sizes(
    draw: Callable[[Size], tuple[float, Iterable[Markup]]],
    about: str,
    caption: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    keys: Sequence[Key] = (),
) -> Figure:
    """Draw a chart twice and put its figures to it.

    Args:
        draw: Gives the height and the parts for a size.
        about: What the chart shows, in a sentence.
        caption: Of the table.
        headings: Of the table.
        rows: Of the table.
        keys: The legend.
    """
    drawn = []
    for size in (WIDE, NARROW):
        height, parts = draw(size)
        drawn.append(svg.drawing(size.width, height, about, parts, size.class_))
    return Figure(drawn[0], drawn[1], caption, headings, rows, keys)


@dataclass(frozen=True)
class Area:
    """Where the curves are; the axes' words stand outside.

    Attributes:
        left: Its left edge.
        top: Its upper edge.
        right: Its right edge.
        bottom: Its lower edge.
    """

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


def x_axis(area: Area, scale: Scale, words: Callable[[float], str], name: str) -> Iterator[Markup]:
    """Grid lines, ticks and the axis' name below the area."""
    ticks = scale.ticks()
    for tick in ticks:
        at = scale.at(tick)
        yield svg.line((at, area.top), (at, area.bottom), "grid")
        label = words(tick)
        reaches_out = at + _LETTER / 2 * len(label) > area.right + 12
        place, anchor = (area.right + 10, "end") if reaches_out else (at, "middle")
        yield svg.text(place, area.bottom + 19, label, "tick", anchor)
    yield svg.line((area.left, area.bottom), (area.right, area.bottom), "axis")
    yield svg.text((area.left + area.right) / 2, area.bottom + 39, name, "axis-name", "middle")


def y_axis(area: Area, scale: Scale, words: Callable[[float], str], name: str) -> Iterator[Markup]:
    """Grid lines, ticks, and the axis' name above the area, where nobody has to turn the head."""
    for tick in scale.ticks():
        at = scale.at(tick)
        yield svg.line((area.left, at), (area.right, at), "grid")
        yield svg.text(area.left - 7, at + 4, words(tick), "tick", "end")
    yield svg.text(2, area.top - 12, name, "axis-name")


def threshold_mark(area: Area, at: float, name: str, value: str) -> Iterator[Markup]:
    """A line down the area at the threshold, with its words right of it, where curves are flat.

    The value alone where there is little room; left of it only where there is no room for the value.
    """
    yield svg.line((at, area.top), (at, area.bottom), "chosen")
    right, left = area.right - at - 8, at - area.left - 8
    words = f"{name} {value}"
    if right < _BOLD_LETTER * len(words) and (right >= _BOLD_LETTER * len(value) or left < _BOLD_LETTER * len(words)):
        words = value
    is_right = right >= _BOLD_LETTER * len(words)
    yield svg.text(at + 6 if is_right else at - 6, area.top + 14, words, "chosen-word", "start" if is_right else "end")


def tips(area: Area, points: Iterable[tuple[float, str]]) -> Iterator[Markup]:
    """Unseen strips with a tooltip each, from half way to the last point to half way to the next.

    Args:
        area: Where they are.
        points: Place on the x axis and words, in rising order of the place.
    """
    found = list(points)
    for number, (at, words) in enumerate(found):
        before = found[number - 1][0] if number else area.left
        after = found[number + 1][0] if number + 1 < len(found) else area.right
        start = (before + at) / 2 if number else area.left
        end = (at + after) / 2 if number + 1 < len(found) else area.right
        if end > start:
            yield svg.rectangle((start, area.top), end - start, area.height, "tip", words)
