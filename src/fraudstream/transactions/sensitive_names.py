"""Classifies columns and members by name as card secret, card number or personal data, also within a text."""

import re
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from itertools import dropwhile
from typing import Final

from fraudstream.transactions.cards import MASK, fold, hide, mask_digits, replace_spans
from fraudstream.transactions.words import word_lists


class Sensitivity(StrEnum):
    """How a value must be treated."""

    SECRET = "verification code, PIN or track data"  # noqa: S105 - it is none
    """Sensitive authentication data, which PCI DSS 4.0 (3.3) does not allow to be stored: it is removed."""
    CARD = "card number"
    """Masked except for its first six and last four digits."""
    PERSONAL = "national id or expiry date"
    """Masked completely."""

    def mask(self, value: str) -> str:
        """Mask a value of this kind."""
        return mask_digits(value) if self is Sensitivity.CARD else hide(value)


LONGEST_NAME: Final = 200
_MOST_WORDS: Final = 6

# Only next to a card number: elsewhere `cid` is a customer id and `exp` an experience.
_BESIDE_A_CARD: Final = {"cid": Sensitivity.SECRET, "exp": Sensitivity.PERSONAL}

_SEPARATOR: Final = re.compile(r"[\w.\- ]{0,40}+(?:\\{0,8}[\"'])?\s{0,3}[:=>]{1,2}\s{0,3}")
_NAME: Final = re.compile(r"[\w.\- ]*+")
_VALUE: Final = re.compile(
    r'"(?:[^"\\]++|\\.)*+'
    r"|'(?:[^'\\]++|\\.)*+"
    r"""|\\{1,8}["'][^"'\\]*+"""
    r"""|[^\s,;&"'\\{}()\[\]|<>]++(?:[ \-]\d++)*+""",
    re.DOTALL,
)
_ESCAPED: Final = re.compile(r"(\\.)|[^\W_]", re.DOTALL)
_NO_VALUE: Final = frozenset({"null", "none", "true", "false", ""})

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")
_BEFORE_A_HUMP: Final = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])")

_TERMS: Final = {name: list(map(fold, terms)) for name, terms in word_lists("sensitive_names.toml").items()}
_TERMS["cards"] += [f"{holder} {number}" for holder in _TERMS["holders"] for number in _TERMS["numbers"]]
_NAMES: Final = {kind: frozenset("".join(term.split()) for term in terms) for kind, terms in _TERMS.items()}

_BEGINS: Final = {term.split()[0][:5] for kind in ("secrets", "pins", "cards", "personal") for term in _TERMS[kind]}
MENTION: Final = re.compile("|".join(sorted(map(re.escape, _BEGINS), key=len, reverse=True)))
"""The beginning of each such name, folded: a text without any of them mentions none."""


def sensitivity(path: str, *, beside_a_card: bool = False) -> Sensitivity | None:
    """Return the sensitivity of a column or member by its name; None if the name implies none.

    `path` is the dotted name including enclosing objects: `card.securityCode`. `beside_a_card` is whether a card number
    is in the same object.
    """
    path = path[-LONGEST_NAME:]
    kind = _sensitivity(path)
    if kind is None and beside_a_card:
        return _BESIDE_A_CARD.get(fold(path.rpartition(".")[2]).strip())
    return kind


@lru_cache(maxsize=8192)
def _sensitivity(path: str) -> Sensitivity | None:
    if MENTION.search(fold(path)) is None:
        return None
    around, _, own = path.rpartition(".")
    last = _words(own)
    words = (_words(around) + last)[-_MOST_WORDS * 2 :]
    if not last:
        return None
    is_about = not _NAMES["descriptive"].isdisjoint(last)
    if not is_about:
        first = len(words) - len(last)
        # All runs of words that extend into the last part.
        for begin in range(len(words)):
            for end in range(max(first, begin) + 1, min(begin + _MOST_WORDS, len(words)) + 1):
                if "".join(words[begin:end]) in _NAMES["secrets"]:
                    return Sensitivity.SECRET
        without_owner = "".join(dropwhile(_NAMES["owners"].__contains__, last))
        if "".join(last).rstrip("0123456789") in _NAMES["pins"] or without_owner in _NAMES["pins"]:
            return Sensitivity.SECRET
    while len(words) > 1 and words[-1].isdecimal():
        words.pop()
    endings = {"".join(words[-count:]) for count in range(1, min(len(words), _MOST_WORDS) + 1)}
    if endings & _NAMES["cards"]:
        return Sensitivity.CARD
    return Sensitivity.PERSONAL if not is_about and endings & _NAMES["personal"] else None


def _words(name: str) -> list[str]:
    if not name.isascii():
        name = fold(_BEFORE_A_HUMP.sub(" ", name))
    return [word.lower() for word in _WORD.findall(name)]


class SensitiveNames:
    """Knows the names above and the declared ones, and masks the values after them in a text."""

    def __init__(self, declared: Iterable[str] = ()) -> None:
        """Declare additional columns with card numbers; their case does not matter."""
        self._declared = frozenset(fold(column.strip()) for column in declared if column.strip())
        names = (re.escape(name.rpartition(".")[2]) for name in self._declared)
        self._mention = re.compile("|".join((MENTION.pattern, *names))) if self._declared else MENTION

    def kind(self, path: str, *, beside_a_card: bool = False) -> Sensitivity | None:
        """Return the sensitivity of a member by its path."""
        if self._declared and ((lower := fold(path)) in self._declared or lower.rpartition(".")[2] in self._declared):
            return Sensitivity.CARD
        return sensitivity(path, beside_a_card=beside_a_card)

    def mask_fields(self, text: str, folded: str, most: int) -> tuple[str, int]:
        """Mask the values after sensitive names in a text; return it with the number of fields inspected."""
        spans: list[tuple[int, int, str]] = []
        inspected = at = 0
        while (mention := self._mention.search(folded, at)) is not None:
            at = mention.end()
            if (separator := _SEPARATOR.match(folded, at)) is None:
                continue
            inspected += 1
            if inspected > most:
                spans.append((at, len(text), hide(text[at:])))
                break
            match = _VALUE.match(text, separator.end())
            kind = self._kind_of_field(text, mention.start(), separator) if match is not None else None
            if match is not None and kind is not None and (value := match.group()).lower() not in _NO_VALUE:
                # A character after a backslash is not part of a value: \" and \n are unchanged.
                plain = kind is Sensitivity.CARD or "\\" not in value
                masked = kind.mask(value) if plain else _ESCAPED.sub(lambda char: char[1] or MASK, value)
                spans.append((*match.span(), masked))
                at = match.end()
        return replace_spans(text, spans), inspected

    def _kind_of_field(self, text: str, mention: int, separator: re.Match[str]) -> Sensitivity | None:
        begin = mention
        while begin > max(0, mention - 40) and (text[begin - 1].isalnum() or text[begin - 1] in "_-. "):
            begin -= 1
        match = _NAME.match(text, begin, separator.end())
        words = ("" if match is None else match.group()).split(" ")
        kinds = (self.kind(" ".join(words[first:])) for first in range(max(0, len(words) - 4), len(words)))
        return next((kind for kind in kinds if kind is not None), None)
