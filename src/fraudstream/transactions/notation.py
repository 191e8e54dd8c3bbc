"""Reads numbers and dates as people and spreadsheets write them, and writes them in one canonical form."""

import re
from datetime import datetime
from typing import Final

from fraudstream.transactions.amounts import is_json_number
from fraudstream.transactions.reading_options import DateOrder, Decimal
from fraudstream.transactions.times import DATE_PATTERN

LONGEST_TEXT: Final = 100
"""In characters: what is longer is neither number nor date, so that no pattern meets a megabyte."""
NEGATIVE: Final = "(\u2212-"
"""Characters around a number that make it negative."""
BLANKS: Final = " \t\u00a0\u2009\u202f"
_BLANK: Final = "[ \\u00a0\\u2009\\u202f]"
_CODES: Final = "USD|EUR|GBP|JPY|CHF|CAD|AUD|NZD|CNY|INR|RUB|BRL|MXN|ZAR|SEK|NOK|DKK|PLN|CZK|HUF|TRY|KRW|SGD|HKD"
_CURRENCY: Final = f"(?:(?:US|R|A|C|HK|S)?[$¢-¥฿\\u20a0-\\u20c0]|{_CODES}|kr\\.?|Kč|zł|Rs\\.?)"
_SIGN: Final = "[+\\u2212-]"
_PREFIX: Final = f"{_BLANK}*+\\(?{_BLANK}*+{_SIGN}?{_BLANK}*+(?:{_CURRENCY}{_BLANK}*+)?\\(?{_SIGN}?{_BLANK}*+"
_SUFFIX: Final = f"{_BLANK}*+(?:{_CURRENCY}|%)?{_BLANK}*+[)-]?{_BLANK}*+"
_POINT_GROUP: Final = "[,'’ \\u00a0\\u2009\\u202f]"


def _number_pattern(decimal: str, group: str) -> str:
    # Java's and Python's; groups: prefix, digits, (thousands separator,) exponent, suffix. Each digit can match in two
    # ways at most, so that the time is linear.
    grouped = f"[1-9][0-9]{{0,2}}({group})[0-9]{{3}}(?:\\3[0-9]{{3}})*+"
    digits = f"((?:{grouped}|[0-9]++)(?:{decimal}[0-9]*+)?|{decimal}[0-9]++)"
    return f"({_PREFIX}){digits}([eE][+-]?[0-9]++)?({_SUFFIX})"


NUMBER_PATTERNS: Final = {
    Decimal.POINT: _number_pattern("\\.", _POINT_GROUP),
    Decimal.COMMA: _number_pattern(",", _POINT_GROUP.replace(",", ".")),
}
"""Numbers as people and spreadsheets write them."""
_numbers: Final = {decimal: re.compile(pattern).fullmatch for decimal, pattern in NUMBER_PATTERNS.items()}
SEPARATORS: Final = {Decimal.POINT: ".", Decimal.COMMA: ","}

DATE_PARTS: Final = (
    "'?([0-9]{1,4})([/.-])([0-9]{1,2})\\2([0-9]{1,4})(?:(?:T|,? )([0-9]{1,2}):([0-9]{2})"
    "(?::([0-9]{2}(?:\\.[0-9]{1,9})?))?(?: ?([AaPp])\\.?[Mm]\\.?)?(?: ?(UTC|Z|[+-][0-9]{2}:?[0-9]{2}))?)?'?"
)
"""Groups: first part of the date, separator, second, third, hour, minute, second, A or P, zone."""
_date_parts: Final = re.compile(DATE_PARTS).fullmatch
is_iso_date: Final = re.compile(DATE_PATTERN).fullmatch
DATE_INDEXES: Final = {DateOrder.YMD: (0, 1, 2), DateOrder.DMY: (2, 1, 0), DateOrder.MDY: (2, 0, 1)}
"""Where year, month and day are among the three parts."""
LAST_CENTURY: Final = "69"
"""A year of two digits from this on is of the last century, as in POSIX."""


def canonical_number(text: str, decimal: Decimal) -> str | None:
    """Write a number as JSON does; None if the text is none with this decimal separator."""
    if decimal is Decimal.POINT and is_json_number(text):
        return text
    if (match := match_number(text, decimal)) is None:
        return None
    prefix, digits, group, exponent, suffix = match.groups(default="")
    whole, _, fraction = digits.replace(group or "\0", "").partition(SEPARATORS[decimal])
    sign = "-" if any(mark in prefix + suffix for mark in NEGATIVE) else ""
    return f"{sign}{whole.lstrip('0') or '0'}{'.' if fraction else ''}{fraction}{exponent}"


def match_number(text: str, decimal: Decimal) -> re.Match[str] | None:
    """Match one of `NUMBER_PATTERNS`; None if the text is no number, is too long or has one parenthesis."""
    match = _numbers[decimal](text) if len(text) <= LONGEST_TEXT else None
    return match if match is not None and ("(" in match[1]) == (")" in match[5]) else None


def canonical_date(text: str, order: DateOrder) -> str | None:
    """Write a date in ISO 8601; None if the text is no date in this order."""
    if is_iso_date(text):
        return text if _is_possible(text) else None
    match = _date_parts(text)
    if match is None:
        return None
    first, _, second, third, hour, minute, seconds, half, zone = match.groups(default="")
    year, month, day = ((first, second, third)[index] for index in DATE_INDEXES[order])
    if len(year) == 2:
        year = ("19" if year >= LAST_CENTURY else "20") + year
    if half:
        if not 1 <= int(hour) <= 12:
            return None
        hour = str(int(hour) % 12 + (12 if half in "Pp" else 0))
    time = f" {hour:0>2}:{minute}:{seconds or '00'}{zone.replace('UTC', 'Z')}" if hour else ""
    date = f"{year}-{month:0>2}-{day:0>2}{time}"
    return date if is_iso_date(date) and _is_possible(date) else None


def is_date(text: str) -> bool:
    """Return whether a text is a date in some order."""
    return any(canonical_date(text, order) for order in DateOrder)


def _is_possible(date: str) -> bool:
    try:
        datetime.fromisoformat(date)
    except ValueError:  # February 30
        return False
    return True
