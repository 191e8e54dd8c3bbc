"""Tokenizes alerts and search text; writes and searches the index of words: FTS5 in SQLite, `tsvector` in PostgreSQL.

A token is a run of letters and digits, folded to lower case without accents; a number with a decimal point or exponent
is one token, as written without its sign; any other non-ASCII character (an emoji) is a token of its own. Tokens typed
without a space between them ("id-17", "TX_AMOUNT") are searched as a phrase. A card number is stored and searched
masked: its first six digits and its last four, however it is grouped.

Both databases hold these tokens as they are, and find the same alerts. PostgreSQL has limits: of the tokens after the
16,383rd of an alert, and from a token's 257th occurrence on, only words are found and no phrases.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, NamedTuple, Self

import orjson
from sqlalchemy import BigInteger, Connection, Select, bindparam, literal_column, select, text
from sqlalchemy.sql.elements import TextClause

from fraudstream.transactions.cards import SHOWN_FIRST, masked_text
from fraudstream.transactions.drift import bounded_name
from fraudstream.transactions.wire import AlertField

BREAK: Final = "."
"""Separates the tokens of two fields, so that no phrase matches across them."""

_TOKEN: Final = re.compile(r"\d+(?:\.\d+){0,16}(?:e[+-]?\d+)?(?![^\W_])|[^\W_]+|[^\s\x00-\x7f]")
"""The number of parts is limited, or "1.1.1.…a" would be scanned to the end from each of its parts."""
_FRACTION: Final = re.compile(r"\d+(?:\.\d+(?:e[+-]?\d+)?|e[+-]?\d+)")
_PARTS: Final = re.compile(r'"([^"]*)"?|([^\s"]+)')
LONG_NUMBER_CHARS: Final = 8
"""A JSON number with a fraction and more characters than this is not indexed: the 28 of a row of creditcard.csv have
twice as many, each is unique, and they would be most of the index."""

SHORTEST_PREFIX: Final = 3
"""Shorter prefixes match every alert (V1 to V28), and would be looked up in all of them."""

_LAST_DIGITS: Final = re.compile(r"\d*$")
_MASKED_CARD: Final = re.compile(r"(\d{4})[^\w*]{0,3}_?(\d\d)\*[*\W_]{2,24}(\d{4})(?!\d)")

MOST_CHARS: Final = 50_000
"""Characters of a transaction that are tokenized, column names included: other writers wait meanwhile. A typical one
has 1,000; objects nested under long names came to 2,000,000, which took 1.4 s."""

_FIELDS: Final = (
    (AlertField.ALERT_ID, AlertField.OUTCOME),
    (AlertField.MODEL_ID,),
    (AlertField.TOPIC,),
    (AlertField.SCHEMA_ID,),
    (AlertField.REASON,),
)


def fold(text: str) -> str:
    """Fold a text to lower case without accents."""
    if text.isascii():
        return text.lower()
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).casefold()


def tokenize(text: str) -> list[str]:
    """Split a text into folded tokens; a masked card number has two, however it is grouped."""
    if "*" in text:
        text = _MASKED_CARD.sub(r"\1\2 \3", text)
    return _TOKEN.findall(fold(text))


def is_number(token: str) -> bool:
    """Whether a token is a number, which is searched as written and not as a prefix."""
    return token.isdecimal() or _FRACTION.fullmatch(token) is not None


def may_be_prefix(term: Sequence[str]) -> bool:
    """Whether the last token of a term may be searched as a prefix: not if it is too short, or has too many digits.

    The first six digits of a card number are visible; longer prefixes, tried one by one, would reveal the others. One
    or two characters are long enough in scripts without case, such as Chinese.
    """
    token = term[-1]
    long_enough = len(token) >= SHORTEST_PREFIX or all(unicodedata.category(char) == "Lo" for char in token)
    digits = _LAST_DIGITS.search("".join(term))
    return long_enough and (digits is None or len(digits.group()) <= SHOWN_FIRST)


def columns_of(transaction: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the columns and values of a transaction in order; members of nested objects have dotted names."""
    # A stack instead of recursion, as in `drift.columns_of`.
    pending = [(name, value, False) for name, value in reversed([*transaction.items()])]
    while pending:
        name, value, is_nested = pending.pop()
        if isinstance(value, dict):
            within = bounded_name(name)
            pending += ((f"{within}.{inner}", each, True) for inner, each in reversed(value.items()))
        elif not is_nested or name not in transaction:
            yield name, value


def alert_tokens(document: Mapping[str, Any]) -> list[str]:
    """Tokenize an alert: its fields, then each column's name and value, up to `MOST_CHARS`."""
    tokens: list[str] = []
    for fields in _FIELDS:
        texts = (document.get(field) for field in fields)
        tokens += chain.from_iterable(tokenize(text) for text in texts if isinstance(text, str))
        tokens.append(BREAK)
    remaining = MOST_CHARS
    for name, value in columns_of(document[AlertField.TRANSACTION]):
        for part in chain([name], _texts(value)):
            tokens += tokenize(part[:remaining])
            remaining -= len(part) + 1
            if remaining <= 0:
                return tokens
        tokens.append(BREAK)
    return tokens


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of a value; lists and objects are flattened in order."""
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, list | dict):
            pending += reversed(each if isinstance(each, list) else [*chain.from_iterable(each.items())])
            yield ""
        elif isinstance(each, str):
            yield each
        elif each is not None:
            number = orjson.dumps(each).decode().removeprefix("-")
            yield number if not isinstance(each, float) or len(number) <= LONG_NUMBER_CHARS else ""


class Term(NamedTuple):
    """One or more tokens that form a phrase; with `prefix`, the last one is a prefix."""

    tokens: tuple[str, ...]
    prefix: bool


@dataclass(frozen=True, slots=True)
class Text:
    """A search text as terms, all of which have to match."""

    terms: tuple[Term, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a search text; no input is an error.

        Double quotes make a phrase. The last token is also searched as a prefix, and so is any that ends in an
        asterisk, if it `may_be_prefix`; a number only with an asterisk.
        """
        text = masked_text(text)
        if "*" in text:
            text = _MASKED_CARD.sub(r'"\1\2 \3" ', text)
        parts = list(_PARTS.finditer(text))
        terms = []
        for number, part in enumerate(parts, 1):
            quoted, bare = part.groups()
            term = tuple(tokenize(bare if quoted is None else quoted))
            if term:
                starred = bare is not None and bare.endswith("*")
                last = bare is not None and number == len(parts) and not text[-1].isspace() and not is_number(term[-1])
                terms.append(Term(term, (starred or last) and may_be_prefix(term)))
        return cls(tuple(dict.fromkeys(terms)))


_INSERT: Final = {
    "sqlite": text("INSERT INTO alert_words (rowid, words) VALUES (:seq, :words)"),
    "postgresql": text("INSERT INTO alert_words (seq, words) VALUES (:seq, CAST(:words AS tsvector))"),
}
_DELETE: Final = {
    # FTS5 holds no texts: it finds what to delete by the same tokens.
    "sqlite": text("INSERT INTO alert_words (alert_words, rowid, words) VALUES ('delete', :seq, :words)"),
    "postgresql": text("DELETE FROM alert_words WHERE seq = :seq"),
}

LONGEST_TOKEN: Final = 400
"""PostgreSQL refuses a token of more than 2,046 bytes: a longer one is indexed by its beginning and its digest."""

MOST_POSITIONS: Final = 16_383
OCCURRENCES: Final = 256


def index_tokens(connection: Connection, alerts: Iterable[tuple[int, Sequence[str]]]) -> None:
    """Add the tokens of alerts to the full-text index, by `seq`; to be called once for each alert."""
    _write(connection, _INSERT, alerts)


def remove_tokens(connection: Connection, alerts: Iterable[tuple[int, Sequence[str]]]) -> None:
    """Remove alerts from the full-text index, by `seq` and the tokens that were added."""
    _write(connection, _DELETE, alerts)


def _write(
    connection: Connection, statements: Mapping[str, TextClause], alerts: Iterable[tuple[int, Sequence[str]]]
) -> None:
    dialect = connection.dialect.name
    words = _tsvector if dialect == "postgresql" else " ".join
    rows = [{"seq": seq, "words": words(tokens)} for seq, tokens in alerts]
    if rows:
        connection.execute(statements[dialect], rows)


def matching(connection: Connection, query: Text, first: int | None = None, last: int | None = None) -> Select[Any]:
    """Select the `seq` of the alerts that match every term, of all alerts or of those from `first` to `last`."""
    if connection.dialect.name == "postgresql":
        key, words = "alert_words.seq", " & ".join(map(_tsquery, query.terms))
        condition = text("alert_words.words @@ CAST(:words AS tsquery)")
    else:
        key, words = "alert_words.rowid", " AND ".join(map(_fts5, query.terms))
        condition = text("alert_words MATCH :words")
    seq = literal_column(key, BigInteger)
    condition = condition.bindparams(bindparam("words", words, unique=True))
    matches = select(seq.label("seq")).select_from(text("alert_words")).where(condition)
    return matches if first is None else matches.where(seq.between(first, last))


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
