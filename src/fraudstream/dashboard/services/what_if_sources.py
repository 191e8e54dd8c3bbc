"""Computes the effect of a threshold from three separate sources: test period, live traffic and verdicts."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from sqlalchemy import select

from fraudstream.dashboard.services.live_scores import Traffic
from fraudstream.model.deployment.current import Deployment
from fraudstream.model.evaluation.intervals import most_if_none, wilson
from fraudstream.model.evaluation.record import Evaluation, Operating, ThresholdRow
from fraudstream.model.evaluation.thresholds import row_at
from fraudstream.store import tables
from fraudstream.store.reading import AlertReader
from fraudstream.store.triage_state import VERDICTS, AlertStatus
from fraudstream.transactions.wire import Outcome

MAX_VERDICTS: Final = 15_000
"""The most verdicts read, the newest of all kinds together: their shares determine the money saved."""

_ALERT: Final = tables.alerts.c
MIN_DAYS: Final = 1.0
"""Less than a day says nothing of the alerts a day: nights differ from mornings."""


class PeriodFigures(NamedTuple):
    """The effect of a threshold over a source's period; None for what the source does not know.

    `low` and `high` are the 95 % interval of estimated `alerts` (None if they are counted), `error` is half its width a
    day, `saved` the amounts of the frauds caught less the reviews of the false alarms.
    """

    alerts: float
    alerts_per_day: float | None
    error: float | None
    frauds_caught: float
    frauds_missed: float
    false_alarms: float
    saved: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class WhatIfSource:
    """A source of figures.

    Attributes:
        key: "test", "live" or "verdicts".
        kind: What its figures are: "measured", "estimate" or "partial".
        lacking: Why there are no figures; empty if there are.
        period: Its extent: days, payments, frauds.
        known_from: The lowest threshold that it covers; 0 for all.
        samples: The number of samples of an estimate.
    """

    key: str
    title: str
    kind: str
    about: str
    lacking: str = ""
    period: str = ""
    known_from: float = 0.0
    at: Callable[[float], PeriodFigures] | None = None
    samples: int = 0


def _figures(
    alerts: float, caught: float, missed: float, false_alarms: float, saved: float | None, days: float | None,
    low: float | None = None, high: float | None = None,
) -> PeriodFigures:  # fmt: skip
    days = days if days is not None and days >= MIN_DAYS else None
    error = None if days is None or low is None or high is None else (high - low) / 2 / days
    a_day = None if days is None else alerts / days
    return PeriodFigures(alerts, a_day, error, caught, missed, false_alarms, saved, low, high)


def test_source(evaluation: Evaluation | None, review_cost: float) -> WhatIfSource:
    """Return the model's test period; the validation period if there is none."""
    title = "The model's test period"
    if evaluation is None or not evaluation.thresholds:
        about = "The model's results on payments that it was not trained on."
        lacking = "The model has no table of thresholds: it was trained by an earlier version. Train again to get one."
        return WhatIfSource("test", title, "measured", about, lacking)
    rows = evaluation.thresholds
    if rows[0].test is not None:
        about = "Measured: the model's results on the last payments of the training file, which it was not trained on."
    else:
        title = "The model's validation period"
        about = "Measured on the validation period by models that were not trained on it: there is no test period."

    def at(threshold: float) -> PeriodFigures:
        point = _measured(row_at(rows, threshold))
        caught, saved = point.frauds_caught, point.saved(review_cost)
        return _figures(point.alerts, caught, point.frauds - caught, point.false_alarms, saved, point.days)

    point = _measured(rows[0])
    days = "" if point.days is None else f"{point.days:,.1f} days, "
    weighted = "" if evaluation.legitimate_share >= 1 else "; false alarms are scaled up, the file is a sample"
    return WhatIfSource("test", title, "measured", about, period=f"{days}{point.frauds:,} frauds{weighted}", at=at)


def _measured(row: ThresholdRow) -> Operating:
    """Return the results of the test period, or of the validation period if there is none."""
    return row.test or row.expected


def mean_fraud(evaluation: Evaluation | None) -> float | None:
    """Return the mean amount of a fraud in the model's own table; None without a table."""
    if evaluation is None or not evaluation.thresholds:
        return None
    point = _measured(evaluation.thresholds[0])
    return (point.amount_caught + point.amount_missed) / point.frauds if point.frauds else None


def live_source(
    store: AlertReader, traffic: Traffic | None, active: Deployment, mean_amount: float | None, review_cost: float
) -> WhatIfSource:
    """Return live traffic: alerts as the store has them by their scores, and what is below them from samples."""
    known = active.threshold if traffic is None else max(traffic.threshold, active.threshold)
    about = (
        f"Alerts at {known:.4g} or more are counted; below, an estimate from samples of at most the last 24 hours. "
        "Which payments were frauds is not known yet: their number is the sum of the scores, which is correct if the "
        "model is well calibrated."
    )
    source = WhatIfSource("live", "Live traffic", "estimate", about)
    if traffic is None:
        return replace(
            source, lacking="No sample of this model has arrived yet. Figures appear as soon as payments are scored."
        )
    query = select(_ALERT.score).where(
        _ALERT.outcome == Outcome.ALERT.value,
        _ALERT.model_id == active.model_id,
        _ALERT.produced_us >= traffic.since_us,
        _ALERT.score >= known,
    )
    stored = np.array([row.score for row in store.rows(query)], dtype=np.float64)
    payments = traffic.between(0.0, known)[0] + len(stored)
    frauds = traffic.between(0.0, known)[1] + float(stored.sum())

    def at(threshold: float) -> PeriodFigures:
        counted = stored[stored >= threshold]
        number, caught = float(len(counted)), float(counted.sum())
        low = high = None
        if threshold < known:
            more, more_caught = traffic.between(threshold, known)
            share = more / payments if payments else 0.0
            ends = wilson(share, traffic.size) if more else (0.0, most_if_none(traffic.size))
            low, high = (number + end * payments for end in ends)
            number, caught = number + more, caught + more_caught
        false_alarms = max(number - caught, 0.0)
        saved = None if mean_amount is None else caught * mean_amount - review_cost * false_alarms
        return _figures(number, caught, max(frauds - caught, 0.0), false_alarms, saved, traffic.days, low, high)

    span = f"{traffic.days * 24:,.1f} hours" if traffic.days * 24 >= 1 else f"{traffic.days * 1440:,.1f} minutes"
    money = "" if mean_amount is None else f"; a fraud counted as {mean_amount:,.2f}, the mean of the test period"
    period = f"{span}, about {payments:,.0f} payments ({traffic.samples:,} samples), {len(stored):,} alerts{money}"
    return replace(source, period=period, at=at, samples=traffic.samples)


def verdict_source(store: AlertReader, active: Deployment, review_cost: float) -> WhatIfSource:
    """Return the analysts' verdicts on alerts of the active model so far."""
    about = (
        f"Partial: only alerts have a verdict. Payments below the active threshold of {active.threshold:.4g} have "
        "none, so the verdicts do not show the effect of a lower one."
    )
    source = WhatIfSource("verdicts", "Verdicts so far", "partial", about)
    query = (
        select(_ALERT.status, _ALERT.score, _ALERT.amount, _ALERT.produced_us, _ALERT.model_id)
        .where(
            _ALERT.decided_us.is_not(None),
            _ALERT.outcome == Outcome.ALERT.value,
            _ALERT.status.in_([status.value for status in VERDICTS]),
        )
        .order_by(_ALERT.decided_us.desc())
        .limit(MAX_VERDICTS)
    )
    newest = store.rows(query)
    rows = [row for row in newest if row.model_id == active.model_id and row.score is not None]
    if not rows:
        return replace(source, lacking="No alert of this model is decided yet. Open an alert and decide it.")
    scores = np.array([row.score for row in rows], dtype=np.float64)
    amounts = np.array([row.amount or 0.0 for row in rows], dtype=np.float64)
    status_of = np.array([row.status for row in rows], dtype=str)  # an unsure one is neither
    is_fraud = status_of == AlertStatus.CONFIRMED_FRAUD.value
    is_false = status_of == AlertStatus.FALSE_ALARM.value
    times = [row.produced_us for row in rows if row.produced_us is not None]
    days = (max(times) - min(times)) / 86_400e6 if times else 0.0

    def at(threshold: float) -> PeriodFigures:
        is_alert = scores >= threshold
        caught, false_alarms = is_alert & is_fraud, int((is_alert & is_false).sum())
        missed, saved = int((is_fraud & ~is_alert).sum()), float(amounts[caught].sum()) - review_cost * false_alarms
        return _figures(int(is_alert.sum()), int(caught.sum()), missed, false_alarms, saved, days)

    frauds, false = int(is_fraud.sum()), int(is_false.sum())
    period = (
        f"{'the newest ' if len(newest) == MAX_VERDICTS else ''}{len(rows):,} decided: {frauds:,} frauds, "
        f"{false:,} false alarms, {len(rows) - frauds - false:,} unsure"
    )
    return replace(source, period=period, known_from=active.threshold, at=at)
