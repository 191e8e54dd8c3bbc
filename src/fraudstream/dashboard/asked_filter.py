"""Which alerts a request asks for and in which order, out of its query or out of posted JSON; `asked.py` has the rest.

An empty value does not narrow, as a form sends it; one that makes no sense is answered with 400.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from typing import Any, Final

from werkzeug.datastructures import MultiDict

from fraudstream.alerts.cursor import Position, read_cursor
from fraudstream.alerts.filters import AlertFilter, Op, Sort, Where
from fraudstream.alerts.status import AlertStatus
from fraudstream.alerts.words import Text
from fraudstream.dashboard.asked import instant_of
from fraudstream.errors import RequestError
from fraudstream.transactions.wire import Outcome

EVERY_OUTCOME: Final = "all"
MOST_CONDITIONS: Final = 20
LONGEST: Final = 1_000

Asked = MultiDict[str, str] | Mapping[str, Any]
"""A query, or an object of JSON whose members are texts, numbers or lists of them."""


def filter_asked(asked: Asked) -> AlertFilter:
    """The filter in a query or in posted JSON, by the names that docs/http.md lists."""
    one = {name: values[0] for name in _names(asked) if (values := _values(asked, name))}
    text = one.get("q")
    return AlertFilter(
        outcome=outcome_asked(one),
        since_us=None if event_asked(one) is not None else instant_of("since", one),
        until_us=instant_of("until", one),
        min_score=_number("min_score", one),
        max_score=_number("max_score", one),
        min_amount=_number("min_amount", one),
        max_amount=_number("max_amount", one),
        statuses=_statuses(asked),
        assignee=one.get("assignee"),
        model_id=one.get("model_id"),
        schema_id=one.get("schema_id"),
        source=one.get("source"),
        text=None if text is None else Text.typed(text),
        where=_where(asked),
    )


def outcome_asked(asked: Mapping[str, str]) -> Outcome | None:
    """The outcome; frauds where it is not named, None for all."""
    found = asked.get("outcome") or Outcome.ALERT
    if found not in (Outcome.ALERT, Outcome.UNSCORABLE, EVERY_OUTCOME):
        raise RequestError(f"outcome must be {Outcome.ALERT}, {Outcome.UNSCORABLE} or {EVERY_OUTCOME}")
    return None if found == EVERY_OUTCOME else Outcome(found)


def sort_asked(asked: Mapping[str, str]) -> Sort:
    """The order; the newest first where none is named."""
    found = asked.get("sort") or Sort.NEWEST
    if found not in list(Sort):
        raise RequestError(f"sort must be one of {', '.join(Sort)}")
    return Sort(found)


def cursor_asked(asked: Mapping[str, str], sort: Sort) -> Position | None:
    """Where the page before it ended."""
    found = asked.get("cursor")
    if not found:
        return None
    cursor = read_cursor(found, sort)
    if cursor is None:
        raise RequestError("cursor must be the next_cursor of a list in the same order")
    return cursor


def event_asked(asked: Mapping[str, str]) -> int | None:
    """The id of an event of the stream under `since`, which then is no time: digits alone."""
    found = asked.get("since", "")
    return int(found) if found.isascii() and found.isdecimal() and len(found) <= 18 else None


def _names(asked: Asked) -> list[str]:
    return list(asked.keys())


def _values(asked: Asked, name: str) -> list[str]:
    found = asked.getlist(name) if isinstance(asked, MultiDict) else asked.get(name)
    texts = []
    for value in found if isinstance(found, list) else [found]:
        if value is None or value == "":
            continue
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise RequestError(f"{name} must be text or a number, or a list of them")
        if len(text := str(value)) > LONGEST:
            raise RequestError(f"{name} must be at most {LONGEST:,} characters long")
        texts.append(text)
    return texts


def _number(name: str, asked: Mapping[str, str]) -> float | None:
    given = asked.get(name)
    if given is None:
        return None
    with contextlib.suppress(ValueError):
        if math.isfinite(number := float(given)):
            return number
    raise RequestError(f"{name} must be a finite number")


def _statuses(asked: Asked) -> tuple[str, ...]:
    found = _values(asked, "status")
    if not set(found) <= set(AlertStatus):
        raise RequestError(f"status must be one of {', '.join(AlertStatus)}")
    return tuple(dict.fromkeys(found))


def _where(asked: Asked) -> tuple[Where, ...]:
    given = _values(asked, "where")
    if len(given) > MOST_CONDITIONS:
        raise RequestError(f"where may be given {MOST_CONDITIONS} times at most")
    return tuple(map(_condition, given))


def _condition(text: str) -> Where:
    where = Where.parse(text)
    if where is None:
        raise RequestError(f"where must be NAME:OP:VALUE, OP one of {', '.join(Op)}")
    return where
