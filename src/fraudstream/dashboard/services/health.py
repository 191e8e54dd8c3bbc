"""Checks for `/ready` and `/health` whether the database accepts writes."""

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from fraudstream.errors import StoreError
from fraudstream.store.store import AlertStore

PROBE_TIMEOUT_MS: Final = 2_000
"""How long a probe waits for another process's transaction: a health check has to answer within seconds."""

MIN_FREE_BYTES: Final = 1024 * 1024
"""With less free disk space than this the store counts as full: a batch of alerts would no longer fit."""

_TOUCH: Final = (
    "INSERT INTO totals (name, value) VALUES ('probes', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1"
)
_REMEDY: Final = "it recovers by itself once that is fixed; what could not be stored waits in Kafka"


class StoreProbe:
    """Writes to the database on its own connection, independently of the store's writer."""

    def __init__(self, path: Path) -> None:
        """Record the identity of the file."""
        self.path, self._identity = path, _identity(path)

    def check_file(self) -> None:
        """Check that the file is still the one that was opened: writes to a removed file are lost when we exit.

        Raises StoreError if it was removed or replaced.
        """
        if _identity(self.path) != self._identity:
            raise StoreError(
                "the file of the alert store was removed or replaced while it was open",
                where=str(self.path),
                remedy="restore it and restart the dashboard; `fraudstream relay --from-beginning` sends all "
                "alerts that Kafka still has",
            )

    def check(self) -> None:
        """Write, as a post would; raises StoreError if it cannot (locked, full, read-only, removed, corrupt)."""
        self.check_file()
        if (free := shutil.disk_usage(self.path.parent).free) < MIN_FREE_BYTES:
            raise StoreError(
                f"the disk of the alert store is full: {free:,} bytes left", where=str(self.path), remedy=_REMEDY
            )
        try:
            connection = sqlite3.connect(self.path, timeout=PROBE_TIMEOUT_MS / 1000, isolation_level=None)
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_TOUCH)
                connection.execute("COMMIT")
            finally:
                connection.close()
        except sqlite3.Error as e:
            raise StoreError(f"cannot write to the alert store: {e}", where=str(self.path), remedy=_REMEDY) from e


log = structlog.get_logger(__name__)

CACHE_SECONDS: Final = 1.0
LOG_SECONDS: Final = 10.0
"""A lasting problem is logged this often."""


class Health:
    """Probes the database, and remembers a failed write."""

    def __init__(self, store: AlertStore, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._probe = StoreProbe(store.database.path)
        self._clock = clock
        self._lock = threading.Lock()
        self._failed: StoreError | None = None
        self._logged_at: datetime | None = None
        self._probed: tuple[datetime, str] | None = None

    def check_file(self) -> None:
        """Check before each write that the file is the opened one; StoreError if not."""
        self._probe.check_file()

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
                    self._probe.check()
                    self._probed = now, ""
                except StoreError as e:
                    self._probed = now, e.what
            return self._probed[1]


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
