"""The charts of how well scores part frauds from the rest: precision and recall, calibration, scores by class."""

from collections.abc import Iterable, Iterator

from markupsafe import Markup

from fraudstream.charts import svg
from fraudstream.charts.plot import (
    Area,
    Figure,
    Key,
    Linear,
    Logarithmic,
    Size,
    decade_below,
    in_both_sizes,
    threshold_mark,
    tips,
    x_axis,
    y_axis,
)
from fraudstream.model.evaluation_record import Evaluation, PrecisionRecallPoint, ReliabilityBin, TestFigures
from fraudstream.model.report.formats import count, percent, percent_tick, plain, score, small_percent

_LEAST_SHARE = 1e-6
"""Where an axis of scores begins at the latest: nothing is told apart below it."""


def precision_recall(evaluation: Evaluation, test: TestFigures) -> Figure:
    """The curve with the band of its interval, and what the recommended threshold did."""
    row = evaluation.threshold.row
    at = row.test if row is not None else None
    points = test.precision_recall

    def draw(size: Size) -> tuple[float, Iterable[Markup]]:
        area = Area.of(size)
        across = Linear(0, 1, area.left, area.right, 4 if size.is_narrow else 5)
        up = Linear(0, 1, area.bottom, area.top)
        curve = [(across.at(point.recall), up.at(point.precision)) for point in points]
        above = [(across.at(point.recall), up.at(point.high)) for point in points]
        below = [(across.at(point.recall), up.at(point.low)) for point in points]
        parts = [
            *x_axis(area, across, percent_tick, "recall: share of the frauds caught"),
            *y_axis(area, up, percent_tick, "precision: share of frauds among the alerts"),
            svg.polygon([*above, *below[::-1]], "band"),
            svg.line((area.left, up.at(test.fraud_share)), (area.right, up.at(test.fraud_share)), "other dashed"),
            svg.polyline(curve, "curve"),
            *tips(area, [(across.at(point.recall), _point_tip(point)) for point in points]),
        ]
        if at is not None and at.alerts:
            place = (across.at(at.recall), up.at(at.precision))
            words = f"threshold {score(evaluation.threshold.threshold)}"
            parts += [
                svg.circle(place, 5, "chosen-dot", f"{words}: {percent(at.recall)} recall, {percent(at.precision)}"),
                svg.text(place[0] - 9, place[1] + 16, words, "chosen-word", "end"),
            ]
        return size.height, parts

    return in_both_sizes(
        draw,
        f"Precision by recall with its 95 % interval; average precision {test.average_precision.value:.3f}",
        "Best precision with at least this share of the frauds caught, on the test period",
        ("recall", "precision", "interval from", "to"),
        [(percent(p.recall, 0), *map(percent, (p.precision, p.low, p.high))) for p in points],
        (
            Key("this model", "curve"),
            Key("95 % bootstrap interval", "band", is_area=True),
            Key("a model that knows nothing", "other dashed"),
            *((Key("the recommended threshold", "chosen-dot", is_area=True),) if at is not None else ()),
        ),
    )


def _point_tip(point: PrecisionRecallPoint) -> str:
    band = f"{percent(point.low)} to {percent(point.high)}"
    return f"{percent(point.recall, 0)} of the frauds caught: {percent(point.precision)} precision ({band})"


def reliability(test: TestFigures) -> Figure:
    """What the scores promise beside what happened, before and after the calibration."""
    before, after = test.calibration.bins_before, test.calibration.bins_after
    least = min([bin_.mean_score for bin_ in (*before, *after) if bin_.mean_score > 0], default=0.1)
    low = min(max(decade_below(least), _LEAST_SHARE), 0.1)

    def draw(size: Size) -> tuple[float, Iterable[Markup]]:
        area = Area.of(size)
        across = Logarithmic(low, 1, area.left + 8, area.right, 4 if size.is_narrow else 7)
        up = Logarithmic(low, 1, area.bottom - 8, area.top)
        return size.height, [
            *x_axis(area, across, plain, "mean score of the rows"),
            *y_axis(area, up, percent_tick, "share of them that were frauds (the lowest line: none)"),
            svg.line((across.at(low), up.at(low)), (across.at(1), up.at(1)), "other dashed"),
            *(svg.circle((across.at(b.mean_score), up.at(b.fraud_share)), 4, "before-dot", _tip(b)) for b in before),
            *(mark for b in after for mark in _bar(across.at(b.mean_score), up, b)),
        ]

    return in_both_sizes(
        draw,
        "Reliability diagram: share of frauds by mean score, before and after the calibration",
        "Rows of like score, on the test period",
        ("", "score from", "to", "rows", "frauds", "mean score", "frauds, share", "interval from", "to"),
        [
            (
                when,
                score(b.low),
                score(b.high),
                count(b.rows),
                count(b.frauds),
                score(b.mean_score),
                *(small_percent(share) for share in (b.fraud_share, b.share_low, b.share_high)),
            )
            for when, bins in (("after", after), ("before", before))
            for b in bins
        ],
        (
            Key("calibrated, with 95 % interval", "curve-dot", is_area=True),
            Key("before", "before-dot", is_area=True),
            Key("scores that keep their promise", "other dashed"),
        ),
    )


def _bar(x: float, up: Logarithmic, found: ReliabilityBin) -> Iterator[Markup]:
    yield svg.line((x, up.at(found.share_low)), (x, up.at(found.share_high)), "whisker")
    yield svg.circle((x, up.at(found.fraud_share)), 5, "curve-dot", _tip(found))


def _tip(found: ReliabilityBin) -> str:
    return (
        f"mean score {score(found.mean_score)}: {small_percent(found.fraud_share)} of {count(found.rows)} rows were "
        f"frauds ({small_percent(found.share_low)} to {small_percent(found.share_high)})"
    )


def score_distribution(evaluation: Evaluation, test: TestFigures) -> Figure:
    """Where the scores of each class lie: frauds upwards, the others downwards."""
    edges, frauds, others = test.histogram.edges, test.histogram.frauds, test.histogram.legitimate
    chosen = evaluation.threshold.threshold
    bins = [
        (edges[at], edges[at + 1], frauds[at], others[at])
        for at in range(len(frauds))
        if at or frauds[at] or others[at]
    ]

    def draw(size: Size) -> tuple[float, Iterable[Markup]]:
        area = Area.of(size)
        across = Logarithmic(edges[0], edges[-1], area.left, area.right, 4 if size.is_narrow else 7)
        middle = (area.top + area.bottom) / 2
        up = Linear(0, max(*frauds, 1e-9), middle, area.top + 6)
        down = Linear(0, max(*others, 1e-9), middle, area.bottom - 6)
        parts: list[Markup] = [
            *x_axis(area, across, plain, "score"),
            svg.text(2, area.top - 12, "share of the class in each bin", "axis-name"),
        ]
        for scale in (up, down):
            for tick in scale.ticks()[1:] if size.height > 300 else scale.ticks()[2::2]:
                parts.append(svg.line((area.left, scale.at(tick)), (area.right, scale.at(tick)), "grid"))
                parts.append(svg.text(area.left - 7, scale.at(tick) + 4, percent(tick, 0), "tick", "end"))
        for low, high, fraud, other in bins:
            left, width = across.at(low) + 0.5, across.at(high) - across.at(low) - 1
            parts.append(svg.rectangle((left, up.at(fraud)), width, middle - up.at(fraud), "fraud-bar"))
            parts.append(svg.rectangle((left, middle), width, down.at(other) - middle, "legitimate-bar"))
        parts.append(svg.line((area.left, middle), (area.right, middle), "axis"))
        parts += tips(area, [(across.at((b[0] * b[1]) ** 0.5), _bin_words(*b)) for b in bins])
        parts += threshold_mark(area, across.at(chosen), "threshold", score(chosen))
        return size.height, parts

    return in_both_sizes(
        draw,
        "Distribution of the scores of frauds and of legitimate payments, on a logarithmic axis",
        "Share of each class by score, on the test period (the first bin holds all lower scores too)",
        ("score from", "to", "of the frauds", "of the legitimate"),
        [
            (score(low), score(high), percent(fraud), small_percent(other))
            for low, high, fraud, other in bins
            if fraud or other
        ],
        (Key("frauds", "fraud-bar", is_area=True), Key("legitimate payments", "legitimate-bar", is_area=True)),
    )


def _bin_words(low: float, high: float, fraud: float, other: float) -> str:
    return f"scores {plain(low)} to {plain(high)}: {percent(fraud)} of the frauds, {small_percent(other)} of the others"
