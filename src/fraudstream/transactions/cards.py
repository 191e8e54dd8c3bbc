"""Finds card numbers and track data in text and numbers, in time linear in the length, and masks them.

A card number is 13 to 19 digits that begin as an issuer's do and pass the check of Luhn (ISO/IEC 7812-1, annex B), in
one piece or in groups. First six and last four digits stay, as PCI DSS 4.0 (3.4.1) allows them to be shown.
"""

import re
import unicodedata
from typing import Final

MASK: Final = "*"

SHORTEST: Final = 13
LONGEST: Final = 19
SHOWN_FIRST: Final = 6
SHOWN_LAST: Final = 4

MOST_DIGITS: Final = 16_384
"""So long are the runs of digits that one scan looks into; whatever runs follow are masked whole."""
_LONGEST_MASKED: Final = 256

# Blanks, dashes, what has no width, and NUL (digits in UTF-16) may stand between any two digits.
_LOOSE: Final = " \t\\-\x00\u00a0\u00ad\u2000-\u200d\u2010-\u2015\u202f\u2060\u2212\u3000\ufeff\uff0d"
# These stand in amounts, dates and lists as well: only groups as they are printed on a card may have them between.
_STRICT: Final = "./_,"

_RUN: Final = re.compile(rf"(?<![0-9*])[0-9](?:[{_LOOSE}{_STRICT}]{{0,4}}[0-9]){{{SHORTEST - 1},}}+")
_GROUP: Final = re.compile("[0-9]+")
_BEFORE_POINT: Final = re.compile(r"(?<![0-9.])[0-9]{1,7}\.$")
"""What stands before the digits of a fraction: seven digits at most, for a double has seventeen in all. More of them
are the name of a nested column, whose parts are joined by a point."""
_EXPONENT: Final = re.compile(r"(?<![0-9.])([0-9]{1,19})\.([0-9]{1,19})e\+?([0-9]{1,2})(?![0-9])")

_HEX: Final = re.compile("[0-9a-f]{20,}+")
_UUID: Final = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_AROUND: Final = 128

_TRACK_2: Final = re.compile("[=d][0-9]{2}(?:0[1-9]|1[0-2])[0-9]{3}[0-9a-f]*+|=[0-9=][0-9=]{3,}+")
"""Behind the number: expiry, service code and discretionary data (ISO/IEC 7813), padded to whole bytes with F."""
_TRACK_1: Final = re.compile(r"\^[^?\n]{2,100}+")

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
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

_MOST_FOLDED: Final = 20_000

Span = tuple[int, int]


class _Folding(dict[int, str]):
    """Each character as one small letter without accents, each decimal digit of any script as one of ASCII."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        digit = unicodedata.decimal(char, None)
        folded = str(digit) if digit is not None else unicodedata.normalize("NFKD", char)[0].lower()
        folded = folded if len(folded) == 1 else char
        if len(self) < _MOST_FOLDED:
            self[code] = folded
        return folded


class _Hiding(dict[int, str]):
    """A mask for each letter and digit."""

    def __missing__(self, code: int) -> str:
        return MASK if chr(code).isalnum() else chr(code)


_FOLDING: Final = _Folding()
_HIDING: Final = _Hiding({code: MASK if chr(code).isalnum() else chr(code) for code in range(128)})


def fold(text: str) -> str:
    """The text in small letters, without accents, with digits of ASCII; character for character."""
    return text.lower() if text.isascii() else text.translate(_FOLDING)


def is_card_number(digits: str) -> bool:
    """Whether digits without anything between are a card's."""
    return _ISSUED.fullmatch(digits) is not None and _luhn(digits)


def masked_text(text: str) -> str:
    """A text with its card numbers and track data masked; the same object where it has none."""
    return CardScan().masked(text)


def mask_digits(text: str) -> str:
    """All of a card number but its first six and last four; of a shorter one but the last four, of a short one all.

    What is masked already stays as it is: a mask counts as the digit that it stands for.
    """
    if len(text) > _LONGEST_MASKED:
        return hide(text)
    told = [index for index, char in enumerate(text) if char.isalnum() or char == MASK]
    first = SHOWN_FIRST if len(told) >= SHORTEST else 0
    last = SHOWN_LAST if len(told) > 2 * SHOWN_LAST else 0
    hidden = set(told[first : len(told) - last])
    return "".join(MASK if index in hidden else char for index, char in enumerate(text))


def hide(text: str) -> str:
    """The text with a mask for each letter and digit."""
    return text.translate(_HIDING)


class CardScan:
    """Masks the texts of one record, for all of which together it looks into `MOST_DIGITS` of long runs of digits."""

    def __init__(self) -> None:
        self.looked_into = 0

    def masked(self, text: str, folded: str | None = None) -> str:
        """A text with its card numbers and track data masked; the same object where it has none."""
        if len(text) < SHORTEST:
            return text
        folded = fold(text) if folded is None else folded
        pieces: list[str] = []
        done = 0
        for begin, end, shown in self._found(text, folded):
            if begin >= done:
                pieces += text[done:begin], shown
                done = end
        return "".join((*pieces, text[done:])) if pieces else text

    def _found(self, text: str, folded: str) -> list[tuple[int, int, str]]:
        found = []
        if "e" in folded:
            for number in _EXPONENT.finditer(folded):
                digits = _written_out(*number.groups())
                if is_card_number(digits):
                    found.append((*number.span(), mask_digits(digits)))
        for run in _RUN.finditer(folded):
            self.looked_into += run.end() - run.start()
            if self.looked_into > MOST_DIGITS:
                found.append((*run.span(), hide(run.group())))
                continue
            groups = [group.span() for group in _GROUP.finditer(folded, *run.span())]
            if folded[run.end() : run.end() + 1] == MASK:
                del groups[-1]
            for begin, end in _cards(groups, folded):
                tail = _tail(folded, begin, end)
                found.append((begin, tail, mask_digits(text[begin:end]) + hide(text[end:tail])))
        return sorted(found)


def _cards(groups: list[Span], text: str) -> list[Span]:
    """Where in a run of groups of digits card numbers stand: whole groups, the longest first."""
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


class _Sums:
    """Sums of Luhn over a string of digits, so that each part of it is checked in one step."""

    def __init__(self, digits: str) -> None:
        self.digits = digits
        self._sums = ([0], [0])
        for at, char in enumerate(digits):
            digit = ord(char) - 48
            for parity in (0, 1):
                each = digit if at % 2 == parity else _DOUBLED[digit]
                self._sums[parity].append(self._sums[parity][-1] + each)

    def is_card(self, begin: int, end: int) -> bool:
        sums = self._sums[(end - 1) % 2]
        return (sums[end] - sums[begin]) % 10 == 0 and _ISSUED.fullmatch(self.digits, begin, end) is not None


def _longest(groups: list[Span], at: int, before: int, sums: _Sums, text: str) -> int | None:
    """The last of the groups, from one on, that make the longest card number; None where they make none."""
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
    """Whether the groups are no fraction, list of numbers, hash or UUID that fits by chance."""
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
    """Whether digits are part of a hash in hexadecimal or of a UUID, of which one in some thousands would fit."""
    start = max(0, begin - _AROUND)
    return any(
        found.start() < end and begin < found.end() and not found.group().isdecimal()
        for pattern in (_HEX, _UUID)
        for found in pattern.finditer(text, start, end + _AROUND)
    )


def _within(text: str, begin: int, end: int) -> list[Span]:
    """Where card numbers stand in digits without separators, which are more than one number or are padded."""
    digits = text[begin:end]
    size = len(digits)
    if _is_fraction(text, begin) or (_is_identifier(text, begin, end) and _TRACK_2.match(text, end) is None):
        return []
    if digits[0] == "0" and is_card_number(padded := digits.lstrip("0")):
        return [(size - len(padded), size)]
    # ISO 8583 has the length before the number, or before all of track 2.
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
    """Where the track data end that a card number begins; its own end where it begins none."""
    found = _TRACK_2.match(text, end)
    if found is None and begin and text[begin - 1] == "b":
        found = _TRACK_1.match(text, end)
    return end if found is None else found.end()


def _written_out(whole: str, fraction: str, exponent: str) -> str:
    zeros = int(exponent) - len(fraction)
    return (whole + fraction).lstrip("0") + "0" * zeros if 0 <= zeros < LONGEST else ""


def _luhn(digits: str) -> bool:
    odd, even = digits[-1::-2], digits[-2::-2]
    return (sum(map(int, odd)) + sum(_DOUBLED[int(digit)] for digit in even)) % 10 == 0
