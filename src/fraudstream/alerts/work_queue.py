"""Which new alert comes next; `work.py` claims it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from enum import StrEnum
from typing import Final

from fraudstream.alerts.filters import AlertFilter, Sort
from fraudstream.alerts.search import AlertSearch
from fraudstream.alerts.status import AlertStatus
from fraudstream.messages.posted import STORED_OUTCOMES
from fraudstream.transactions.wire import AlertField

TOGETHER: Final = 8
"""Candidates that are looked up at once: where several people ask at the same time, each gets one of them."""

SCAN_SECONDS: Final = 10.0
"""The longest that a column without an index is searched: what was not found by then is not waited for."""


class Order(StrEnum):
    """Which alert comes first."""

    LOSS = "loss"
    SCORE = "score"
    NEWEST = "newest"
    OLDEST = "oldest"


def candidates(search: AlertSearch, wanted: AlertFilter, order: Order, skip: Collection[str] = ()) -> list[str]:
    """The ids of the first new alerts in an order.

    Args:
        search: Finds them.
        wanted: Which alerts; of those of every outcome, frauds come before what could not be judged.
        order: Which first.
        skip: Ids that are not wanted.
    """
    if wanted.statuses and AlertStatus.NEW not in wanted.statuses:
        return []
    ids: list[str] = []
    for outcome in STORED_OUTCOMES if wanted.outcome is None else (wanted.outcome,):
        new = replace(wanted, outcome=outcome, statuses=(AlertStatus.NEW.value,))
        page = search.page(new, sort=Sort(order), limit=TOGETHER + len(skip), seconds=SCAN_SECONDS)
        ids += [str(alert.document()[AlertField.ALERT_ID]) for alert in page.alerts]
    return [each for each in ids if each not in skip][:TOGETHER]
