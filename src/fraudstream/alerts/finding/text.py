"""The full-text table: what is written to it of an alert, and which alerts it has for what was typed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.sqlite import insert

from fraudstream.alerts.finding.stored import indexed_twice
from fraudstream.alerts.finding.tables import WORDS, indexed
from fraudstream.alerts.words import (
    Term,
    Text,
    columns_of,
    is_long_number,
    words_of_fields,
    words_of_name,
    words_of_value,
)
from fraudstream.transactions.wire import AlertField

FEW: Final = 5_000
"""So many alerts are looked up at once; of a text that more have, only those of one segment at a time."""

FEW_WORDS: Final = 50
"""So many words that begin alike are looked up one by one: a beginning is collected anew from all alerts each time."""

FEW_TRIES: Final = 4
"""So many segments are asked for a beginning that many words have; then it is looked up for all of them at once."""

_BREAK_WORD: Final = "."
"""No word is a point alone, and so no phrase reaches across it."""

_LONG_MARK: Final = "#"
"""Before a long number that came within a text: no beginning of a word leads to it, nor does it from a column."""

_INSERT: Final = text("INSERT INTO alert_words (rowid, words) VALUES (:seq, :words)")
_MATCH: Final = "SELECT rowid FROM alert_words WHERE alert_words MATCH :typed"
_FIRST: Final = text(f"{_MATCH} ORDER BY rowid LIMIT :most")
_BETWEEN: Final = text(f"{_MATCH} AND rowid BETWEEN :first AND :last")
_KNOWN: Final = text("SELECT term FROM alert_words_known WHERE term >= :first AND term < :beyond LIMIT :most")


def add_words(connection: Connection, alerts: Sequence[tuple[int, str]]) -> None:
    """Take in the `indexed_words` of alerts, by their `seq` and in order, and note how far they have come.

    Raises:
        StoreError: Words of these alerts are there.
    """
    if words_until(connection) >= alerts[0][0]:
        raise indexed_twice()
    connection.execute(_INSERT, [{"seq": seq, "words": words} for seq, words in alerts])
    reached = {"name": WORDS, "seq": alerts[-1][0]}
    connection.execute(insert(indexed).values(reached).on_conflict_do_update(index_elements=["name"], set_=reached))


def words_until(connection: Connection) -> int:
    """The last alert whose words are here, 0 where there is none."""
    return connection.execute(select(indexed.c.seq).where(indexed.c.name == WORDS)).scalar_one_or_none() or 0


def indexed_words(document: Mapping[str, Any]) -> str:
    """The words of an alert that are looked up here: all but the long numbers of its columns."""
    found = [_marked(word) if word else _BREAK_WORD for word in words_of_fields(document)]
    for name, value in columns_of(document[AlertField.TRANSACTION]):
        found += words_of_name(name)
        words = words_of_value(name, value)
        if not (isinstance(value, float) and is_long_number(words[0])):
            found += map(_marked, words)
        found.append(_BREAK_WORD)
    return " ".join(found)


class Words:
    """A query of the full-text table in the course of one search."""

    def __init__(self, connection: Connection, terms: Sequence[Term]) -> None:
        """See what its beginnings of words stand for, and look it up in all of the table where few alerts have it."""
        whole = [_whole(connection, term) for term in terms]
        self._query = _all(query or _query(term) for term, query in zip(terms, whole, strict=True))
        self._tries: int | None = None
        self._known: NDArray[np.int64] | None = self._first(connection, FEW)
        if len(self._known) == FEW:
            self._known = None
            self._tries = FEW_TRIES if None in whole else None

    def between(self, connection: Connection, first: int, last: int) -> NDArray[np.int64]:
        """The alerts from `first` to `last` that have it, in order."""
        if self._tries is not None and self._known is None:
            self._tries -= 1
            if self._tries < 0:
                self._known = self._first(connection, -1)
        if self._known is not None:
            start, end = np.searchsorted(self._known, [first, last + 1])
            return self._known[start:end]
        asked = {"typed": self._query, "first": first, "last": last}
        return _rows(connection.execute(_BETWEEN, asked).scalars())

    def _first(self, connection: Connection, most: int) -> NDArray[np.int64]:
        return _rows(connection.execute(_FIRST, {"typed": self._query, "most": most}).scalars())


class Lookup:
    """What was typed, as queries of the full-text table.

    Attributes:
        words: What an alert has to have; nothing but long numbers leaves none.
        long_numbers: Numbers that are to be looked for among the columns, or as a word that came within a text. The
            alerts have to be looked at then, for the sign and for what stands beside it.
    """

    def __init__(self, connection: Connection, typed: Text) -> None:
        """Take what was typed, and look up what few alerts have."""
        terms = [part for term in typed.terms for part in _parts(term)]
        self.words = [Words(connection, terms)] if terms else []
        long = [word for term in typed.terms for word in term.words if is_long_number(word)]
        self.long_numbers = [(float(word), Words(connection, [Term((_marked(word),), False)])) for word in long]


def _rows(found: Iterable[int]) -> NDArray[np.int64]:
    return np.fromiter(found, np.int64)


def _marked(word: str) -> str:
    return _LONG_MARK + word if is_long_number(word) else word


def _parts(term: Term) -> list[Term]:
    """What the table has of a term: all of it, or the single words where a long number is among them."""
    if not any(map(is_long_number, term.words)):
        return [term]
    *before, last = term.words
    return [Term((word,), False) for word in before if not is_long_number(word)] + (
        [] if is_long_number(last) else [Term((last,), term.prefix)]
    )


def _all(queries: Iterable[str]) -> str:
    return " AND ".join(queries)


def _query(term: Term) -> str:
    # A word holds letters, digits, or one sign beyond ASCII: never a quote.
    return f'"{" ".join(term.words)}"{" *" if term.prefix else ""}'


def _whole(connection: Connection, term: Term) -> str | None:
    """A term with whole words for the beginning of one; None where too many begin so, or none."""
    if not term.prefix:
        return _query(term)
    *before, last = term.words
    asked = {"first": last, "beyond": f"{last}\U0010ffff", "most": FEW_WORDS + 1}
    found = connection.execute(_KNOWN, asked).scalars().all()
    if not 0 < len(found) <= FEW_WORDS:
        return None
    return f"({' OR '.join(_query(Term((*before, word), False)) for word in found)})"
