"""The charts of what a threshold costs and how many alerts it gives; the figures are `costs.py`'s."""

from collections.abc import Callable, Iterator
from functools import partial

from markupsafe import Markup

from fraudstream.charts import svg
from fraudstream.charts.plot import Area, Figure, Linear, Logarithmic, Scale, decade_below, threshold_mark
from fraudstream.charts.series import Axis, Series, series_chart
from fraudstream.model.evaluation_record import Evaluation, Operating
from fraudstream.model.report.formats import NONE, count, money, percent, plain, score

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


def cost_by_threshold(evaluation: Evaluation) -> Figure:
    """The cost and what it is made of, by threshold; a day's where a column tells the time, else the period's."""
    review, expected = evaluation.threshold.review_cost, _expected_label(evaluation)
    daily = all(row.expected.days for row in evaluation.thresholds)

    def shared(value: float, period: Operating) -> float:
        return value / period.days if daily and period.days else value

    def cost(period: Operating) -> float:
        return shared(period.cost(review), period)

    series = [
        _series(evaluation, f"cost, {expected}", "curve", cost),
        _series(evaluation, "of it missed frauds", "part dashed", lambda o: shared(o.amount_missed, o)),
        _series(
            evaluation, "of it reviews of false alarms", "part dotted", lambda o: shared(review * o.false_alarms, o)
        ),
        *_test_series(evaluation, "cost, test period (nothing was chosen by it)", cost),
    ]
    top = max([shared(row.expected.amount_missed, row.expected) for row in evaluation.thresholds], default=0.0)
    return series_chart(
        _threshold_axis(evaluation),
        Axis(
            f"cost {'a day' if daily else 'over the period'}, in the unit of the amounts",
            partial(Linear, 0, _ROOM_ABOVE_NOTHING * top or 1.0),
            count,
            lambda value: count(value, 1),
        ),
        [row.threshold for row in evaluation.thresholds[::-1]],
        series,
        about=f"Cost by threshold; the recommended one is {score(evaluation.threshold.threshold)}",
        caption=f"{expected}: what each threshold catches and costs over the period",
        headings=HEADINGS,
        rows=[_row(row.threshold, row.expected, review) for row in evaluation.thresholds],
        marks=partial(_recommended, evaluation),
        left=66,
        has_tips=True,
    )


def alerts_by_threshold(evaluation: Evaluation) -> Figure:
    """Alerts a day by threshold, or alerts over the period where no column tells the time."""
    daily = all(row.expected.days for row in evaluation.thresholds)

    def alerts(period: Operating) -> float | None:
        return (period.alerts_per_day if daily else period.alerts) or None

    series = [
        _series(evaluation, _expected_label(evaluation), "curve", alerts),
        *_test_series(evaluation, "test period", alerts),
    ]
    values = [value for one in series for value in one.values if value is not None] or [1.0]
    low, high = min(decade_below(min(values)), max(values) / 10), max(values)
    limit = evaluation.threshold.max_alerts_per_day

    def marks(area: Area, across: Scale, up: Scale) -> Iterator[Markup]:
        if limit is not None and low < limit <= high:
            yield svg.line((area.left, up.at(limit)), (area.right, up.at(limit)), "other dashed")
            yield svg.text(area.right - 6, up.at(limit) - 5, f"at most {limit:g}", "label", "end")
        yield from _recommended(evaluation, area, across, up)

    tested = [(row.threshold, row.test) for row in evaluation.thresholds if row.test is not None]
    review = evaluation.threshold.review_cost
    return series_chart(
        _threshold_axis(evaluation),
        Axis(
            f"alerts {'a day' if daily else 'over the period'}",
            lambda start, end, _: Logarithmic(low, high, start, end),
            lambda value: f"{value:,g}",
            lambda value: count(value, 1),
        ),
        [row.threshold for row in evaluation.thresholds[::-1]],
        series,
        about="Alerts by threshold, on logarithmic axes",
        caption="On the test period: what each threshold caught and cost over it"
        if tested
        else f"{_expected_label(evaluation)}: alerts by threshold",
        headings=HEADINGS,
        rows=[_row(threshold, period, review) for threshold, period in tested]
        or [_row(row.threshold, row.expected, review) for row in evaluation.thresholds],
        marks=marks,
        left=66,
        has_tips=True,
    )


def _expected_label(evaluation: Evaluation) -> str:
    return "expected (validation period)" if evaluation.threshold.row is not None else "on the training rows"


def _threshold_axis(evaluation: Evaluation) -> Axis:
    rows, chosen = evaluation.thresholds, evaluation.threshold.threshold
    least = min([row.threshold for row in rows if row.threshold > 0], default=0.1)
    low = min(least, chosen or least, 0.1) * 0.9
    return Axis("threshold", partial(Logarithmic, low, 1), lambda value: plain(value, 1), score)


def _series(evaluation: Evaluation, name: str, class_: str, value: Callable[[Operating], float | None]) -> Series:
    """In rising order of the threshold, as the axis goes."""
    return Series(name, class_, [value(row.expected) for row in evaluation.thresholds[::-1]])


def _test_series(evaluation: Evaluation, name: str, value: Callable[[Operating], float | None]) -> Iterator[Series]:
    periods = [row.test for row in evaluation.thresholds[::-1]]
    if any(period is not None for period in periods):
        yield Series(name, "second", [None if period is None else value(period) for period in periods])


def _recommended(evaluation: Evaluation, area: Area, across: Scale, _up: Scale) -> Iterator[Markup]:
    chosen = evaluation.threshold.threshold
    return threshold_mark(area, across.at(chosen), "recommended", score(chosen))


def _row(threshold: float, period: Operating, review_cost: float) -> tuple[str, ...]:
    return (
        score(threshold),
        NONE if period.alerts_per_day is None else count(period.alerts_per_day, 1),
        f"{count(period.frauds_caught)} of {count(period.frauds)}",
        percent(period.recall),
        percent(period.precision) if period.alerts else NONE,
        count(period.false_alarms),
        money(period.amount_missed),
        money(review_cost * period.false_alarms),
        money(period.cost(review_cost)),
    )
