"""Renders the Charts page: drawings and tables of the last minutes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from flask import render_template
from markupsafe import Markup

from fraudstream.charts import plot
from fraudstream.charts.series import NOTHING, Axis, Series, combined, groups, series_chart, table_rows
from fraudstream.dashboard.services.charts import Charts
from fraudstream.dashboard.web import formats
from fraudstream.dashboard.web.presentation import compact, milliseconds, number
from fraudstream.errors import RequestError
from fraudstream.messages.base import Object
from fraudstream.model.report.words import count, percent, score
from fraudstream.store.minutes import KEPT_MINUTES

SPANS: Final = ((60, "1 hour"), (360, "6 hours"), (KEPT_MINUTES, "24 hours"))
_SIZES: Final = (plot.Size(560, 210), plot.Size(350, 190, is_narrow=True))


def charts_html(charts: Charts, minutes: int) -> bytes:
    """Render all charts as HTML."""

    def render(report: Object) -> bytes:
        return render_template(
            "_charts.html", report=report, charts=live_charts(report), minutes=minutes, percent=percent
        ).encode()

    return charts.rendered(f"charts in {formats.zone()}", minutes, render)


def table_html(charts: Charts, minutes: int, key: str) -> bytes:
    """Render the table of one chart as HTML."""

    def render(report: Object) -> bytes:
        chart = live_charts(report).get(key)
        if chart is None:
            raise RequestError("there is no such chart", status=404)
        return render_template("_chart_table.html", report=report, key=key, chart=chart).encode()

    return charts.rendered(f"table {key} in {formats.zone()}", minutes, render)


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
        if self.threshold is not None:
            yield from plot.threshold_mark(area, across.at(self.threshold), "threshold", score(self.threshold))


def live_charts(report: Mapping[str, Any]) -> dict[str, LiveChart]:
    """Return the charts of a report of `Charts`, by key."""
    return {
        "payments": _bars(report, "payments", "count-bar"),
        "alerts": _bars(report, "alerts", "fraud-bar"),
        "scores": _scores(report["scores"]),
        "amounts": _amounts(report),
        "latency": _latency(report),
        "precision": _precision(report),
    }


def _bars(report: Mapping[str, Any], key: str, class_: str) -> LiveChart:
    values = report["minutes"][key]
    total = sum(value or 0 for value in values)
    series = Series(key.capitalize(), class_, values, is_bars=True)
    return _over_time(report, count(total) if total else "", f"{key} in this time", series)


def _scores(scores: Mapping[str, Any]) -> LiveChart:
    samples, width = scores["samples"], scores["edges"][1]
    total, high = sum(samples), sum(samples[len(samples) // 2 :])
    return LiveChart(
        f"≈ {percent(high / total)}" if total else "",
        f"of {count(total)} sampled payments score 0.5 or more",
        Axis(
            "score",
            partial(plot.Linear, 0.0, 1.0),
            compact,
            lambda middle: f"{middle - width / 2:.2f} to {middle + width / 2:.2f}",
        ),
        Axis("", partial(plot.Logarithmic, 0.5, plot.decade_above(max(*samples, 10))), compact, count),
        [edge + width / 2 for edge in scores["edges"][:-1]],
        [Series("Sampled payments", "count-bar", samples, is_bars=True)],
        threshold=scores["threshold"],
    )


def _amounts(report: Mapping[str, Any]) -> LiveChart:
    at_risk, caught = report["amounts"]["at_risk"], report["amounts"]["caught"]
    return _over_time(
        report,
        number(at_risk) if at_risk else "",
        f"at risk in this time, {number(caught)} of it caught",
        Series("At risk", "loss", report["minutes"]["at_risk"]),
        Series("Caught", "good dashed", report["minutes"]["caught"]),
    )


def _latency(report: Mapping[str, Any]) -> LiveChart:
    medians, highs, ends = (report["minutes"][name] for name in ("p50_ms", "p99_ms", "latency_to"))
    newest = max((index for index, median in enumerate(medians) if median is not None), default=None)
    return _over_time(
        report,
        "" if newest is None else milliseconds(medians[newest]),
        ""
        if newest is None
        else f"the median of the newest minute to the {ends[newest]}; 99 % within {milliseconds(highs[newest])}",
        Series("99 % within", "curve dashed", highs, combine=max),
        Series("Median", "curve", medians),
        label=milliseconds,
        tick=milliseconds,
        To=[each or NOTHING for each in ends],
    )


def _precision(report: Mapping[str, Any]) -> LiveChart:
    verdicts = report["precision"]["verdicts"]
    confirmed, decided = verdicts["confirmed_fraud"], verdicts["confirmed_fraud"] + verdicts["false_alarm"]
    return _over_time(
        report,
        percent(verdicts["share"]) if decided else "",
        f"confirmed: {count(confirmed)} of {count(decided)} decided; "
        f"{count(verdicts['undecided'] + verdicts['unsure'])} undecided or unsure",
        Series("Confirmed so far", "good", verdicts["share_by_minute"]),
        label=percent,
        tick=lambda share: percent(share, 0),
        top=1.0,
        **{"Verdicts given": [count(each) for each in verdicts["given_by_minute"]]},
    )


def _over_time(
    report: Mapping[str, Any],
    headline: str,
    about: str,
    *series: Series,
    label: Callable[[float], str] = number,
    tick: Callable[[float], str] = compact,
    top: float | None = None,
    **columns: Sequence[str],
) -> LiveChart:
    at = [datetime.fromisoformat(time).timestamp() / 60 for time in report["minutes"]["at"]]
    drawn = (combined(one, group) for one in series for group in groups(len(at)))
    most = top or max((value for value in drawn if value is not None), default=0.0) or 1.0
    return LiveChart(
        headline,
        about,
        Axis("", partial(plot.Minutes, at[0] - 0.5, at[-1] + 0.5), _clock, _clock, _iso),
        Axis("", partial(plot.Linear, 0.0, plot.round_above(most)), tick, label),
        at,
        series,
        columns=columns,
    )


def _clock(minute: float) -> str:
    return formats.minute(datetime.fromtimestamp(minute * 60, UTC))


def _iso(minute: float) -> str:
    return f"{datetime.fromtimestamp(minute * 60, UTC):%Y-%m-%dT%H:%MZ}"
