"""Parses the search text of the queue, such as `TERMINAL_ID:T000512 amount>500 jew*`, into filters."""

import difflib
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final, NamedTuple

from fraudstream.store.filters import Op
from fraudstream.store.triage_state import AlertStatus
from fraudstream.transactions.amounts import parse_number
from fraudstream.transactions.wire import Outcome

LONGEST: Final = 1_000
MOST_CONDITIONS: Final = 20

# Possessive: no step is taken twice, however long a word is.
_TERM: Final = re.compile(
    r'\s*+(?:(?P<name>"[^"]++"|[^\s:<>=!~"]++)(?P<op>!=|>=|<=|[:=<>~])(?P<value>"[^"]*+"?|\S*+)|(?P<text>"[^"]*+"?|\S++))'
)
_AGO: Final = re.compile(r"([0-9]{1,4})(min|m|h|d)")
_UNITS: Final = {"m": "minutes", "min": "minutes", "h": "hours", "d": "days"}
_OPERATORS: Final = {":": Op.EQ, "=": Op.EQ, "!=": Op.NE, ">": Op.GT, ">=": Op.GE, "<": Op.LT, "<=": Op.LE, "~": Op.HAS}
_TIMES: Final = {
    "due": "due_before",
    "from": "since",
    "since": "since",
    "after": "since",
    "before": "until",
    "until": "until",
}
_TEXTS: Final = {
    "assignee": "assignee",
    "reason": "reason_code",
    "model": "model_id",
    "schema": "schema_id",
    "topic": "source",
}
_NUMBERS: Final = ("amount", "score")
FIELDS: Final = (
    "status",
    *_NUMBERS,
    "assignee",
    "reason",
    "due",
    "from",
    "before",
    "model",
    "schema",
    "topic",
    "outcome",
)
"""The names that are not columns of the payment, as they are suggested."""

_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
"""The words in the name of a column: `TERMINAL_ID`, `merchantName`."""

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
        wanted = name.casefold()
        for matches in (
            [each for each in self.columns if each.casefold() == wanted],
            [each for each in self.columns if wanted in (word.casefold() for word in _WORDS.findall(each))],
        ):
            if len(matches) == 1:
                return matches[0]
        names = {each.casefold(): each for each in (*FIELDS, *self.columns)}
        near = difflib.get_close_matches(wanted, names, n=1)
        hint = f". Did you mean {names[near[0]]}?" if near else ""
        raise ValueError(f"No column is called {name}{hint or '. Write text with a colon in quotes'}")


def parse_search(text: str, vocabulary: Vocabulary) -> list[Pair]:
    """Return the filters of a search text as parameters of the address; raises SearchTextError."""
    pairs: list[Pair] = []
    words: list[str] = []
    if len(text) > LONGEST:
        raise SearchTextError(f"A search has at most {LONGEST:,} characters", LONGEST, len(text))
    for match in _TERM.finditer(text):
        if match["text"]:
            words.append(match["text"])
        elif match["name"]:
            try:
                pairs += _filters(match["name"].strip('"'), match["op"], match["value"].strip('"'), vocabulary)
            except ValueError as e:
                raise SearchTextError(str(e), match.start("name"), match.end()) from e
    if len(pairs) > MOST_CONDITIONS:
        raise SearchTextError(f"A search has at most {MOST_CONDITIONS} conditions", 0, len(text))
    return ([("q", " ".join(words))] if words else []) + pairs


def _filters(name: str, op: str, value: str, vocabulary: Vocabulary) -> Iterator[Pair]:
    field = name.casefold()
    if not value:
        raise ValueError(f"{name} needs a value, such as {name}{op}{_example(field)}")
    if field in _NUMBERS:
        yield from _range(field, op, value)
    elif field in ("status", "outcome", *_TIMES, *_TEXTS):
        if op not in (":", "="):
            raise ValueError(f"{name} is compared with a colon: {name}:{value}")
        if field == "status":
            yield from (("status", _one_of(each, [*AlertStatus], field)) for each in value.split(","))
        elif field == "outcome":
            yield field, _one_of(value, (*STORED, "all"), field)
        elif field in _TIMES:
            yield _TIMES[field], parse_moment(value, vocabulary)
        else:
            yield _TEXTS[field], value
    else:
        column, operator = vocabulary.column(name), _OPERATORS[op]
        if column in vocabulary.entities and operator is Op.EQ:
            yield "entity", f"{column}:{value}"
            return
        if operator is Op.EQ and value.strip("*") and value.strip("*") != value:
            operator, value = Op.HAS, value.strip("*")
        yield "where", f"{column}:{operator}:{value}"


STORED: Final = (Outcome.ALERT.value, Outcome.UNSCORABLE.value)


def _example(field: str) -> str:
    return {"status": "new", "outcome": "all", "from": "2026-01-31", "before": "2h"}.get(field, "100")


def _range(field: str, op: str, value: str) -> Iterator[Pair]:
    """Yield the least and largest value; the filters include both, so that `>` starts at the next number."""
    low, dots, high = value.partition("..")
    if op == "!=" or op == "~" or (dots and op not in (":", "=")):
        raise ValueError(f"{field} is compared as {field}>100, {field}<100 or {field}:100..500")
    if op in (":", "=") and not dots:
        high = low
    if op in (":", "=", ">=", ">"):
        if low:
            number = _number(field, low)
            yield f"min_{field}", _bound(math.nextafter(number, math.inf) if op == ">" else number)
        if high:
            yield f"max_{field}", _bound(_number(field, high))
    else:
        number = _number(field, low)
        yield f"max_{field}", _bound(math.nextafter(number, -math.inf) if op == "<" else number)


def _bound(number: float) -> str:
    return repr(number).removesuffix(".0")


def _number(field: str, text: str) -> float:
    number = parse_number(text.removesuffix("%"))
    if number is None or not math.isfinite(number):
        raise ValueError(f"{field} is compared with a number, not with {text}")
    return number / 100 if text.endswith("%") else number


def _one_of(value: str, choices: Collection[str], field: str) -> str:
    """Return the choice that a value names: the same, or the only one that has it in its name."""
    wanted = value.casefold().replace("-", "_").replace(" ", "_")
    matches = [str(each) for each in choices if wanted == each] or [str(each) for each in choices if wanted in each]
    if len(matches) != 1 or not wanted:
        raise ValueError(f"{field} is one of {', '.join(choices)}")
    return matches[0]


def parse_moment(text: str, vocabulary: Vocabulary) -> str:
    """Return a time in UTC as ISO 8601: of a date, a date with a time, a time of today, or `15m`, `2h`, `3d` ago."""
    if ago := _AGO.fullmatch(text):
        at = vocabulary.now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    elif text == "now":
        at = vocabulary.now
    else:
        try:
            if "-" not in text:
                at = datetime.combine(vocabulary.now.astimezone(vocabulary.zone).date(), time.fromisoformat(text))
            else:
                at = datetime.fromisoformat(text)
            at = at if at.tzinfo is not None else at.replace(tzinfo=vocabulary.zone)
        except ValueError:
            raise ValueError(f"{text} is not a time: write 2026-01-31, 2026-01-31T08:00, 08:00 or 2h (ago)") from None
    try:
        return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except OverflowError:
        raise ValueError(f"{text} is out of range") from None


def suggestions(text: str, vocabulary: Vocabulary, values: Mapping[str, Iterable[str]]) -> list[str]:
    """Return how the search text may go on: names of fields and columns, or known `values` of the last one."""
    start, _, last = text.rpartition(" ")
    start = f"{start} " if start else ""
    name, colon, begun = last.partition(":")
    if colon:
        try:
            of = name if name in FIELDS else vocabulary.column(name)
        except ValueError:
            return []
        known = [*values.get(of, ()), *(AlertStatus if of == "status" else ())]
        return [f"{start}{name}:{_quoted(each)}" for each in known if begun.casefold() in each.casefold()]
    names = [f"{each}{'>' if each in _NUMBERS else ':'}" for each in FIELDS]
    names += [f"{_quoted(each)}:" for each in vocabulary.columns if each.casefold() not in FIELDS]
    return [start + each for each in names if last.casefold() in each.casefold()]


def _quoted(text: str) -> str:
    return f'"{text}"' if re.search(r"[\s:<>=!~]", text) else text
