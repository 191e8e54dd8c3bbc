"""Draws the charts on how the model was made: split, candidates, features and previous model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fraudstream.charts import svg
from fraudstream.charts.plot import Area, Figure, Key, Linear, Size, in_both_sizes, x_axis
from fraudstream.model.evaluation.bootstrap import Estimate
from fraudstream.model.evaluation.record import Evaluation, Stage
from fraudstream.model.explanation.reasons import shortened
from fraudstream.model.report.words import count, estimate, percent

_MOST_BARS = 20
"""Bars of importance; the table has the rest."""
_LABEL_CHAR_WIDTH = 6.6
"""Approximate width of a label's character."""
_ROLE_LABELS = {
    "fit": ("fitted on", "fit"),
    "comparison": ("compared on", "compare"),
    "validation": ("tuned on", "tune"),
    "gap": ("labels late", "gap"),
    "test": ("tested on", "test"),
}
"""The use of a stage, and its short form for a narrow bar."""
_LEAST_WIDTH = 3.0
_TICK_CHAR_WIDTH = 7.2
_BOLD_CHAR_WIDTH = 8.6
"""Approximate width of a character of a stage's tick, and of its name."""
_TOP, _HEIGHT, _DEEP = 8.0, 46.0, 96.0
_BELOW = _TOP + _HEIGHT + 26


def split_in_time(evaluation: Evaluation) -> Figure:
    """Draw the parts of the data on a time line, with the frauds of each below."""
    stages = evaluation.timeline.stages
    spans = [stage.days or 0.0 for stage in stages]
    by_time = sum(spans) > 0
    lengths = spans if by_time else [float(stage.rows) for stage in stages]
    most = max((stage.frauds for stage in stages), default=0) or 1

    def draw(size: Size) -> tuple[float, Iterable[Markup]]:
        available = size.width - 4 - _LEAST_WIDTH * len(stages)
        parts: list[Markup] = [svg.line((2, _BELOW + _DEEP), (size.width - 2, _BELOW + _DEEP), "axis")]
        at = 2.0
        for stage, length in zip(stages, lengths, strict=True):
            width = _LEAST_WIDTH + available * length / (sum(lengths) or 1.0)
            parts += _part(stage, at, width, most)
            at += width
        return _BELOW + _DEEP + 24, parts

    return in_both_sizes(
        draw,
        "The split of the rows in time: " + "; ".join(f"{_ROLE_LABELS[s.role][0]} {s.rows:,} rows" for s in stages),
    )


def _part(stage: Stage, at: float, width: float, most: int) -> Iterator[Markup]:
    middle, names = at + width / 2, _ROLE_LABELS[stage.role]
    tip = f"{names[0]}: {stage.rows:,} rows, {stage.frauds:,} frauds, {stage.start} to {stage.end}"
    yield svg.rectangle((at + 1, _TOP), width - 2, _HEIGHT, f"stage {stage.role}", tip)
    name = next((each for each in names if width > _BOLD_CHAR_WIDTH * len(each) + 4), None)
    if name is not None:
        yield svg.text(middle, _TOP + _HEIGHT / 2 + 5, name, f"stage-word {stage.role}", "middle")
    if width > _TICK_CHAR_WIDTH * len(stage.start) + 4:
        yield svg.text(at + 2, _TOP + _HEIGHT + 15, stage.start, "tick")
    tall, broad = (_DEEP - 24) * stage.frauds / most, min(width - 2, 64)
    yield svg.rectangle((middle - broad / 2, _BELOW + _DEEP - tall), broad, tall, "fraud-bar", tip)
    label = f"{count(stage.frauds)} frauds"
    if width > _TICK_CHAR_WIDTH * len(label) + 4:
        yield svg.text(middle, _BELOW + _DEEP - tall - 6, label, "label", "middle")
    elif width > 22:
        yield svg.text(middle, _BELOW + _DEEP - tall - 6, count(stage.frauds), "label", "middle")
    rows = f"{count(stage.rows)} rows"
    if width > _TICK_CHAR_WIDTH * len(rows) + 4:
        yield svg.text(middle, _BELOW + _DEEP + 17, rows, "tick", "middle")


def importances(evaluation: Evaluation) -> Figure:
    """Draw the most important features of the model."""
    top = evaluation.importances[:_MOST_BARS]
    most = max((each.share for each in top), default=0.0) or 1.0

    def draw(size: Size) -> tuple[float, Iterable[Markup]]:
        left = 120.0 if size.is_narrow else 210.0
        chars = int((left - 10) / _LABEL_CHAR_WIDTH)
        across = Linear(0, most, left, size.width - 58)
        parts: list[Markup] = []
        for number, each in enumerate(top):
            y = 4 + 21.0 * number
            tip = f"{each.slot}: {percent(each.share)}"
            parts.append(svg.text(left - 8, y + 13, shortened(each.slot, chars), "label", "end"))
            parts.append(svg.rectangle((left, y + 2), across.at(each.share) - left, 14, "bar", tip))
            parts.append(svg.text(across.at(each.share) + 6, y + 13, percent(each.share), "tick"))
        return 8 + 21.0 * len(top), parts

    return in_both_sizes(
        draw,
        "Importance of the features, the greatest first",
    )


def candidates(evaluation: Evaluation) -> Figure:
    """Draw the candidates with their intervals."""
    lines = [
        _Line(each.name, each.average_precision, each.by_period, "best" if each.chosen else "dot")
        for each in evaluation.candidates
        if each.average_precision is not None
    ]
    return in_both_sizes(
        lambda size: _intervals(size, lines, "average precision, mean of the periods"),
        "Average precision of the candidates with 95 % intervals",
        keys=(
            Key("chosen, with 95 % interval", "best", is_area=True),
            Key("the others", "dot", is_area=True),
            Key("each period", "period", is_area=True),
        )
        if lines
        else (),
    )


def against_previous(average_precision: Estimate, model_id: str, former: Estimate) -> Figure:
    """Draw the average precision of this model next to that of the previously active one."""
    lines = [_Line("this model", average_precision, (), "best"), _Line(model_id, former, (), "dot")]
    return in_both_sizes(
        lambda size: _intervals(size, lines, "average precision on the test period"),
        "Average precision of this model and the previous one, with 95 % intervals",
    )


@dataclass(frozen=True)
class _Line:
    """A line of an interval chart."""

    name: str
    estimate: Estimate
    periods: Sequence[float]
    class_: str


def _ends(figure: Estimate) -> tuple[float, float]:
    return figure.interval or (figure.value, figure.value)


def _intervals(size: Size, lines: Sequence[_Line], name: str) -> tuple[float, Iterator[Markup]]:
    """Draw points with their intervals below each other; on a phone the names are above them."""
    apart = 46.0 if size.is_narrow else 34.0
    ends = [value for line in lines for value in (*_ends(line.estimate), *line.periods)]
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
                yield svg.text(0, middle - 14, shortened(line.name, int(size.width / _LABEL_CHAR_WIDTH)), class_)
            else:
                yield svg.text(area.left - 12, middle + 4, shortened(line.name, 42), class_, "end")
            left, right = (across.at(end) for end in _ends(line.estimate))
            yield svg.line((left, middle), (right, middle), f"whisker {line.class_}")
            yield from (svg.circle((across.at(value), middle), 3, "period") for value in line.periods)
            tip = f"{line.name}: {estimate(line.estimate)}"
            yield svg.circle((across.at(line.estimate.value), middle), 6, line.class_, tip)

    return area.bottom + 44, parts()
