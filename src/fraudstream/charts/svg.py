"""Builds SVG elements as escaped markup; colours and fonts are classes of the page's style sheet.

No element has an id, so that a page can contain many drawings. A `title` inside an element is its tooltip.
"""

from collections.abc import Iterable, Sequence

from markupsafe import Markup

Point = tuple[float, float]


def element(name: str, *inside: Markup | str, **attributes: str | float) -> Markup:
    """Build an element; text and attributes are escaped, empty attributes and a trailing `_` of a name are dropped."""
    pairs = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), value if isinstance(value, str) else number(value))
        for key, value in attributes.items()
        if value != ""
    )
    content = Markup("").join(inside)
    if content:
        return Markup("<{0}{1}>{2}</{0}>").format(name, pairs, content)
    return Markup("<{0}{1}/>").format(name, pairs)


def drawing(width: float, height: float, about: str, parts: Iterable[Markup], class_: str) -> Markup:
    """Build a complete drawing, with its description as the ARIA label."""
    return element(
        "svg", *parts, class_=class_, viewBox=f"0 0 {number(width)} {number(height)}", role="img", aria_label=about
    )


def text(x: float, y: float, label: str, class_: str = "label", anchor: str = "start") -> Markup:
    """Build a label with its baseline at a point."""
    return element("text", label, x=x, y=y, class_=class_, text_anchor=anchor)


def line(start: Point, end: Point, class_: str) -> Markup:
    """Build a straight line."""
    return element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=class_)


def polyline(points: Sequence[Point], class_: str) -> Markup:
    """Build a line through points."""
    return element("polyline", points=_points(points), class_=class_)


def rectangle(corner: Point, width: float, height: float, class_: str, tip: str = "") -> Markup:
    """Build a rectangle from its upper left corner; negative width or height becomes 0."""
    x, y = corner
    size = {"width": max(width, 0.0), "height": max(height, 0.0)}
    return element("rect", *_tip(tip), x=x, y=y, class_=class_, **size)


def columns(points: Sequence[Point], bottom: float, width: float, class_: str) -> Markup:
    """Build bars from a bottom up to points, as one element."""
    bars = (
        f"M{number(x - width / 2)} {number(bottom)}V{number(top)}h{number(width)}V{number(bottom)}z"
        for x, top in points
    )
    return element("path", d="".join(bars), class_=class_)


def circle(centre: Point, radius: float, class_: str, tip: str = "") -> Markup:
    """Build a filled circle."""
    return element("circle", *_tip(tip), cx=centre[0], cy=centre[1], r=radius, class_=class_)


def number(value: float) -> str:
    """Format a length to one decimal, without a trailing zero."""
    text = f"{value:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"


def _points(points: Sequence[Point]) -> str:
    return " ".join(f"{number(x)},{number(y)}" for x, y in points)


def _tip(tip: str) -> tuple[Markup, ...]:
    return (element("title", tip),) if tip else ()
