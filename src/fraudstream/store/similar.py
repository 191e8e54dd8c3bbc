"""Finds the alerts nearest to one by the values of its reasons.

Only the alerts stored around it are compared, within a time limit: the cost does not grow with the store.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import merge
from typing import Any, Final

import numpy as np
import orjson
from sqlalchemy import select

from fraudstream.store import tables
from fraudstream.store.reading import AlertReader, StoredAlert
from fraudstream.transactions.wire import AlertField, Outcome

SHOWN: Final = 8
AROUND: Final = 1_000
CHUNK: Final = 100
SECONDS: Final = 0.12
"""The time limit of the scan, so that the page takes at most 200 ms whatever the size of the alerts."""

_ALERT: Final = tables.alerts.c
_COLUMNS: Final = tuple(_ALERT[name] for name in ("seq", "alert_id", "score", "amount", "status", "body"))


@dataclass(frozen=True, slots=True)
class SimilarAlert:
    """An alert similar to another, with the distance of its values in standard deviations of the alerts compared."""

    alert_id: str
    seq: int
    produced_at: str
    score: float | None
    amount: float | None
    status: str
    distance: float


@dataclass(frozen=True, slots=True)
class Similarity:
    """The similar alerts by the values of some columns, among so many that were compared."""

    columns: tuple[str, ...]
    compared: int
    alerts: tuple[SimilarAlert, ...]


def similar_alerts(store: AlertReader, alert: StoredAlert, values: Mapping[str, float]) -> Similarity:
    """Return the alerts of the same model that are nearest by the values of some columns, those of its reasons."""
    model_id, names = alert.document().get(AlertField.MODEL_ID), list(values)
    if not values or not isinstance(model_id, str):
        return Similarity((), 0, ())
    rows: list[Any] = []
    table: list[list[float]] = []
    by_chunk = select(*_COLUMNS).execution_options(yield_per=CHUNK)
    alike = by_chunk.where(_ALERT.outcome == Outcome.ALERT.value, _ALERT.model_id == model_id)
    before = alike.where(_ALERT.seq.between(alert.seq - AROUND, alert.seq - 1)).order_by(_ALERT.seq.desc())
    after = alike.where(_ALERT.seq.between(alert.seq + 1, alert.seq + AROUND)).order_by(_ALERT.seq)
    ended = time.perf_counter() + SECONDS
    with store.database.read() as connection, connection.execute(before) as older, connection.execute(after) as newer:
        for row in merge(older, newer, key=lambda row: abs(row.seq - alert.seq)):  # the closest first
            if time.perf_counter() > ended:
                break
            document = orjson.loads(row.body)
            transaction = {**document[AlertField.TRANSACTION], **(document.get(AlertField.HISTORY) or {})}
            rows.append(row)
            table.append([_number(transaction.get(name)) for name in names])
    if not rows:
        return Similarity(tuple(names), 0, ())
    own, others = np.array(list(values.values())), np.array(table)
    with np.errstate(invalid="ignore", over="ignore"):
        spread = np.nanstd(np.vstack([others, own]), axis=0)
        apart = np.abs(others - own) / np.where(spread > 0, spread, 1.0)
        # A missing value counts as one standard deviation away.
        distance = np.sqrt(np.mean(np.where(np.isfinite(apart), apart, 1.0) ** 2, axis=1))
    nearest = np.argsort(distance, kind="stable")[:SHOWN]
    return Similarity(tuple(names), len(rows), tuple(_similar(rows[at], float(distance[at])) for at in nearest))


def _similar(row: Any, distance: float) -> SimilarAlert:
    document = orjson.loads(row.body)
    at = document.get(AlertField.PRODUCED_AT) or document.get("received_at") or ""
    return SimilarAlert(row.alert_id, row.seq, at, row.score, row.amount, row.status, distance)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")
