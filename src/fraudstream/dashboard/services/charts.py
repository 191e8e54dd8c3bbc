"""Computes the series of the Charts page by minute, from counts in memory and in the store."""

import math
import threading
from bisect import bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from typing import Final, Self

import structlog
from sqlalchemy.exc import SQLAlchemyError

from fraudstream.dashboard.services.background import BackgroundService
from fraudstream.errors import StoreError
from fraudstream.messages.base import Object
from fraudstream.store.minutes import BINS, EDGES, KEPT_MINUTES, MINUTE_US, Minute, MinuteLabel, MinuteStore
from fraudstream.store.store import AlertStore
from fraudstream.store.triage_state import OPEN, AlertStatus
from fraudstream.times import microseconds, parse_time
from fraudstream.transactions.wire import EventType

_MINUTE_SERIES: Final = ("payments", "alerts", "p50_ms", "p99_ms", "latency_to")
MAX_LATENCIES: Final = 2_000
"""The most latencies kept per minute: the last ones."""


def minute_of(at: datetime) -> int:
    """Return the minute of a time, counted since 1970."""
    return microseconds(at) // MINUTE_US


def percentile(values: Collection[float], share: float) -> float:
    """Return the nearest rank, in milliseconds: a measured value, never an interpolated one."""
    return round(sorted(values)[math.ceil(share * len(values)) - 1] * 1000, 3)


@dataclass
class _Count:
    payments: int | None = None
    scores: list[int] = field(default_factory=lambda: [0] * BINS)
    measured: Counter[str] = field(default_factory=Counter)
    times: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=MAX_LATENCIES)))

    def minute(self, number: int) -> Minute:
        to = "page" if "page" in self.times else "store" if self.times else None
        times = self.times[to] if to is not None else None
        return Minute(
            number,
            payments=self.payments,
            scores=tuple(self.scores),
            latencies=self.measured[to] if to is not None else 0,
            latency_to=to,
            p50_ms=percentile(times, 0.50) if times else None,
            p99_ms=percentile(times, 0.99) if times else None,
        )

    def add(self, later: Self) -> None:
        """Add what was counted later in the same minute."""
        if later.payments is not None:
            self.payments = (self.payments or 0) + later.payments
        self.scores = [a + b for a, b in zip(self.scores, later.scores, strict=True)]
        self.measured += later.measured
        for to, times in later.times.items():
            self.times[to].extend(times)


class MinuteTally:
    """Counts in memory by minute; every method is thread-safe and takes microseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[int, _Count] = {}

    def payments(self, at: datetime, number: int) -> None:
        """Count the payments that arrived until a time."""
        with self._lock:
            count = self._count(minute_of(at))
            count.payments = (count.payments or 0) + number

    def score(self, at: datetime, score: float) -> None:
        """Count a sampled score."""
        with self._lock:
            self._count(minute_of(at)).scores[bisect_right(EDGES, score, 1, BINS) - 1] += 1

    def latencies(self, at: datetime, to: str, seconds: Collection[float]) -> None:
        """Record the latencies of alerts to the store or to a page."""
        with self._lock:
            count = self._count(minute_of(at))
            count.measured[to] += len(seconds)
            count.times[to].extend(seconds)

    def minutes(self) -> list[Minute]:
        """Return all minutes counted here."""
        with self._lock:
            return [count.minute(number) for number, count in sorted(self._counts.items())]

    @contextmanager
    def taken(self, before: int) -> Iterator[list[Minute]]:
        """Remove the minutes before one; they are added again if they cannot be stored."""
        with self._lock:
            taken = {number: self._counts.pop(number) for number in sorted(self._counts) if number < before}
        try:
            yield [count.minute(number) for number, count in taken.items()]
        except (StoreError, SQLAlchemyError):
            with self._lock:
                for number in taken.keys() & self._counts.keys():
                    taken[number].add(self._counts[number])
                self._counts |= taken
            raise

    def drop(self, until: int) -> None:
        """Forget the minutes up to one."""
        with self._lock:
            self._counts = {number: count for number, count in self._counts.items() if number > until}

    def _count(self, number: int) -> _Count:
        if number not in self._counts:
            self._counts[number] = _Count()
            while len(self._counts) > KEPT_MINUTES:
                del self._counts[min(self._counts)]
        return self._counts[number]


log = structlog.get_logger(__name__)

AFTER_THE_MINUTE_SECONDS: Final = 2.0
CACHE_SECONDS: Final = 2.0
MARKS: Final = 10
"""The newest deployments and the newest schemas that charts mark."""


class Charts(BackgroundService):
    """Joins the counts in memory with those in the store, and moves them there once a minute."""

    def __init__(
        self,
        store: AlertStore,
        tally: MinuteTally,
        *,
        label: Callable[[], MinuteLabel | None],
        threshold: Callable[[], float | None],
        leads: Callable[[], bool] = lambda: True,
        clock: Callable[[], datetime],
    ) -> None:
        """Write nothing before `start`, then each minute once it is over; `label` returns the model's label column.

        Of several dashboards on one store each counts everything, and the one that `leads` writes the minutes.
        """
        super().__init__("minutes")
        self._store = store
        self._minutes = MinuteStore(store.database)
        self._tally = tally
        self._label = label
        self._threshold = threshold
        self._leads = leads
        self._led = leads()
        self._clock = clock
        self._lock = threading.Lock()
        self._rendered: dict[tuple[str, int, int | None], tuple[datetime, bytes]] = {}
        self._rendering = threading.Lock()

    def close(self) -> None:
        """Stop the thread, and write the current minute so far."""
        super().close()
        if self._thread.ident is not None:
            self._write(minute_of(self._clock()) + 1)

    def flush(self, before: int) -> None:
        """Write the minutes before one; raises StoreError and keeps them if the database fails."""
        with self._lock:
            self._drop_stored()
            if not self._led:
                return
            with self._tally.taken(before) as parts:
                alerts = [part for part in self._unwritten(before - KEPT_MINUTES) if part.minute < before]
                self._minutes.add(_joined(parts, alerts).values())

    def rendered(
        self, kind: str, minutes: int, render: Callable[[Object], bytes], until_us: int | None = None
    ) -> bytes:
        """Return the rendered report, at most two seconds old and rendered once for all viewers."""
        with self._rendering:
            now = self._clock()
            ages = {key: (now - at).total_seconds() for key, (at, _) in self._rendered.items()}
            self._rendered = {key: self._rendered[key] for key, age in ages.items() if 0 <= age < CACHE_SECONDS}
            key = kind, minutes, until_us
            if key not in self._rendered:
                self._rendered[key] = (now, render(self.report(minutes, until_us)))
            return self._rendered[key][1]

    def report(self, minutes: int, until_us: int | None = None) -> Object:
        """Return the series of the last `minutes` up to a time or with the current one, with totals and verdicts."""
        now = self._clock()
        last = minute_of(now) if until_us is None else min((until_us - 1) // MINUTE_US, minute_of(now))
        first = last - minutes + 1
        with self._lock:
            self._drop_stored()
            joined = _joined(self._minutes.since(first), self._tally.minutes(), self._unwritten(first))
        series = [joined.get(number, Minute(number)) for number in range(first, last + 1)]
        before, end = self._minutes.before(first), self._minutes.before(last + 1)
        caught = {at: amount for at, amount in self._minutes.confirmed_amounts(before).items() if at <= last}
        scores = [sum(each) for each in zip(*(minute.scores for minute in series), strict=True)]
        return {
            "at": now.isoformat(),
            "minutes": {
                "at": [datetime.fromtimestamp(minute.minute * 60, UTC).isoformat() for minute in series],
                **{name: [getattr(minute, name) for minute in series] for name in _MINUTE_SERIES},
                "at_risk": [round(minute.at_risk, 2) for minute in series],
                "caught": [round(caught.get(minute.minute, 0.0), 2) for minute in series],
            },
            "scores": {
                "edges": list(EDGES),
                "samples": scores,
                "alerts": self._minutes.alert_scores(before, end),
                "threshold": self._threshold(),
            },
            "amounts": {
                "at_risk": round(sum(minute.at_risk for minute in series), 2),
                "caught": round(sum(caught.values()), 2),
            },
            "precision": {"verdicts": self._verdicts(first, last), "label": _of_labels(self._label(), series)},
            "marks": self._marks(first, last),
            "sampled": ["scores.samples"],
        }

    def _verdicts(self, first: int, last: int) -> Object:
        """Return the verdicts so far, and the share of confirmed ones by minute."""
        counts = self._minutes.verdicts()
        confirmed, false_alarms = counts[AlertStatus.CONFIRMED_FRAUD], counts[AlertStatus.FALSE_ALARM]
        decided = self._minutes.verdicts_since(first)
        yes = confirmed - sum(each for each, _ in decided.values())
        no = false_alarms - sum(each for _, each in decided.values())
        share: list[float | None] = []
        verdicts: list[int] = []
        for number in range(first, last + 1):
            more_yes, more_no = decided.get(number, (0, 0))
            yes, no = yes + more_yes, no + more_no
            share.append(_share(yes, yes + no))
            verdicts.append(more_yes + more_no)
        return {
            "confirmed_fraud": confirmed,
            "false_alarm": false_alarms,
            "unsure": counts[AlertStatus.UNSURE],
            "undecided": sum(counts[each] for each in OPEN),
            "share": _share(confirmed, confirmed + false_alarms),
            "share_by_minute": share,
            "given_by_minute": verdicts,
        }

    def _marks(self, first: int, last: int) -> list[Object]:
        """Return the deployments and new schemas of a period, the oldest first."""
        kinds = (EventType.MODEL.value, EventType.SCHEMA.value)
        events = [each.document for kind in kinds for each in self._store.events(kind=kind, limit=MARKS)]
        # Not the events' own `at`, which nobody has checked.
        marks = [{"at": e["received_at"], "kind": e["type"], "text": e.get("message", "")} for e in events]
        inside = (each for each in marks if first <= minute_of(parse_time(each["at"])) <= last)
        return sorted(inside, key=itemgetter("at"))

    def _unwritten(self, first: int) -> list[Minute]:
        """Return the counts of alerts that are not in a stored minute yet."""
        counted = self._minutes.last_counted_seq()
        after = self._minutes.before(first) if counted is None else max(counted, self._minutes.before(first))
        return self._minutes.of_alerts(after, self._store.latest_seq(), self._label())

    def _drop_stored(self) -> None:
        """Forget the minutes that another dashboard has stored, unless this one has been the writer since before."""
        leads = self._leads()
        if not (leads and self._led):
            self._tally.drop(self._minutes.last())
        self._led = leads

    def _write(self, before: int) -> None:
        try:
            self.flush(before)
        except (StoreError, SQLAlchemyError) as e:
            reason = e.what if isinstance(e, StoreError) else str(e)
            log.warning("cannot store the minutes; retrying in a minute", reason=reason)

    def _run(self) -> None:
        while not self._ending.wait(60 - self._clock().timestamp() % 60 + AFTER_THE_MINUTE_SECONDS):
            self._write(minute_of(self._clock()))


def _joined(*parts: Iterable[Minute]) -> dict[int, Minute]:
    whole: dict[int, Minute] = {}
    for minute in (each for part in parts for each in part):
        whole[minute.minute] = whole[minute.minute].plus(minute) if minute.minute in whole else minute
    return whole


def _of_labels(label: MinuteLabel | None, minutes: Sequence[Minute]) -> Object | None:
    """Return the precision by the labels of a replayed file; None if no alert has one."""
    alerts, frauds = sum(minute.labelled for minute in minutes), sum(minute.label_frauds for minute in minutes)
    if label is None or not alerts:
        return None
    return {"column": label.name, "alerts": alerts, "frauds": frauds, "share": _share(frauds, alerts)}


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None
