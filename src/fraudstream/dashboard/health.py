"""Whether alerts can arrive, and why not, as `/ready` and `/health` answer it; `alerts/probe.py` asks the database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

import structlog

from fraudstream.alerts.probe import StoreProbe
from fraudstream.alerts.store import AlertStore
from fraudstream.errors import StoreError
from fraudstream.transactions.wire import DetectorState, EventField, EventType

log = structlog.get_logger(__name__)

SILENT_SECONDS: Final = 15.0
"""Relay and detector each say something every two seconds at most: silent for so long, one is gone."""

FIRST_WORD_SECONDS: Final = 30.0
"""What is there already may take so long to say its first word to a dashboard that has just been started."""

CACHE_SECONDS: Final = 1.0
LOG_SECONDS: Final = 10.0
"""A trouble that lasts is logged this often."""


class Health:
    """Knows what matters to an alert's arrival: the database, the relay, Kafka, the detector."""

    def __init__(self, store: AlertStore, clock: Callable[[], datetime]) -> None:
        """Watch over one store; what came before this moment is known from what it holds."""
        self._store = store
        self._probe = StoreProbe(store.path)
        self._clock = clock
        self._lock = threading.Lock()
        self._began = clock()
        self._is_known_stream = bool(store.positions())
        self._posted_at: datetime | None = None
        self._first_posted_at: datetime | None = None
        self._kafka_trouble = ""
        self._detector: tuple[datetime, str, str] | None = None
        self._failed: StoreError | None = None
        self._logged_at: datetime | None = None
        self._probed: tuple[datetime, str] | None = None

    def check_file(self) -> None:
        """See that what is written is kept; before each write.

        Raises:
            StoreError: The file is not the one that was opened.
        """
        self._probe.check_file()

    def posted(self, records: Iterable[object]) -> None:
        """A relay has posted records, and they are stored; take from them how it and the detector are."""
        now = self._clock()
        self._posted_at = now
        self._first_posted_at = self._first_posted_at or now
        if self._failed is not None:
            self._failed = None
            self._probed = None
            self._logged_at = None
            log.info("the alert store takes writes again")
        for record in records:
            if isinstance(record, dict):
                self._observe(record, now)

    def write_failed(self, error: StoreError) -> None:
        """A write was refused: not ready until one succeeds. Logged at first and then every ten seconds."""
        now = self._clock()
        self._failed = error
        if self._logged_at is None or (now - self._logged_at).total_seconds() >= LOG_SECONDS:
            self._logged_at = now
            log.error("the alert store takes no writes; alerts wait in Kafka", reason=error.what, where=error.where)

    def reasons(self) -> list[str]:
        """Why alerts cannot arrive or are not found; none while all that matters works."""
        now = self._clock()
        found = [self._database(now), self._relay(now), self._kafka_trouble, self._of_detector(now)]
        return [reason for reason in found if reason]

    def checks(self) -> dict[str, str]:
        """By part of this process, "ok" or what is wrong with it.

        Raises:
            SQLAlchemyError: The database does not answer at all.
        """
        self._store.answers()
        return {"database": self._database(self._clock()) or "ok"}

    def _observe(self, record: dict[str, Any], now: datetime) -> None:
        kind = record.get(EventField.TYPE)
        if kind == EventType.STATUS:
            self._detector = now, str(record.get(EventField.STATE)), str(record.get(EventField.MESSAGE) or "")
        elif kind == EventType.POSITION:
            trouble = record.get(EventField.TROUBLE)
            self._kafka_trouble = f"Kafka does not answer the relay: {trouble}" if trouble else ""

    def _database(self, now: datetime) -> str:
        failed = self._failed
        if failed is not None:
            return failed.what
        with self._lock:  # one probe at a time, for whoever asks
            if self._probed is None or not 0 <= (now - self._probed[0]).total_seconds() < CACHE_SECONDS:
                try:
                    self._probe.check()
                    self._probed = now, ""
                except StoreError as e:
                    self._probed = now, e.what
            return self._probed[1]

    def _relay(self, now: datetime) -> str:
        if self._posted_at is not None:
            silent = (now - self._posted_at).total_seconds()
            return f"the relay has posted nothing for {silent:.0f} s" if silent > SILENT_SECONDS else ""
        waited = (now - self._began).total_seconds()
        if self._is_known_stream and waited > FIRST_WORD_SECONDS:
            return f"no relay has posted anything for {waited:.0f} s, since this dashboard began"
        return ""

    def _of_detector(self, now: datetime) -> str:
        if self._detector is None:
            first = self._first_posted_at
            waited = 0.0 if first is None else (now - first).total_seconds()
            return f"no detector has said anything for {waited:.0f} s" if waited > FIRST_WORD_SECONDS else ""
        at, state, message = self._detector
        silent = (now - at).total_seconds()
        if silent > SILENT_SECONDS:
            return f"the detector has said nothing for {silent:.0f} s"
        if state != DetectorState.RUNNING:
            return f"the detector is {state}" + (f": {message}" if message else "")
        return ""
