"""The charts of what a threshold costs and how many alerts it gives; the figures are `costs.py`'s."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from markupsafe import Markup

from fraudstream.model.evaluation_record import Evaluation, Operating, ThresholdRow
from fraudstream.model.report import svg
from fraudstream.model.report.formats import NONE, count, money, percent, plain, score
from fraudstream.model.report.plot import Area, Figure, Key, Size, in_both_sizes, threshold_mark, tips, x_axis, y_axis
from fraudstream.model.report.scales import Linear, Logarithmic, decade_below

HEADINGS = (
    "threshold",
    "alerts a day",
    "frauds caught",
    "recall",
    "precision",
    "false alarms",
    "missed",
    "reviews",
    "cost",
)
_ROOM_ABOVE_NOTHING = 1.25
"""The axis of cost ends at so many times the cost of having no model: who pays more needs no chart."""
_Of = Callable[[Operating], float | None]
_Series = tuple[str, Sequence[tuple[float, float]]]


def cost_by_threshold(evaluation: Evaluation) -> Figure:
    """The cost and what it is made of, by threshold; a day's where a column tells the time, else the period's."""
    review = evaluation.threshold.review_cost
    daily = all(row.expected.days for row in evaluation.thresholds)

    def shared(value: float, found: Operating) -> float:
        return value / found.days if daily and found.days else value

    curves = (
        ("part dashed", _curve(evaluation, lambda o: shared(o.amount_missed, o))),
        ("part dotted", _curve(evaluation, lambda o: shared(review * o.false_alarms, o))),
        ("second", _curve(evaluation, lambda o: shared(o.cost(review), o), test=True)),
        ("curve", _curve(evaluation, lambda o: shared(o.cost(review), o))),
    )
    nothing = max([shared(row.expected.amount_missed, row.expected) for row in evaluation.thresholds], default=0.0)
    top = _ROOM_ABOVE_NOTHING * nothing or 1.0

    def draw(size: Size) -> tuple[float, Iterable[Markup]]:
        area = Area.of(size, left=66)
        up = Linear(0, top, area.bottom, area.top)
        name = f"cost {'a day' if daily else 'over the period'}, in the unit of the amounts"
        axis = y_axis(area, up, count, name)
        return size.height, _drawn(evaluation, size, area, [*axis], up, curves, lambda o: shared(o.cost(review), o))

    has_test = bool(curves[2][1])
    return in_both_sizes(
        draw,
        f"Cost by threshold; the recommended one is {score(evaluation.threshold.threshold)}",
        f"{_expected_words(evaluation)}: what each threshold catches and costs over the period",
        HEADINGS,
        [_row(row.threshold, row.expected, review) for row in evaluation.thresholds],
        (
            Key(f"cost, {_expected_words(evaluation)}", "curve"),
            Key("of it missed frauds", "part dashed"),
            Key("of it reviews of false alarms", "part dotted"),
            *((Key("cost, test period (nothing was chosen by it)", "second"),) if has_test else ()),
        ),
    )


def alerts_by_threshold(evaluation: Evaluation) -> Figure:
    """Alerts a day by threshold, or alerts over the period where no column tells the time."""
    daily = all(row.expected.days for row in evaluation.thresholds)

    def of(found: Operating) -> float | None:
        return found.alerts_per_day if daily else found.alerts

    curves: Sequence[_Series] = (("second", _curve(evaluation, of, test=True)), ("curve", _curve(evaluation, of)))
    values = [value for _, points in curves for _, value in points if value > 0] or [1.0]
    low, high = min(decade_below(min(values)), max(values) / 10), max(values)
    limit = evaluation.threshold.max_alerts_per_day

    def draw(size: Size) -> tuple[float, Iterable[Markup]]:
        area = Area.of(size, left=66)
        up = Logarithmic(low, high, area.bottom, area.top)
        parts = [*y_axis(area, up, lambda v: f"{v:,g}", f"alerts {'a day' if daily else 'over the period'}")]
        if limit is not None and low < limit <= high:
            parts.append(svg.line((area.left, up.at(limit)), (area.right, up.at(limit)), "other dashed"))
            parts.append(svg.text(area.right - 6, up.at(limit) - 5, f"at most {limit:g}", "label", "end"))
        drawn = [(class_, [point for point in points if point[1] > 0]) for class_, points in curves]
        return size.height, _drawn(evaluation, size, area, parts, up, drawn, of)

    tested = [(row.threshold, row.test) for row in evaluation.thresholds if row.test is not None]
    review = evaluation.threshold.review_cost
    return in_both_sizes(
        draw,
        "Alerts by threshold, on logarithmic axes",
        "On the test period: what each threshold caught and cost over it"
        if tested
        else f"{_expected_words(evaluation)}: alerts by threshold",
        HEADINGS,
        [_row(threshold, found, review) for threshold, found in tested]
        or [_row(row.threshold, row.expected, review) for row in evaluation.thresholds],
        (
            Key(_expected_words(evaluation), "curve"),
            *((Key("test period", "second"),) if tested else ()),
        ),
    )


def _expected_words(evaluation: Evaluation) -> str:
    return "expected (validation period)" if evaluation.threshold.row is not None else "on the training rows"


def _curve(evaluation: Evaluation, of: _Of, *, test: bool = False) -> list[tuple[float, float]]:
    """Threshold and value, in rising order of the threshold."""
    found = [(row.threshold, row.test if test else row.expected) for row in evaluation.thresholds[::-1]]
    told = [(threshold, of(operating)) for threshold, operating in found if operating is not None]
    return [(threshold, value) for threshold, value in told if value is not None]


def _drawn(
    evaluation: Evaluation,
    size: Size,
    area: Area,
    axis: Iterable[Markup],
    up: Linear | Logarithmic,
    curves: Iterable[_Series],
    of: _Of,
) -> Iterator[Markup]:
    rows, chosen = evaluation.thresholds, evaluation.threshold.threshold
    least = min([row.threshold for row in rows if row.threshold > 0], default=0.1)
    across = Logarithmic(min(least, chosen or least, 0.1) * 0.9, 1, area.left, area.right, 4 if size.is_narrow else 7)
    yield from x_axis(area, across, lambda v: plain(v, 1), "threshold")
    yield from axis
    yield area.within(
        svg.polyline([(across.at(threshold), up.at(value)) for threshold, value in points], class_)
        for class_, points in curves
        if points
    )
    yield from tips(area, [(across.at(row.threshold), _tip(row, of)) for row in rows[::-1]])
    yield from threshold_mark(area, across.at(chosen), "recommended", score(chosen))


def _tip(row: ThresholdRow, of: _Of) -> str:
    shown = of(row.expected)
    tested = of(row.test) if row.test is not None else None
    words = f"threshold {score(row.threshold)}: {count(shown, 1)}, {percent(row.expected.recall)} of the frauds caught"
    return words if tested is None else f"{words}; test period {count(tested, 1)}"


def _row(threshold: float, found: Operating, review_cost: float) -> tuple[str, ...]:
    return (
        score(threshold),
        NONE if found.alerts_per_day is None else count(found.alerts_per_day, 1),
        f"{count(found.frauds_caught)} of {count(found.frauds)}",
        percent(found.recall),
        percent(found.precision) if found.alerts else NONE,
        count(found.false_alarms),
        money(found.amount_missed),
        money(review_cost * found.false_alarms),
        money(found.cost(review_cost)),
    )
