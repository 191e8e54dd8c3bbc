"""The parameters of the routes' queries, each with a value to try it with; where each goes, the routes say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fraudstream.alerts.filters import Sort
from fraudstream.alerts.status import AlertStatus
from fraudstream.dashboard.openapi.schemas import NUMBER, TEXT, WHOLE, Schema
from fraudstream.transactions.wire import Outcome

Parameters = tuple[Mapping[str, Any], ...]

OUTCOMES: Final = (Outcome.ALERT.value, Outcome.UNSCORABLE.value, "all")


def asked(name: str, schema: Schema, example: str | float, about: str) -> Mapping[str, Any]:
    """A parameter of a query; one that may be repeated is a list."""
    return {"name": name, "in": "query", "schema": dict(schema), "example": example, "description": about}


def _repeated(name: str, item: Schema, example: str, about: str) -> Mapping[str, Any]:
    listed = {"type": "array", "items": dict(item)}
    return {"name": name, "in": "query", "schema": listed, "example": [example], "description": about}


ID: Final = {
    "name": "alert_id", "in": "path", "required": True, "schema": {"type": "string"},
    "description": "the id of an alert; it may hold slashes",
}  # fmt: skip
LIMIT: Final = asked("limit", {"type": "integer", "minimum": 1}, 10, "how many")
CURSOR: Final = asked("cursor", TEXT, "1", "the `next_cursor` of the page before")
OUTCOME: Final = asked("outcome", {"type": "string", "enum": list(OUTCOMES)}, "alert", "`alert` unless asked otherwise")
SINCE: Final = asked("since", TEXT, "2026-01-02T03:04:05Z", "from this time on; digits alone: after this event's id")
UNTIL: Final = asked("until", TEXT, "2036-01-02T03:04:05Z", "before this time")

FILTERS: Final[Parameters] = (
    OUTCOME,
    SINCE,
    UNTIL,
    asked("min_score", NUMBER, 0.1, "the score, at the least"),
    asked("max_score", NUMBER, 1, "the score, at the most"),
    asked("min_amount", NUMBER, 1, "the amount, at the least"),
    asked("max_amount", NUMBER, 5000, "the amount, at the most"),
    _repeated("status", {"type": "string", "enum": [status.value for status in AlertStatus]}, "new", "any of them"),
    asked("assignee", TEXT, "Mia", "who has it"),
    asked("model_id", TEXT, "m-1", "the model that judged it"),
    asked("schema_id", TEXT, "s-1", "its set of columns"),
    asked("source", TEXT, "credit_card_transactions", "the input topic"),
    asked("q", TEXT, "jew*", 'words, `"a phrase"`, the beginning of the last word from three letters on'),
    _repeated("where", TEXT, "V1:ge:-3", "`NAME:OP:VALUE` of a column; OP is eq, ne, lt, le, gt, ge or has"),
)
SORT: Final = asked("sort", {"type": "string", "enum": [sort.value for sort in Sort]}, "newest", "the order")
LETTERS: Final[Parameters] = (
    asked("kind", {"type": "string", "enum": ["dead_letter", "unscorable", "all"]}, "all", "which of the two"),
    asked("reason", TEXT, "JSON", "text that the reason holds"),
    asked("since", TEXT, "2026-01-02T03:04:05Z", "from this time of the record on"),
    asked("until", TEXT, "2036-01-02T03:04:05Z", "before this time of the record"),
    asked("topic", TEXT, "credit_card_transactions", "the input topic"),
    asked("partition", WHOLE, 0, "its partition"),
    asked("offset", WHOLE, 7, "its offset"),
    asked("replayed", {"type": "string", "enum": ["yes", "no"]}, "no", "whether it was sent again"),
)
REPLAYS: Final[Parameters] = (
    asked("state", {"type": "string", "enum": ["requested", "sending", "sent", "failed"]}, "sent", "their state"),
    asked("batch", TEXT, "b-1", "those asked for together"),
    _repeated("place", TEXT, "t/0/7", "of these records"),
)
CHANGES: Final[Parameters] = (
    asked("action", TEXT, "verdict", "what was done"),
    asked("actor", TEXT, "Mia", "who did it; `-`: no name was given"),
    asked("alert_id", TEXT, "id-1", "the alert it touched"),
    asked("since", TEXT, "2026-01-02T03:04:05Z", "from this time on"),
    asked("until", TEXT, "2036-01-02T03:04:05Z", "before this time"),
)
MINUTES: Final = asked(
    "minutes", {"type": "integer", "minimum": 1, "maximum": 1440}, 60, "how many of the last minutes"
)
WHAT_IF: Final[Parameters] = (
    asked("threshold", NUMBER, 0.5, "the threshold looked at; that in force unless given"),
    asked("review_cost", NUMBER, 2.5, "what a look at a false alarm costs"),
    asked("curve", WHOLE, 1, "1: the figures along all thresholds too"),
)
RESUME: Final = asked("last_event_id", WHOLE, 0, "go on after this event, as the header Last-Event-ID")
