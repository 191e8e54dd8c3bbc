"""Opening the alert store's database, its migrations and dialect; what is in it is `store.py`'s."""

import logging
import re
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Select,
    String,
    Table,
    case,
    create_engine,
    event,
    func,
    select,
    table,
    text,
    type_coerce,
)
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import QueuePool
from sqlalchemy.sql.elements import KeyedColumnElement

from fraudstream.errors import StoreError
from fraudstream.runtime.files import tighten
from fraudstream.store.full_text import Text, fold
from fraudstream.store.tables import BESIDE_TABLES, metadata
from fraudstream.transactions.amounts import parse_number
from fraudstream.transactions.masking import DataMask

NUMBERS: Final = ("integer", "real")

_PLAIN_NAME: Final = re.compile(r'[^"\\\x00-\x1f]+')
"""What a path of SQLite can name; JSON escapes the others, and SQLite compares what is written."""

_ADD_WORDS: Final = text("INSERT INTO alert_words (rowid, words) VALUES (:seq, :words)")
_MATCH: Final = text("alert_words MATCH :typed")
_SEQ: Final[Column[int]] = Column("rowid")
_KEPT: Final = table("found_words", Column("seq", Integer), schema="temp")


class Member(NamedTuple):
    """A member of a JSON object as SQL: its type (`json_type`, null where there is none) and its value."""

    kind: ColumnElement[Any]
    value: ColumnElement[Any]

    def as_number(self) -> ColumnElement[Any]:
        """The number that it is, or that its text holds."""
        return case((self.kind.in_(NUMBERS), self.value), (self.kind == "text", func.number_in(self.value)), else_=None)

    def as_text(self) -> ColumnElement[Any]:
        """The text that it is: of a list its JSON; null for a number."""
        texts = {"text": self.value, "array": self.value, "true": "true", "false": "false"}
        return type_coerce(case(texts, value=self.kind, else_=None), String)

    def has(self, part: str) -> ColumnElement[bool]:
        """Whether its text, or the digits of its number, hold a part, without regard to case and accents."""
        whole = case((self.kind.in_(NUMBERS), self.value), else_=self.as_text())
        return func.instr(func.folded(whole), fold(part)) > 0


def member(body: KeyedColumnElement[Any], parent: str, name: str) -> Member:
    """The member of an object within a JSON text: the one of that name, else the nested one of that dotted name."""
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
    """Insert a row, or replace the one of the same primary key."""
    query = insert(table)
    others = {column.name: query.excluded[column.name] for column in table.c if not column.primary_key}
    return query.on_conflict_do_update(index_elements=list(table.primary_key), set_=others)


def add_words(connection: Connection, alerts: Iterable[tuple[int, Sequence[str]]]) -> None:
    """Store the words of alerts, by their `seq`; to be called once for each alert."""
    rows = [{"seq": seq, "words": " ".join(words)} for seq, words in alerts]
    if rows:
        connection.execute(_ADD_WORDS, rows)


def with_words(typed: Text, first: int | None = None, last: int | None = None) -> Select[Any]:
    """The `seq` of the alerts that have what was typed, of all or of those from `first` to `last`.

    Each term is a phrase, of which the last word may go on.
    """
    # A word holds letters, digits, or one sign beyond ASCII: never a quote.
    terms = (f'"{" ".join(term.words)}"{" *" if term.prefix else ""}' for term in typed.terms)
    found = select(_SEQ).select_from(text("alert_words")).where(_MATCH.bindparams(typed=" AND ".join(terms)))
    return found if first is None else found.where(_SEQ.between(first, last))


def kept_words(connection: Connection, typed: Text) -> Select[Any]:
    """The same for many alerts, looked up once and kept for the rest of the transaction."""
    connection.execute(text("CREATE TEMP TABLE IF NOT EXISTS found_words (seq INTEGER PRIMARY KEY)"))
    connection.execute(text("DELETE FROM found_words"))
    connection.execute(insert(_KEPT).from_select(["seq"], with_words(typed)))
    return select(_KEPT.c.seq)


def add_functions(connection: sqlite3.Connection) -> None:
    """Define the functions that SQLite lacks."""
    connection.create_function("folded", 1, _folded, deterministic=True)
    connection.create_function("number_in", 1, parse_number, deterministic=True)


WRITE: Final = "fraudstream_write"
"""The execution option that makes a transaction take SQLite's write lock at its beginning.

A transaction that starts by reading and writes later can fail at once when another wrote in between; BEGIN IMMEDIATE
waits for its turn instead.
"""

RELAXED: Final = "fraudstream_relaxed"
"""The execution option of a writing transaction whose content can be worked out again: it does not wait for the disk.

After a crash of the machine it may be gone; it is never half there, and what else is committed is not touched by it.
"""

BUSY_TIMEOUT_MS: Final = 5_000
"""How long a writer waits for another process's transaction: the relay has several posts under way and waits 30 s."""

log = structlog.get_logger(__name__)

_MIGRATIONS = Path(__file__).parent / "migrations"


def open_engine(url: str, card_columns: Iterable[str] = ()) -> Engine:
    """An engine on a database with the present tables, made or brought up to date where needed.

    `card_columns` is the setting, for what an earlier release has stored unmasked. Raises StoreError where the URL is
    not one of SQLite, or the file cannot be opened, written or brought up to date.
    """
    parsed = parse_url(url)
    place = str(parsed.database)
    if not Path(place).absolute().parent.is_dir():
        raise StoreError(
            "the directory of the alert store does not exist",
            where=str(Path(place).absolute().parent),
            remedy="make it, or name another database (setting `database`)",
        )
    for suffix in ("", "-wal", "-shm"):
        tighten(Path(place + suffix))
    engine = create_engine(parsed, poolclass=QueuePool, pool_size=8, max_overflow=56, pool_timeout=5)
    event.listen(engine, "connect", _set_up_connection)
    event.listen(engine, "begin", _begin)
    try:
        with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
            is_upgraded = _migrate(connection, card_columns)
        if is_upgraded:
            _empty_log(engine)
    except DBAPIError as e:
        engine.dispose()
        raise StoreError(
            f"the alert store cannot be opened: {e.orig}",
            where=place,
            remedy="check that the file is a fraudstream database, that it may be written, and that the disk has room",
        ) from e
    except CommandError as e:
        engine.dispose()
        raise StoreError(
            f"the alert store has tables that this release does not know: {e}",
            where=place,
            remedy="use the release of fraudstream that wrote it, or another database",
        ) from e
    return engine


def parse_url(url: str) -> URL:
    """The URL of a store; raises StoreError where it is no URL, or not one of a SQLite file."""
    try:
        parsed = make_url(url)
    except ArgumentError as e:
        raise StoreError(
            "the address of the alert store is not a URL", where=url, remedy="write it as sqlite:///alerts.db"
        ) from e
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        raise StoreError(
            "the alert store has to be a SQLite file",
            where=parsed.render_as_string(hide_password=True),
            remedy="write it as sqlite:///alerts.db, or sqlite:////var/lib/fraudstream/alerts.db",
        )
    return parsed


def _set_up_connection(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver's own BEGIN comes too late (before the first write); `_begin` sends it instead.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: what was answered with 200 is on the disk, not only in the operating system's cache.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    add_functions(connection)


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get(WRITE):
        # Of the connection, which may have served the other kind before.
        connection.exec_driver_sql(f"PRAGMA synchronous = {'NORMAL' if options.get(RELAXED) else 'FULL'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get(WRITE) else "BEGIN")


def _migrate(connection: Connection, card_columns: Iterable[str]) -> bool:
    """Make the tables, or bring earlier ones up to date; whether there were such."""
    # Says on every opening that it uses SQLite.
    logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["mask"] = DataMask(card_columns)
    versions = MigrationContext.configure(connection)
    before = versions.get_current_revision()
    if before is None:
        metadata.create_all(connection, checkfirst=False)
        for statement in BESIDE_TABLES:
            connection.exec_driver_sql(statement)
        command.stamp(config, "head")
        return False
    command.upgrade(config, "head")
    return before != versions.get_current_revision()


def _empty_log(engine: Engine) -> None:
    """Move the write-ahead log into the file: until then both keep the pages as they were, unmasked."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        is_busy, *_ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
    if is_busy:
        log.warning(
            "another process reads the store: until all have closed it, its write-ahead log keeps values as they were "
            "before they were masked",
            store=engine.url.database,
        )


def _folded(value: str | float | None) -> str | None:
    if value is None:
        return None
    return fold(value if isinstance(value, str) else orjson.dumps(value).decode())
