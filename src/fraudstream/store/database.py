"""Opens and migrates the database of the alert store, and gives its repositories transactions."""

import logging
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, Executable, Select, Table

# PostgreSQL's insert also compiles for SQLite, whose "ON CONFLICT" has the same form.
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.dialects.postgresql import insert as insert
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from fraudstream.errors import StoreError
from fraudstream.store.backend import RELAXED, WRITE, Backend
from fraudstream.store.postgresql import PostgresqlBackend
from fraudstream.store.sqlite import SqliteBackend
from fraudstream.store.tables import metadata
from fraudstream.transactions.masking import DataMask

_Value = TypeVar("_Value")

_MIGRATIONS: Final = Path(__file__).parent / "migrations"


def upsert(table: Table) -> Insert:
    """Build a statement that inserts a row, or replaces the one with the same primary key."""
    query = insert(table)
    others = {column.name: query.excluded[column.name] for column in table.c if not column.primary_key}
    return query.on_conflict_do_update(index_elements=list(table.primary_key), set_=others)


ROWS_AT_ONCE: Final = 1_000


class Database:
    """The database of the alert store: any number of readers, one writer at a time; every repository takes it."""

    def __init__(self, backend: Backend, engine: Engine, clock: Callable[[], datetime]) -> None:
        """Take a backend and its engine, and the clock of commits; `open_database` opens one."""
        self.backend = backend
        self._engine = engine
        self._clock = clock
        self.write_lock = threading.Lock()
        self.instance = uuid.uuid4().hex[:12]

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def now(self) -> datetime:
        """Return the time by the clock of commits."""
        return self._clock()

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

    def notify(self, connection: Connection, kind: str, items: str = "") -> None:
        """Notify the other processes on a shared database, at the commit; `items` are JSON, separated by commas."""
        if self.backend.is_shared:
            message = f'{{"from":"{self.instance}","kind":"{kind}","items":[{items}]}}'
            self.backend.notify(connection, message)

    @contextmanager
    def write(self, *, relaxed: bool = False) -> Iterator[Connection]:
        """Open a write transaction, one after the other; raises StoreError if the database fails.

        With `relaxed` its commit does not wait for the disk: for data that can be recomputed.
        """
        with self.write_lock, self.transaction(relaxed=relaxed, of_records=False) as connection:
            yield connection

    @contextmanager
    def transaction(self, *, relaxed: bool = False, of_records: bool = True) -> Iterator[Connection]:
        """Open a write transaction for a caller that holds `write_lock`; an error that a record causes stays as it is
        if `of_records`.
        """
        options = {WRITE: True, RELAXED: relaxed}
        try:
            with self._engine.connect().execution_options(**options) as connection, connection.begin():
                yield connection
        except DBAPIError as e:
            if of_records and self.backend.is_of_record(e):
                raise
            raise StoreError(
                f"a write to the alert store failed: {e.orig}", where=self.backend.where, remedy=self.backend.remedy
            ) from e
        except PoolTimeout as e:
            raise StoreError(
                "all connections to the alert store are in use", where=self.backend.where, remedy=self.backend.remedy
            ) from e


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


def open_database(url: str, clock: Callable[[], datetime], card_columns: Iterable[str] = ()) -> Database:
    """Open a database, creating or migrating its tables if necessary.

    `card_columns` is the setting, to mask what an earlier release has stored unmasked. Raises StoreError if the URL is
    not one of SQLite or PostgreSQL, or the database cannot be opened, written or migrated.
    """
    backend = backend_of(url)
    engine = backend.open()
    try:
        with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
            is_upgraded = _migrate(connection, backend, card_columns)
        backend.opened(engine, upgraded=is_upgraded)
    except DBAPIError as e:
        engine.dispose()
        raise StoreError(
            f"the alert store cannot be opened: {e.orig}", where=backend.where, remedy=backend.open_remedy
        ) from e
    except CommandError as e:
        engine.dispose()
        raise StoreError(
            f"the alert store has tables that this release does not know: {e}",
            where=backend.where,
            remedy="use the release of fraudstream that wrote it, or another database",
        ) from e
    return Database(backend, engine, clock)


@contextmanager
def read_store(url: str) -> Iterator[Connection]:
    """Open the store read-only, for one transaction; raises StoreError if it does not exist or cannot be read."""
    backend = backend_of(url)
    try:
        with backend.snapshot() as connection:
            yield connection.execution_options(yield_per=ROWS_AT_ONCE)
    except DBAPIError as e:
        raise StoreError(
            f"the alert store cannot be read: {e.orig}",
            where=backend.where,
            remedy="check that it is a database of this release of fraudstream and that it is readable",
        ) from e


def _migrate(connection: Connection, backend: Backend, card_columns: Iterable[str]) -> bool:
    """Create or migrate the tables; returns whether they were migrated."""
    # It logs at every start that it uses SQLite.
    logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["mask"] = DataMask(card_columns)
    versions = MigrationContext.configure(connection)
    before = versions.get_current_revision()
    if before is None:
        metadata.create_all(connection, checkfirst=False)
        for statement in backend.ddl:
            connection.exec_driver_sql(statement)
        command.stamp(config, "head")
        return False
    command.upgrade(config, "head")
    return before != versions.get_current_revision()
