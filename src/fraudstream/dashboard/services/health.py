"""Whether this process can serve, which is whether its database takes writes, as `/ready` and `/health` answer it."""

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from fraudstream.errors import StoreError
from fraudstream.store.store import AlertStore

PROBE_TIMEOUT_MS: Final = 2_000
"""How long a probe waits for another process's transaction: an answer is wanted within seconds."""

LEAST_FREE_BYTES: Final = 1024 * 1024
"""With less room than this on the disk the store counts as full: a batch of alerts would not fit any more."""

_TOUCH: Final = "UPDATE totals SET value = value + 1 WHERE name = 'probes'"
_MAKE: Final = "INSERT OR IGNORE INTO totals (name, value) VALUES ('probes', 0)"
_REMEDY: Final = "it is well again by itself once that is mended; what could not be stored waits in Kafka"


@dataclass
class StoreProbe:
    """Writes to the database on a connection of its own, beside the store's writer and without waiting for it."""

    path: Path
    _identity: tuple[int, int] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Remember which file it is."""
        self._identity = _identity(self.path)

    def check_file(self) -> None:
        """See that the file is the one that was opened: what is written to one that was removed is lost at our end.

        Raises StoreError where it was removed or replaced.
        """
        if _identity(self.path) != self._identity:
            raise StoreError(
                "the file of the alert store was removed or replaced while it was open",
                where=str(self.path),
                remedy="put it back and start the dashboard again; `fraudstream relay --from-beginning` brings all "
                "alerts that Kafka still has",
            )

    def check(self) -> None:
        """Write, as a post would; raises StoreError where it cannot (locked, full, read-only, removed, broken)."""
        self.check_file()
        if (free := shutil.disk_usage(self.path.parent).free) < LEAST_FREE_BYTES:
            raise StoreError(
                f"the disk of the alert store is full: {free:,} bytes left", where=str(self.path), remedy=_REMEDY
            )
        try:
            connection = sqlite3.connect(self.path, timeout=PROBE_TIMEOUT_MS / 1000, isolation_level=None)
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_MAKE)
                connection.execute(_TOUCH)
                connection.execute("COMMIT")
            finally:
                connection.close()
        except sqlite3.Error as e:
            raise StoreError(f"the alert store does not take a write: {e}", where=str(self.path), remedy=_REMEDY) from e


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
        self._store.ping()
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


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
