"""Computes the effect of a threshold from three separate sources: test period, live traffic and verdicts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from fraudstream.dashboard.services.live_scores import Traffic
from fraudstream.model.evaluation.intervals import most_if_none, wilson
from fraudstream.model.evaluation.record import Evaluation, Operating
from fraudstream.model.evaluation.thresholds import row_at
from fraudstream.store import tables
from fraudstream.store.reading import AlertReader
from fraudstream.store.triage_state import VERDICTS, AlertStatus
from fraudstream.transactions.wire import Outcome

MAX_VERDICTS: Final = 15_000
"""The most verdicts read, the newest of all kinds together: their shares determine the money saved."""


@dataclass(frozen=True)
class Verdicts:
    """Decided alerts of one model, and whether there are more than were read (`is_cut`).

    For an alert decided as unsure neither `is_fraud` nor `is_false` holds; `amount` is 0 for a payment without one.
    `days` are from the first payment to the last; None if unknown.
    """

    score: NDArray[np.float64]
    amount: NDArray[np.float64]
    is_fraud: NDArray[np.bool_]
    is_false: NDArray[np.bool_]
    days: float | None
    is_cut: bool


def read_verdicts(store: AlertReader, model_id: str) -> Verdicts:
    """Read the newest verdicts on alerts of a model."""
    column = tables.alerts.c
    query = (
        select(column.status, column.score, column.amount, column.produced_us, column.model_id)
        .where(
            column.decided_us.is_not(None),
            column.outcome == Outcome.ALERT.value,
            column.status.in_([status.value for status in VERDICTS]),
        )
        .order_by(column.decided_us.desc())
        .limit(MAX_VERDICTS)
    )
    newest = store.rows(query)
    is_cut = len(newest) == MAX_VERDICTS
    rows = [row for row in newest if row.model_id == model_id and row.score is not None]
    times = [row.produced_us for row in rows if row.produced_us is not None]
    status_of = np.array([row.status for row in rows], dtype=str)
    return Verdicts(
        score=np.array([row.score for row in rows], dtype=np.float64),
        amount=np.array([row.amount or 0.0 for row in rows], dtype=np.float64),
        is_fraud=status_of == AlertStatus.CONFIRMED_FRAUD.value,
        is_false=status_of == AlertStatus.FALSE_ALARM.value,
        days=(max(times) - min(times)) / 86_400e6 if len(times) > 1 else None,
        is_cut=is_cut,
    )


def read_alert_scores(store: AlertReader, model_id: str, since_us: int) -> NDArray[np.float64]:
    """Read the scores of a model's alerts on payments that were produced since a time."""
    column = tables.alerts.c
    query = select(column.score).where(
        column.outcome == Outcome.ALERT.value, column.model_id == model_id, column.produced_us >= since_us
    )
    return np.array([row.score for row in store.rows(query) if row.score is not None], dtype=np.float64)


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


def test_source(evaluation: Evaluation | None, review_cost: float) -> WhatIfSource:
    """Return the model's test period; the validation period if there is none."""
    title = "The model's test period"
    if evaluation is None or not evaluation.thresholds:
        about = "The model's results on payments that it was not trained on."
        lacking = "The model has no table of thresholds: it was trained by an earlier version. Train again to get one."
        return WhatIfSource("test", title, "measured", about, lacking)
    rows = evaluation.thresholds
    is_test = all(row.test is not None for row in rows)
    if is_test:
        about = "Measured: the model's results on the last payments of the training file, which it was not trained on."
    else:
        title = "The model's validation period"
        about = "Measured on the validation period by models that were not trained on it: there is no test period."

    def operating(threshold: float) -> Operating:
        row = row_at(rows, threshold)
        return row.test if is_test and row.test is not None else row.expected

    def at(threshold: float) -> PeriodFigures:
        point = operating(threshold)
        return PeriodFigures(
            point.alerts,
            point.alerts_per_day,
            None,
            point.frauds_caught,
            point.frauds - point.frauds_caught,
            point.false_alarms,
            point.saved(review_cost),
        )

    point = operating(rows[0].threshold)
    days = "" if point.days is None else f"{point.days:,.1f} days, "
    weighted = "" if evaluation.legitimate_share >= 1 else "; false alarms are scaled up, the file is a sample"
    return WhatIfSource("test", title, "measured", about, period=f"{days}{point.frauds:,} frauds{weighted}", at=at)


def mean_fraud(evaluation: Evaluation | None) -> float | None:
    """Return the mean amount of a fraud in the model's own table; None without a table."""
    if evaluation is None or not evaluation.thresholds:
        return None
    row = evaluation.thresholds[0]
    point = row.test or row.expected
    return (point.amount_caught + point.amount_missed) / point.frauds if point.frauds else None


def live_source(
    traffic: Traffic | None, alerts: NDArray[np.float64], active: float, mean_amount: float | None, review_cost: float
) -> WhatIfSource:
    """Return live traffic: alerts as the store has them by their scores, and what is below them from samples."""
    title = "Live traffic"
    known = active if traffic is None else max(traffic.threshold, active)
    about = (
        f"Alerts at {known:.4g} or more are counted; below, an estimate from samples of at most the last 24 hours. "
        "Which payments were frauds is not known yet: their number is the sum of the scores, which is correct if the "
        "model is well calibrated."
    )
    if traffic is None:
        lacking = "No sample of this model has arrived yet. Figures appear as soon as payments are scored."
        return WhatIfSource("live", title, "estimate", about, lacking)
    days = traffic.days if traffic.days >= MIN_DAYS else None
    stored = alerts[alerts >= known]
    payments = traffic.between(0.0, known)[0] + len(stored)
    frauds = traffic.between(0.0, known)[1] + float(stored.sum())

    def at(threshold: float) -> PeriodFigures:
        counted = stored[stored >= threshold]
        number, caught = float(len(counted)), float(counted.sum())
        low = high = error = None
        if threshold < known:
            more, more_caught = traffic.between(threshold, known)
            share = more / payments if payments else 0.0
            ends = wilson(share, traffic.size) if more else (0.0, most_if_none(traffic.size))
            low, high = (number + end * payments for end in ends)
            error = None if days is None else (high - low) / 2 / days
            number, caught = number + more, caught + more_caught
        false_alarms = max(number - caught, 0.0)
        return PeriodFigures(
            number,
            None if days is None else number / days,
            error,
            caught,
            max(frauds - caught, 0.0),
            false_alarms,
            None if mean_amount is None else caught * mean_amount - review_cost * false_alarms,
            low,
            high,
        )

    span = f"{traffic.days * 24:,.1f} hours" if traffic.days * 24 >= 1 else f"{traffic.days * 1440:,.1f} minutes"
    money = "" if mean_amount is None else f"; a fraud counted as {mean_amount:,.2f}, the mean of the test period"
    period = f"{span}, about {payments:,.0f} payments ({traffic.samples:,} samples), {len(stored):,} alerts{money}"
    return WhatIfSource("live", title, "estimate", about, period=period, at=at, samples=traffic.samples)


def verdict_source(verdicts: Verdicts, deployment: float, review_cost: float) -> WhatIfSource:
    """Return the analysts' verdicts so far."""
    title = "Verdicts so far"
    about = (
        f"Partial: only alerts have a verdict. Payments below the active threshold of {deployment:.4g} have none, "
        "so the verdicts do not show the effect of a lower one."
    )
    decided = len(verdicts.score)
    if not decided:
        lacking = "No alert of this model is decided yet. Open an alert and decide it."
        return WhatIfSource("verdicts", title, "partial", about, lacking)

    def at(threshold: float) -> PeriodFigures:
        is_alert = verdicts.score >= threshold
        caught, false = is_alert & verdicts.is_fraud, is_alert & verdicts.is_false
        alerts, false_alarms = int(is_alert.sum()), int(false.sum())
        return PeriodFigures(
            alerts,
            alerts / verdicts.days if verdicts.days and verdicts.days >= MIN_DAYS else None,
            None,
            int(caught.sum()),
            int((verdicts.is_fraud & ~is_alert).sum()),
            false_alarms,
            float(verdicts.amount[caught].sum()) - review_cost * false_alarms,
        )

    frauds, false = int(verdicts.is_fraud.sum()), int(verdicts.is_false.sum())
    newest, unsure = "the newest " if verdicts.is_cut else "", decided - frauds - false
    period = f"{newest}{decided:,} decided: {frauds:,} frauds, {false:,} false alarms, {unsure:,} unsure"
    return WhatIfSource("verdicts", title, "partial", about, period=period, known_from=deployment, at=at)
