"""Renders the Charts page: drawings and tables of the last minutes."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any, Final

from flask import render_template, request
from markupsafe import Markup

from fraudstream.charts import plot, svg
from fraudstream.charts.series import NOTHING, Axis, Series, combined, groups, series_chart, table_rows
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
_SIZES: Final = (plot.Size(560, 210), plot.Size(350, 190, is_narrow=True))


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


@dataclass(frozen=True)
class LiveChart:
    """A chart with its headline (its most important figure, empty without data) and further columns of its table.

    `at` are the values along `x`; each series has one value for each.
    """

    headline: str
    about: str
    x: Axis
    y: Axis
    at: Sequence[float]
    series: Sequence[Series]
    threshold: float | None = None
    marks: Sequence[tuple[float, str]] = ()
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def figure(self) -> plot.Figure:
        """The drawing."""
        return series_chart(
            self.x, self.y, self.at, self.series, about=self.about, marks=self._marks, left=58, sizes=_SIZES
        )

    @property
    def headings(self) -> list[str]:
        """The headings of the table."""
        return ["Minute" if self.x.time else "Score", *(one.name for one in self.series), *self.columns]

    @property
    def rows(self) -> list[list[str]]:
        """The rows of the table; of minutes the newest first, and with the time in the first column."""
        rows = table_rows(self.x, self.y, self.at, self.series)
        rows = [[*row, *cells] for row, *cells in zip(rows, *self.columns.values(), strict=True)]
        time = self.x.time
        return rows if time is None else [[time(at), *row] for at, row in zip(self.at, rows, strict=True)][::-1]

    def _marks(self, area: plot.Area, across: plot.Scale, _up: plot.Scale) -> Iterator[Markup]:
        for minute, kind in self.marks:
            at = across.at(minute)
            yield svg.line((at, area.top), (at, area.bottom), f"mark {kind}")
            yield svg.text(at, area.top - 2, MARK_LABELS[kind], f"mark-label {kind}", "middle")
        if self.threshold is not None:
            yield from plot.threshold_mark(area, across.at(self.threshold), "threshold", score(self.threshold))


def live_charts(report: Mapping[str, Any]) -> dict[str, LiveChart]:
    """Return the charts of a report of `Charts`, by key."""
    return {
        "payments": _bars(report, "payments", "count-bar"),
        "alerts": _bars(report, "alerts", "fraud-bar"),
        "scores": _scores(report),
        "amounts": _amounts(report),
        "latency": _latency(report),
        "precision": _precision(report),
    }


def _bars(report: Mapping[str, Any], key: str, class_: str) -> LiveChart:
    values = report["minutes"][key]
    total = sum(value or 0 for value in values)
    series = Series(key.capitalize(), class_, values, is_bars=True)
    return _over_time(report, count(total) if total else "", f"{key} in this time", series)


def _scores(report: Mapping[str, Any]) -> LiveChart:
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
    return LiveChart(
        f"{count(total)}" if total or number else "",
        f"of ≈ {count(payments)} payments are alerts (counted); the scores below the threshold are from "
        f"{count(number)} samples",
        Axis(
            "score",
            partial(plot.LogOdds, edges[1], edges[-2]),
            lambda value: plain(value, 4),
            lambda middle: f"{score(steps[middle][0])} to {score(steps[middle][1])}",
            query=lambda low, high: f"min_score={steps[low][0]:.9g} max_score={steps[high][1]:.9g}",
        ),
        Axis("", partial(plot.Logarithmic, 0.5, plot.decade_above(max(*estimates, *alerts, 10))), compact, count),
        middles,
        [
            Series("Alerts", "fraud-bar", alerts, is_bars=True),
            Series("Payments below the threshold (≈)", "count-bar", estimates, is_bars=True),
        ],
        threshold=threshold,
    )


def _amounts(report: Mapping[str, Any]) -> LiveChart:
    at_risk, caught = report["amounts"]["at_risk"], report["amounts"]["caught"]
    return _over_time(
        report,
        money(at_risk) if at_risk else "",
        f"at risk in this time, {money(caught)} of it caught",
        Series("At risk", "loss", report["minutes"]["at_risk"]),
        Series("Caught", "good dashed", report["minutes"]["caught"]),
    )


def _latency(report: Mapping[str, Any]) -> LiveChart:
    medians, highs, ends = (report["minutes"][name] for name in ("p50_ms", "p99_ms", "latency_to"))
    measured = [value for value in medians if value is not None]
    most = max((value for value in highs if value is not None), default=1.0)
    to = "page" if "page" in ends else "store"
    chart = _over_time(
        report,
        milliseconds(median(measured)) if measured else "",
        f"the median to the {to}, by minute with alerts",
        Series("99 % within", "curve dashed", highs, combine=max),
        Series("Median", "curve", medians),
        label=milliseconds,
        tick=milliseconds,
        To=[each or NOTHING for each in ends],
    )
    # Logarithmic: the first seconds of a cold start are a thousand times slower than the rest.
    lowest = 10 ** math.floor(math.log10(max(min(measured, default=1.0), 0.1)))
    scale = partial(plot.Logarithmic, lowest, plot.decade_above(max(most, 10 * lowest)))
    return replace(chart, y=replace(chart.y, scale=scale))


def _precision(report: Mapping[str, Any]) -> LiveChart:
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
        top=1.0,
        **{"Verdicts given": [count(each) for each in verdicts["given_by_minute"]]},
    )


def _over_time(
    report: Mapping[str, Any],
    headline: str,
    about: str,
    *series: Series,
    label: Callable[[float], str] = number_text,
    tick: Callable[[float], str] = compact,
    top: float | None = None,
    **columns: Sequence[str],
) -> LiveChart:
    first, last = (datetime.fromisoformat(report["minutes"]["at"][end]) for end in (0, -1))
    time = LocalMinutes(formats.zone(), last)
    start = time.of(first)
    at = [start + number for number in range(len(report["minutes"]["at"]))]
    label_of = partial(time.clock, "%a %H:%M" if len(at) > 1440 else "%H:%M")
    drawn = (combined(one, group) for one in series for group in groups(len(at)))
    most = top or max((value for value in drawn if value is not None), default=0.0) or 1.0
    return LiveChart(
        headline,
        about,
        Axis("", partial(plot.Minutes, at[0] - 0.5, at[-1] + 0.5), label_of, label_of, time.iso, time.between),
        Axis("", partial(plot.Linear, 0.0, plot.round_above(most)), tick, label),
        at,
        series,
        marks=[
            (minute, each["kind"]) for each in report["marks"] if (minute := time.of(parse_time(each["at"]))) >= start
        ],
        columns=columns,
    )


class LocalMinutes:
    """Counts minutes as the clocks of a zone do at a time, so that the tick of a day is at midnight."""

    def __init__(self, zone: tzinfo, at: datetime) -> None:
        self.zone = zone
        self.offset = (zone.utcoffset(at.astimezone(zone).replace(tzinfo=None)) or timedelta()) / timedelta(minutes=1)

    def of(self, at: datetime) -> float:
        """Return the number of a time."""
        return at.timestamp() / 60 + self.offset

    def clock(self, style: str, minute: float) -> str:
        """Return what the clocks show."""
        return self._at(minute).astimezone(self.zone).strftime(style)

    def iso(self, minute: float) -> str:
        """Return the time in UTC, as ISO 8601."""
        return f"{self._at(minute):%Y-%m-%dT%H:%MZ}"

    def between(self, first: float, last: float) -> str:
        """Return the search for the alerts of these minutes, by its two ends."""
        return f"since={self.iso(first)} until={self.iso(last + 1)}"

    def _at(self, minute: float) -> datetime:
        return datetime.fromtimestamp((minute - self.offset) * 60, UTC)
