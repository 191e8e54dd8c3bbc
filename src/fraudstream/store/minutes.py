"""Stores statistics per minute for seven days, and computes those of the alerts."""

import contextlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, NamedTuple, Self

import orjson
from sqlalchemy import ColumnElement, case, cast, delete, func, literal_column, select, text, types

from fraudstream.store import tables
from fraudstream.store.database import ROWS_AT_ONCE, Repository, upsert
from fraudstream.store.filters import AlertFilter
from fraudstream.store.triage_state import AlertStatus
from fraudstream.transactions.wire import AlertField, Outcome

KEPT_MINUTES: Final = 7 * 24 * 60
BINS: Final = 40
EDGES: Final = (0.0, *(1 / (1 + math.exp(10 - step / 2)) for step in range(1, BINS)), 1.0)
"""The edges of the histogram of scores: even steps of the log odds, because most scores are near 0."""

MINUTE_US: Final = 60_000_000

_SUMS: Final = ("alerts", "at_risk", "labelled", "label_frauds")
_ALERTS: Final = tables.alerts.c
_MINUTES: Final = tables.minutes.c
_US: Final[ColumnElement[int]] = literal_column(str(MINUTE_US))
_RECEIVED: Final = _ALERTS.received_us // _US
_AMOUNT: Final = func.coalesce(func.sum(_ALERTS.amount), 0.0)


@dataclass(frozen=True, slots=True)
class Minute:
    """The statistics of one minute, or of a part of it.

    Attributes:
        minute: Minutes since 1970.
        payments: Acknowledged by Kafka; None if unknown.
        at_risk: The sum of the amounts of its alerts that have one.
        labelled: Alerts with the label of the training data.
        scores: Histogram of the scores of sampled payments, in `BINS`.
        latencies: Number of measured latencies from payment to page (or to store).
        last_seq: The newest alert counted.
    """

    minute: int
    payments: int | None = None
    alerts: int = 0
    at_risk: float = 0.0
    labelled: int = 0
    label_frauds: int = 0
    scores: tuple[int, ...] = field(default=(0,) * BINS)
    latencies: int = 0
    latency_to: str | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    last_seq: int = 0

    def plus(self, other: Self) -> Self:
        """Add another part of the minute; the latencies are those of the part with more measurements."""
        counted = [each.payments for each in (self, other) if each.payments is not None]
        more = max(self, other, key=lambda each: each.latencies)
        return replace(
            more,
            payments=sum(counted) if counted else None,
            **{name: getattr(self, name) + getattr(other, name) for name in _SUMS},
            scores=tuple(a + b for a, b in zip(self.scores, other.scores, strict=True)),
            last_seq=max(self.last_seq, other.last_seq),
        )


class MinuteLabel(NamedTuple):
    """The label column of a replayed file, and its value for fraud."""

    name: str
    fraud: str


class MinuteStore(Repository):
    """Reads and writes the minutes of one store."""

    def since(self, minute: int) -> list[Minute]:
        """Return the minutes from one on, in order."""
        query = select(tables.minutes).where(_MINUTES.minute >= minute).order_by(_MINUTES.minute)
        return [_minute(row._asdict()) for row in self._database.rows(query)]

    def add(self, parts: Iterable[Minute]) -> None:
        """Add parts of minutes to the stored ones, and delete those older than seven days."""
        parts = list(parts)
        if not parts:
            return
        with self._database.write() as connection:
            for part in parts:
                same = select(tables.minutes).where(_MINUTES.minute == part.minute)
                stored = connection.execute(same).mappings().one_or_none()
                whole = part if stored is None else _minute(stored).plus(part)
                connection.execute(
                    upsert(tables.minutes), asdict(whole) | {"scores": orjson.dumps(whole.scores).decode()}
                )
            newest = connection.execute(select(func.max(_MINUTES.minute))).scalar_one()
            connection.execute(delete(tables.minutes).where(_MINUTES.minute <= newest - KEPT_MINUTES))

    def last(self) -> int:
        """Return the newest minute, or 0."""
        return self._database.scalar(select(func.max(_MINUTES.minute))) or 0

    def last_counted_seq(self) -> int | None:
        """Return the newest alert that the minutes count, or None."""
        return self._database.scalar(select(func.max(_MINUTES.last_seq)))

    def before(self, minute: int) -> int:
        """Return the `seq` of the last alert committed before a minute, by binary search."""
        with self._database.read() as connection:
            low, high = 0, connection.execute(select(func.max(_ALERTS.seq))).scalar() or 0
            while low < high:
                middle = (low + high + 1) // 2
                at = select(_ALERTS.received_us).where(_ALERTS.seq >= middle).order_by(_ALERTS.seq).limit(1)
                if connection.execute(at).scalar_one() < minute * MINUTE_US:
                    low = middle
                else:
                    high = middle - 1
            return low

    def of_alerts(self, after: int, until: int, label: MinuteLabel | None) -> list[Minute]:
        """Return the statistics of the alerts between two `seq` (the second included), by minute."""
        within = _between(after, until)
        query = select(
            _RECEIVED.label("minute"),
            func.count().label("alerts"),
            _AMOUNT.label("at_risk"),
            func.max(_ALERTS.seq).label("last_seq"),
        )
        rows = self._database.rows(query.where(*within).group_by(_RECEIVED))
        minutes = {row.minute: Minute(**row._asdict()) for row in rows}
        if label is not None and minutes:
            bodies = select(_RECEIVED, _ALERTS.body).where(*within)
            with self._database.read() as connection:
                for at, body in connection.execute(bodies.execution_options(yield_per=ROWS_AT_ONCE)):
                    value = orjson.loads(body)[AlertField.TRANSACTION].get(label.name)
                    if value is not None:
                        before = minutes[at]
                        frauds = before.label_frauds + _is(value, label.fraud)
                        minutes[at] = replace(before, labelled=before.labelled + 1, label_frauds=frauds)
        return list(minutes.values())

    def alert_scores(self, after: int, until: int) -> list[int]:
        """Count the alerts between two `seq` (the second included) in each bin of the scores."""
        bins = ((_ALERTS.score < edge, number) for number, edge in enumerate(EDGES[1:-1]))
        number = case(*bins, else_=BINS - 1).label("bin")
        scored = (*_between(after, until), _ALERTS.score.is_not(None))
        # By its name: PostgreSQL takes the same expression with other parameters for another one.
        query = select(number, func.count()).where(*scored).group_by(text("bin"))
        counts: dict[int, int] = {each: count for each, count in self._database.rows(query)}
        return [counts.get(each, 0) for each in range(BINS)]

    def confirmed_amounts(self, after: int) -> dict[int, float]:
        """Sum the amounts of confirmed alerts after a `seq`, by the minute in which they were received."""
        confirmed = AlertFilter(statuses=(AlertStatus.CONFIRMED_FRAUD.value,)).conditions()
        query = select(_RECEIVED, _AMOUNT).where(*confirmed, _ALERTS.seq > after).group_by(_RECEIVED)
        return {minute: amount for minute, amount in self._database.rows(query)}

    def verdicts(self) -> dict[str, int]:
        """Count the alerts in each status."""
        query = select(_ALERTS.status, func.count()).where(_ALERTS.outcome == Outcome.ALERT.value)
        counts = {status: number for status, number in self._database.rows(query.group_by(_ALERTS.status))}
        return {status.value: counts.get(status.value, 0) for status in AlertStatus}

    def verdicts_since(self, minute: int) -> dict[int, tuple[int, int]]:
        """Count the alerts that are now confirmed, and the false alarms, by the minute of the decision."""
        decided = _ALERTS.decided_us // _US
        statuses = (AlertStatus.CONFIRMED_FRAUD, AlertStatus.FALSE_ALARM)
        counts = [func.sum(cast(_ALERTS.status == status.value, types.Integer)) for status in statuses]
        query = select(decided, *counts).where(_ALERTS.decided_us >= minute * MINUTE_US).group_by(decided)
        return {minute: (confirmed, false_alarms) for minute, confirmed, false_alarms in self._database.rows(query)}


def _between(after: int, until: int) -> list[ColumnElement[bool]]:
    """Return the conditions for the alerts between two `seq`, the second included."""
    return [*AlertFilter().conditions(), _ALERTS.seq > after, _ALERTS.seq <= until]


def _minute(row: Mapping[Any, Any]) -> Minute:
    scores = tuple(orjson.loads(row["scores"]))
    # Minutes of an earlier release have other bins.
    return Minute(**(dict(row) | {"scores": scores if len(scores) == BINS else (0,) * BINS}))


def _is(value: Any, fraud: str) -> bool:
    """Compare a label with the value for fraud, as text or as a number (`1` in a CSV arrives as 1 or 1.0)."""
    if not isinstance(value, int | float):
        return bool(value == fraud)
    with contextlib.suppress(ValueError):
        return float(fraud) == value
    return False
