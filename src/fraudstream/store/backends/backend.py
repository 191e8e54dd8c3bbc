"""Defines what the alert store needs of a database engine; one implementation each for SQLite and PostgreSQL."""

import re
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar, Final

from sqlalchemy import JSON, Connection, Engine, Text
from sqlalchemy.exc import DBAPIError

from fraudstream.errors import StoreError

WRITE: Final = "fraudstream_write"
"""The execution option that makes a transaction take the store's one write lock at its start.

So transactions that write follow each other, and the `seq` of rows is the order of their commits.
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


JsonText: Final = Text().with_variant(JSON(none_as_null=True), "postgresql")
"""JSON that is read and written as text: PostgreSQL checks it, and keeps it as it was written (`jsonb` would not)."""


def without_nul(text: str) -> str:
    """Return a text, or a JSON text, as PostgreSQL stores it."""
    if "\\u0000" in text:
        text = _ESCAPED_NUL.sub(rf"\1{NUL_SIGN}", text)
    return text.replace("\x00", NUL_SIGN)


class Backend(ABC):
    """A database that can hold the store.

    Attributes:
        url: Its address, with a password.
        where: The database, without a password, for error messages.
        remedy: What to check when a write fails; `open_remedy` when it cannot be opened.
        ddl_file: The file with `ddl`.
        is_shared: Whether other processes on other machines may write to it.
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
        """Return an engine whose transactions heed `WRITE`; raises StoreError."""

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
