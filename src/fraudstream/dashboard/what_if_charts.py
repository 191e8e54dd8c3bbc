"""The charts of the page What if: a figure by threshold, a line for each source; figures are `what_if.py`'s."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from markupsafe import Markup

from fraudstream.charts import svg
from fraudstream.charts.plot import Area, Figure, threshold_mark
from fraudstream.charts.scales import Linear, Logarithmic, LogOdds, Scale, decade_above
from fraudstream.charts.series import Axis, Series, series_chart, table_rows
from fraudstream.dashboard.readable import compact
from fraudstream.dashboard.what_if import WhatIf, curve
from fraudstream.dashboard.what_if_sources import Figures
from fraudstream.model.report.words import percent, plain, score

_CLASSES: Final = {"test": "curve", "live": "second dashed", "verdicts": "other dotted"}


def charts(found: WhatIf) -> list[tuple[str, Figure]]:
    """The charts with their headings."""
    points = curve(found.sources)
    thresholds = [threshold for threshold, _ in points]
    across = Axis("threshold", partial(LogOdds, thresholds[0], thresholds[-1]), lambda v: plain(v, 4), score)
    sources = [source for source in found.sources if source.at is not None]

    def marks(area: Area, across: Scale, _up: Scale) -> Iterator[Markup]:
        active = across.at(found.in_force.threshold)
        yield svg.line((active, area.top), (active, area.bottom), "axis in-force")
        yield from threshold_mark(area, across.at(found.threshold), "threshold", score(found.threshold))

    def chart(up: Axis, about: str, value: Callable[[Figures, str], float | None]) -> Figure:
        series = [
            Series(
                f"{source.title} ({source.kind})",
                _CLASSES[source.key],
                [value(at[source.key], source.key) if source.key in at else None for _, at in points],
            )
            for source in sources
        ]
        return series_chart(
            across,
            up,
            thresholds,
            series,
            about=f"{about}, from {len(sources)} sources; the threshold looked at is {score(found.threshold)}",
            caption=about,
            headings=("threshold", *(one.name for one in series)),
            rows=table_rows(across, up, thresholds, series),
            marks=marks,
            left=74,
        )

    most_alerts = max((each.alerts_per_day or 0.0 for _, at in points for each in at.values()), default=0.0)
    # Sources are of periods and traffic of their own size: what each could save at most is 100 % of it.
    most_saved = {
        source.key: max((each.saved for _, at in points if (each := at.get(source.key)) and each.saved), default=0.0)
        for source in found.sources
    }

    def caught(figures: Figures, _key: str) -> float | None:
        frauds = figures.frauds_caught + figures.frauds_missed
        return figures.frauds_caught / frauds if frauds else None

    def saved(figures: Figures, key: str) -> float | None:
        return None if figures.saved is None or most_saved[key] <= 0 else figures.saved / most_saved[key]

    alerts_scale = partial(Logarithmic, 1.0, decade_above(max(most_alerts, 10.0)))
    alerts = Axis("alerts a day (1 or fewer at the bottom)", alerts_scale, compact, compact)
    return [
        ("Alerts a day", chart(alerts, "Alerts a day by threshold", lambda figures, _: figures.alerts_per_day)),
        (
            "Share of the frauds caught",
            chart(_share("share of the frauds caught", 0.0), "Frauds caught by threshold", caught),
        ),
        (
            "Money saved",
            chart(
                _share("share of the most that the source could save", -0.5),
                "Money saved by threshold, as a share of the most",
                saved,
            ),
        ),
    ]


def _share(name: str, low: float) -> Axis:
    return Axis(name, partial(Linear, low, 1.0), lambda value: percent(value, 0), percent)
