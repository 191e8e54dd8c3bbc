"""Tokenizes alerts and search text for the full-text index.

A token is a run of letters and digits, folded to lower case without accents; a number with a decimal point or exponent
is one token, as written without its sign; any other non-ASCII character (an emoji) is a token of its own. Tokens typed
without a space between them ("id-17", "TX_AMOUNT") are searched as a phrase. A card number is stored and searched
masked: its first six digits and its last four, however it is grouped.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, Final, NamedTuple, Self

import orjson

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
_LONGEST_NAME: Final = 200

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


_cached_tokens: Final = lru_cache(maxsize=8192)(tokenize)


def name_tokens(name: str) -> Sequence[str]:
    """Tokenize a column name; cached, as there are few names and each is in every alert."""
    return _cached_tokens(name) if len(name) <= _LONGEST_NAME else tokenize(name)


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
    """Yield the columns and values of a transaction; members of nested objects have dotted names."""
    # An explicit stack: with nested generators, each value would pass through as many as it is deep.
    pending = [("", iter(transaction.items()))]
    while pending:
        prefix, members = pending[-1]
        for name, value in members:
            dotted = f"{prefix}{name}"
            if isinstance(value, dict):
                pending.append((f"{bounded_name(dotted)}.", iter(value.items())))
                break
            if not prefix or dotted not in transaction:
                yield dotted, value
        else:
            pending.pop()


def alert_tokens(document: Mapping[str, Any]) -> list[str]:
    """Tokenize an alert: its fields, then each column's name and value, up to `MOST_CHARS`."""
    tokens: list[str] = []
    for fields in _FIELDS:
        texts = (document.get(field) for field in fields)
        tokens += chain.from_iterable(tokenize(text) for text in texts if isinstance(text, str))
        tokens.append(BREAK)
    remaining = MOST_CHARS
    for name, value in columns_of(document[AlertField.TRANSACTION]):
        for part, read in chain([(name, name_tokens)], _texts(value)):
            tokens += read(part[:remaining])
            remaining -= len(part) + 1
            if remaining <= 0:
                return tokens
        tokens.append(BREAK)
    return tokens


def _texts(value: Any) -> Iterator[tuple[str, Callable[[str], Sequence[str]]]]:
    """Yield the texts of a value, each with its tokenizer; lists and objects are flattened in order."""
    # A stack, as in `columns_of`.
    pending = [iter([value])]
    while pending:
        for each in pending[-1]:
            if isinstance(each, list | dict):
                pending.append(iter(each) if isinstance(each, list) else chain.from_iterable(each.items()))
                yield "", tokenize
                break
            if isinstance(each, str):
                yield each, tokenize
            elif each is not None:
                number = orjson.dumps(each).decode().removeprefix("-")
                is_indexed = not isinstance(each, float) or len(number) <= LONG_NUMBER_CHARS
                yield number, (lambda text: [text]) if is_indexed else (lambda _: [])
        else:
            pending.pop()


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
