"""Opens and migrates the database of the alert store, and provides what is specific to SQLite."""

import logging
import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import orjson
import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Executable,
    Select,
    String,
    Table,
    case,
    create_engine,
    event,
    func,
    select,
    type_coerce,
)
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, InterfaceError
from sqlalchemy.pool import QueuePool
from sqlalchemy.sql.elements import KeyedColumnElement

from fraudstream.errors import StoreError
from fraudstream.runtime.files import tighten
from fraudstream.store.full_text import fold
from fraudstream.store.tables import RAW_STATEMENTS, metadata
from fraudstream.transactions.amounts import parse_number
from fraudstream.transactions.masking import DataMask

NUMBERS: Final = ("integer", "real")

_PLAIN_NAME: Final = re.compile(r'[^"\\\x00-\x1f]+')
"""The names that a JSON path of SQLite can express; JSON escapes the others, and SQLite compares the escaped form."""


class Member(NamedTuple):
    """A member of a JSON object as SQL: its type (`json_type`, null if absent) and its value."""

    kind: ColumnElement[Any]
    value: ColumnElement[Any]

    def as_number(self) -> ColumnElement[Any]:
        """Return the number, also one in a text."""
        return case((self.kind.in_(NUMBERS), self.value), (self.kind == "text", func.number_in(self.value)), else_=None)

    def as_text(self) -> ColumnElement[Any]:
        """Return the text, for a list its JSON; null for a number."""
        texts = {"text": self.value, "array": self.value, "true": "true", "false": "false"}
        return type_coerce(case(texts, value=self.kind, else_=None), String)

    def has(self, part: str) -> ColumnElement[bool]:
        """Whether its text, or the digits of its number, contain a text, ignoring case and accents."""
        whole = case((self.kind.in_(NUMBERS), self.value), else_=self.as_text())
        return func.instr(func.folded(whole), fold(part)) > 0


def member(body: KeyedColumnElement[Any], parent: str, name: str) -> Member:
    """Return the member of an object within a JSON text: by its name, else by its dotted name if nested."""
    if not _PLAIN_NAME.fullmatch(name):
        each = func.json_each(body, f"$.{parent}").table_valued("key", "type", "value")
        of_name = select(each).where(each.c.key == name).correlate(body.table)
        return Member(*(of_name.with_only_columns(each.c[it]).scalar_subquery() for it in ("type", "value")))
    parts = name.split(".")
    nested = [".".join(f'"{part}"' for part in parts)] if len(parts) > 1 and all(parts) else []
    paths = [f"$.{parent}.{each}" for each in (f'"{name}"', *nested)]
    kinds, values = ([call(body, path) for path in paths] for call in (func.json_type, func.json_extract))
    return Member(func.coalesce(*kinds, None), func.coalesce(*values, None))


def upsert(table: Table) -> Insert:
    """Build a statement that inserts a row, or replaces the one with the same primary key."""
    query = insert(table)
    others = {column.name: query.excluded[column.name] for column in table.c if not column.primary_key}
    return query.on_conflict_do_update(index_elements=list(table.primary_key), set_=others)


def add_functions(connection: sqlite3.Connection) -> None:
    """Define the functions that SQLite lacks."""
    connection.create_function("folded", 1, _folded, deterministic=True)
    connection.create_function("number_in", 1, parse_number, deterministic=True)


WRITE: Final = "fraudstream_write"
"""The execution option that makes a transaction take SQLite's write lock at its start (BEGIN IMMEDIATE).

A transaction that reads first and writes later fails at once if another has written in between; BEGIN IMMEDIATE waits
for the lock instead.
"""

RELAXED: Final = "fraudstream_relaxed"
"""The execution option of a write transaction whose content can be recomputed: its commit does not wait for the disk.

A crash of the machine may lose it, but never a part of it, and no other transaction.
"""

BUSY_TIMEOUT_MS: Final = 5_000
"""How long a writer waits for another process's transaction: the relay waits 30 s with several posts in flight."""

_Value = TypeVar("_Value")

log = structlog.get_logger(__name__)

_MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """The database of the alert store: any number of readers, one writer at a time; every repository takes it."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        """Take an engine that `open_engine` made, and the clock of commits."""
        self._engine = engine
        self._clock = clock
        self.write_lock = threading.Lock()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def now(self) -> datetime:
        """Return the time by the clock of commits."""
        return self._clock()

    @property
    def path(self) -> Path:
        """The database file."""
        return Path(str(self._engine.url.database)).absolute()

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
            if of_records and isinstance(e, DataError | IntegrityError | InterfaceError):
                raise  # caused by the record, not by the database
            raise StoreError(
                f"a write to the alert store failed: {e.orig}",
                where=str(self._engine.url.database),
                remedy="check that the disk is not full and that no other program locks the file, then try again",
            ) from e


def open_engine(url: str, card_columns: Iterable[str] = ()) -> Engine:
    """Open a database, creating or migrating its tables if necessary.

    `card_columns` is the setting, to mask what an earlier release has stored unmasked. Raises StoreError if the URL is
    not one of SQLite, or the file cannot be opened, written or migrated.
    """
    parsed = parse_url(url)
    path = str(parsed.database)
    if not Path(path).absolute().parent.is_dir():
        raise StoreError(
            "the directory of the alert store does not exist",
            where=str(Path(path).absolute().parent),
            remedy="create it, or choose another database (setting `database`)",
        )
    for suffix in ("", "-wal", "-shm"):
        tighten(Path(path + suffix))
    engine = create_engine(parsed, poolclass=QueuePool, pool_size=8, max_overflow=56, pool_timeout=5)
    event.listen(engine, "connect", _set_up_connection)
    event.listen(engine, "begin", _begin)
    try:
        with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
            is_upgraded = _migrate(connection, card_columns)
        if is_upgraded:
            _truncate_wal(engine)
    except DBAPIError as e:
        engine.dispose()
        raise StoreError(
            f"the alert store cannot be opened: {e.orig}",
            where=path,
            remedy="check that the file is a fraudstream database, that it is writable, and that the disk is not full",
        ) from e
    except CommandError as e:
        engine.dispose()
        raise StoreError(
            f"the alert store has tables that this release does not know: {e}",
            where=path,
            remedy="use the release of fraudstream that wrote it, or another database",
        ) from e
    return engine


def parse_url(url: str) -> URL:
    """Parse the URL of a store; raises StoreError if it is invalid, or not one of a SQLite file."""
    try:
        parsed = make_url(url)
    except ArgumentError as e:
        raise StoreError(
            "the address of the alert store is not a URL", where=url, remedy="write it as sqlite:///alerts.db"
        ) from e
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        raise StoreError(
            "the alert store must be a SQLite file",
            where=parsed.render_as_string(hide_password=True),
            remedy="write it as sqlite:///alerts.db, or sqlite:////var/lib/fraudstream/alerts.db",
        )
    return parsed


def _set_up_connection(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver's own BEGIN comes too late (before the first write); `_begin` sends it instead.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: what was answered with 200 is on disk, not only in the page cache.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    add_functions(connection)


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get(WRITE):
        # A setting of the connection, which is pooled.
        connection.exec_driver_sql(f"PRAGMA synchronous = {'NORMAL' if options.get(RELAXED) else 'FULL'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get(WRITE) else "BEGIN")


def _migrate(connection: Connection, card_columns: Iterable[str]) -> bool:
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
        for statement in RAW_STATEMENTS:
            connection.exec_driver_sql(statement)
        command.stamp(config, "head")
        return False
    command.upgrade(config, "head")
    return before != versions.get_current_revision()


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


def _folded(value: str | float | None) -> str | None:
    if value is None:
        return None
    return fold(value if isinstance(value, str) else orjson.dumps(value).decode())
