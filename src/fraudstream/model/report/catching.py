"""Draws the charts on model quality: precision and recall, calibration, score distribution and thresholds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from markupsafe import Markup

from fraudstream.charts import plot, svg
from fraudstream.charts.series import Axis, Series, series_chart
from fraudstream.model.evaluation.curves import ReliabilityBin, ScoreHistogram
from fraudstream.model.evaluation.record import Evaluation, Operating, TestFigures
from fraudstream.model.report.words import count, percent, percent_tick, plain, score, small_percent

_LEAST_SHARE = 1e-6
"""The lowest start of a score axis: differences below it do not matter."""


def precision_recall(evaluation: Evaluation, test: TestFigures) -> plot.Figure:
    """Draw the precision-recall curve with its interval and the recommended threshold."""
    row, points = evaluation.threshold.row, test.precision_recall

    def marks(_area: plot.Area, across: plot.Scale, up: plot.Scale) -> Iterator[Markup]:
        at = row.test if row is not None else None
        if at is not None and at.alerts:
            position = (across.at(at.recall), up.at(at.precision))
            label = f"threshold {score(evaluation.threshold.threshold)}"
            yield svg.circle(
                position, 5, "chosen-dot", f"{label}: {percent(at.recall)} recall, {percent(at.precision)}"
            )
            yield svg.text(position[0] - 9, position[1] + 16, label, "chosen-word", "end")

    whole = partial(plot.Linear, 0.0, 1.0)
    return series_chart(
        Axis("recall: share of the frauds caught", whole, percent_tick, partial(percent, digits=0)),
        Axis("precision: share of frauds among the alerts", whole, percent_tick, percent),
        [point.recall for point in points],
        [
            Series("this model", "curve", [point.precision for point in points]),
            Series("from (95 % bootstrap interval)", "part dashed", [point.low for point in points]),
            Series("to", "part dashed", [point.high for point in points]),
            Series("a random ranking", "other dashed", [test.fraud_share for _ in points]),
        ],
        about=f"Precision by recall with its 95 % interval; average precision {test.average_precision.value:.3f}",
        marks=marks,
        has_tips=True,
    )


def reliability(test: TestFigures) -> plot.Figure:
    """Draw predicted against observed fraud shares, before and after calibration."""
    before, after = test.calibration.bins_before, test.calibration.bins_after
    least = min([bin_.mean_score for bin_ in (*before, *after) if bin_.mean_score > 0], default=0.1)
    low = min(max(plot.decade_below(least), _LEAST_SHARE), 0.1)

    def marks(_area: plot.Area, across: plot.Scale, up: plot.Scale) -> Iterator[Markup]:
        yield svg.line((across.at(low), up.at(low)), (across.at(1), up.at(1)), "other dashed")
        for each in before:
            yield svg.circle((across.at(each.mean_score), up.at(each.fraud_share)), 4, "before-dot", _tip(each))
        for each in after:
            x = across.at(each.mean_score)
            yield svg.line((x, up.at(each.share_low)), (x, up.at(each.share_high)), "whisker")
            yield svg.circle((x, up.at(each.fraud_share)), 5, "curve-dot", _tip(each))

    scale = partial(plot.Logarithmic, low, 1.0)
    figure = series_chart(
        Axis("mean score of the rows", scale, plain, score),
        Axis("share of frauds (the lowest line: none)", scale, percent_tick, percent),
        [],
        [],
        about="Reliability diagram: share of frauds by mean score, before and after calibration",
        marks=marks,
        has_tips=True,
    )
    keys = (
        plot.Key("calibrated, with 95 % interval", "curve-dot", is_area=True),
        plot.Key("before", "before-dot", is_area=True),
        plot.Key("perfectly calibrated", "other dashed"),
    )
    return replace(figure, keys=keys)


def _tip(bin_: ReliabilityBin) -> str:
    return (
        f"mean score {score(bin_.mean_score)}: {small_percent(bin_.fraud_share)} of {count(bin_.rows)} rows were "
        f"frauds ({small_percent(bin_.share_low)} to {small_percent(bin_.share_high)})"
    )


def score_distribution(evaluation: Evaluation, test: TestFigures) -> plot.Figure:
    """Draw the score distribution of each class: frauds as bars, the others as a line."""
    chosen, bins, edges = evaluation.threshold.threshold, bins_of(test.histogram), test.histogram.edges
    most = max([share for each in bins for share in each[2:]], default=0.0) or 1.0
    return series_chart(
        Axis("score", partial(plot.Logarithmic, edges[0], edges[-1]), plain, score),
        Axis("share of the class in each bin", partial(plot.Linear, 0.0, most), percent_tick, small_percent),
        [(low * high) ** 0.5 for low, high, _, _ in bins],
        [
            Series("frauds", "fraud-bar", [fraud for _, _, fraud, _ in bins], is_bars=True),
            Series("legitimate payments", "other", [other for _, _, _, other in bins]),
        ],
        about="Distribution of the scores of frauds and of legitimate payments, on a logarithmic axis",
        marks=lambda area, across, _up: plot.threshold_mark(area, across.at(chosen), "threshold", score(chosen)),
        has_tips=True,
    )


def bins_of(histogram: ScoreHistogram) -> list[tuple[float, float, float, float]]:
    """Return each bin's ends and its shares of the frauds and of the others; without the first bin if it is empty."""
    bins = zip(histogram.edges, histogram.edges[1:], histogram.frauds, histogram.legitimate, strict=False)
    return [each for number, each in enumerate(bins) if number or any(each[2:])]


def interval_axis(lines: Sequence[Mapping[str, Any]]) -> plot.Linear:
    """Return an axis for lines with an `estimate` and the values of its `periods`; positions are shares in percent."""
    estimates, periods = [each["estimate"] for each in lines], [value for each in lines for value in each["periods"]]
    ends = [end for each in estimates for end in each.interval or (each.value,)] + periods
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    spare = max((high - low) * 0.06, 0.01)
    return plot.Linear(max(low - spare, 0.0), min(high + spare, 1.02), 0.0, 100.0)


_MOST_RELATIVE_COST = 1.25
"""The cost axis ends at this multiple of the cost of having no model: higher costs need no chart."""


def cost_by_threshold(evaluation: Evaluation) -> plot.Figure:
    """Draw the cost and its parts by threshold, per day if there is a time column, else over the period."""
    review, daily = evaluation.threshold.review_cost, _is_daily(evaluation)

    def shared(value: float, period: Operating) -> float:
        return value / period.days if daily and period.days else value

    def cost(period: Operating) -> float:
        return shared(period.cost(review), period)

    series = [
        _series(evaluation, f"cost, {expected_label(evaluation)}", "curve", cost),
        _series(evaluation, "missed frauds", "part dashed", lambda o: shared(o.amount_missed, o)),
        _series(evaluation, "reviews of false alarms", "part dotted", lambda o: shared(review * o.false_alarms, o)),
        *_test_series(evaluation, "cost, test period (not used for the choice)", cost),
    ]
    top = max([shared(row.expected.amount_missed, row.expected) for row in evaluation.thresholds], default=0.0)
    return series_chart(
        _threshold_axis(evaluation),
        Axis(
            f"cost {'per day' if daily else 'over the period'}, in the unit of the amounts",
            partial(plot.Linear, 0, _MOST_RELATIVE_COST * top or 1.0),
            count,
            lambda value: count(value, 1),
        ),
        [row.threshold for row in evaluation.thresholds[::-1]],
        series,
        about=f"Cost by threshold; the recommended one is {score(evaluation.threshold.threshold)}",
        marks=partial(_recommended, evaluation),
        left=66,
        has_tips=True,
    )


def alerts_by_threshold(evaluation: Evaluation) -> plot.Figure:
    """Draw alerts per day by threshold, or alerts over the period without a time column."""
    daily = _is_daily(evaluation)

    def alerts(period: Operating) -> float | None:
        return (period.alerts_per_day if daily else period.alerts) or None

    series = [
        _series(evaluation, expected_label(evaluation), "curve", alerts),
        *_test_series(evaluation, "test period", alerts),
    ]
    values = [value for one in series for value in one.values if value is not None] or [1.0]
    low, high = min(plot.decade_below(min(values)), max(values) / 10), max(values)
    limit = evaluation.threshold.max_alerts_per_day

    def marks(area: plot.Area, across: plot.Scale, up: plot.Scale) -> Iterator[Markup]:
        if limit is not None and low < limit <= high:
            yield svg.line((area.left, up.at(limit)), (area.right, up.at(limit)), "other dashed")
            yield svg.text(area.right - 6, up.at(limit) - 5, f"at most {limit:g}", "label", "end")
        yield from _recommended(evaluation, area, across, up)

    return series_chart(
        _threshold_axis(evaluation),
        Axis(
            f"alerts {'per day' if daily else 'over the period'}",
            lambda start, end, _: plot.Logarithmic(low, high, start, end),
            lambda value: f"{value:,g}",
            lambda value: count(value, 1),
        ),
        [row.threshold for row in evaluation.thresholds[::-1]],
        series,
        about="Alerts by threshold, on logarithmic axes",
        marks=marks,
        left=66,
        has_tips=True,
    )


def _is_daily(evaluation: Evaluation) -> bool:
    """Whether both periods are a day or longer, so that figures per day are comparable."""
    periods = [period for row in evaluation.thresholds for period in (row.expected, row.test) if period is not None]
    return all(period.days is not None and period.days >= 1 for period in periods)


def expected_label(evaluation: Evaluation) -> str:
    """Name the rows that the expected figures are of."""
    return "expected (validation period)" if evaluation.threshold.row is not None else "on the training rows"


def _threshold_axis(evaluation: Evaluation) -> Axis:
    rows, chosen = evaluation.thresholds, evaluation.threshold.threshold
    least = min([row.threshold for row in rows if row.threshold > 0], default=0.1)
    low = min(least, chosen or least, 0.1) * 0.9
    return Axis("threshold", partial(plot.Logarithmic, low, 1), lambda value: plain(value, 1), score)


def _series(evaluation: Evaluation, name: str, class_: str, value: Callable[[Operating], float | None]) -> Series:
    """Build a series in ascending order of the threshold."""
    return Series(name, class_, [value(row.expected) for row in evaluation.thresholds[::-1]])


def _test_series(evaluation: Evaluation, name: str, value: Callable[[Operating], float | None]) -> Iterator[Series]:
    periods = [row.test for row in evaluation.thresholds[::-1]]
    if any(period is not None for period in periods):
        yield Series(name, "second", [None if period is None else value(period) for period in periods])


def _recommended(evaluation: Evaluation, area: plot.Area, across: plot.Scale, _up: plot.Scale) -> Iterator[Markup]:
    chosen = evaluation.threshold.threshold
    return plot.threshold_mark(area, across.at(chosen), "recommended", score(chosen))
