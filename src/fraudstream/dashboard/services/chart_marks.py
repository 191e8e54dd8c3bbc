"""Lists what changed in a period of the charts: thresholds, models, aliases and schemas."""

from typing import Any, Final, NamedTuple

from fraudstream.messages.answers import ListedChange
from fraudstream.store.change_reading import ChangeQuery, ChangeReader
from fraudstream.store.changes import Action
from fraudstream.store.store import AlertStore
from fraudstream.times import iso, microseconds, parse_time
from fraudstream.transactions.wire import EventType

MOST: Final = 5
"""The newest of each kind."""

DEPLOYED: Final = (Action.THRESHOLD, Action.MODEL, Action.ALIAS)


class Mark(NamedTuple):
    """A change, by its kind: `threshold`, `model`, `alias` or `schema`."""

    at: str
    kind: str
    text: str


def chart_marks(store: AlertStore, since_us: int, until_us: int) -> list[Mark]:
    """Return the changes of a period, the oldest first."""
    reader, marks = ChangeReader(store.database), []
    for action in DEPLOYED:
        query = ChangeQuery(action=action).model_copy(update={"since": since_us, "until": until_us})
        marks += [Mark(each.at, action.value, _text(each)) for each in reader.page(query, before=None, limit=MOST)]
    for event in store.events(kind=EventType.SCHEMA.value, limit=MOST):
        at = event.document.get("at") or event.document["received_at"]
        if since_us <= microseconds(parse_time(at)) < until_us:
            marks.append(Mark(iso(parse_time(at)), "schema", event.document.get("message") or "new schema"))
    return sorted(marks)


def _text(change: ListedChange) -> str:
    before: dict[str, Any] = change.before or {}
    after: dict[str, Any] = change.after or {}
    who = f" by {change.actor}" if change.actor else ""
    if change.action == Action.THRESHOLD:
        return f"threshold {before.get('threshold', 0):.4g} to {after.get('threshold', 0):.4g}{who}"
    return f"model {after.get('model_id')}{who}" if change.action == Action.MODEL else f"aliases changed{who}"
