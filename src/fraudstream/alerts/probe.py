"""Whether the alert store takes a write now, found out by writing; what is written for good is `store.py`'s."""

import os
import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fraudstream.errors import StoreError

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


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
