"""Describes the report's figures in sentences and formats numbers."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from fraudstream.model.evaluation.bootstrap import Estimate
from fraudstream.model.evaluation.comparison import Measure
from fraudstream.model.evaluation.evaluate import FRAUDS_FOR_COST
from fraudstream.model.evaluation.record import Evaluation, Operating

NONE: Final = "n/a"
SPACE: Final = "\N{NO-BREAK SPACE}"


def percent(share: float | None, digits: int = 1) -> str:
    """Format a share from 0 to 1 as "79.0 %", with a no-break space."""
    return NONE if share is None else f"{100 * share:.{digits}f}{SPACE}%"


def small_percent(share: float) -> str:
    """Format a share that may be far below 1 %, with two significant figures."""
    return percent(share) if share >= 0.01 or share == 0 else f"{plain(100 * share)}{SPACE}%"


def percent_tick(share: float) -> str:
    """Format a share for an axis tick, as short as possible."""
    return f"{plain(100 * share, 3)}{SPACE}%"


def count(value: float | None, digits: int = 0) -> str:
    """Format a count, as "1,234"."""
    return NONE if value is None else f"{value:,.{digits}f}"


def money(value: float | None) -> str:
    """Format an amount, as "1,234.50"; a CSV does not state its currency."""
    return NONE if value is None else f"{value:,.2f}"


def plain(value: float, figures: int = 2) -> str:
    """Format with this many significant figures, without an exponent: "0.000087"."""
    return format(Decimal(f"{value:.{figures}g}"), "f")


def score(value: float) -> str:
    """Format a score or a threshold; one close to 1 with enough digits to differ from 1."""
    if 0.99 < value < 1:
        return f"{value:.{min(math.ceil(-math.log10(1 - value)) + 1, 12)}f}"
    return plain(value, 3)


def estimate(figure: Estimate | None) -> str:
    """Format a figure with its interval, as "0.790 (0.695 to 0.879)"."""
    return NONE if figure is None else _with_interval(figure, lambda value: f"{value:.3f}")


def estimate_percent(figure: Estimate) -> str:
    """Format a share with its interval, as "78.0 % (67.8 % to 88.1 %)"."""
    return _with_interval(figure, percent)


def signed(figure: Estimate) -> str:
    """Format a difference with its interval, as "+0.012 (-0.003 to +0.027)"."""
    return _with_interval(figure, lambda value: f"{value:+.3f}")


def compared(measure: Measure) -> tuple[str, str, str, str]:
    """Format a figure of two models: its name, the new and the former one, and the difference."""
    digits = 0 if abs(measure.former.value) >= 10 else 4
    own = [_with_interval(figure, lambda value: f"{value:,.{digits}f}") for figure in (measure.new, measure.former)]
    return measure.name, own[0], own[1], _with_interval(measure.difference, lambda value: f"{value:+,.{digits}f}")


def _with_interval(figure: Estimate, form: Callable[[float], str]) -> str:
    ends = figure.interval
    return f"{form(figure.value)} ({f'{form(ends.low)} to {form(ends.high)}' if ends else figure.note})"


ROUGH_FRAUDS: Final = 30
"""With fewer frauds in the test period, one more or less moves recall by more than three points."""
_FACTOR: Final = 2.0
_LEAST_ALERTS: Final = 10


def cautions(evaluation: Evaluation) -> list[str]:
    """Return what makes the figures rough, with the counts behind it."""
    test, row = evaluation.test, evaluation.threshold.row
    notes = []
    if test is not None and test.frauds < ROUGH_FRAUDS:
        notes.append(f"{test.frauds} frauds in the test period: figures are rough")
    if test is not None and test.days is not None and test.days < 1:
        notes.append(f"the test period is {duration(test.days)} long: nothing is scaled to days")
    if row is None:
        return notes
    if row.expected.frauds < FRAUDS_FOR_COST:
        notes.append(f"{row.expected.frauds} frauds to choose the threshold on: a false-alarm rate decides, not cost")
    expected = None if row.test is None else row.expected.expected_alerts(row.test)
    if row.test is not None and expected is not None:
        ends = sorted((expected, row.test.alerts))
        if ends[1] >= _LEAST_ALERTS and ends[1] > _FACTOR * ends[0]:
            notes.append(f"{count(expected)} alerts expected in the test period, {count(row.test.alerts)} raised")
    return notes


def duration(days: float) -> str:
    """Format a span in its largest units, as "7 h 5 min"."""
    minutes = round(days * 1440)
    if days >= 1:
        return f"{days:,.1f} days"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def workload(operating: Operating) -> str:
    """Format the alerts of a period: per day if it is a day or longer, else as many as there were."""
    if operating.alerts_per_day is not None:
        return f"{operating.alerts_per_day:,.1f} alerts a day"
    return f"{operating.alerts:,.0f} alerts" + (f" in {duration(operating.days)}" if operating.days else "")


def operating_summary(at: Operating, review_cost: float) -> str:
    """Summarize what a threshold caught and cost over a period, in a verb phrase."""
    true = f", {percent(at.precision, 0)} of its alerts were frauds" if at.alerts else ""
    saved = at.saved(review_cost)
    balance = f"saved {money(saved)}" if saved >= 0 else f"cost {money(-saved)} more than having no model"
    cost = f"{count(at.false_alarms)} false alarms ({workload(at)}){true}"
    caught = f"{count(at.frauds_caught)} of the {count(at.frauds)} frauds"
    return f"caught {caught} at the cost of {cost}, and {balance} when a review costs {review_cost:g}"
