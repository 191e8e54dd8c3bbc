"""Computes and stores the reasons of alerts in a background thread, after the alerts are stored and shown.

An alert never waits for it. They are read from the store, the newest first, so that none is missed in a storm or at a
restart.
"""

import threading
import time
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

    def unexplained(self, before: int, limit: int, after: int = 0) -> list[StoredAlert]:
        """Return the newest alerts between two `seq` without reasons, the newest first."""
        alert, column = tables.alerts.c, tables.reasons.c
        query = (
            select(*STORED_COLUMNS)
            .join_from(tables.alerts, tables.reasons, alert.seq == column.seq, isouter=True)
            .where(alert.outcome == Outcome.ALERT.value, alert.seq > after, alert.seq < before, column.seq.is_(None))
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

BATCH_ALERTS: Final = 8
"""Alerts whose reasons are stored and published together."""

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
IDLE_SECONDS: Final = 1.0
NEWEST: Final = 2**63 - 1
DEFECT: Final = "they could not be worked out"
"""How the stored cause begins if this very payment made the explainer fail."""


class ReasonWorker(BackgroundService):
    """Explains the alerts in the store that have no reasons, after each `offer`."""

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
        self._offered = threading.Event()
        self._offered.set()  # an earlier process may have left some
        self._offered_at = float("-inf")

    def offer(self) -> None:
        """Have newly committed alerts explained."""
        self._offered_at = time.perf_counter()
        self._offered.set()

    def _run(self) -> None:
        explained = newest = below = 0  # all up to `explained` have reasons; from `newest` down, those from `below` on
        while not self._ending.is_set():
            if not below or self._offered.is_set():
                if not self._offered.wait(IDLE_SECONDS):
                    continue
                self._offered.clear()
                self._ending.wait(max(0.0, self._offered_at + YIELD_SECONDS - time.perf_counter()))
                newest, below = 0, NEWEST
            started = time.perf_counter()
            try:
                page = self._store.unexplained(below, BATCH_ALERTS, after=explained)
                self._explain_batch(page)
            except (StoreError, SQLAlchemyError) as e:
                log.warning("cannot store reasons", reason=e.what if isinstance(e, StoreError) else str(e))
                self._offered.set()
                self._ending.wait(RETRY_SECONDS)
                continue
            newest = newest or (page[0].seq if page else explained)
            if len(page) < BATCH_ALERTS:
                explained, below = newest, 0
            else:
                below = page[-1].seq
                ended = time.perf_counter()
                share = REST_IN_A_STORM if ended - self._offered_at < QUIET_SECONDS else REST_WHEN_QUIET
                self._ending.wait(min((ended - started) * share, MAX_REST_SECONDS))

    def _explain_batch(self, batch: Sequence[StoredAlert]) -> None:
        explanations: dict[int, Mapping[str, Any]] = {}
        events: list[Mapping[str, Any]] = []
        for alert in batch:
            document = alert.document()
            explanations[alert.seq] = reasons = self._explain(document)
            events.append({"seq": alert.seq, AlertField.ALERT_ID.value: document[AlertField.ALERT_ID], **reasons})
        if events:
            self._store.add(explanations, self._clock())
            self.broadcast(events)
            self._share(events)

    def _explain(self, alert: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return explain_alert(self._library, alert)
        except Exception as e:
            # One unforeseen payment must not keep the others from their reasons.
            log.exception("cannot explain an alert", alert_id=alert.get(AlertField.ALERT_ID))
            return cause_form(f"{DEFECT} ({type(e).__name__}); see the dashboard's log")

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
