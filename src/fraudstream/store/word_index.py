"""Writes and searches the full-text index of alerts: FTS5 in SQLite, a `tsvector` in PostgreSQL.

Both hold the tokens of `full_text.py` as they are, and find the same alerts. PostgreSQL has limits: of the tokens after
the 16,383rd of an alert, and from a token's 257th occurrence on, only words are found and no phrases.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Integer,
    Select,
    bindparam,
    literal_column,
    select,
    table,
    text,
)

from fraudstream.store.database import insert
from fraudstream.store.full_text import BREAK, Term, Text

_INSERT: Final = {
    "sqlite": text("INSERT INTO alert_words (rowid, words) VALUES (:seq, :words)"),
    "postgresql": text("INSERT INTO alert_words (seq, words) VALUES (:seq, CAST(:words AS tsvector))"),
}
_DELETE: Final = {
    # FTS5 holds no texts: it finds what to delete by the same tokens.
    "sqlite": text("INSERT INTO alert_words (alert_words, rowid, words) VALUES ('delete', :seq, :words)"),
    "postgresql": text("DELETE FROM alert_words WHERE seq = ANY(:seqs)"),
}
_MATCHES: Final = table("found_words", Column("seq", Integer), schema="temp")

LONGEST_TOKEN: Final = 400
"""PostgreSQL refuses a token of more than 2,046 bytes: a longer one is indexed by its beginning and its digest."""

MOST_POSITIONS: Final = 16_383
OCCURRENCES: Final = 256


def index_tokens(connection: Connection, alerts: Iterable[tuple[int, Sequence[str]]]) -> None:
    """Add the tokens of alerts to the full-text index, by `seq`; to be called once for each alert."""
    dialect = connection.dialect.name
    write = _tsvector if dialect == "postgresql" else " ".join
    rows = [{"seq": seq, "words": write(tokens)} for seq, tokens in alerts]
    if rows:
        connection.execute(_INSERT[dialect], rows)


def remove_tokens(connection: Connection, alerts: Mapping[int, Callable[[], Sequence[str]]]) -> None:
    """Remove alerts from the full-text index, by `seq`; SQLite needs the tokens that were added."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.execute(_DELETE[dialect], {"seqs": list(alerts)})
    elif alerts:
        rows = [{"seq": seq, "words": " ".join(tokens())} for seq, tokens in alerts.items()]
        connection.execute(_DELETE[dialect], rows)


def matching(connection: Connection, query: Text, first: int | None = None, last: int | None = None) -> Select[Any]:
    """Select the `seq` of the alerts that match every term, of all alerts or of those from `first` to `last`."""
    if connection.dialect.name == "postgresql":
        key, words = "alert_words.seq", " & ".join(map(_tsquery, query.terms))
        condition = text("alert_words.words @@ CAST(:words AS tsquery)")
    else:
        key, words = "alert_words.rowid", " AND ".join(map(_fts5, query.terms))
        condition = text("alert_words MATCH :words")
    seq = literal_column(key, BigInteger)
    is_match = condition.bindparams(bindparam("words", words, unique=True))
    matches = select(seq.label("seq")).select_from(text("alert_words")).where(is_match)
    return matches if first is None else matches.where(seq.between(first, last))


def is_match(connection: Connection, query: Text, seq: ColumnElement[int]) -> ColumnElement[bool]:
    """Return the condition that an alert matches, for a search in an order.

    PostgreSQL chooses the order of its steps by their numbers of rows. SQLite has the matches looked up once, into a
    temporary table, and the expression keeps it from looking up each of them in the order.
    """
    if connection.dialect.name == "postgresql":
        return seq.in_(matching(connection, query))
    connection.execute(text("CREATE TEMP TABLE IF NOT EXISTS found_words (seq INTEGER PRIMARY KEY)"))
    connection.execute(text("DELETE FROM found_words"))
    connection.execute(insert(_MATCHES).from_select(["seq"], matching(connection, query)))
    return (seq + 0).in_(select(_MATCHES.c.seq))


def _fts5(term: Term) -> str:
    # A token is alphanumeric or one non-ASCII character: it contains no quote.
    return f'"{" ".join(term.tokens)}"{" *" if term.prefix else ""}'


def _tsquery(term: Term) -> str:
    tokens = [_lexeme(token) for token in term.tokens]
    return f"({' <-> '.join(tokens)}{':*' if term.prefix else ''})"


def _tsvector(tokens: Sequence[str]) -> str:
    positions: dict[str, list[int]] = {}
    for number, token in enumerate(tokens, 1):
        if token != BREAK:
            positions.setdefault(token, []).append(min(number, MOST_POSITIONS))
    return " ".join(f"{_lexeme(token)}:{','.join(map(str, at[:OCCURRENCES]))}" for token, at in positions.items())


def _lexeme(token: str) -> str:
    if len(token) > LONGEST_TOKEN:
        token = token[:LONGEST_TOKEN] + hashlib.sha256(token.encode()).hexdigest()
    return f"'{token}'"
