"""The SQL that differs between databases: members of a JSON text, words, and two functions that SQLite lacks."""

import re
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    Select,
    String,
    Table,
    case,
    func,
    select,
    table,
    text,
    type_coerce,
)
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.sql.elements import KeyedColumnElement

from fraudstream.alerts.words import Text, fold
from fraudstream.transactions.amounts import parse_number

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


def _folded(value: str | float | None) -> str | None:
    if value is None:
        return None
    return fold(value if isinstance(value, str) else orjson.dumps(value).decode())
