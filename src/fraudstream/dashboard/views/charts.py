"""Renders the Charts page: drawings and tables of the last minutes."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any, Final

from flask import render_template, request

from fraudstream.charts import scales
from fraudstream.charts.chart import NOTHING, Axis, Chart, Mark, Series, groups
from fraudstream.dashboard.services.charts import Charts
from fraudstream.dashboard.web import formats
from fraudstream.dashboard.web.formats import money, percent
from fraudstream.dashboard.web.presentation import compact, milliseconds
from fraudstream.dashboard.web.queries import ChartQuery
from fraudstream.errors import RequestError
from fraudstream.messages.base import Object
from fraudstream.model.evaluation.intervals import wilson
from fraudstream.model.explanation.reasons import number_text
from fraudstream.model.report.words import count, plain, score
from fraudstream.store.minutes import KEPT_MINUTES
from fraudstream.store.triage_state import AlertStatus
from fraudstream.times import parse_time

SPANS: Final = (
    (15, "15 minutes"), (60, "1 hour"), (360, "6 hours"), (1440, "24 hours"), (KEPT_MINUTES, "7 days"),
)  # fmt: skip
FEWEST: Final = 10
"""A chart spans no fewer minutes, however short the stream has run."""

MARK_LABELS: Final = {"model": "M", "schema": "S"}
SIZES: Final = ((560, 210), (350, 190))


def charts_html(charts: Charts, query: ChartQuery) -> bytes:
    """Render all charts as HTML."""

    def render(report: Object) -> bytes:
        charts = live_charts(with_data(report))
        address = {"minutes": query.minutes, "until": request.args.get("until")}
        statuses = [each.value for each in AlertStatus]
        return render_template(
            "_charts.html", report=report, charts=charts, address=address, statuses=statuses, marks=MARK_LABELS
        ).encode()

    return charts.rendered(f"charts in {formats.zone()}", query.minutes, render, query.until)


def table_html(charts: Charts, query: ChartQuery, key: str) -> bytes:
    """Render the table of one chart as HTML."""

    def render(report: Object) -> bytes:
        chart = live_charts(with_data(report)).get(key)
        if chart is None:
            raise RequestError("there is no such chart", status=404)
        return render_template("_chart_table.html", report=report, key=key, chart=chart).encode()

    return charts.rendered(f"table {key} in {formats.zone()}", query.minutes, render, query.until)


def with_data(report: Object) -> Object:
    """Leave out the minutes before the first one with data."""
    minutes, verdicts = report["minutes"], report["precision"]["verdicts"]
    columns = (minutes["payments"], minutes["alerts"], minutes["p50_ms"], verdicts["given_by_minute"])
    first = next((index for index, values in enumerate(zip(*columns, strict=True)) if any(values)), 10**9)
    first = max(min(first, len(minutes["at"]) - FEWEST), 0)
    own = {name: values[first:] if name.endswith("_by_minute") else values for name, values in verdicts.items()}
    return report | {
        "minutes": {name: values[first:] for name, values in minutes.items()},
        "precision": report["precision"] | {"verdicts": own},
    }


def live_charts(report: Mapping[str, Any]) -> dict[str, Chart]:
    """Return the charts of a report of `Charts`, by key."""
    return {
        "payments": _bars(report, "payments", "count-bar"),
        "alerts": _bars(report, "alerts", "fraud-bar"),
        "scores": _scores(report),
        "amounts": _amounts(report),
        "latency": _latency(report),
        "precision": _precision(report),
    }


def _bars(report: Mapping[str, Any], key: str, class_: str) -> Chart:
    values = report["minutes"][key]
    total = sum(value or 0 for value in values)
    series = Series(key.capitalize(), class_, values, "bars")
    return _over_time(report, count(total) if total else "", f"{key} in this time", series)


def _scores(report: Mapping[str, Any]) -> Chart:
    """Return the scores of all payments: alerts as they are counted, and what is below the threshold from samples."""
    scores = report["scores"]
    edges, samples, alerts, threshold = (scores[name] for name in ("edges", "samples", "alerts", "threshold"))
    total, number = sum(alerts), sum(samples)
    payments = sum(each or 0 for each in report["minutes"]["payments"]) or number
    below = [
        0.0 if threshold is not None and low >= threshold else float(n) for n, low in zip(samples, edges, strict=False)
    ]
    scale = max(payments - total, 0) / (sum(below) or 1)
    estimates = [value * scale for value in below]
    middles = [1 / (1 + math.exp(9.75 - step / 2)) for step in range(len(samples))]
    steps = dict(zip(middles, pairwise(edges), strict=True))
    return Chart(
        f"of ≈ {count(payments)} payments are alerts (counted); the scores below the threshold are from "
        f"{count(number)} samples",
        Axis(
            "score",
            scales.LogOdds(edges[1], edges[-2]),
            lambda value: plain(value, 4),
            lambda middle: f"{score(steps[middle][0])} to {score(steps[middle][1])}",
            query=lambda low, high: f"min_score={steps[low][0]:.9g} max_score={steps[high][1]:.9g}",
        ),
        Axis("", scales.Logarithmic(0.5, scales.decade_above(max(*estimates, *alerts, 10))), compact, count),
        middles,
        [
            Series("Alerts", "fraud-bar", alerts, "bars"),
            Series("Payments below the threshold (≈)", "count-bar", estimates, "bars"),
        ],
        [] if threshold is None else [Mark("chosen", threshold, label="threshold", value=score(threshold))],
        count(total) if total or number else "",
        SIZES,
    )


def _amounts(report: Mapping[str, Any]) -> Chart:
    at_risk, caught = report["amounts"]["at_risk"], report["amounts"]["caught"]
    return _over_time(
        report,
        money(at_risk) if at_risk else "",
        f"at risk in this time, {money(caught)} of it caught",
        Series("At risk", "loss", report["minutes"]["at_risk"]),
        Series("Caught", "good dashed", report["minutes"]["caught"]),
    )


def _latency(report: Mapping[str, Any]) -> Chart:
    medians, highs, ends = (report["minutes"][name] for name in ("p50_ms", "p99_ms", "latency_to"))
    measured = [value for value in medians if value is not None]
    most = max((value for value in highs if value is not None), default=1.0)
    to = "page" if "page" in ends else "store"
    # Logarithmic: the first seconds of a cold start are a thousand times slower than the rest.
    lowest = scales.decade_below(max(min(measured, default=1.0), 0.1))
    return _over_time(
        report,
        milliseconds(median(measured)) if measured else "",
        f"the median to the {to}, by minute with alerts",
        Series("99 % within", "curve dashed", highs, combine=max),
        Series("Median", "curve", medians),
        label=milliseconds,
        tick=milliseconds,
        scale=scales.Logarithmic(lowest, scales.decade_above(max(most, 10 * lowest))),
        To=[each or NOTHING for each in ends],
    )


def _precision(report: Mapping[str, Any]) -> Chart:
    verdicts = report["precision"]["verdicts"]
    confirmed, decided = verdicts["confirmed_fraud"], verdicts["confirmed_fraud"] + verdicts["false_alarm"]
    low, high = wilson(confirmed / decided if decided else 0.0, decided)
    return _over_time(
        report,
        percent(verdicts["share"]) if decided else "",
        f"confirmed ({percent(low)} to {percent(high)}, 95 %): {count(confirmed)} of {count(decided)} decided; "
        f"{count(verdicts['undecided'] + verdicts['unsure'])} undecided or unsure",
        Series("Confirmed so far", "good", verdicts["share_by_minute"]),
        label=percent,
        tick=lambda share: f"{share:.0%}",
        scale=scales.Linear(0.0, 1.0),
        **{"Verdicts given": [count(each) for each in verdicts["given_by_minute"]]},
    )


def _over_time(
    report: Mapping[str, Any],
    headline: str,
    about: str,
    *series: Series,
    label: Callable[[float], str] = number_text,
    tick: Callable[[float], str] = compact,
    scale: scales.Scale | None = None,
    **columns: Sequence[str],
) -> Chart:
    first, last = (datetime.fromisoformat(report["minutes"]["at"][end]) for end in (0, -1))
    start = first.timestamp() / 60
    at = [start + number for number in range(len(report["minutes"]["at"]))]
    drawn = (value for one in series for value in one.combined(groups(len(at))) if value is not None)
    # The tick of a day is at midnight, as the clocks are at the end.
    offset = (last.astimezone(formats.zone()).utcoffset() or timedelta()) / timedelta(minutes=1)
    clock = partial(_clock, formats.zone(), "%a %H:%M" if len(at) > 1440 else "%H:%M")
    marks = [
        Mark(f"mark {each['kind']}", minute, label=MARK_LABELS[each["kind"]], is_above=True)
        for each in report["marks"]
        if (minute := parse_time(each["at"]).timestamp() / 60) >= start
    ]
    return Chart(
        about,
        Axis("", scales.Minutes(at[0] - 0.5, at[-1] + 0.5, offset), clock, clock, _iso, _between),
        Axis("", scale or scales.Linear(0.0, scales.round_above(max(drawn, default=0.0) or 1.0)), tick, label),
        at,
        series,
        marks,
        headline,
        SIZES,
        columns,
    )


def _clock(zone: tzinfo, style: str, minute: float) -> str:
    return datetime.fromtimestamp(minute * 60, zone).strftime(style)


def _iso(minute: float) -> str:
    return _clock(UTC, "%Y-%m-%dT%H:%MZ", minute)


def _between(first: float, last: float) -> str:
    """Return the search for the alerts of these minutes, by its two ends."""
    return f"since={_iso(first)} until={_iso(last + 1)}"
