"""Opens the alert store in a SQLite file, the default: its settings, write lock, write-ahead log and probe."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import structlog
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError
from sqlalchemy.pool import NullPool, QueuePool

from fraudstream.errors import StoreError
from fraudstream.runtime.files import new_file, tighten
from fraudstream.store.backends import backend
from fraudstream.store.backends.backend import Backend

MIN_FREE_BYTES: Final = 1024 * 1024
"""With less free disk space than this the store counts as full: a batch of alerts would no longer fit."""

log = structlog.get_logger(__name__)


class SqliteBackend(Backend):
    """A store in one file: any number of readers, one writer at a time."""

    remedy = "check that the disk is not full and that no other program locks the file, then try again"
    open_remedy = "check that the file is a fraudstream database, that it is writable, and that the disk is not full"
    ddl_file = "sqlite.sql"

    def __init__(self, url: URL) -> None:
        """Raises StoreError if the URL names no file."""
        if url.database in (None, "", ":memory:"):
            raise StoreError(
                "the alert store must be a SQLite file or a PostgreSQL database",
                where=url.render_as_string(hide_password=True),
                remedy="write it as sqlite:///alerts.db, or sqlite:////var/lib/fraudstream/alerts.db",
            )
        self.url = url.render_as_string(hide_password=False)
        self.path = Path(str(url.database)).absolute()
        self.where = str(url.database)
        self._identity: tuple[int, int] | None = None

    def open(self) -> Engine:
        """Open the file, whose directory has to exist; raises StoreError if it does not."""
        if not self.path.parent.is_dir():
            raise StoreError(
                "the directory of the alert store does not exist",
                where=str(self.path.parent),
                remedy="create it, or choose another database (setting `database`)",
            )
        for suffix in ("", "-wal", "-shm"):
            tighten(Path(f"{self.path}{suffix}"))
        engine = create_engine(self.url, poolclass=QueuePool, pool_size=8, max_overflow=56, pool_timeout=5)
        event.listen(engine, "connect", _set_up_connection)
        event.listen(engine, "begin", _begin)
        return engine

    def opened(self, engine: Engine, *, upgraded: bool) -> None:
        """Record the identity of the file; after an upgrade, empty the log, which still contains unmasked pages."""
        if upgraded:
            _truncate_wal(engine)
        self._identity = _identity(self.path)

    def is_of_record(self, error: DBAPIError) -> bool:
        """Whether the record caused an error, not the database."""
        return isinstance(error, DataError | IntegrityError | InterfaceError)

    def file(self, suffix: str) -> Path | None:
        """Return a file beside the store."""
        return self.path.with_name(f"{self.path.name}{suffix}")

    def check_identity(self) -> None:
        """Raise StoreError if the file is not the one that was opened: writes to a removed one are lost at our exit."""
        if _identity(self.path) != self._identity:
            raise StoreError(
                "the file of the alert store was removed or replaced while it was open",
                where=str(self.path),
                remedy="restore it and restart the dashboard; `fraudstream relay --from-beginning` sends all "
                "alerts that Kafka still has",
            )

    def probe(self) -> None:
        """Write, as a post would; raises StoreError if it cannot (locked, full, read-only, removed, corrupt)."""
        self.check_identity()
        if (free := shutil.disk_usage(self.path.parent).free) < MIN_FREE_BYTES:
            raise self.error(f"the disk of the alert store is full: {free:,} bytes left", backend.PROBE_REMEDY)
        try:
            timeout = backend.PROBE_TIMEOUT_MS / 1000
            with closing(sqlite3.connect(self.path, timeout=timeout, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(backend.TOUCH)
                connection.execute("COMMIT")
        except sqlite3.Error as e:
            raise self.error(f"cannot write to the alert store: {e}", backend.PROBE_REMEDY) from e

    def back_up(self, file: Path) -> int:
        """Copy the file."""
        return _copy(self.path, file)

    def restore(self, file: Path) -> None:
        """Copy a backup to the store's file, in place of an empty one."""
        _alert_count(file)
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        _copy(file, self.path)

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open the file read-only, for one transaction that sees one state of it."""
        if not self.path.is_file():
            raise self.error("there is no alert store", "set --database, or --workdir for a demo")
        engine = create_engine("sqlite://", creator=lambda: _open_to_read(self.path), poolclass=NullPool)
        with engine.connect() as connection:
            # The driver begins a transaction only before a write; this one makes all reads see one snapshot.
            connection.exec_driver_sql("BEGIN")
            yield connection


def _open_to_read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, timeout=30, isolation_level=None)


def _alert_count(path: Path) -> int:
    """Count the alerts; raises StoreError if the file is not a store."""
    try:
        with closing(_open_to_read(path)) as connection:
            connection.execute("SELECT version_num FROM alembic_version").fetchone()
            return int(connection.execute("SELECT count(*) FROM alerts").fetchone()[0])
    except sqlite3.Error as e:
        raise StoreError(
            f"the file is not an alert store: {e}", where=str(path), remedy="name a file that `store backup` wrote"
        ) from e


def _copy(source: Path, target: Path) -> int:
    """Copy a store to a new file in one read transaction, which no writer waits for; returns its number of alerts."""
    try:
        with new_file(target) as partial:
            with closing(_open_to_read(source)) as connection:
                connection.execute("VACUUM INTO ?", (str(partial.absolute()),))
            return _alert_count(partial)
    except (OSError, sqlite3.Error) as e:
        reason = e.strerror if isinstance(e, OSError) else e
        remedy = "check that the store exists, or name another new file on a disk with enough free space"
        raise StoreError(
            f"the alert store {source} cannot be copied: {reason}", where=str(target), remedy=remedy
        ) from e


def _set_up_connection(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver's own BEGIN comes too late (before the first write); `_begin` sends it instead.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {backend.BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: what was answered with 200 is on disk, not only in the page cache.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once if another has written in between; BEGIN IMMEDIATE
    # waits for the lock instead.
    is_write = connection.get_execution_options().get(backend.WRITE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")


def _truncate_wal(engine: Engine) -> None:
    """Move the write-ahead log into the file: until then it contains the unmasked pages."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        is_busy, *_ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
    if is_busy:
        log.warning(
            "another process is reading the store: until it has closed it, the write-ahead log still contains "
            "unmasked values",
            store=engine.url.database,
        )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
