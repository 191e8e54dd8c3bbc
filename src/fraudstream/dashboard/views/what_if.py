"""Renders the What if page: the effect of a threshold, from three sources, with a form to deploy it.

The server renders it for the threshold in the address; `static/js/what_if.js` requests it again when the slider moves.
"""

import math
from collections.abc import Callable
from typing import Final, NamedTuple

from flask import render_template, request

from fraudstream.charts.chart import Axis, Chart, Mark, Series
from fraudstream.charts.scales import Linear, Logarithmic, LogOdds, decade_above
from fraudstream.dashboard.services.what_if import WhatIfResult, curve
from fraudstream.dashboard.services.what_if_sources import PeriodFigures, WhatIfSource
from fraudstream.dashboard.views.model import ModelViews
from fraudstream.dashboard.web.presentation import compact
from fraudstream.dashboard.web.queries import WhatIfQuery
from fraudstream.errors import ModelError
from fraudstream.model.report.words import percent, plain, score

_CLASSES: Final = {"test": "curve", "live": "second dashed", "verdicts": "other dotted"}


def charts(result: WhatIfResult) -> list[tuple[str, Chart]]:
    """Return the charts with their headings."""
    points = curve(result.sources)
    thresholds = [threshold for threshold, _ in points]
    across = Axis("threshold", LogOdds(thresholds[0], thresholds[-1]), lambda value: plain(value, 4), score)
    marks = (
        Mark("axis active-threshold", result.deployment.threshold),
        Mark("chosen", result.threshold, label="threshold", value=score(result.threshold)),
    )

    def chart(up: Axis, about: str, value: Callable[[PeriodFigures, str], float | None]) -> Chart:
        series = [
            Series(
                f"{source.title} ({source.kind})",
                _CLASSES[source.key],
                [value(at[source.key], source.key) if source.key in at else None for _, at in points],
            )
            for source in result.sources
            if source.at is not None
        ]
        about = f"{about}, from {len(series)} sources; the compared threshold is {score(result.threshold)}"
        return Chart(about, across, up, thresholds, series, marks)

    most_alerts = max((each.alerts_per_day or 0.0 for _, at in points for each in at.values()), default=0.0)
    # Sources differ in period and volume: the most that each could save is its 100 %.
    most_saved = {
        source.key: max((each.saved for _, at in points if (each := at.get(source.key)) and each.saved), default=0.0)
        for source in result.sources
    }

    def caught(figures: PeriodFigures, _key: str) -> float | None:
        frauds = figures.frauds_caught + figures.frauds_missed
        return figures.frauds_caught / frauds if frauds else None

    def saved(figures: PeriodFigures, key: str) -> float | None:
        return None if figures.saved is None or most_saved[key] <= 0 else figures.saved / most_saved[key]

    alerts_scale = Logarithmic(1.0, decade_above(max(most_alerts, 10.0)))
    alerts = Axis("alerts a day (1 or fewer at the bottom)", alerts_scale, compact, compact)
    frauds = _share("share of the frauds caught", 0.0)
    money = _share("share of the most that the source could save", -0.5)
    return [
        ("Alerts a day", chart(alerts, "Alerts a day by threshold", lambda figures, _: figures.alerts_per_day)),
        ("Share of the frauds caught", chart(frauds, "Frauds caught by threshold", caught)),
        ("Money saved", chart(money, "Money saved by threshold, as a share of the most", saved)),
    ]


SLIDER_STEPS: Final = 200
_SLIDER: Final = LogOdds(1 / (1 + math.exp(10)), 1 / (1 + math.exp(-10)))
"""The slider has even steps of the log odds, from -10 to 10, as in static/js/what_if.js."""

MINUS: Final = "\N{MINUS SIGN}"


class FigureLine(NamedTuple):
    """A figure of a source at the active threshold (`now`) and at the compared one (`then`), with the signed change.

    `sense` is "better", "worse" or empty; `help` explains the figure.
    """

    name: str
    now: str
    then: str
    change: str
    sense: str
    help: str


_LINES: Final = (
    ("Alerts", "alerts", None, "Over the whole period."),
    ("Alerts a day", "alerts_per_day", None, "Each has to be reviewed; from a day on."),
    ("Frauds caught", "frauds_caught", True, "Frauds at or above the threshold."),
    ("Frauds missed", "frauds_missed", False, "Frauds below it."),
    ("False alarms", "false_alarms", False, "Legitimate payments at or above it."),
    ("Money saved", "saved", True, "Amounts of the frauds caught, minus reviews."),
)
"""The name of a line, its figure, whether more of it is better (None: neither), and its help."""


class Card(NamedTuple):
    """A source with its lines, and its figures at the compared threshold; without either if it has no figures."""

    source: WhatIfSource
    lines: list[FigureLine]
    then: PeriodFigures | None


def what_if_page(model: ModelViews) -> str:
    """Render the page for the threshold in the address."""
    query = WhatIfQuery.read(request.args)
    try:
        result = model.what_if.at(query.threshold, query.review_cost)
    except ModelError as e:
        return render_template("what_if.html", result=None, cause=e.line)
    cards = [_card(source, result.deployment.threshold, result.threshold) for source in result.sources]
    return render_template(
        "what_if.html",
        result=result,
        name=model.actors.current().name,
        cards=cards,
        charts=charts(result),
        position=round(SLIDER_STEPS * _SLIDER.share(result.threshold)),
        slider_steps=SLIDER_STEPS,
        changes=model.former_changes(),
        score=score,
    )


def _card(source: WhatIfSource, deployment: float, threshold: float) -> Card:
    if source.at is None:
        return Card(source, [], None)
    now, then = source.at(deployment), source.at(max(threshold, source.known_from))
    return Card(source, [_line(source, now, then, *each) for each in _LINES], then)


def _line(
    source: WhatIfSource, now: PeriodFigures, then: PeriodFigures, name: str, key: str, is_good: bool | None, help_: str
) -> FigureLine:
    old, new = getattr(now, key), getattr(then, key)
    if old is None or new is None:
        return FigureLine(name, "n/a", "n/a", "", "", help_)
    difference = new - old
    is_none = abs(difference) < 0.005
    sense = "" if is_good is None or is_none else "better" if (difference > 0) == is_good else "worse"
    change = "no change" if is_none else f"{MINUS if difference < 0 else '+'}{_format(abs(difference))}"
    before, after = _about(source, now, key) + _format(old), _about(source, then, key) + _format(new)
    return FigureLine(name, before, after, change, sense, help_)


def _about(source: WhatIfSource, figures: PeriodFigures, field: str) -> str:
    """Mark an estimate; alerts that the store has are counted."""
    is_counted = field in ("alerts", "alerts_per_day") and figures.low is None
    return "≈ " if source.kind == "estimate" and not is_counted else ""


def _format(value: float) -> str:
    text = f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:,.1f}"
    return text.replace("-", MINUS) if text.strip("-0.,") else "0"


def _share(name: str, low: float) -> Axis:
    return Axis(name, Linear(low, 1.0), lambda value: percent(value, 0), percent)
