"""Opens and migrates the database of the alert store, and gives its repositories transactions."""

import logging
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import ColumnElement, Connection, Engine, Executable, Select, Table, func, select, text

# PostgreSQL's insert also compiles for SQLite, whose "ON CONFLICT" has the same form.
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.dialects.postgresql import insert as insert
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from fraudstream.errors import StoreError
from fraudstream.store.backends.backend import WRITE, Backend
from fraudstream.store.backends.postgresql import PostgresqlBackend
from fraudstream.store.backends.sqlite import SqliteBackend
from fraudstream.store.tables import metadata
from fraudstream.transactions.masking import DataMask

_Value = TypeVar("_Value")

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_UNMASKED: Final = "0008"
_MASKED: Final = "0009"
_PROGRESS_ROWS: Final = 20_000

log = structlog.get_logger(__name__)


def upsert(table: Table, where: ColumnElement[bool] | None = None) -> Insert:
    """Build a statement that inserts a row, or replaces the one with the same primary key, if that fulfils `where`."""
    query = insert(table)
    others = {column.name: query.excluded[column.name] for column in table.c if not column.primary_key}
    return query.on_conflict_do_update(index_elements=list(table.primary_key), set_=others, where=where)


ROWS_AT_ONCE: Final = 1_000


class Database:
    """The database of the alert store: any number of readers, one writer at a time; every repository takes it."""

    def __init__(self, backend: Backend, engine: Engine, clock: Callable[[], datetime]) -> None:
        """Take a backend and its engine, and the clock of commits; `open_database` opens one."""
        self.backend = backend
        self._engine = engine
        self.now: Final = clock
        self.write_lock = threading.RLock()
        self.instance = uuid.uuid4().hex[:12]

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection for reading."""
        with self._engine.connect() as connection:
            yield connection

    def rows(self, query: Executable) -> Sequence[Any]:
        """Return all rows of a query."""
        with self.read() as connection:
            return connection.execute(query).all()

    def scalar(self, query: Select[_Value]) -> _Value | None:
        """Return the first value of a query, or None."""
        with self.read() as connection:
            return connection.execute(query).scalar()

    def count(self, table: Table, *conditions: ColumnElement[bool]) -> int:
        """Count the rows of a table that match."""
        return self.scalar(select(func.count()).select_from(table).where(*conditions)) or 0

    def notify(self, connection: Connection, kind: str, items: str = "") -> None:
        """Notify the other processes on a shared database, at the commit; `items` are JSON, separated by commas."""
        if isinstance(self.backend, PostgresqlBackend):
            message = f'{{"from":"{self.instance}","kind":"{kind}","items":[{items}]}}'
            self.backend.notify(connection, message)

    @contextmanager
    def write(self, *, of_records: bool = False) -> Iterator[Connection]:
        """Open a write transaction, one after the other; raises StoreError if the database fails.

        If `of_records`, an error that a record causes is raised as it is.
        """
        try:
            with (
                self.write_lock,
                self._engine.connect().execution_options(**{WRITE: True}) as connection,
                connection.begin(),
            ):
                yield connection
        except DBAPIError as e:
            if of_records and self.backend.is_of_record(e):
                raise
            raise self.backend.error(f"a write to the alert store failed: {e.orig}", self.backend.remedy) from e
        except PoolTimeout as e:
            raise self.backend.error("all connections to the alert store are in use", self.backend.remedy) from e


def in_pages(
    connection: Connection, query: Select[Any], key: ColumnElement[int], size: int, message: str = "", **context: str
) -> Iterator[Sequence[Any]]:
    """Yield the rows of a query in pages, in the order of a key above 0; logs a message about every 20,000 rows."""
    last = rows_read = 0
    query = query.add_columns(key.label("key")).order_by(key).limit(size)
    while rows := connection.execute(query.where(key > last)).all():
        yield rows
        last = rows[-1].key
        rows_read += len(rows)
        if message and rows_read % _PROGRESS_ROWS == 0:
            log.info(message, rows=rows_read, **context)


class Repository:
    """Reads or writes one part of a store, through its database; a write that raises StoreError stores nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database


def backend_of(url: str) -> Backend:
    """Return the backend for a URL; raises StoreError if it is invalid, or not one of SQLite or PostgreSQL."""
    try:
        parsed = make_url(url)
    except ArgumentError as e:
        raise StoreError(
            "the address of the alert store is not a URL",
            where=url,
            remedy="write it as sqlite:///alerts.db or postgresql+psycopg://user@host/database",
        ) from e
    return PostgresqlBackend(parsed) if parsed.get_backend_name() == "postgresql" else SqliteBackend(parsed)


def open_database(
    url: str, clock: Callable[[], datetime], card_columns: Iterable[str] = (), *, backup: Path | None = None
) -> Database:
    """Open a database, creating or migrating its tables if necessary; a migration is preceded by a backup.

    `card_columns` is the setting, to mask what an earlier release has stored unmasked; `backup` is a new file, without
    which a PostgreSQL database is not migrated. Raises StoreError if the URL is not one of SQLite or PostgreSQL, or the
    database cannot be opened, written, backed up or migrated.
    """
    backend = backend_of(url)
    engine = backend.open()
    try:
        with ExitStack() as on_error:
            on_error.callback(engine.dispose)
            is_upgraded = False
            while _migrate(engine, backend, card_columns, backup):
                is_upgraded = True
            backend.opened(engine, upgraded=is_upgraded)
            on_error.pop_all()
    except DBAPIError as e:
        raise backend.error(f"the alert store cannot be opened: {e.orig}", backend.open_remedy) from e
    return Database(backend, engine, clock)


@contextmanager
def read_store(url: str) -> Iterator[Connection]:
    """Open the store read-only, for one transaction; raises StoreError if it does not exist or cannot be read."""
    backend = backend_of(url)
    try:
        with backend.snapshot() as connection:
            yield connection.execution_options(yield_per=ROWS_AT_ONCE)
    except DBAPIError as e:
        remedy = "check that it is readable; `fraudstream store migrate` updates one of an earlier release"
        raise backend.error(f"the alert store cannot be read: {e.orig}", remedy) from e


def migrate_database(
    url: str, clock: Callable[[], datetime], card_columns: Iterable[str], backup: Path | None
) -> list[str | None]:
    """Migrate the tables of a store that exists, after a backup; returns their revision before and after.

    Raises StoreError as `open_database` does, or if there is no store.
    """
    revisions = []
    for _ in range(2):
        with read_store(url) as connection:
            revisions.append(_revision_of(connection))
        open_database(url, clock, card_columns, backup=backup).close()
    return revisions


def schema_state(url: str) -> Literal["empty", "older", "current", "newer"]:
    """Compare the tables of a store that exists with those of this release; raises StoreError as `read_store` does."""
    with read_store(url) as connection:
        revision = _revision_of(connection)
    newest = str(_scripts().get_current_head())
    if revision is None or revision == newest:
        return "current" if revision else "empty"
    return "older" if revision < newest else "newer"


def _revision_of(connection: Connection) -> str | None:
    """Return the revision of the tables; None if there are none."""
    return MigrationContext.configure(connection).get_current_revision()


@cache
def _scripts() -> ScriptDirectory:
    """Read the migrations, once in a process."""
    return ScriptDirectory(str(_MIGRATIONS))


def _migrate(engine: Engine, backend: Backend, card_columns: Iterable[str], backup: Path | None) -> bool:
    """Create the tables, or migrate them a step; returns whether there may be another step."""
    # It logs at every start that it uses SQLite.
    logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    scripts = _scripts()
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        config.attributes.update(connection=connection, mask=DataMask(card_columns), ddl=backend.ddl)
        before, newest = _revision_of(connection), str(scripts.get_current_head())
        if before == newest:
            return False
        if before is None:
            metadata.create_all(connection, checkfirst=False)
            for statement in backend.ddl:
                connection.exec_driver_sql(statement)
            MigrationContext.configure(connection).stamp(scripts, newest)
            return False
        if not _UNMASKED <= before < newest:
            what = f"the alert store has tables that this release does not know: revision {before}"
            raise backend.error(what, "use the release of fraudstream that wrote it, or another database")
        if before == _UNMASKED:
            # In a transaction of its own: a backup must not contain what may not be stored.
            command.upgrade(config, _MASKED)
        else:
            _back_up(backend, newest, backup)
            # The last migration adds what is missing, also to a store of a development version since.
            connection.execute(text("UPDATE alembic_version SET version_num = :masked"), {"masked": _MASKED})
            command.upgrade(config, newest)
        return True


def _back_up(backend: Backend, revision: str, backup: Path | None) -> None:
    """Back up the store before its migration to a revision; a backup that exists beside the store stays as it is."""
    file = backup or backend.file(f".before-{revision}")
    if file is None:
        remedy = "stop all dashboards on it, then run `fraudstream store migrate --backup FILE`"
        raise backend.error("the tables of the alert store are of an earlier release", remedy)
    if backup is not None or not file.exists():
        backend.back_up(file)
    log.info("migrating the alert store, as it was before it is in the backup", backup=str(file), revision=revision)
