"""Parses the search text of the queue, such as `TERMINAL_ID:T000512 amount>500 jewel*`, into filters."""

import difflib
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final, NamedTuple

from fraudstream.store.filters import Op
from fraudstream.store.triage_state import AlertStatus
from fraudstream.transactions.amounts import parse_number

LONGEST: Final = 1_000
MOST_CONDITIONS: Final = 20

# Possessive: no character is looked at twice, however long a word is.
_TERM: Final = re.compile(
    r'\s*+(?:(?P<name>"[^"]++"|[^\s:<>=!~"]++)(?P<op>!=|>=|<=|[:=<>~])(?P<value>"[^"]*+"?|\S*+)|(?P<text>"[^"]*+"?|\S++))'
)
_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
"""The words in the name of a column: `TERMINAL_ID`, `merchantName`."""

_AGO: Final = re.compile(r"([0-9]{1,4})(min|m|h|d)")
_UNITS: Final = {"m": "minutes", "min": "minutes", "h": "hours", "d": "days"}
_OPERATORS: Final = {":": Op.EQ, "=": Op.EQ, "!=": Op.NE, ">": Op.GT, ">=": Op.GE, "<": Op.LT, "<=": Op.LE, "~": Op.HAS}
_NUMBERS: Final = ("amount", "score")
_TIMES: Final = {"from": "since", "before": "until", "due": "due_before"}
_TEXTS: Final = {"assignee": "assignee", "reason": "reason_code", "model": "model_id", "schema": "schema_id"}
_CHOICES: Final = {"status": tuple(AlertStatus), "outcome": ("alert", "unscorable", "all")}
FIELDS: Final = (*_CHOICES, *_NUMBERS, *_TEXTS, *_TIMES)
"""The names that are not columns of the payment."""

Pair = tuple[str, str]


class SearchTextError(ValueError):
    """A term that cannot be read; `start` and `end` are its place in the text."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.start, self.end = start, end


class Vocabulary(NamedTuple):
    """What the terms of a search may name; `entities` are the columns with an index of their own."""

    columns: Sequence[str] = ()
    entities: Collection[str] = ()
    zone: tzinfo = UTC
    now: datetime = datetime.min.replace(tzinfo=UTC)

    def column(self, name: str) -> str:
        """Return the column of a name: the same, in another case, or the only one with this word in its name."""
        if name in self.columns or name.partition(".")[0] in self.columns:
            return name
        key = name.casefold()
        same = [each for each in self.columns if each.casefold() == key]
        with_word = [each for each in self.columns if key in map(str.casefold, _WORDS.findall(each))]
        for matches in (same, with_word):
            if len(matches) == 1:
                return matches[0]
        names = {each.casefold(): each for each in (*FIELDS, *self.columns)}
        near = difflib.get_close_matches(key, names, n=1)
        hint = f"Did you mean {names[near[0]]}?" if near else "Write text with a colon in quotes"
        raise ValueError(f"No column is called {name}. {hint}")


def parse_search(text: str, vocabulary: Vocabulary) -> list[Pair]:
    """Return the filters of a search text as parameters of the address; raises SearchTextError."""
    pairs: list[Pair] = []
    words: list[str] = []
    if len(text) > LONGEST:
        raise SearchTextError(f"A search has at most {LONGEST:,} characters", LONGEST, LONGEST)
    for match in _TERM.finditer(text):
        if match["text"]:
            words.append(match["text"])
        elif match["name"]:
            try:
                pairs += _filters(match["name"].strip('"'), match["op"], match["value"].strip('"'), vocabulary)
            except ValueError as e:
                raise SearchTextError(str(e), match.start("name"), match.end()) from e
            if len(pairs) > MOST_CONDITIONS:
                message = f"A search has at most {MOST_CONDITIONS} conditions"
                raise SearchTextError(message, match.start("name"), match.end())
    return ([("q", " ".join(words))] if words else []) + pairs


def _filters(name: str, op: str, value: str, vocabulary: Vocabulary) -> Iterator[Pair]:
    field = name.casefold()
    if not value:
        raise ValueError(f"{name} needs a value")
    if field in _NUMBERS:
        yield from _range(field, op, value)
    elif field in FIELDS:
        if op not in (":", "="):
            raise ValueError(f"{name} is compared with a colon: {name}:{value}")
        if field in _CHOICES:
            yield from ((field, _one_of(each, field)) for each in value.split(","))
        elif field in _TIMES:
            yield _TIMES[field], parse_moment(value, vocabulary)
        else:
            yield _TEXTS[field], value
    else:
        column, operator = vocabulary.column(name), _OPERATORS[op]
        if column in vocabulary.entities and operator is Op.EQ:
            yield "entity", f"{column}:{value}"
        elif operator is Op.EQ and value != (within := value.strip("*")) and within:
            yield "where", f"{column}:{Op.HAS}:{within}"
        else:
            yield "where", f"{column}:{operator}:{value}"


def _range(field: str, op: str, value: str) -> Iterator[Pair]:
    """Yield the least and largest value; the filters include both, so that `>` starts at the next number."""
    low, dots, high = value.partition("..")
    if op in ("!=", "~") or value == ".." or (dots and op not in (":", "=")):
        raise ValueError(f"{field} is compared as {field}>100, {field}<100 or {field}:100..500")
    ends = {"min": low, "max": high if dots else low}
    if op in (">", ">=", "<", "<="):
        del ends["max" if op[0] == ">" else "min"]
    for end, text in ends.items():
        number = parse_number(text.removesuffix("%")) if text else 0.0
        if number is None or not math.isfinite(number):
            raise ValueError(f"{field} is compared with a number, not with {text}")
        number = number / 100 if text.endswith("%") else number
        number = math.nextafter(number, math.inf if op == ">" else -math.inf) if op in (">", "<") else number
        if text:
            yield f"{end}_{field}", repr(float(number)).removesuffix(".0")


def _one_of(value: str, field: str) -> str:
    """Return the choice that a value names: the same, or the only one that has it in its name."""
    key = value.casefold().replace("-", "_").replace(" ", "_")
    choices = _CHOICES[field]
    matches = [each for each in choices if key == each] or [each for each in choices if key in each]
    if len(matches) != 1:
        raise ValueError(f"{field} is one of {', '.join(choices)}")
    return str(matches[0])


def parse_moment(text: str, vocabulary: Vocabulary) -> str:
    """Return a time in UTC as ISO 8601: of a date, a date with a time, a time of today, `now`, or `2h` (ago)."""
    try:
        if ago := _AGO.fullmatch(text):
            at = vocabulary.now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        elif text == "now":
            at = vocabulary.now
        elif "-" in text:
            at = datetime.fromisoformat(text)
        else:
            at = datetime.combine(vocabulary.now.astimezone(vocabulary.zone), time.fromisoformat(text))
        at = at if at.tzinfo is not None else at.replace(tzinfo=vocabulary.zone)
        return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError):
        raise ValueError(f"{text} is not a time: write 2026-01-31, 2026-01-31T08:00, 08:00 or 2h (ago)") from None


def suggestions(text: str, vocabulary: Vocabulary, values: Mapping[str, Iterable[str]]) -> list[str]:
    """Return how the search text may go on: names of fields and columns, or known `values` of the last one."""
    start, space, last = text.rpartition(" ")
    name, colon, begun = last.partition(":")
    if colon:
        try:
            choices = _CHOICES.get(name) or values.get(vocabulary.column(name), ())
        except ValueError:
            return []
        return [f"{start}{space}{name}:{_quoted(each)}" for each in choices if begun.casefold() in each.casefold()]
    names = [f"{each}{'>' if each in _NUMBERS else ':'}" for each in FIELDS]
    names += [f"{_quoted(each)}:" for each in vocabulary.columns if each.casefold() not in FIELDS]
    return [f"{start}{space}{each}" for each in names if last.casefold() in each.casefold()]


def _quoted(text: str) -> str:
    return f'"{text}"' if re.search(r"[\s:<>=!~]", text) else text
