"""What a card number is: by its digits, by the name of its column, and how it reads masked; `masking.py` applies it.

A number by its digits: 13 to 19 of them, with blanks or dashes between, that pass the check of Luhn (ISO/IEC 7812-1,
annex B) and begin as an issuer's do. First six and last four stay, as PCI DSS 4.0 (3.4.1) allows them to be shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

MASK: Final = "*"
"""One character for one digit, and ASCII: a masked payload has the length of the one that came."""

SHORTEST: Final = 13
LONGEST: Final = 19
SHOWN_FIRST: Final = 6
"""So many digits of a card number stay readable at its beginning."""

_LAST: Final = 4

SEPARATORS: Final = " \\-\u00a0\u202f\u2010-\u2015\\x00"
"""Blanks and dashes of each kind, as members of a set in a pattern; and NUL, for digits in UTF-16."""

_OF_BYTES: Final = "\u00c2\u00e2\x80\x90-\x95\u00af"
"""The same blanks and dashes in UTF-8 that was read as Latin-1, byte for byte."""

_RUN: Final = re.compile(rf"(?<![0-9])[0-9](?:[{SEPARATORS}{_OF_BYTES}]{{0,3}}[0-9]){{{SHORTEST - 1},}}")
_GROUPED: Final = re.compile(rf"[0-9][{SEPARATORS}{_OF_BYTES}]{{1,3}}[0-9]")
_BEFORE_POINT: Final = re.compile(r"(?<![0-9.])[0-9]{1,7}\.$")
"""What stands before the digits of a fraction: seven digits at most, for a double has seventeen in all. More of them
are the name of a nested column, whose parts are joined by a point."""

_DIGITS: Final = re.compile("[0-9]+")
_HASH: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{20,}", re.IGNORECASE)
"""Digits alone match too and are told apart afterwards: looking ahead for a letter is quadratic."""
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

# Visa, Mastercard, American Express, Diners, JCB, Discover, UnionPay, Maestro and its like, Mir, RuPay, Troy.
_ISSUED: Final = re.compile(
    r"4\d{12}(?:\d{3}){0,2}"
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"
    r"|3[47]\d{13}"
    r"|3(?:0[0-59]|[689]\d)\d{11,16}"
    r"|35(?:2[89]|[3-8]\d)\d{12,15}"
    r"|(?:50|5[6-9]|6\d)\d{11,17}"
    r"|(?:220[0-4]|8[12]\d\d|9792)\d{12,15}"
)

_NAMES: Final = frozenset(
    f"{holder}{number}"
    for holder in ("card", "cc", "creditcard", "debitcard", "paymentcard", "cardaccount")
    for number in ("number", "num", "no", "nr", "pan")
) | {"pan", "primaryaccountnumber", "creditcard", "fpan", "dpan"}
_LONGEST_NAME: Final = 200


def is_card_column(name: str) -> bool:
    """Whether a column is named as card numbers are: `card_number`, `cc_num`, `customer.PAN`, `billingCardNo`."""
    return len(name) <= _LONGEST_NAME and _is_card_column(name)


@lru_cache(maxsize=4096)
def _is_card_column(name: str) -> bool:
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    return any("".join(words[-count:]) in _NAMES for count in range(1, min(len(words), 4) + 1))


def is_card_number(digits: str) -> bool:
    """Whether digits without anything between are a card's."""
    return _ISSUED.fullmatch(digits) is not None and _passes_luhn(digits)


def whole_digits(value: object) -> str | None:
    """The digits of a whole number of a card's length, also of one that a table made a float of; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 10 ** (SHORTEST - 1) <= value < 10**LONGEST:
        return None
    return str(int(value)) if isinstance(value, int) or value.is_integer() else None


def masked_text(text: str) -> str:
    """A text with the card numbers in it masked; the same object where it has none."""
    return _with_cards(text, mask_digits)


def joined_cards(text: str) -> str:
    """A text with the digits of each card number in it next to one another; the same object where there is none."""
    return _with_cards(text, _joined) if _GROUPED.search(text) else text


def mask_digits(text: str) -> str:
    """All of a card number but its first six and last four; of a shorter one but the last four, of a short one all.

    What is masked already stays as it is: a mask counts as the digit that it stands for.
    """
    told = [index for index, char in enumerate(text) if char.isalnum() or char == MASK]
    first = SHOWN_FIRST if len(told) >= SHORTEST else 0
    last = _LAST if len(told) > 2 * _LAST else 0
    hidden = set(told[first : len(told) - last])
    return "".join(MASK if index in hidden else char for index, char in enumerate(text))


def _with_cards(text: str, written: Callable[[str], str]) -> str:
    pieces: list[str] = []
    done = 0
    for run in _RUN.finditer(text):
        for begin, end in _cards(run, text):
            pieces += text[done:begin], written(text[begin:end])
            done = end
    return "".join((*pieces, text[done:])) if pieces else text


def _joined(number: str) -> str:
    return "".join(_DIGITS.findall(number))


def _cards(run: re.Match[str], text: str) -> list[tuple[int, int]]:
    """Where in a run of digits and separators card numbers stand: whole groups, the longest first."""
    if _BEFORE_POINT.search(text[max(0, run.start() - 10) : run.start()]) or _is_identifier(run, text):
        return []
    groups = [(found.start(), found.end()) for found in _DIGITS.finditer(run.group())]
    cards: list[tuple[int, int]] = []
    at = 0
    while at < len(groups):
        found = _longest(groups, at, run.group())
        if found is None:
            at += 1
        else:
            cards.append((run.start() + groups[at][0], run.start() + groups[found][1]))
            at = found + 1
    return cards


def _longest(groups: list[tuple[int, int]], at: int, run: str) -> int | None:
    digits = ""
    best = None
    for index in range(at, len(groups)):
        digits += run[slice(*groups[index])]
        if len(digits) > LONGEST:
            break
        if len(digits) >= SHORTEST and is_card_number(digits):
            best = index
    return best


def _is_identifier(run: re.Match[str], text: str) -> bool:
    """Whether the digits are part of a hash in hexadecimal or of a UUID, of which one in some thousands would fit."""
    around = text[max(0, run.start() - 128) : run.end() + 128]
    begin = run.start() - max(0, run.start() - 128)
    return any(
        found.start() < begin + len(run.group()) and begin < found.end()
        for pattern in (_HASH, _UUID)
        for found in pattern.finditer(around)
        if not found.group().isdecimal()
    )


def _passes_luhn(digits: str) -> bool:
    odd, even = digits[-1::-2], digits[-2::-2]
    return (sum(map(int, odd)) + sum(sum(divmod(2 * int(digit), 10)) for digit in even)) % 10 == 0
