"""Opens the alert store in a PostgreSQL database: timeouts, write lock, text without NUL, probe."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.types.string import StrDumper, TextLoader
from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from fraudstream.errors import StoreError
from fraudstream.runtime.files import new_file
from fraudstream.store.backends import backend
from fraudstream.store.backends.backend import Backend

OLDEST: Final = 15
STATEMENT_TIMEOUT_MS: Final = 30_000
CONNECT_SECONDS: Final = 5

WRITE_LOCK: Final = 0x66726175
"""The advisory lock of the store's writers ("frau"). A `seq` is drawn from a sequence at the insert: without the lock
a lower one may be committed later, and a reader that has passed it would never see it."""

LEADER_LOCK: Final = WRITE_LOCK + 1
CHANNEL: Final = "fraudstream"

_CLIENT_REMEDY: Final = (
    "install PostgreSQL's client programs (postgresql-client), of the server's version or newer, and put them in PATH"
)

_RECORD_ERRORS: Final = ("22", "23", "54")
"""The classes of SQLSTATE that a record causes: its data, a constraint, a limit such as the size of a tsvector."""


class PostgresqlBackend(Backend):
    """A store in a database of a PostgreSQL server, for several processes and machines."""

    remedy = "check that the server is up, that its disk is not full, and that the user may write; nothing is lost"
    open_remedy = (
        "check the address, that the server is up, and that the user owns the database or may create tables in it"
    )
    is_shared = True
    ddl_file = "postgresql.sql"

    def __init__(self, url: URL) -> None:
        """Raises StoreError if the URL names another driver than psycopg."""
        if url.drivername not in ("postgresql", "postgresql+psycopg"):
            raise StoreError(
                "the alert store uses PostgreSQL through psycopg",
                where=url.render_as_string(hide_password=True),
                remedy="write it as postgresql+psycopg://user@host/database",
            )
        self._url = url.set(drivername="postgresql+psycopg")
        self.url = self._url.render_as_string(hide_password=False)
        self.where = self._url.render_as_string(hide_password=True)

    def open(self) -> Engine:
        """Open a pool of connections, each checked before its use; raises StoreError if the server is too old."""
        engine = self._engine(
            STATEMENT_TIMEOUT_MS, backend.BUSY_TIMEOUT_MS, pool_size=8, max_overflow=24, pool_timeout=5
        )
        try:
            with engine.connect() as connection:
                version = connection.exec_driver_sql("SHOW server_version_num").scalar_one()
        except DBAPIError as e:
            engine.dispose()
            raise self.error(f"the alert store cannot be opened: {_sentence(e.orig)}", self.open_remedy) from e
        if int(version) < OLDEST * 10_000:
            engine.dispose()
            raise self.error(
                f"the server is PostgreSQL {int(version) // 10_000}, and the alert store needs {OLDEST} or newer",
                f"upgrade the server, or use another one with PostgreSQL {OLDEST} or newer",
            )
        return engine

    def is_of_record(self, error: DBAPIError) -> bool:
        """Whether the record caused an error, by its SQLSTATE."""
        state = getattr(error.orig, "sqlstate", None)
        return isinstance(state, str) and state.startswith(_RECORD_ERRORS)

    def probe(self) -> None:
        """Write, as a post would; raises StoreError if it cannot (away, full, read-only, without rights)."""
        engine = self._engine(backend.PROBE_TIMEOUT_MS, backend.PROBE_TIMEOUT_MS, poolclass=NullPool)
        try:
            with engine.connect().execution_options(**{backend.WRITE: True}) as connection, connection.begin():
                connection.exec_driver_sql(backend.TOUCH)
        except DBAPIError as e:
            raise self.error(f"cannot write to the alert store: {_sentence(e.orig)}", backend.PROBE_REMEDY) from e

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a read-only transaction, in which all reads see one state of the store."""
        engine = self._engine(0, backend.BUSY_TIMEOUT_MS, poolclass=NullPool, isolation_level="REPEATABLE READ")
        with engine.connect().execution_options(postgresql_readonly=True) as connection:
            yield connection

    def back_up(self, file: Path) -> int:
        """Run pg_dump on the snapshot in which the alerts are counted."""
        try:
            with self.snapshot() as connection, new_file(file) as partial:
                snapshot = connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one()
                count = connection.exec_driver_sql("SELECT count(*) FROM alerts").scalar_one()
                self._run("pg_dump", "--format=custom", f"--snapshot={snapshot}", f"--file={partial}")
                return int(count)
        except (OSError, DBAPIError) as e:
            reason = e.strerror if isinstance(e, OSError) else _sentence(e.orig)
            remedy = f"name a new file in a folder that you may write to; {self.open_remedy}"
            raise StoreError(f"the alert store cannot be backed up: {reason}", where=str(file), remedy=remedy) from e

    def restore(self, file: Path) -> None:
        """Run pg_restore in one transaction, in place of empty tables."""
        self._run("pg_restore", "--exit-on-error", "--no-owner", "--single-transaction", "--clean", "--if-exists", file)

    def _run(self, program: str, *arguments: str | Path) -> None:
        """Run one of PostgreSQL's own programs; raises StoreError if it is missing or fails."""
        # As SQLAlchemy connects: an address may name several hosts.
        _, parts = self._url.get_dialect()().create_connect_args(self._url)
        environment = os.environ | {"LC_ALL": "C"}
        if (password := parts.pop("password", None)) is not None:
            environment["PGPASSWORD"] = password
        command = [program, "--no-password", f"--dbname={make_conninfo(**parts)}", *arguments]
        try:
            done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)  # noqa: S603
        except FileNotFoundError as e:
            raise self.error(f"{program} is not installed", _CLIENT_REMEDY) from e
        if done.returncode:
            reason = "; ".join(done.stderr.strip().splitlines()[:2])
            remedy = _CLIENT_REMEDY if "version" in reason else "check the file, the server, and the rights of the user"
            raise self.error(f"{program} failed: {reason}", remedy)

    def notify(self, connection: Connection, message: str) -> None:
        """Notify the processes that listen, once the transaction is committed; at most 7,999 bytes."""
        connection.execute(select(func.pg_notify(CHANNEL, message)))

    @contextmanager
    def listen(self) -> Iterator["Listener"]:
        """Listen on a connection of its own; raises StoreError, as its listener may."""
        engine = self._engine(
            STATEMENT_TIMEOUT_MS, backend.BUSY_TIMEOUT_MS, poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql(f"LISTEN {CHANNEL}")
                yield Listener(connection)
        except (DBAPIError, psycopg.Error) as e:
            cause = e.orig if isinstance(e, DBAPIError) else e
            raise self.error(f"no notifications of the alert store: {_sentence(cause)}", backend.PROBE_REMEDY) from e

    def _engine(self, statement_ms: int, lock_ms: int, **options: Any) -> Engine:
        """Make an engine; the settings of the URL come last and win."""
        given = self._url.query.get("options", "")
        settings = f"-c statement_timeout={statement_ms} -c lock_timeout={lock_ms} {given}"
        url = self._url.update_query_dict({"options": settings.strip()})
        arguments = {"connect_timeout": CONNECT_SECONDS, "application_name": "fraudstream"}
        arguments = {name: value for name, value in arguments.items() if name not in url.query}
        pooled = options.get("poolclass") is not NullPool
        # JSON is text here, written as it is but for NUL.
        options |= {"json_serializer": backend.without_nul, "pool_pre_ping": pooled}
        engine = create_engine(url, connect_args=arguments, **options)
        event.listen(engine, "connect", _set_up_connection)
        event.listen(engine, "begin", _begin)
        return engine


class Listener:
    """A connection that hears what all processes notify, this one included."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
        self._leads = False

    def wait(self, seconds: float) -> Sequence[str]:
        """Return the next notifications, empty if there is none for so long."""
        return [each.payload for each in self._driver.notifies(timeout=seconds, stop_after=1)]

    def lead(self) -> bool:
        """Take the lock of the leader, unless another process holds it; it is held until the connection ends."""
        if not self._leads:
            query = f"SELECT pg_try_advisory_lock({LEADER_LOCK})"
            self._leads = bool(self._connection.exec_driver_sql(query).scalar_one())
        return self._leads


class _TextDumper(StrDumper):
    """Sends text; PostgreSQL has no NUL in a text, so that the sign for it is stored instead."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\x00", backend.NUL_SIGN))


def _set_up_connection(connection: psycopg.Connection[Any], _record: Any) -> None:
    connection.adapters.register_dumper(str, _TextDumper)
    # The stored JSON as it was written: it is read, extended and sent on as text.
    connection.adapters.register_loader("json", TextLoader)


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get(backend.WRITE):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")


def _sentence(error: BaseException | None) -> str:
    """Return the server's own sentence, without the statement and the hint on further lines."""
    return str(error).strip().partition("\n")[0]
