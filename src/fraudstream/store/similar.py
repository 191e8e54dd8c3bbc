"""Alerts like one alert: of the same card, customer, merchant or terminal, else nearest by its reasons' values.

Looked for among the alerts stored around it, in pieces and within a time: a million alerts cost no more than a few
thousand. What has no bound, a search through all of them, is the filter's (`reading.py`).
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
from sqlalchemy import Connection, func, or_, select

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
_BESIDE: Final = frozenset(
    {"id", "ids", "num", "number", "no", "nr", "key", "hash", "token", "uid", "ref", "name", "tx"}
)
"""Words that may stand beside: `merchant_category` and `customer_age` say nothing of who it is."""

LONGEST: Final = 200
SHOWN: Final = 8
AROUND_BY_IDENTIFIER: Final = 20_000
"""Alerts looked through for one with the same identifier: half of them stored before this one, half after, or more of
one side where the other has fewer."""

AROUND_BY_VALUES: Final = 5_000
PIECE: Final = 500
SECONDS: Final = 0.12
"""The longest that it looks, so that the page is there within 200 ms whatever the alerts' size."""

_COLUMNS: Final = tuple(tables.alerts.c[name] for name in ("seq", "alert_id", "score", "amount", "status", "body"))


class Identifier(NamedTuple):
    """A column that names somebody or something, with its value in this payment."""

    kind: str
    column: str
    value: str | int


def identifier_kind(column: str) -> str | None:
    """What a column of this name identifies; None where it is no identifier, as a very long name is none."""
    return _identifier_kind(column) if len(column) <= LONGEST else None


@lru_cache(maxsize=4096)
def _identifier_kind(column: str) -> str | None:
    if any(letter.isdigit() for letter in column):  # card1 to card6 are traits of a card
        return None
    words = set(words_of(column))
    found = [kind for kind, names in _KINDS.items() if words & names]
    if len(found) != 1 or not words - _KINDS[found[0]] <= _BESIDE:
        return None
    return found[0]


def identifiers_of(transaction: Mapping[str, object]) -> list[Identifier]:
    """The identifiers in a payment, in the order of its columns; empty values are none."""
    found = []
    for column, value in transaction.items():
        if isinstance(value, bool) or not isinstance(value, str | int):
            continue
        is_usable = isinstance(value, int) or 0 < len(value) <= LONGEST
        if is_usable and (kind := identifier_kind(column)) is not None:
            found.append(Identifier(kind, column, value))
    return found


@dataclass(frozen=True, slots=True)
class SimilarAlert:
    """An alert like another one.

    `shared` are the columns whose value it shares; where there are none, `distance` says how far its values are, in
    standard deviations of the alerts compared.
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
    """The similar alerts, and by what they are: "identifiers", "values" or "nothing"."""

    by: str
    columns: tuple[str, ...]
    compared: int
    found: tuple[SimilarAlert, ...]


class _Piece(NamedTuple):
    compared: int
    rows: Sequence[Any]


def similar_alerts(store: AlertReader, alert: StoredAlert, values: Mapping[str, float]) -> Similarity:
    """The alerts like one: those that share an identifier; where there are none, the nearest by values.

    `values` are columns of its payment to compare by, with the values there: those of its reasons.
    """
    document = alert.document()
    identifiers = identifiers_of(document[AlertField.TRANSACTION])
    with store.reading() as connection:
        around = _Around(connection, alert.seq)
        if identifiers:
            compared, found = _sharing(around, identifiers)
            if found or not values:
                names = tuple(each.column for each in identifiers)
                return Similarity("identifiers", names, compared, tuple(found))
        model_id = document.get(AlertField.MODEL_ID)
        if not values or not isinstance(model_id, str):
            return Similarity("nothing", (), 0, ())
        compared, found = _nearest(around, model_id, values)
        return Similarity("values", tuple(values), compared, tuple(found))


@dataclass
class _Around:
    """The alerts stored around one, in pieces: a piece before it, a piece after it, and so on."""

    connection: Connection
    seq: int

    def pieces(self, reach: int, columns: Sequence[Any], conditions: Sequence[Any]) -> Iterator[_Piece]:
        """The rows of each piece that meet the conditions, until `reach` rows are looked at or the time is up."""
        alerts = tables.alerts.c
        bounds = select(func.min(alerts.seq)), select(func.max(alerts.seq))
        first, last = (self.connection.execute(each).scalar() or 0 for each in bounds)
        ended = time.perf_counter() + SECONDS
        low = high = self.seq
        looked_at, turn = 0, -1
        while looked_at < reach and (low > first or high < last) and time.perf_counter() < ended:
            turn = -turn if (high < last if turn < 0 else low > first) else turn
            if turn < 0:
                start, end = max(low - PIECE, first), low - 1
                low = start
            else:
                start, end = high + 1, min(high + PIECE, last)
                high = end
            looked_at += end - start + 1
            query = (
                select(*columns)
                .where(alerts.seq.between(start, end), alerts.outcome == Outcome.ALERT.value, *conditions)
                .order_by(alerts.seq.desc())
            )
            yield _Piece(end - start + 1, self.connection.execute(query).all())


def _sharing(around: _Around, identifiers: Sequence[Identifier]) -> tuple[int, list[SimilarAlert]]:
    alerts = tables.alerts.c
    # A body is what orjson writes: the text narrows, the parsed value decides.
    texts = [orjson.dumps({each.column: each.value}).decode()[1:-1] for each in identifiers]
    holds = or_(*(func.instr(alerts.body, text) > 0 for text in texts))
    compared, found = 0, []
    for piece in around.pieces(AROUND_BY_IDENTIFIER, _COLUMNS, [holds]):
        compared += piece.compared
        for row in piece.rows:
            document = orjson.loads(row.body)
            transaction = document[AlertField.TRANSACTION]
            shared = tuple(each.column for each in identifiers if transaction.get(each.column) == each.value)
            if shared:
                found.append(_similar(row, document, shared))
    found.sort(key=lambda each: (-len(each.shared), abs(each.seq - around.seq)))
    return compared, found[:SHOWN]


def _nearest(around: _Around, model_id: str, values: Mapping[str, float]) -> tuple[int, list[SimilarAlert]]:
    alerts = tables.alerts.c
    names = list(values)
    rows: list[Any] = []
    table: list[list[float]] = []
    for piece in around.pieces(AROUND_BY_VALUES, _COLUMNS, [alerts.model_id == model_id]):
        for row in piece.rows:
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
        # A value that is not there is as far as one a standard deviation away.
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
