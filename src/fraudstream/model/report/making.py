"""The charts of what was chosen: the candidates, the features, the model before; the split is `timeline.py`'s."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fraudstream.model.evaluation_record import Comparison, Estimate, Evaluation, TestFigures
from fraudstream.model.report import svg
from fraudstream.model.report.formats import NONE, count, estimate, percent, signed
from fraudstream.model.report.plot import Area, Figure, Key, Size, in_both_sizes, x_axis
from fraudstream.model.report.scales import Linear

_MOST_SLOTS = 20
"""Bars of importance; the table holds the rest."""
_LETTER = 6.6
"""About the width of a letter of a label."""


def importances(evaluation: Evaluation) -> Figure:
    """The features that matter most to the model."""
    shown = evaluation.importances[:_MOST_SLOTS]
    most = max((each.share for each in shown), default=0.0) or 1.0

    def draw(size: Size) -> tuple[float, Iterable[Markup]]:
        left = 120.0 if size.is_narrow else 210.0
        letters = int((left - 10) / _LETTER)
        across = Linear(0, most, left, size.width - 58)
        parts: list[Markup] = []
        for number, each in enumerate(shown):
            y = 4 + 21.0 * number
            tip = f"{each.slot}: {percent(each.share)}"
            parts.append(svg.text(left - 8, y + 13, _short(each.slot, letters), "label", "end"))
            parts.append(svg.rectangle((left, y + 2), across.at(each.share) - left, 14, "bar", tip))
            parts.append(svg.text(across.at(each.share) + 6, y + 13, percent(each.share), "tick"))
        return 8 + 21.0 * len(shown), parts

    return in_both_sizes(
        draw,
        "Importance of the features, the greatest first",
        "Share of the whole of every slot of the model's vector",
        ("slot", "share"),
        [(each.slot, percent(each.share, 2)) for each in evaluation.importances],
    )


def candidates(evaluation: Evaluation) -> Figure:
    """The models that were tried, with their intervals."""
    found = evaluation.candidates
    lines = [
        _Line(each.name, each.average_precision, each.by_period, "best" if each.chosen else "dot")
        for each in found
        if each.average_precision is not None
    ]
    return in_both_sizes(
        lambda size: _intervals(size, lines, "average precision, mean of the periods"),
        "Average precision of the candidates with 95 % intervals",
        "What was tried, the best first",
        ("candidate", "average precision", "on each period", "less than the best by", "steps of a score", "why"),
        [
            (
                each.name + (" (chosen)" if each.chosen else ""),
                estimate(each.average_precision),
                ", ".join(f"{value:.3f}" for value in each.by_period) or NONE,
                NONE if each.difference is None else signed(each.difference),
                count(each.predictions),
                each.why,
            )
            for each in found
        ],
        (
            Key("chosen, with 95 % interval", "best", is_area=True),
            Key("the others", "dot", is_area=True),
            Key("each period", "period", is_area=True),
        )
        if lines
        else (),
    )


def against_previous(test: TestFigures, previous: Comparison) -> Figure | None:
    """This model beside the one in force before; None where they could not be compared."""
    if previous.average_precision is None or previous.difference is None:
        return None
    lines = [
        _Line("this model", test.average_precision, (), "best"),
        _Line(previous.model_id, previous.average_precision, (), "dot"),
    ]
    return in_both_sizes(
        lambda size: _intervals(size, lines, "average precision on the test period"),
        "Average precision of this model and of the one before it, with 95 % intervals",
        f"On {count(previous.rows)} rows that both could judge",
        ("model", "average precision"),
        [
            ("this model", estimate(test.average_precision)),
            (previous.model_id, estimate(previous.average_precision)),
            ("the difference (paired)", signed(previous.difference)),
        ],
    )


@dataclass(frozen=True)
class _Line:
    """A line of a chart of intervals."""

    name: str
    found: Estimate
    periods: Sequence[float]
    class_: str


def _intervals(size: Size, lines: Sequence[_Line], name: str) -> tuple[float, Iterator[Markup]]:
    """Points with their intervals below each other; on a telephone the names stand above them."""
    apart = 46.0 if size.is_narrow else 34.0
    ends = [value for line in lines for value in (line.found.low, line.found.high, *line.periods)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    spare = max((high - low) * 0.06, 0.01)
    area = Area(14 if size.is_narrow else 290, 6, size.width - 24, 6 + apart * len(lines))
    across = Linear(max(low - spare, 0), min(high + spare, 1.02), area.left, area.right, 4 if size.is_narrow else 6)

    def parts() -> Iterator[Markup]:
        yield from x_axis(area, across, lambda value: f"{value:.2f}", name)
        for number, line in enumerate(lines):
            middle = area.top + apart * number + (32 if size.is_narrow else apart / 2)
            class_ = "label strong" if line.class_ == "best" else "label"
            if size.is_narrow:
                yield svg.text(0, middle - 14, _short(line.name, int(size.width / _LETTER)), class_)
            else:
                yield svg.text(area.left - 12, middle + 4, _short(line.name, 42), class_, "end")
            ends = ((across.at(line.found.low), middle), (across.at(line.found.high), middle))
            yield svg.line(*ends, f"whisker {line.class_}")
            yield from (svg.circle((across.at(value), middle), 3, "period") for value in line.periods)
            tip = f"{line.name}: {estimate(line.found)}"
            yield svg.circle((across.at(line.found.value), middle), 6, line.class_, tip)

    return area.bottom + 44, parts()


def _short(words: str, most: int) -> str:
    return words if len(words) <= most else words[: max(most - 1, 1)] + "…"
