"""Checks for `/ready` and `/health` whether the database accepts writes."""

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from fraudstream.errors import StoreError
from fraudstream.store.store import AlertStore

log = structlog.get_logger(__name__)

CACHE_SECONDS: Final = 1.0
LOG_SECONDS: Final = 10.0
"""A lasting problem is logged this often."""


class Health:
    """Probes the database, and remembers a failed write."""

    def __init__(self, store: AlertStore, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._backend = store.database.backend
        self._clock = clock
        self._lock = threading.Lock()
        self._failed: StoreError | None = None
        self._logged_at: datetime | None = None
        self._probed: tuple[datetime, str] | None = None

    def written(self) -> None:
        """Record a successful write."""
        if self._failed is not None:
            self._failed = self._probed = self._logged_at = None
            log.info("the alert store accepts writes again")

    def write_failed(self, error: StoreError) -> None:
        """Record a failed write: not ready until one succeeds. Logged at once and then every ten seconds."""
        now = self._clock()
        self._failed = error
        if self._logged_at is None or (now - self._logged_at).total_seconds() >= LOG_SECONDS:
            self._logged_at = now
            log.error("the alert store accepts no writes; alerts wait in Kafka", reason=error.what, where=error.where)

    def reasons(self) -> list[str]:
        """Return why this process cannot serve; empty while it can."""
        reason = self._database(self._clock())
        return [reason] if reason else []

    def checks(self) -> dict[str, str]:
        """Return "ok" or the problem by component; raises SQLAlchemyError if the database does not respond."""
        self._store.ping()
        return {"database": self._database(self._clock()) or "ok"}

    def _database(self, now: datetime) -> str:
        failed = self._failed
        if failed is not None:
            return failed.what
        with self._lock:  # one probe at a time, for all callers
            if self._probed is None or not 0 <= (now - self._probed[0]).total_seconds() < CACHE_SECONDS:
                try:
                    self._backend.probe()
                    self._probed = now, ""
                except StoreError as e:
                    self._probed = now, e.what
            return self._probed[1]
