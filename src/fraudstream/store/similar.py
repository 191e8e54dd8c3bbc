"""Finds alerts similar to one: with the same card, customer, merchant or terminal, else nearest by its reasons' values.

Only the alerts stored around it are compared, in chunks and within a time limit: the cost does not grow with the store.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
from sqlalchemy import ColumnElement, Connection, Text, cast, func, or_, select

from fraudstream.store import tables
from fraudstream.store.reading import AlertReader, StoredAlert
from fraudstream.transactions.times import words_of
from fraudstream.transactions.wire import AlertField, Outcome

_KINDS: Final[Mapping[str, frozenset[str]]] = {
    "card": frozenset({"card", "cc", "pan"}),
    "customer": frozenset({"customer", "client", "cardholder", "account", "user", "payer", "orig"}),
    "merchant": frozenset({"merchant", "payee", "beneficiary", "dest"}),
    "terminal": frozenset({"terminal", "pos", "atm", "device"}),
}
_SUFFIXES: Final = frozenset(
    {"id", "ids", "num", "number", "no", "nr", "key", "hash", "token", "uid", "ref", "name", "tx"}
)
"""Words that may accompany an entity in a name; `merchant_category` and `customer_age` identify nobody."""

LONGEST: Final = 200
SHOWN: Final = 8
AROUND_BY_IDENTIFIER: Final = 20_000
"""Alerts scanned for the same identifier: half of them before this one, half after, or more from one side if the other
has fewer."""

AROUND_BY_VALUES: Final = 5_000
CHUNK: Final = 500
SECONDS: Final = 0.12
"""The time limit of the scan, so that the page takes at most 200 ms whatever the size of the alerts."""

_ALERT: Final = tables.alerts.c
_COLUMNS: Final = tuple(_ALERT[name] for name in ("seq", "alert_id", "score", "amount", "status", "body"))


class Identifier(NamedTuple):
    """A column that identifies an entity, with its value in this transaction."""

    kind: str
    column: str
    value: str | int


def identifier_kind(column: str) -> str | None:
    """Return the kind of entity that a column identifies; None if it is no identifier, or its name is very long."""
    return _identifier_kind(column) if len(column) <= LONGEST else None


@lru_cache(maxsize=4096)
def _identifier_kind(column: str) -> str | None:
    if any(char.isdigit() for char in column):  # card1 to card6 are traits of a card
        return None
    words = set(words_of(column))
    kinds = [kind for kind, names in _KINDS.items() if words & names]
    if len(kinds) != 1 or not words - _KINDS[kinds[0]] <= _SUFFIXES:
        return None
    return kinds[0]


def identifiers_of(transaction: Mapping[str, object]) -> list[Identifier]:
    """Return the identifiers in a transaction, in column order; empty values are skipped."""
    identifiers = []
    for column, value in transaction.items():
        if isinstance(value, bool) or not isinstance(value, str | int):
            continue
        is_usable = isinstance(value, int) or 0 < len(value) <= LONGEST
        if is_usable and (kind := identifier_kind(column)) is not None:
            identifiers.append(Identifier(kind, column, value))
    return identifiers


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
    """The similar alerts, and the criterion: "identifiers", "values" or "nothing"."""

    by: str
    columns: tuple[str, ...]
    compared: int
    alerts: tuple[SimilarAlert, ...]


def similar_alerts(store: AlertReader, alert: StoredAlert, values: Mapping[str, float]) -> Similarity:
    """Return the alerts that share an identifier; if there are none, the nearest ones by values.

    `values` are the columns of its transaction to compare, with their values: those of its reasons.
    """
    document = alert.document()
    identifiers = identifiers_of(document[AlertField.TRANSACTION])
    with store.database.read() as connection:
        if identifiers:
            compared, alerts = _with_shared_identifier(connection, alert.seq, identifiers)
            if alerts or not values:
                names = tuple(each.column for each in identifiers)
                return Similarity("identifiers", names, compared, tuple(alerts))
        model_id = document.get(AlertField.MODEL_ID)
        if not values or not isinstance(model_id, str):
            return Similarity("nothing", (), 0, ())
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


def _with_shared_identifier(
    connection: Connection, seq: int, identifiers: Sequence[Identifier]
) -> tuple[int, list[SimilarAlert]]:
    # orjson wrote the body: comparing text preselects, and the parsed value decides.
    texts = [orjson.dumps({each.column: each.value}).decode()[1:-1] for each in identifiers]
    place = func.strpos if connection.dialect.name == "postgresql" else func.instr
    contains = or_(*(place(cast(_ALERT.body, Text), text) > 0 for text in texts))
    compared, similar = 0, []
    for size, rows in _chunks(connection, seq, AROUND_BY_IDENTIFIER, contains):
        compared += size
        for row in rows:
            document = orjson.loads(row.body)
            transaction = document[AlertField.TRANSACTION]
            shared = tuple(each.column for each in identifiers if transaction.get(each.column) == each.value)
            if shared:
                similar.append(_similar(row, document, shared))
    similar.sort(key=lambda each: (-len(each.shared), abs(each.seq - seq)))
    return compared, similar[:SHOWN]


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
