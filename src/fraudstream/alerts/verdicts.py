"""The verdicts so far as rows of score, amount and verdict: what a threshold can be held against; bounded in number."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from fraudstream.alerts import tables
from fraudstream.alerts.reading import AlertReader
from fraudstream.alerts.status import VERDICTS, AlertStatus
from fraudstream.transactions.wire import Outcome

MOST: Final = 15_000
"""So many of the newest verdicts are read, of all kinds together: their shares are what the money is worked out of."""


@dataclass(frozen=True)
class Verdicts:
    """Decided alerts of one model, and whether there are more than were read (`is_cut`).

    Of an alert whose person was unsure neither `is_fraud` nor `is_false` holds; `amount` is 0 where its payment has
    none. `days` are from the first payment to the last; None where that is not known.
    """

    score: NDArray[np.float64]
    amount: NDArray[np.float64]
    is_fraud: NDArray[np.bool_]
    is_false: NDArray[np.bool_]
    days: float | None
    is_cut: bool


def read_verdicts(store: AlertReader, model_id: str) -> Verdicts:
    """The newest verdicts on alerts of a model."""
    column = tables.alerts.c
    query = (
        select(column.status, column.score, column.amount, column.produced_us, column.model_id)
        .where(
            column.decided_us.is_not(None),
            column.outcome == Outcome.ALERT.value,
            column.status.in_([status.value for status in VERDICTS]),
        )
        .order_by(column.decided_us.desc())
        .limit(MOST)
    )
    found = store.rows(query)
    is_cut = len(found) == MOST
    rows = [row for row in found if row.model_id == model_id and row.score is not None]
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
