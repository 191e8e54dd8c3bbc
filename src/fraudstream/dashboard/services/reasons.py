"""Works out the reasons of alerts after they are stored and shown, in one thread beside the requests.

An alert never waits for it: `offer` notes it and returns. In a storm the newest come first, what does not fit is left
to the store, and is caught up on when it is quiet again, as is what an earlier process left. `model/explanation/` knows
how a score is explained, `dashboard/services/reasons.py` keeps it.
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
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError

from fraudstream.dashboard.services.live_stream import Hub
from fraudstream.errors import ModelError, StoreError
from fraudstream.messages.base import Object
from fraudstream.model.explanation.explainer import ExplainerLibrary, Explanation, cause_form, short_form
from fraudstream.store import tables
from fraudstream.store.reading import STORED_COLUMNS, StoredAlert, stored_alert
from fraudstream.store.store import AlertStore
from fraudstream.times import microseconds
from fraudstream.transactions.wire import AlertField, Outcome

NOT_YET: Final = b'"reasons":null,"explanation":null'
"""The members of an alert whose reasons are not worked out."""

_INSERT: Final = insert(tables.reasons).on_conflict_do_nothing(index_elements=["seq"])


class ReasonStore:
    """Reads and writes the reasons in an alert store."""

    def __init__(self, store: AlertStore) -> None:
        self._store = store

    def add(self, found: Mapping[int, Mapping[str, Any]], now: datetime) -> None:
        """Store the reasons of alerts, by their `seq`; of one that has reasons already the first ones stay.

        Raises StoreError where the database does not take them; nothing is stored then.
        """
        at_us = microseconds(now)
        rows = [
            {"seq": seq, "worked_us": at_us, "body": orjson.dumps(each).decode()[1:-1]} for seq, each in found.items()
        ]
        if rows:
            with self._store.writing(relaxed=True) as connection:
                connection.execute(_INSERT, rows)

    def lacking(self, before: int, limit: int) -> list[StoredAlert]:
        """The newest alerts below a `seq` that have no reasons yet, the newest first."""
        alert, column = tables.alerts.c, tables.reasons.c
        query = (
            select(*STORED_COLUMNS)
            .join_from(tables.alerts, tables.reasons, alert.seq == column.seq, isouter=True)
            .where(alert.outcome == Outcome.ALERT.value, alert.seq < before, column.seq.is_(None))
            .order_by(alert.seq.desc())
            .limit(limit)
        )
        return [stored_alert(row) for row in self._store.rows(query)]

    def triaged_us(self, seq: int) -> int | None:
        """When the reasons of an alert were worked out, in microseconds since 1970; None while they are not."""
        column = tables.reasons.c
        return self._store.scalar(select(column.triaged_us).where(column.seq == seq))

    def attached(self, alerts: Sequence[StoredAlert]) -> list[StoredAlert]:
        """The same alerts, each fraud with `reasons` and `explanation`, which are null as long as there are none."""
        wanted = [alert.seq for alert in alerts if alert.outcome == Outcome.ALERT]
        if not wanted:
            return list(alerts)
        column = tables.reasons.c
        rows = self._store.rows(select(column.seq, column.body).where(column.seq.in_(wanted)))
        bodies = {row.seq: row.body.encode() for row in rows}
        return [
            alert._replace(body=b"%s,%s}" % (alert.body[:-1], bodies.get(alert.seq, NOT_YET)))
            if alert.outcome == Outcome.ALERT
            else alert
            for alert in alerts
        ]


log = structlog.get_logger(__name__)

MOST_WAITING: Final = 1_000
MOST_WAITING_BYTES: Final = 16 * 1024 * 1024
TOGETHER: Final = 16
"""Alerts whose reasons are stored and told at once."""

LONGEST_BATCH_SECONDS: Final = 0.2
AFTER_YOU_SECONDS: Final = 0.01
"""Between an alert's commit and the work on its reasons: the post is answered and pages are served first. Without it
the median post took 0.5 ms longer, of 3.5."""

QUIET_SECONDS: Final = 1.0
REST_WHEN_QUIET: Final = 1.0
REST_IN_A_STORM: Final = 9.0
LONGEST_REST_SECONDS: Final = 0.5
"""Seconds of rest for each second of work while there is a backlog: alerts come first. Resting as little in a storm of
1,000 alerts a second as when it is quiet made the 99th percentile of the posts two to four times as long (121 ms)."""

SCORE_TOLERANCE: Final = 1e-9
RETRY_SECONDS: Final = 5.0
DEFECT: Final = "they could not be worked out"
"""How the cause begins where this very payment made the explainer fail."""


class ReasonWork:
    """Explains the alerts that are offered, in its own thread from `start` to `close`."""

    def __init__(
        self,
        store: ReasonStore,
        hub: Hub,
        library: ExplainerLibrary,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        """Take what it works with; nothing happens before `start`."""
        self._store = store
        self._hub = hub
        self._library = library
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: deque[StoredAlert] = deque()
        self._waiting_bytes = 0
        self._behind = True
        """Whether the store may hold alerts without reasons that are not waiting here."""
        self._below: int | None = None
        """Where the walk through the store has come to, from the newest alert down; None for its beginning."""
        self._offered_at = float("-inf")
        self._running = False
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, with what an earlier process has left."""
        self._running = True
        self._thread = threading.Thread(target=self._run, name="reasons", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End; what is waiting is left to the next process."""
        with self._changed:
            self._running = False
            self._ending.set()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def offer(self, alerts: Sequence[StoredAlert]) -> None:
        """Note newly committed alerts; costs a microsecond each."""
        if not self._running:
            return
        with self._changed:
            self._offered_at = time.perf_counter()
            for alert in alerts:
                if alert.outcome == Outcome.ALERT:
                    self._waiting.append(alert)
                    self._waiting_bytes += len(alert.body)
            while len(self._waiting) > MOST_WAITING or self._waiting_bytes > MOST_WAITING_BYTES:
                self._waiting_bytes -= len(self._waiting.popleft().body)
                self._behind, self._below = True, None
            self._changed.notify_all()

    def attached(self, alerts: Sequence[StoredAlert]) -> list[StoredAlert]:
        """The same alerts with their reasons, as far as there are any."""
        return self._store.attached(alerts)

    def triaged_us(self, seq: int) -> int | None:
        """When the reasons of an alert were worked out, in microseconds since 1970; None while they are not."""
        return self._store.triaged_us(seq)

    def _run(self) -> None:
        while self._running:
            began = time.perf_counter()
            try:
                self._work_out(self._next() or self._from_the_store())
            except (StoreError, SQLAlchemyError) as e:
                log.warning("reasons could not be kept", reason=e.what if isinstance(e, StoreError) else str(e))
                self._behind, self._below = True, None
                self._ending.wait(RETRY_SECONDS)
            ended = time.perf_counter()
            if self._behind or len(self._waiting) > TOGETHER:
                storms = ended - self._offered_at < QUIET_SECONDS
                share = REST_IN_A_STORM if storms else REST_WHEN_QUIET
                self._ending.wait(min((ended - began) * share, LONGEST_REST_SECONDS))

    def _next(self) -> list[StoredAlert]:
        """The newest that wait; empty where none do and the store is to be looked at."""
        taken: list[StoredAlert] = []
        with self._changed:
            while self._running and not self._waiting and not self._behind:
                self._changed.wait()
        self._ending.wait(max(0.0, self._offered_at + AFTER_YOU_SECONDS - time.perf_counter()))
        with self._changed:
            while self._waiting and len(taken) < TOGETHER:
                taken.append(self._waiting.pop())
                self._waiting_bytes -= len(taken[-1].body)
        return taken

    def _from_the_store(self) -> list[StoredAlert]:
        """The next that the store has without reasons, from the newest down."""
        below = self._below
        page = self._store.lacking(self._hub.latest + 1 if below is None else below, TOGETHER)
        with self._changed:
            if self._below == below:  # else some were left to the store meanwhile: from the beginning
                self._behind, self._below = bool(page), page[-1].seq if page else None
        return page

    def _work_out(self, batch: Sequence[StoredAlert]) -> None:
        started = time.perf_counter()
        found: dict[int, Mapping[str, Any]] = {}
        told: list[Mapping[str, Any]] = []
        for alert in batch:
            document = alert.document()
            found[alert.seq] = explained = self._explained(document)
            told.append({"seq": alert.seq, AlertField.ALERT_ID.value: document[AlertField.ALERT_ID], **explained})
            if time.perf_counter() - started > LONGEST_BATCH_SECONDS:
                self._tell(found, told)
                started, found, told = time.perf_counter(), {}, []
            if not self._running:
                break
        self._tell(found, told)

    def _explained(self, alert: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return explain_alert(self._library, alert)
        except Exception as e:
            # One payment of a kind that nobody thought of must not keep the others from their reasons.
            log.exception("an alert could not be explained", alert_id=alert.get(AlertField.ALERT_ID))
            return cause_form(f"{DEFECT} ({type(e).__name__}); the dashboard's log says why")

    def _tell(self, found: Mapping[int, Mapping[str, Any]], told: Sequence[Mapping[str, Any]]) -> None:
        if found:
            self._store.add(found, self._clock())
            # Without an id: a stream resumes after the last alert, whatever was told of it since.
            self._hub.tell(b"event: reasons\ndata: %s\n\n" % orjson.dumps(told), about=Outcome.ALERT)


def explain_alert(library: ExplainerLibrary, alert: Mapping[str, Any]) -> Object:
    """The reasons of a stored alert; none, with the cause, where they cannot be had or are not those of its score."""
    found = explanation_of(library, alert)
    return cause_form(found) if isinstance(found, str) else short_form(found)


def explanation_of(library: ExplainerLibrary, alert: Mapping[str, Any]) -> Explanation | str:
    """Every step to a stored alert's score; the cause where it cannot be had or leads to another score."""
    model_id, score = alert.get(AlertField.MODEL_ID), alert.get(AlertField.SCORE)
    if not isinstance(model_id, str) or score is None:
        return "the alert names no model or no score"
    try:
        explainer, aliases = library.of(model_id, alert.get(AlertField.REVISION))
    except ModelError as e:
        return f"{e.what}: {model_id}"
    explanation = explainer.explain(alert[AlertField.TRANSACTION], aliases)
    if abs(explanation.score - score) > SCORE_TOLERANCE:
        return (
            f"the model gives the payment the score {explanation.score:.9g}, the alert has {score:.9g}: "
            "what judged it then cannot be reproduced"
        )
    return explanation
