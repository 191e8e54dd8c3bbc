"""Finds card numbers and track data in text and numbers, in linear time, and masks them.

A card number is 13 to 19 digits with an issuer's prefix that pass the Luhn check (ISO/IEC 7812-1, annex B), in one
piece or in groups. The first six and last four digits remain, as PCI DSS 4.0 (3.4.1) allows displaying them.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import accumulate
from typing import Final

MASK: Final = "*"
KEYED: Final = "hmac:"
"""Begins the id of an entity whose value is a card number, `history.identity.entity_id`."""

SHORTEST: Final = 13
LONGEST: Final = 19
SHOWN_FIRST: Final = 6
SHOWN_LAST: Final = 4

MOST_DIGITS: Final = 16_384
"""Total length of the digit runs that one scan inspects; later runs are masked completely."""
_LONGEST_MASKED: Final = 256

# Spaces, dashes, zero-width characters, and NUL (digits in UTF-16) may separate any two digits.
LOOSE: Final = " \t\\-\x00\u00a0\u00ad\u2000-\u200d\u2010-\u2015\u202f\u2060\u2212\u3000\ufeff\uff0d"
# These also occur in amounts, dates and lists: only groups as printed on a card may be separated by them.
_STRICT: Final = "./_,"

_RUN: Final = re.compile(rf"(?<![0-9*])[0-9](?:[{LOOSE}{_STRICT}]{{0,4}}[0-9]){{{SHORTEST - 1},}}+")
_GROUP: Final = re.compile("[0-9]+")
_BEFORE_POINT: Final = re.compile(r"(?<![0-9.])[0-9]{1,7}\.$")
"""The text before the digits of a fraction: seven digits at most, as a double has seventeen in all. More of them are
the name of a nested column, whose parts are joined by a dot."""
_EXPONENT: Final = re.compile(r"(?<![0-9.])([0-9]{1,19})\.([0-9]{1,19})e\+?([0-9]{1,2})(?![0-9])")

_HEX: Final = re.compile("[0-9a-f]{20,}+")
_UUID: Final = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CONTEXT_CHARS: Final = 128

_TRACK_2: Final = re.compile("[=d][0-9]{2}(?:0[1-9]|1[0-2])[0-9]{3}[0-9a-f]*+|=[0-9=][0-9=]{3,}+")
"""After the number: expiry, service code and discretionary data (ISO/IEC 7813), padded to whole bytes with F."""
_TRACK_1: Final = re.compile(r"\^[^?\n]{2,100}+")

# Visa, Mastercard, American Express, Diners, JCB, Discover, UnionPay, Maestro and similar, Mir, RuPay, Troy.
_ISSUER_FORMAT: Final = re.compile(
    r"4\d{12}(?:\d{3}){0,2}"
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"
    r"|3[47]\d{13}"
    r"|3(?:0[0-59]|[689]\d)\d{11,16}"
    r"|35(?:2[89]|[3-8]\d)\d{12,15}"
    r"|(?:50|5[6-9]|6\d)\d{11,17}"
    r"|(?:220[0-4]|8[12]\d\d|9792)\d{12,15}"
)
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

Span = tuple[int, int]


class _Hiding(dict[int, str]):
    """Maps each letter and digit to the mask; a pattern would take hundreds of times as long."""

    def __missing__(self, code: int) -> str:
        return MASK if chr(code).isalnum() else chr(code)


_HIDING: Final = _Hiding({code: MASK if chr(code).isalnum() else chr(code) for code in range(128)})


def fold(text: str) -> str:
    """Return the text in lowercase, without accents, with ASCII digits; character for character."""
    return text.lower() if text.isascii() else "".join(map(_folded, text))


@lru_cache(maxsize=20_000)
def _folded(char: str) -> str:
    digit = unicodedata.decimal(char, None)
    folded = str(digit) if digit is not None else unicodedata.normalize("NFKD", char)[0].lower()
    return folded if len(folded) == 1 else char


def is_card_number(digits: str) -> bool:
    """Return whether digits without separators are a card number."""
    # The format first: it is the cheaper check, and bounds the length.
    return _ISSUER_FORMAT.fullmatch(digits) is not None and passes_luhn(digits)


def masked_text(text: str) -> str:
    """Mask the card numbers and track data in a text; returns the same object if it has none."""
    return CardScan().masked(text)


def mask_digits(text: str) -> str:
    """Mask all digits of a card number but the first six and last four, of a shorter one but the last four, else all.

    Masked digits stay masked: a mask counts as a digit.
    """
    if len(text) > _LONGEST_MASKED:
        return hide(text)
    positions = [index for index, char in enumerate(text) if char.isalnum() or char == MASK]
    first = SHOWN_FIRST if len(positions) >= SHORTEST else 0
    last = SHOWN_LAST if len(positions) > 2 * SHOWN_LAST else 0
    hidden = set(positions[first : len(positions) - last])
    return "".join(MASK if index in hidden else char for index, char in enumerate(text))


def hide(text: str) -> str:
    """Mask every letter and digit of a text."""
    return text.translate(_HIDING)


def replace_spans(text: str, spans: Iterable[tuple[int, int, str]]) -> str:
    """Replace ascending spans, each from its begin to its end, by a text; of overlapping ones only the first.

    Returns the same object if there is none.
    """
    pieces: list[str] = []
    done = 0
    for begin, end, replacement in spans:
        if begin >= done:
            pieces += text[done:begin], replacement
            done = end
    return "".join((*pieces, text[done:])) if pieces else text


class CardScan:
    """Masks the texts of one record, inspecting at most `MOST_DIGITS` of long digit runs in all of them together."""

    def __init__(self) -> None:
        self.inspected = 0

    def masked(self, text: str, folded: str | None = None) -> str:
        """Mask the card numbers and track data in a text; returns the same object if it has none."""
        if len(text) < SHORTEST:
            return text
        return replace_spans(text, self._masks(text, fold(text) if folded is None else folded))

    def _masks(self, text: str, folded: str) -> list[tuple[int, int, str]]:
        masks = []
        if "e" in folded:
            for number in _EXPONENT.finditer(folded):
                digits = _expand_exponent(*number.groups())
                if is_card_number(digits):
                    masks.append((*number.span(), mask_digits(digits)))
        for run in _RUN.finditer(folded):
            self.inspected += run.end() - run.start()
            if self.inspected > MOST_DIGITS:
                masks.append((*run.span(), hide(run.group())))
                continue
            groups = [group.span() for group in _GROUP.finditer(folded, *run.span())]
            if folded[run.end() : run.end() + 1] == MASK:
                del groups[-1]
            for begin, end in _cards(groups, folded):
                tail = _tail(folded, begin, end)
                masks.append((begin, tail, mask_digits(text[begin:end]) + hide(text[end:tail])))
        return sorted(masks)


def _cards(groups: list[Span], text: str) -> list[Span]:
    """Find the card numbers in a run of digit groups: complete groups, the longest first."""
    cards: list[Span] = []
    sums = _Sums("".join(text[begin:end] for begin, end in groups))
    at = 0
    before = 0
    while at < len(groups):
        last = _longest(groups, at, before, sums, text)
        if last is not None:
            cards.append((groups[at][0], groups[last][1]))
        else:
            last = at
            begin, end = groups[at]
            if end - begin >= SHORTEST:
                cards += ((begin + first, begin + after) for first, after in _within(text, begin, end))
        before += sum(end - begin for begin, end in groups[at : last + 1])
        at = last + 1
    return cards


def passes_luhn(digits: str) -> bool:
    """Whether a string of digits passes the Luhn check."""
    values = list(map(int, reversed(digits)))
    return (sum(values[::2]) + sum(_DOUBLED[value] for value in values[1::2])) % 10 == 0


class _Sums:
    """Prefix sums of the Luhn check over a string of digits, so that each substring is checked in one step."""

    def __init__(self, digits: str) -> None:
        self.digits = digits
        values = list(map(int, digits))
        self._sums = [
            [0, *accumulate(value if at % 2 == parity else _DOUBLED[value] for at, value in enumerate(values))]
            for parity in (0, 1)
        ]

    def is_card(self, begin: int, end: int) -> bool:
        sums = self._sums[(end - 1) % 2]
        return (sums[end] - sums[begin]) % 10 == 0 and _ISSUER_FORMAT.fullmatch(self.digits, begin, end) is not None


def _longest(groups: list[Span], at: int, before: int, sums: _Sums, text: str) -> int | None:
    """Return the index of the last group of the longest card number that starts at one; None if there is none."""
    best = None
    end = before
    for index in range(at, len(groups)):
        end += groups[index][1] - groups[index][0]
        if end - before > LONGEST:
            break
        if end - before >= SHORTEST and sums.is_card(before, end) and _is_plausible(groups[at : index + 1], text):
            best = index
    return best


def _is_plausible(groups: list[Span], text: str) -> bool:
    """Return whether the groups are not a fraction, list of numbers, hash or UUID that fits by chance."""
    (begin, first_end), end = groups[0], groups[-1][1]
    if first_end - begin >= 8 and _is_fraction(text, begin):
        return False
    if any(char in text[begin:end] for char in _STRICT):
        sizes = [after - first for first, after in groups]
        if len(sizes) < 3 or not all(4 <= size <= 6 for size in sizes[:-1]):
            return False
    return _TRACK_2.match(text, end) is not None or not _is_identifier(text, begin, end)


def _is_fraction(text: str, begin: int) -> bool:
    return _BEFORE_POINT.search(text[max(0, begin - 10) : begin]) is not None


def _is_identifier(text: str, begin: int, end: int) -> bool:
    """Return whether digits are part of a hexadecimal hash or UUID, of which one in a few thousand would fit."""
    start = max(0, begin - _CONTEXT_CHARS)
    return any(
        match.start() < end and begin < match.end() and not match.group().isdecimal()
        for pattern in (_HEX, _UUID)
        for match in pattern.finditer(text, start, end + _CONTEXT_CHARS)
    )


def _within(text: str, begin: int, end: int) -> list[Span]:
    """Find the card numbers in digits without separators, which are more than one number or are padded."""
    digits = text[begin:end]
    size = len(digits)
    if _is_fraction(text, begin) or (_is_identifier(text, begin, end) and _TRACK_2.match(text, end) is None):
        return []
    if digits[0] == "0" and is_card_number(padded := digits.lstrip("0")):
        return [(size - len(padded), size)]
    # ISO 8583 has the length before the number, or before the whole track 2.
    if is_card_number(digits[2:]) and (digits[:2] == str(size - 2) or _TRACK_2.match(text, end)):
        return [(2, size)]
    if size % 16 == 0 and 16 < size <= 64 * 16:
        cards = [(at, at + 16) for at in range(0, size, 16)]
        if all(is_card_number(digits[first:after]) for first, after in cards):
            return cards
    if 2 * SHORTEST <= size <= 2 * LONGEST:
        for first in range(max(SHORTEST, size - LONGEST), min(LONGEST, size - SHORTEST) + 1):
            if is_card_number(digits[:first]) and is_card_number(digits[first:]):
                return [(0, first), (first, size)]
    if 16 < size <= LONGEST and not digits[16:].strip("0") and is_card_number(digits[:16]):
        return [(0, 16)]
    return []


def _tail(text: str, begin: int, end: int) -> int:
    """Return the end of the track data that start with a card number; the number's own end if there are none."""
    track = _TRACK_2.match(text, end)
    if track is None and begin and text[begin - 1] == "b":
        track = _TRACK_1.match(text, end)
    return end if track is None else track.end()


def _expand_exponent(whole: str, fraction: str, exponent: str) -> str:
    zeros = int(exponent) - len(fraction)
    return (whole + fraction).lstrip("0") + "0" * zeros if 0 <= zeros < LONGEST else ""
