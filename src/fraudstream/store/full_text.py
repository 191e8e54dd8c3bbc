"""The words of an alert and what is searched among them: the rules of the full text, which `database.py` looks up.

A word is a run of letters and digits, folded to small letters without accents; a number with a point or an exponent is
one word, as written and without its sign; any other sign beyond ASCII (an emoji) is a word of its own. Several words
that are typed without a blank between them ("id-17", "TX_AMOUNT") are looked for one after the other. A card number is
stored masked, and looked for so: its first six digits and its last four, however it is grouped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, Final, NamedTuple

import orjson

from fraudstream.transactions.cards import SHOWN_FIRST, masked_text
from fraudstream.transactions.drift import bounded_name
from fraudstream.transactions.wire import AlertField

BREAK: Final = "."
"""Stands between the words of one field and those of the next, and is none: a phrase does not reach across it."""

_WORD: Final = re.compile(r"\d+(?:\.\d+){0,16}(?:e[+-]?\d+)?(?![^\W_])|[^\W_]+|[^\s\x00-\x7f]")
"""So many parts at most has a number, or each of "1.1.1.…a" would be read from each of its parts to the end."""
_FRACTION: Final = re.compile(r"\d+(?:\.\d+(?:e[+-]?\d+)?|e[+-]?\d+)")
_TYPED: Final = re.compile(r'"([^"]*)"?|([^\s"]+)')
LONG_NUMBER_CHARS: Final = 8
"""A JSON number with a fraction and more characters than this is no word: the 28 of a row of creditcard.csv have twice
as many, each is once in the world, and they would be most of the index."""

SHORTEST_BEGINNING: Final = 3
"""Shorter beginnings of words are in every alert (V1 to V28), and would be collected from all of them."""

_LAST_DIGITS: Final = re.compile(r"\d*$")
_MASKED_CARD: Final = re.compile(r"(\d{4})[^\w*]{0,3}_?(\d\d)\*[*\W_]{2,24}(\d{4})(?!\d)")
_LONGEST_NAME: Final = 200

MOST_CHARS: Final = 50_000
"""So much of a transaction is read for words, names of columns included: it is done while other writers wait. A usual
one has 1,000; what is nested under long names came to 2,000,000, which took 1.4 s."""

_FIELDS: Final = (
    (AlertField.ALERT_ID, AlertField.OUTCOME),
    (AlertField.MODEL_ID,),
    (AlertField.TOPIC,),
    (AlertField.SCHEMA_ID,),
    (AlertField.REASON,),
)


def fold(text: str) -> str:
    """The text in small letters and without accents."""
    if text.isascii():
        return text.lower()
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).casefold()


def words(text: str) -> list[str]:
    """The words of a text, folded; a masked card number has two, however it is grouped."""
    if "*" in text:
        text = _MASKED_CARD.sub(r"\1\2 \3", text)
    return _WORD.findall(fold(text))


def words_of_name(name: str) -> Sequence[str]:
    """The words of a column's name; there are few names, and each is in every alert: those of usual length are kept."""
    return _words_of_name(name) if len(name) <= _LONGEST_NAME else words(name)


@lru_cache(maxsize=8192)
def _words_of_name(name: str) -> Sequence[str]:
    return words(name)


def is_number(word: str) -> bool:
    """Whether a word is a number, which is looked for as written and never as the beginning of another."""
    return word.isdecimal() or _FRACTION.fullmatch(word) is not None


def may_begin(term: Sequence[str]) -> bool:
    """Whether the last of some words may be the beginning of a longer one: not where it is so short, or so many digits.

    Of a card number the first six digits are shown; more of them, asked for one by one, would tell the others. Words of
    one or two signs are long enough in scripts without small letters, such as Chinese.
    """
    word = term[-1]
    long_enough = len(word) >= SHORTEST_BEGINNING or all(unicodedata.category(sign) == "Lo" for sign in word)
    digits = _LAST_DIGITS.search("".join(term))
    return long_enough and (digits is None or len(digits.group()) <= SHOWN_FIRST)


def columns_of(transaction: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The columns and values of a transaction; what a nested object holds comes under dotted names."""
    # A stack: of a generator in each object, each value would pass through as many as it is deep.
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


def words_of_fields(document: Mapping[str, Any]) -> Iterator[str]:
    """The words of an alert's own fields, with `BREAK` after each of them."""
    for fields in _FIELDS:
        for field in fields:
            value = document.get(field)
            if isinstance(value, str):
                yield from words(value)
        yield BREAK


def words_of_alert(document: Mapping[str, Any]) -> list[str]:
    """The words of an alert, in order: of its fields, then of each column's name and value up to `MOST_CHARS`."""
    found = list(words_of_fields(document))
    left = MOST_CHARS
    for name, value in columns_of(document[AlertField.TRANSACTION]):
        for text, read in chain([(name, words_of_name)], _texts(value)):
            found += read(text[:left])
            left -= len(text) + 1
            if left <= 0:
                return found
        found.append(BREAK)
    return found


def _texts(value: Any) -> Iterator[tuple[str, Callable[[str], Sequence[str]]]]:
    """The texts of a value, each with what reads its words: of a list or an object those of what is in it, in order."""
    # A stack, as in `columns_of`.
    pending = [iter([value])]
    while pending:
        for each in pending[-1]:
            if isinstance(each, list | dict):
                pending.append(iter(each) if isinstance(each, list) else chain.from_iterable(each.items()))
                yield "", words
                break
            if isinstance(each, str):
                yield each, words
            elif each is not None:
                number = orjson.dumps(each).decode().removeprefix("-")
                is_word = not isinstance(each, float) or len(number) <= LONG_NUMBER_CHARS
                yield number, (lambda text: [text]) if is_word else (lambda _: [])
        else:
            pending.pop()


class Term(NamedTuple):
    """One or more words that have to stand one after the other; of the last one perhaps only the beginning is given."""

    words: tuple[str, ...]
    prefix: bool


@dataclass(frozen=True, slots=True)
class Text:
    """What was typed, as terms that all have to be found."""

    terms: tuple[Term, ...]

    @classmethod
    def typed(cls, text: str) -> Text:
        """Read what a person typed; nothing of it is an error.

        Words in double quotes are looked for one after the other. The last word is also found as the beginning of a
        longer one, and so is any that ends in an asterisk, where it `may_begin` one; a number is not, unless an
        asterisk says so.
        """
        text = masked_text(text)
        if "*" in text:
            text = _MASKED_CARD.sub(r'"\1\2 \3" ', text)
        typed = list(_TYPED.finditer(text))
        terms = []
        for number, found in enumerate(typed, 1):
            quoted, bare = found.groups()
            term = tuple(words(bare if quoted is None else quoted))
            if term:
                starred = bare is not None and bare.endswith("*")
                last = bare is not None and number == len(typed) and not text[-1].isspace() and not is_number(term[-1])
                terms.append(Term(term, (starred or last) and may_begin(term)))
        return cls(tuple(dict.fromkeys(terms)))
