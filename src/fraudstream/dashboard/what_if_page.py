"""The page What if: a threshold looked at, from three sources, and applied; figures are `what_if.py`'s.

The server renders it at any threshold, which stands in its address; `static/js/what_if.js` asks for it anew as the
slider moves.
"""

import math
from typing import Final, NamedTuple

from flask import render_template, request

from fraudstream.dashboard import readable
from fraudstream.dashboard.actor import actor_or_nobody
from fraudstream.dashboard.parts import parts
from fraudstream.dashboard.queries import WhatIfQuery
from fraudstream.dashboard.threshold_change import former_changes
from fraudstream.dashboard.what_if import what_if
from fraudstream.dashboard.what_if_charts import charts
from fraudstream.dashboard.what_if_sources import Figures, Source
from fraudstream.errors import ModelError
from fraudstream.model.report.words import score

SLIDER_STEPS: Final = 200
SLIDER_END: Final = 10.0
"""The slider goes in even steps of the log odds, from -10 to 10; static/js/what_if.js does the same."""

MINUS: Final = "\N{MINUS SIGN}"


class Line(NamedTuple):
    """A figure of a source at the active threshold (`now`) and at the one looked at (`then`), with the signed change.

    `sense` is "better", "worse" or empty; `help` says what the figure means.
    """

    name: str
    now: str
    then: str
    change: str
    sense: str
    help: str


class Card(NamedTuple):
    """A source with its lines; none where it has no figures."""

    source: Source
    lines: list[Line]
    note: str


def what_if_page() -> str:
    """The page at the threshold of its address."""
    using = parts()
    query = WhatIfQuery.read(request.args)
    try:
        found = what_if(using, query.threshold, query.review_cost)
    except ModelError as e:
        return render_template("what_if.html", notice=using.notice, found=None, cause=e.line)
    cards = [_card(source, found.in_force.threshold, found.threshold) for source in found.sources]
    return render_template(
        "what_if.html",
        notice=using.notice,
        found=found,
        name=actor_or_nobody().name,
        cards=cards,
        charts=charts(found),
        position=position(found.threshold),
        slider_steps=SLIDER_STEPS,
        changes=former_changes(using),
        needs_token=using.settings.ingest_token is not None,
        score=score,
        short_id=readable.short_id,
        summary=_summary(cards, found.threshold, found.in_force.threshold),
    )


def position(threshold: float) -> int:
    """Where a threshold stands on the slider."""
    if threshold <= 0.0:
        return 0
    if threshold >= 1.0:
        return SLIDER_STEPS
    share = (math.log(threshold / (1 - threshold)) + SLIDER_END) / (2 * SLIDER_END)
    return round(min(max(share, 0.0), 1.0) * SLIDER_STEPS)


def _card(source: Source, in_force: float, threshold: float) -> Card:
    if source.at is None:
        return Card(source, [], "")
    now, then = source.at(in_force), source.at(max(threshold, source.known_from))
    about = "≈ " if source.kind == "estimate" else ""
    lines = [
        _line("Alerts a day", now, then, "alerts_per_day", about, None, "People have to look at each."),
        _line("Alerts", now, then, "alerts", about, None, "Over the whole of the period."),
        _line("Frauds caught", now, then, "frauds_caught", about, True, "Frauds at or above the threshold."),
        _line("Frauds missed", now, then, "frauds_missed", about, False, "Frauds below it."),
        _line("False alarms", now, then, "false_alarms", about, False, "Legitimate payments at or above it."),
        _line("Money saved", now, then, "saved", about, True, "Amounts of the frauds caught less the reviews."),
    ]
    notes = []
    if source.kind == "estimate" and then.error is not None:
        notes.append(f"Alerts a day within ± {_shown(then.error)} (95 %).")
    if threshold < source.known_from:
        notes.append(
            f"Below {source.known_from:.4g} nothing was an alert, so nothing was decided: these are the figures at "
            f"{source.known_from:.4g}."
        )
    return Card(source, lines, " ".join(notes))


def _line(
    name: str, now: Figures, then: Figures, field: str, about: str, more_is_better: bool | None, help_: str
) -> Line:
    was, is_ = getattr(now, field), getattr(then, field)
    if was is None or is_ is None:
        return Line(name, "n/a", "n/a", "", "", help_)
    difference = is_ - was
    is_none = abs(difference) < 0.005
    sense = "" if more_is_better is None or is_none else "better" if (difference > 0) == more_is_better else "worse"
    change = "no change" if is_none else f"{MINUS if difference < 0 else '+'}{_shown(abs(difference))}"
    return Line(name, about + _shown(was), about + _shown(is_), change, sense, help_)


def _shown(value: float) -> str:
    text = f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:,.1f}"
    return text.replace("-", MINUS) if text.strip("-0.,") else "0"


def _summary(cards: list[Card], threshold: float, in_force: float) -> str:
    """What the slider has done, in a sentence for who does not see the figures."""
    if threshold == in_force:
        return f"The threshold in force, {score(in_force)}."
    told = [
        f"{card.source.title}: alerts {_alerts(card)}, money saved {card.lines[5].change or 'not known'}"
        for card in cards
        if card.lines
    ]
    return f"At {score(threshold)} instead of {score(in_force)}. " + "; ".join(told) + "."


def _alerts(card: Card) -> str:
    return f"{card.lines[0].change} a day" if card.lines[0].change else card.lines[1].change
