"""Finds alerts similar to one: with the same card, customer, merchant or terminal, else nearest by its reasons' values.

Values are compared with the alerts stored around it, in chunks and within a time limit: the cost does not grow with
the store.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import orjson
from sqlalchemy import ColumnElement, Connection, func, select

from fraudstream.store import tables
from fraudstream.store.entities import EntityReader
from fraudstream.store.reading import AlertReader, StoredAlert
from fraudstream.transactions.entities import Entity, entities_of
from fraudstream.transactions.wire import AlertField, Outcome

SHOWN: Final = 8
MOST_SHARING: Final = 500
"""The newest alerts with the same entity that are compared by how many entities they share."""

AROUND_BY_VALUES: Final = 5_000
CHUNK: Final = 500
SECONDS: Final = 0.12
"""The time limit of the scan, so that the page takes at most 200 ms whatever the size of the alerts."""

_ALERT: Final = tables.alerts.c
_COLUMNS: Final = tuple(_ALERT[name] for name in ("seq", "alert_id", "score", "amount", "status", "body"))


@dataclass(frozen=True, slots=True)
class SimilarAlert:
    """An alert similar to another: the columns with equal values (`shared`), or else the distance of its values.

    The distance is in standard deviations of the alerts compared.
    """

    alert_id: str
    seq: int
    produced_at: str
    score: float | None
    amount: float | None
    status: str
    shared: tuple[str, ...] = ()
    distance: float | None = None


@dataclass(frozen=True, slots=True)
class Similarity:
    """The similar alerts, and the criterion: "entities", "values" or "nothing"."""

    by: str
    columns: tuple[str, ...]
    compared: int
    alerts: tuple[SimilarAlert, ...]


def similar_alerts(store: AlertReader, alert: StoredAlert, values: Mapping[str, float]) -> Similarity:
    """Return the alerts that share an entity; if there are none, the nearest ones by values.

    `values` are the columns of its transaction to compare, with their values: those of its reasons.
    """
    document = alert.document()
    stored = [Entity(each["column"], each["value"]) for each in document.get("entities") or ()]
    if entities := stored or entities_of(document[AlertField.TRANSACTION]):
        alerts = _with_shared_entity(store, alert.seq, entities)
        if alerts or not values:
            return Similarity("entities", tuple(each.column for each in entities), 0, tuple(alerts))
    model_id = document.get(AlertField.MODEL_ID)
    if not values or not isinstance(model_id, str):
        return Similarity("nothing", (), 0, ())
    with store.database.read() as connection:
        compared, alerts = _nearest(connection, alert.seq, model_id, values)
    return Similarity("values", tuple(values), compared, tuple(alerts))


def _chunks(
    connection: Connection, seq: int, reach: int, condition: ColumnElement[bool]
) -> Iterator[tuple[int, Sequence[Any]]]:
    """Yield the size and the matching alerts of chunks around a `seq`, alternately of earlier and of later alerts.

    Ends when `reach` alerts are scanned or the time limit is reached.
    """
    bounds = select(func.min(_ALERT.seq)), select(func.max(_ALERT.seq))
    first, last = (connection.execute(each).scalar() or 0 for each in bounds)
    ended = time.perf_counter() + SECONDS
    low = high = seq
    scanned, turn = 0, -1
    query = select(*_COLUMNS).where(_ALERT.outcome == Outcome.ALERT.value, condition).order_by(_ALERT.seq.desc())
    while scanned < reach and (low > first or high < last) and time.perf_counter() < ended:
        turn = -turn if (high < last if turn < 0 else low > first) else turn
        if turn < 0:
            start, end = max(low - CHUNK, first), low - 1
            low = start
        else:
            start, end = high + 1, min(high + CHUNK, last)
            high = end
        scanned += end - start + 1
        yield end - start + 1, connection.execute(query.where(_ALERT.seq.between(start, end))).all()


def _with_shared_entity(store: AlertReader, seq: int, entities: Sequence[Entity]) -> list[SimilarAlert]:
    shared: dict[int, list[str]] = {}
    for other, column in EntityReader(store.database).sharing(seq, entities, MOST_SHARING):
        shared.setdefault(other, []).append(column)
    first = sorted(shared, key=lambda other: (-len(shared[other]), abs(other - seq)))[:SHOWN]
    rows = {row.seq: row for row in store.rows(select(*_COLUMNS).where(_ALERT.seq.in_(first)))}
    return [_similar(rows[each], orjson.loads(rows[each].body), tuple(shared[each])) for each in first]


def _nearest(
    connection: Connection, seq: int, model_id: str, values: Mapping[str, float]
) -> tuple[int, list[SimilarAlert]]:
    names = list(values)
    rows: list[Any] = []
    table: list[list[float]] = []
    for _, chunk in _chunks(connection, seq, AROUND_BY_VALUES, _ALERT.model_id == model_id):
        for row in chunk:
            transaction = orjson.loads(row.body)[AlertField.TRANSACTION]
            rows.append(row)
            table.append([_number(transaction.get(name)) for name in names])
    if not rows:
        return 0, []
    own = np.array([values[name] for name in names])
    others = np.array(table)
    with np.errstate(invalid="ignore", over="ignore"):
        spread = np.nanstd(np.vstack([others, own]), axis=0)
        apart = np.abs(others - own) / np.where(spread > 0, spread, 1.0)
        # A missing value counts as one standard deviation away.
        distance = np.sqrt(np.mean(np.where(np.isfinite(apart), apart, 1.0) ** 2, axis=1))
    nearest = np.argsort(distance, kind="stable")[:SHOWN]
    return len(rows), [
        replace(_similar(rows[at], orjson.loads(rows[at].body), ()), distance=float(distance[at])) for at in nearest
    ]


def _similar(row: Any, document: Mapping[str, Any], shared: tuple[str, ...]) -> SimilarAlert:
    at = document.get(AlertField.PRODUCED_AT) or document.get("received_at") or ""
    return SimilarAlert(row.alert_id, row.seq, at, row.score, row.amount, row.status, shared)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")
