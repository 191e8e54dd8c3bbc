"""Defines what the alert store needs of a database engine; one implementation each for SQLite and PostgreSQL."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

from sqlalchemy import Connection, Dialect, Engine, Text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

from fraudstream.errors import StoreError

WRITE: Final = "fraudstream_write"
"""The execution option that makes a transaction take the store's one write lock at its start.

So transactions that write follow each other, and the `seq` of rows is the order of their commits.
"""

RELAXED: Final = "fraudstream_relaxed"
"""The execution option of a write transaction whose content can be recomputed: its commit does not wait for the disk.

A crash of the machine may lose it, but never a part of it, and no other transaction.
"""

BUSY_TIMEOUT_MS: Final = 5_000
"""How long a writer waits for another process's transaction: the relay waits 30 s with several posts in flight."""

PROBE_TIMEOUT_MS: Final = 2_000
"""How long a probe waits for another process's transaction: a health check has to answer within seconds."""

TOUCH: Final = (
    "INSERT INTO totals (name, value) VALUES ('probes', 1) ON CONFLICT (name) DO UPDATE SET value = totals.value + 1"
)
PROBE_REMEDY: Final = "it recovers by itself once that is fixed; what could not be stored waits in Kafka"

NUL_SIGN: Final = "\u2400"
"""Stored in PostgreSQL instead of NUL, which a text cannot have there."""

_ESCAPED_NUL: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


class _PostgresqlJson(UserDefinedType[str]):
    """PostgreSQL's `json`, which checks a text and keeps it as it was written (`jsonb` would sort its members)."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **kw: Any) -> str:
        """Return the type in SQL."""
        return "JSON"


class JsonText(TypeDecorator[str]):
    """JSON that is read and written as text."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type of the column."""
        return dialect.type_descriptor(_PostgresqlJson() if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace an escaped NUL, which PostgreSQL cannot show as text."""
        return value if value is None or dialect.name != "postgresql" else without_nul(value)


def without_nul(text: str) -> str:
    """Return a text, or a JSON text, as PostgreSQL stores it."""
    if "\\u0000" in text:
        text = _ESCAPED_NUL.sub(rf"\1{NUL_SIGN}", text)
    return text.replace("\x00", NUL_SIGN)


class Listener(Protocol):
    """Hears what other processes notify."""

    def wait(self, seconds: float) -> Sequence[str]:
        """Return the next notifications, empty if there is none for so long; raises StoreError."""

    def lead(self) -> bool:
        """Whether this process is the one of all that listen that leads; raises StoreError."""


class Backend(ABC):
    """A database that can hold the store.

    Attributes:
        url: Its address, with a password.
        where: The database, without a password, for error messages.
        remedy: What to check when a write fails; `open_remedy` when it cannot be opened.
        ddl_file: The file with `ddl`.
        is_shared: Whether other processes may write to it and notify; then `notify` and `listen` work.
    """

    is_shared: ClassVar[bool] = False

    url: str
    where: str
    remedy: ClassVar[str]
    open_remedy: ClassVar[str]
    ddl_file: ClassVar[str]

    @property
    def ddl(self) -> list[str]:
        """The statements that create what only this database has: the full-text index, triggers, indexes."""
        lines = Path(__file__).with_name(self.ddl_file).read_text().splitlines()
        return [line for line in lines if line and not line.startswith("--")]

    @abstractmethod
    def open(self) -> Engine:
        """Return an engine whose transactions heed `WRITE` and `RELAXED`; raises StoreError."""

    def opened(self, engine: Engine, *, upgraded: bool) -> None:
        """Finish opening, once the tables exist; `upgraded` if a migration has run."""
        return

    def error(self, what: str, remedy: str) -> StoreError:
        """Return an error of this database."""
        return StoreError(what, where=self.where, remedy=remedy)

    @abstractmethod
    def is_of_record(self, error: DBAPIError) -> bool:
        """Whether the record that was written caused an error, not the database."""

    def file(self, suffix: str) -> Path | None:
        """Return a file for data or a backup beside the store; None where there is no place, or a person names it."""
        return None

    def check_identity(self) -> None:
        """Check before a write that the database is still the one that was opened; raises StoreError."""
        return

    @abstractmethod
    def probe(self) -> None:
        """Write on a connection of its own, as a post would; raises StoreError if that fails."""

    @abstractmethod
    def back_up(self, file: Path) -> int:
        """Write a consistent copy to a new file, also while the store is in use; returns its number of alerts.

        Raises StoreError if the copy fails, or if there is such a file.
        """

    @abstractmethod
    def restore(self, file: Path) -> None:
        """Replace a store that is empty or does not exist by such a copy; raises StoreError if that fails."""

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[Connection]:
        """Open a read-only transaction that sees one state of the store; raises StoreError or DBAPIError."""

    def notify(self, connection: Connection, message: str) -> None:
        """Notify the processes that listen, once the transaction is committed; at most 7,999 bytes."""
        return

    def listen(self) -> AbstractContextManager[Listener]:
        """Listen to the notifications of all processes, this one included; raises StoreError."""
        raise NotImplementedError
