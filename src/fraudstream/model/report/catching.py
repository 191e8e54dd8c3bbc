"""Draws the charts on model quality: precision and recall, calibration, score distribution and thresholds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from fraudstream.charts.chart import Axis, Chart, Mark, Series
from fraudstream.charts.scales import Linear, Logarithmic, decade_below
from fraudstream.model.evaluation.curves import ReliabilityBin, ScoreHistogram
from fraudstream.model.evaluation.record import Evaluation, Operating, TestFigures
from fraudstream.model.report.words import count, percent, percent_tick, plain, score, small_percent

_LEAST_SHARE = 1e-6
"""The lowest start of a score axis: differences below it do not matter."""


def precision_recall(evaluation: Evaluation, test: TestFigures) -> Chart:
    """Draw the precision-recall curve with its interval and the recommended threshold."""
    row, points = evaluation.threshold.row, test.precision_recall
    at = row.test if row is not None else None
    label = f"threshold {score(evaluation.threshold.threshold)}"
    return Chart(
        f"Precision by recall with its 95 % interval; average precision {test.average_precision.value:.3f}",
        Axis("recall: share of the frauds caught", Linear(0, 1), percent_tick, partial(percent, digits=0)),
        Axis("precision: share of frauds among the alerts", Linear(0, 1), percent_tick, percent),
        [point.recall for point in points],
        [
            Series("this model", "curve", [point.precision for point in points]),
            Series("from (95 % bootstrap interval)", "part dashed", [point.low for point in points]),
            Series("to", "part dashed", [point.high for point in points]),
            Series("a random ranking", "other dashed", [test.fraud_share for _ in points]),
        ],
        [Mark("chosen-dot", at.recall, at.precision, label)] if at is not None and at.alerts else [],
    )


def reliability(test: TestFigures) -> Chart:
    """Draw predicted against observed fraud shares, before and after calibration."""
    before, after = test.calibration.bins_before, test.calibration.bins_after
    bins = sorted((*before, *after), key=lambda each: each.mean_score)
    least = min([each.mean_score for each in bins if each.mean_score > 0], default=0.1)
    low = min(max(decade_below(least), _LEAST_SHARE), 0.1)
    at = [low, *(max(each.mean_score, low) for each in bins), 1.0]

    def shares(own: Sequence[ReliabilityBin]) -> list[float | None]:
        return [None, *(each.fraud_share if each in own else None for each in bins), None]

    intervals = [None, *((each.share_low, each.share_high) if each in after else None for each in bins), None]
    scale = Logarithmic(low, 1.0)
    return Chart(
        "Reliability diagram: share of frauds by mean score, before and after calibration",
        Axis("mean score of the rows", scale, plain, score),
        Axis("share of frauds (the lowest line: none)", scale, percent_tick, small_percent),
        at,
        [
            Series("calibrated, with 95 % interval", "curve-dot", shares(after), "dots", intervals),
            Series("before", "before-dot", shares(before), "dots"),
            Series("perfectly calibrated", "other dashed", at),
        ],
    )


def score_distribution(evaluation: Evaluation, test: TestFigures) -> Chart:
    """Draw the score distribution of each class: frauds as bars, the others as a line."""
    chosen, bins, edges = evaluation.threshold.threshold, bins_of(test.histogram), test.histogram.edges
    most = max([share for each in bins for share in each[2:]], default=0.0) or 1.0
    return Chart(
        "Distribution of the scores of frauds and of legitimate payments, on a logarithmic axis",
        Axis("score", Logarithmic(edges[0], edges[-1]), plain, score),
        Axis("share of the class in each bin", Linear(0, most), percent_tick, small_percent),
        [(low * high) ** 0.5 for low, high, _, _ in bins],
        [
            Series("frauds", "fraud-bar", [fraud for _, _, fraud, _ in bins], "bars"),
            Series("legitimate payments", "other", [other for _, _, _, other in bins]),
        ],
        [Mark("chosen", chosen, label="threshold", value=score(chosen))],
    )


def bins_of(histogram: ScoreHistogram) -> list[tuple[float, float, float, float]]:
    """Return each bin's ends and its shares of the frauds and of the others; without the first bin if it is empty."""
    bins = zip(histogram.edges, histogram.edges[1:], histogram.frauds, histogram.legitimate, strict=False)
    return [each for number, each in enumerate(bins) if number or any(each[2:])]


def interval_axis(lines: Sequence[Mapping[str, Any]]) -> Linear:
    """Return an axis for lines with an `estimate` and the values of its `periods`."""
    estimates, periods = [each["estimate"] for each in lines], [value for each in lines for value in each["periods"]]
    ends = [end for each in estimates for end in each.interval or (each.value,)] + periods
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    spare = max((high - low) * 0.06, 0.01)
    return Linear(max(low - spare, 0.0), min(high + spare, 1.02))


_MOST_RELATIVE_COST = 1.25
"""The cost axis ends at this multiple of the cost of having no model: higher costs need no chart."""


def cost_by_threshold(evaluation: Evaluation) -> Chart:
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
    unit = f"cost {'per day' if daily else 'over the period'}, in the unit of the amounts"
    about = f"Cost by threshold; the recommended one is {score(evaluation.threshold.threshold)}"
    up = Axis(unit, Linear(0, _MOST_RELATIVE_COST * top or 1.0), count, partial(count, digits=1))
    return _by_threshold(evaluation, about, up, series)


def alerts_by_threshold(evaluation: Evaluation) -> Chart:
    """Draw alerts per day by threshold, or alerts over the period without a time column."""
    daily = _is_daily(evaluation)

    def alerts(period: Operating) -> float | None:
        return (period.alerts_per_day if daily else period.alerts) or None

    series = [
        _series(evaluation, expected_label(evaluation), "curve", alerts),
        *_test_series(evaluation, "test period", alerts),
    ]
    values = [value for one in series for value in one.values if value is not None] or [1.0]
    low, high = min(decade_below(min(values)), max(values) / 10), max(values)
    unit = f"alerts {'per day' if daily else 'over the period'}"
    up = Axis(unit, Logarithmic(low, high), lambda value: f"{value:,g}", partial(count, digits=1))
    limit = evaluation.threshold.max_alerts_per_day
    at_most = [Mark("other dashed", y=limit, label=f"at most {limit:g}")] if limit and low < limit <= high else []
    return _by_threshold(evaluation, "Alerts by threshold, on logarithmic axes", up, series, at_most)


def _is_daily(evaluation: Evaluation) -> bool:
    """Whether both periods are a day or longer, so that figures per day are comparable."""
    periods = [period for row in evaluation.thresholds for period in (row.expected, row.test) if period is not None]
    return all(period.days is not None and period.days >= 1 for period in periods)


def expected_label(evaluation: Evaluation) -> str:
    """Name the rows that the expected figures are of."""
    return "expected (validation period)" if evaluation.threshold.row is not None else "on the training rows"


def _by_threshold(
    evaluation: Evaluation, about: str, up: Axis, series: Sequence[Series], marks: Sequence[Mark] = ()
) -> Chart:
    """Draw series in ascending order of the threshold, with a mark at the recommended one."""
    at, chosen = [row.threshold for row in evaluation.thresholds[::-1]], evaluation.threshold.threshold
    least = min([threshold for threshold in at if threshold > 0], default=0.1)
    scale = Logarithmic(min(least, chosen or least, 0.1) * 0.9, 1)
    across = Axis("threshold", scale, partial(plain, figures=1), score)
    recommended = Mark("chosen", chosen, label="recommended", value=score(chosen))
    return Chart(about, across, up, at, series, [*marks, recommended])


def _series(evaluation: Evaluation, name: str, class_: str, value: Callable[[Operating], float | None]) -> Series:
    """Build a series in ascending order of the threshold."""
    return Series(name, class_, [value(row.expected) for row in evaluation.thresholds[::-1]])


def _test_series(evaluation: Evaluation, name: str, value: Callable[[Operating], float | None]) -> Iterator[Series]:
    periods = [row.test for row in evaluation.thresholds[::-1]]
    if any(period is not None for period in periods):
        yield Series(name, "second", [None if period is None else value(period) for period in periods])
