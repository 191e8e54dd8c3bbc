"""Whether this process can serve, which is whether its database takes writes, as `/ready` and `/health` answer it."""

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from fraudstream.alerts.probe import StoreProbe
from fraudstream.alerts.store import AlertStore
from fraudstream.errors import StoreError

log = structlog.get_logger(__name__)

CACHE_SECONDS: Final = 1.0
LOG_SECONDS: Final = 10.0
"""A trouble that lasts is logged this often."""


class Health:
    """Probes the database, and keeps whether a write failed."""

    def __init__(self, store: AlertStore, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._probe = StoreProbe(store.path)
        self._clock = clock
        self._lock = threading.Lock()
        self._failed: StoreError | None = None
        self._logged_at: datetime | None = None
        self._probed: tuple[datetime, str] | None = None

    def check_file(self) -> None:
        """See that what is written is kept, before each write; StoreError where the file is not the opened one."""
        self._probe.check_file()

    def written(self) -> None:
        """A write has succeeded."""
        if self._failed is not None:
            self._failed = None
            self._probed = None
            self._logged_at = None
            log.info("the alert store takes writes again")

    def write_failed(self, error: StoreError) -> None:
        """A write was refused: not ready until one succeeds. Logged at first and then every ten seconds."""
        now = self._clock()
        self._failed = error
        if self._logged_at is None or (now - self._logged_at).total_seconds() >= LOG_SECONDS:
            self._logged_at = now
            log.error("the alert store takes no writes; alerts wait in Kafka", reason=error.what, where=error.where)

    def reasons(self) -> list[str]:
        """Why this process cannot serve; none while it can."""
        reason = self._database(self._clock())
        return [reason] if reason else []

    def checks(self) -> dict[str, str]:
        """By part of this process, "ok" or what is wrong with it; SQLAlchemyError where the database is silent."""
        self._store.answers()
        return {"database": self._database(self._clock()) or "ok"}

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
