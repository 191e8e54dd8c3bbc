"""Computes and stores the reasons of alerts in a background thread, after the alerts are stored and shown.

An alert never waits for it: `offer` queues it and returns. In a storm the newest come first; those that do not fit in
the queue, or that an earlier process left, are read from the store when it is quiet again.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson
import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from fraudstream.dashboard.services.background import BackgroundService
from fraudstream.dashboard.services.live_stream import Hub
from fraudstream.errors import ModelError, StoreError
from fraudstream.messages.base import Object
from fraudstream.model.explanation.explainer import (
    ExplainerLibrary,
    Explanation,
    cause_form,
    scored_row,
    short_form,
)
from fraudstream.store import tables
from fraudstream.store.database import Repository, insert
from fraudstream.store.reading import STORED_COLUMNS, StoredAlert, stored_alert
from fraudstream.times import microseconds
from fraudstream.transactions.wire import AlertField, Outcome

NOT_YET: Final = b'"reasons":null,"explanation":null'
"""The members of an alert whose reasons are not computed yet."""

_INSERT: Final = insert(tables.reasons).on_conflict_do_nothing(index_elements=["seq"])


class ReasonStore(Repository):
    """Reads and writes the table of reasons."""

    def add(self, reasons: Mapping[int, Mapping[str, Any]], now: datetime) -> None:
        """Store the reasons of alerts, by their `seq`; reasons that are already stored stay."""
        at_us = microseconds(now)
        rows = [
            {"seq": seq, "worked_us": at_us, "body": orjson.dumps(each).decode()[1:-1]} for seq, each in reasons.items()
        ]
        if rows:
            with self._database.write() as connection:
                connection.execute(_INSERT, rows)

    def unexplained(self, before: int, limit: int) -> list[StoredAlert]:
        """Return the newest alerts below a `seq` without reasons, the newest first."""
        alert, column = tables.alerts.c, tables.reasons.c
        query = (
            select(*STORED_COLUMNS)
            .join_from(tables.alerts, tables.reasons, alert.seq == column.seq, isouter=True)
            .where(alert.outcome == Outcome.ALERT.value, alert.seq < before, column.seq.is_(None))
            .order_by(alert.seq.desc())
            .limit(limit)
        )
        return [stored_alert(row) for row in self._database.rows(query)]

    def explained_us(self, seq: int) -> int | None:
        """Return when the reasons of an alert were computed, in microseconds since 1970; None if not yet."""
        column = tables.reasons.c
        return self._database.scalar(select(column.worked_us).where(column.seq == seq))

    def with_reasons(self, alerts: Sequence[StoredAlert]) -> list[StoredAlert]:
        """Return the alerts with `reasons` and `explanation`, which are null until they are computed."""
        sequences = [alert.seq for alert in alerts if alert.outcome == Outcome.ALERT]
        if not sequences:
            return list(alerts)
        column = tables.reasons.c
        rows = self._database.rows(select(column.seq, column.body).where(column.seq.in_(sequences)))
        bodies = {row.seq: row.body.encode() for row in rows}
        return [
            alert._replace(body=b"%s,%s}" % (alert.body[:-1], bodies.get(alert.seq, NOT_YET)))
            if alert.outcome == Outcome.ALERT
            else alert
            for alert in alerts
        ]


log = structlog.get_logger(__name__)

MAX_QUEUED: Final = 1_000
MAX_QUEUED_BYTES: Final = 16 * 1024 * 1024
BATCH_ALERTS: Final = 16
"""Alerts whose reasons are stored and published together."""

MAX_BATCH_SECONDS: Final = 0.2
YIELD_SECONDS: Final = 0.01
"""Between an alert's commit and the start on its reasons: the post is answered and pages are served first. Without it
the median post took 0.5 ms longer, of 3.5."""

QUIET_SECONDS: Final = 1.0
REST_WHEN_QUIET: Final = 1.0
REST_IN_A_STORM: Final = 9.0
MAX_REST_SECONDS: Final = 0.5
"""Seconds of rest per second of work while there is a backlog: alerts come first. Resting as little in a storm of
1,000 alerts a second as when it is quiet made the 99th percentile of the posts two to four times as long (121 ms)."""

SCORE_TOLERANCE: Final = 1e-9
RETRY_SECONDS: Final = 5.0
DEFECT: Final = "they could not be worked out"
"""How the stored cause begins if this very payment made the explainer fail."""


class ReasonWorker(BackgroundService):
    """Explains the alerts passed to `offer`, and the backlog of an earlier process."""

    def __init__(
        self,
        store: ReasonStore,
        hub: Hub,
        library: ExplainerLibrary,
        *,
        clock: Callable[[], datetime],
        share: Callable[[Sequence[Mapping[str, Any]]], None] = lambda events: None,
    ) -> None:
        """Keep the dependencies; nothing runs before `start`. `share` sends reasons to other dashboards."""
        super().__init__("reasons")
        self._store = store
        self._hub = hub
        self._share = share
        self._library = library
        self._clock = clock
        self._changed = threading.Condition()
        self._queue: deque[StoredAlert] = deque()
        self._queue_bytes = 0
        self._has_backlog = True
        """Whether the store may hold alerts without reasons that are not queued here."""
        self._backlog_cursor: int | None = None
        """The `seq` that the walk through the store has reached, from the newest down; None for its start."""
        self._offered_at = float("-inf")

    def close(self) -> None:
        """Stop the thread; the next process handles what is queued."""
        with self._changed:
            self._ending.set()
            self._changed.notify_all()
        super().close()

    def offer(self, alerts: Sequence[StoredAlert]) -> None:
        """Queue newly committed alerts; costs a microsecond each."""
        if not self._thread.is_alive():
            return
        with self._changed:
            self._offered_at = time.perf_counter()
            for alert in alerts:
                if alert.outcome == Outcome.ALERT:
                    self._queue.append(alert)
                    self._queue_bytes += len(alert.body)
            while len(self._queue) > MAX_QUEUED or self._queue_bytes > MAX_QUEUED_BYTES:
                self._queue_bytes -= len(self._queue.popleft().body)
                self._has_backlog, self._backlog_cursor = True, None
            self._changed.notify_all()

    def _run(self) -> None:
        while not self._ending.is_set():
            started = time.perf_counter()
            try:
                self._explain_batch(self._next() or self._next_from_store())
            except (StoreError, SQLAlchemyError) as e:
                log.warning("cannot store reasons", reason=e.what if isinstance(e, StoreError) else str(e))
                self._has_backlog, self._backlog_cursor = True, None
                self._ending.wait(RETRY_SECONDS)
            ended = time.perf_counter()
            if self._has_backlog or len(self._queue) > BATCH_ALERTS:
                storms = ended - self._offered_at < QUIET_SECONDS
                share = REST_IN_A_STORM if storms else REST_WHEN_QUIET
                self._ending.wait(min((ended - started) * share, MAX_REST_SECONDS))

    def _next(self) -> list[StoredAlert]:
        """Take the newest queued alerts; empty if the queue is empty and the store has a backlog."""
        batch: list[StoredAlert] = []
        with self._changed:
            while not self._ending.is_set() and not self._queue and not self._has_backlog:
                self._changed.wait()
        self._ending.wait(max(0.0, self._offered_at + YIELD_SECONDS - time.perf_counter()))
        with self._changed:
            while self._queue and len(batch) < BATCH_ALERTS:
                batch.append(self._queue.pop())
                self._queue_bytes -= len(batch[-1].body)
        return batch

    def _next_from_store(self) -> list[StoredAlert]:
        """Return the next alerts without reasons in the store, from the newest down."""
        cursor = self._backlog_cursor
        page = self._store.unexplained(self._hub.latest + 1 if cursor is None else cursor, BATCH_ALERTS)
        with self._changed:
            if self._backlog_cursor == cursor:  # else the queue overflowed meanwhile: start over
                self._has_backlog, self._backlog_cursor = bool(page), page[-1].seq if page else None
        return page

    def _explain_batch(self, batch: Sequence[StoredAlert]) -> None:
        started = time.perf_counter()
        explanations: dict[int, Mapping[str, Any]] = {}
        events: list[Mapping[str, Any]] = []
        for alert in batch:
            document = alert.document()
            explanations[alert.seq] = reasons = self._explain(document)
            events.append({"seq": alert.seq, AlertField.ALERT_ID.value: document[AlertField.ALERT_ID], **reasons})
            if time.perf_counter() - started > MAX_BATCH_SECONDS:
                self._publish(explanations, events)
                started, explanations, events = time.perf_counter(), {}, []
            if self._ending.is_set():
                break
        self._publish(explanations, events)

    def _explain(self, alert: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return explain_alert(self._library, alert)
        except Exception as e:
            # One unforeseen payment must not keep the others from their reasons.
            log.exception("cannot explain an alert", alert_id=alert.get(AlertField.ALERT_ID))
            return cause_form(f"{DEFECT} ({type(e).__name__}); see the dashboard's log")

    def _publish(self, explanations: Mapping[int, Mapping[str, Any]], events: Sequence[Mapping[str, Any]]) -> None:
        if explanations:
            self._store.add(explanations, self._clock())
            self.broadcast(events)
            self._share(events)

    def broadcast(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Send reasons to every viewer."""
        # Without an id: a stream resumes after the last alert, whatever was sent about it since.
        self._hub.broadcast(b"event: reasons\ndata: %s\n\n" % orjson.dumps(events), outcome=Outcome.ALERT)


def explain_alert(library: ExplainerLibrary, alert: Mapping[str, Any]) -> Object:
    """Return the reasons of a stored alert; only the cause if they cannot be computed or do not fit its score."""
    explanation = explanation_of(library, alert)
    return cause_form(explanation) if isinstance(explanation, str) else short_form(explanation)


def explanation_of(library: ExplainerLibrary, alert: Mapping[str, Any]) -> Explanation | str:
    """Return every step to a stored alert's score; the cause if it cannot be computed or leads to another score."""
    model_id, score = alert.get(AlertField.MODEL_ID), alert.get(AlertField.SCORE)
    if not isinstance(model_id, str) or score is None:
        return "the alert names no model or no score"
    try:
        explainer, aliases = library.of(model_id, alert.get(AlertField.REVISION))
    except ModelError as e:
        return f"{e.what}: {model_id}"
    explanation = explainer.explain(scored_row(alert), aliases)
    if abs(explanation.score - score) > SCORE_TOLERANCE:
        return (
            f"the model gives the payment the score {explanation.score:.9g}, the alert has {score:.9g}: "
            "the model that scored it cannot be reproduced"
        )
    return explanation
