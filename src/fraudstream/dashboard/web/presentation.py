"""Formats values and alerts for the pages."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple, TypeGuard
from urllib.parse import quote

import orjson

from fraudstream.dashboard.web.formats import NOTHING
from fraudstream.messages.verdicts import label_of
from fraudstream.model.explanation.reasons import number_text, shortened
from fraudstream.store.entities import MOST_COUNTED
from fraudstream.store.triage_state import AlertStatus
from fraudstream.times import parse_time
from fraudstream.transactions.amounts import amount_of
from fraudstream.transactions.wire import AlertField

ID_CHARS: Final = 14

_MODEL_ID: Final = re.compile(r"(?P<algorithm>[a-z]+(-[a-z]+)*)-(?P<digits>[0-9a-f]{12})")


def short_id(identifier: str) -> str:
    """Shorten an id to 14 characters; that of a model to the initials of its algorithm and its first digits."""
    match = _MODEL_ID.fullmatch(identifier)
    if match is None or len(identifier) <= ID_CHARS:
        return shortened(identifier, ID_CHARS)
    terms = match["algorithm"].split("-")
    algorithm = terms[0] if len(terms) == 1 else "".join(term[0] for term in terms)
    return f"{algorithm}-{match['digits'][:8]}"


def compact(value: float) -> str:
    """Format a count for an axis."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.3g} M"
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g}"


def milliseconds(value: float | None) -> str:
    """Format a duration, in the unit that keeps it short."""
    if value is None:
        return NOTHING
    if value >= 10_000:
        return f"{value / 1000:,.1f} s"
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.1f} ms"


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value of a transaction is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def value_text(value: object, chars: int) -> str:
    """Format a value, in at most so many characters."""
    if value is None or value == "":
        return "missing"
    if is_number(value):
        return number_text(value)
    return shortened(value if isinstance(value, str) else orjson.dumps(value).decode(), chars)


VALUES_PER_ROW: Final = 3
TEXT_CHARS: Final = 40

_UNINFORMATIVE = re.compile(r"^(time|class|label|fraud|is_?fraud|.*_?id|.*amount|.*amt)$", re.IGNORECASE)
"""Columns whose size means nothing: the clock, the label, identifiers, and the amount (shown elsewhere)."""


class TriageLabel(NamedTuple):
    """The triage state of an alert."""

    status: str
    assignee: str
    version: int | None
    text: str
    by: str
    reason_code: str = ""
    due: str = ""
    is_late: bool = False


class AlertRow(NamedTuple):
    """A row of the table of alerts."""

    seq: int
    alert_id: str
    at: str
    score: float | None
    amount: float | None
    values: list[tuple[str, str]]
    reason: str
    novelty: str
    reasons: Sequence[Mapping[str, Any]]
    work: TriageLabel
    age: str
    is_explained: bool
    entities: Sequence[Mapping[str, Any]]


def row(alert: Mapping[str, Any], stats: Mapping[str, Any]) -> AlertRow:
    """Return an alert as a row."""
    at = alert.get(AlertField.PRODUCED_AT) or alert.get("received_at") or ""
    transaction = alert[AlertField.TRANSACTION]
    return AlertRow(
        seq=alert["seq"],
        alert_id=alert[AlertField.ALERT_ID],
        at=at,
        score=alert.get(AlertField.SCORE),
        amount=amount_of(transaction),
        values=largest_values(transaction),
        reason=alert.get(AlertField.REASON) or NOTHING,
        novelty=_novelty(alert, stats),
        reasons=alert.get("reasons") or (),
        work=triage_label(alert.get("work") or {}, stats["at"]),
        age=age_level(at, stats["at"]),
        is_explained=alert.get("explanation") is not None,
        entities=entity_chips(alert.get("entities") or ()),
    )


AGES: Final = {"late": timedelta(minutes=60), "due": timedelta(minutes=15)}
"""From which age on an alert that is not decided stands out."""


def age_level(at: str, now: str) -> str:
    """Return which of the `AGES` an alert has reached; empty for none."""
    try:
        age = parse_time(now) - parse_time(at)
    except ValueError:
        return ""
    return next((level for level, limit in AGES.items() if age >= limit), "")


def entity_chips(entities: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the entities of an alert, those with the most alerts first."""
    return sorted(entities, key=lambda each: -each["alerts"])


def entity_page(column: str, value: str) -> str:
    """Return the address of the page of an entity."""
    return f"/entities/{quote(column, safe='')}/{quote(value, safe='')}"


def alerts_text(alerts: int) -> str:
    """Format a number of alerts, which is counted up to a limit."""
    return "1 alert" if alerts == 1 else f"{alerts:,}{'+' if alerts >= MOST_COUNTED else ''} alerts"


def triage_label(state: Mapping[str, Any], now: str = "") -> TriageLabel:
    """Return the triage state of an alert as text; new by default. It is late if it was due before `now`."""
    status = AlertStatus(state.get("status", AlertStatus.NEW))
    assignee, code, due = (state.get(name) or "" for name in ("assignee", "reason_code", "due_at"))
    text = status.value.replace("_", " ")
    reason = f" ({label_of(code).lower()})" if code else ""
    by = f"{text}{reason} by {assignee}" if assignee else ""
    if status is AlertStatus.CLAIMED:
        text = by = f"claimed by {assignee or 'somebody'}"
    elif status is AlertStatus.ESCALATED:
        text = by = f"escalated to {assignee} by {state.get('escalated_by')}"
    return TriageLabel(status.value, assignee, state.get("version", 0), text, by, code, due, bool(due) and due < now)


def largest_values(transaction: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the largest numbers of a transaction with their names; the first texts if there are none."""
    candidates = [(name, value) for name, value in transaction.items() if not _UNINFORMATIVE.match(name)]
    numbers = [(name, value) for name, value in candidates if is_number(value)]
    if numbers:
        numbers.sort(key=lambda pair: -abs(pair[1]))
        return [(name, number_text(value)) for name, value in numbers[:VALUES_PER_ROW]]
    texts = [(name, value) for name, value in candidates if isinstance(value, str)]
    return [(name, shortened(value, TEXT_CHARS)) for name, value in texts[:VALUES_PER_ROW]]


def _novelty(alert: Mapping[str, Any], stats: Mapping[str, Any]) -> str:
    source_row, unseen_from = alert.get(AlertField.SOURCE_ROW), stats["unseen_from_row"]
    if source_row is None or unseen_from is None or alert.get(AlertField.MODEL_ID) != stats["model_id"]:
        return ""
    return "new" if source_row >= unseen_from else "seen"
