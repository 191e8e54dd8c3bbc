"""Renders the Queue page: its filters and the alerts for triage."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from flask import redirect, render_template, request
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from fraudstream.dashboard.services.reasons import ReasonStore
from fraudstream.dashboard.services.statistics import Statistics
from fraudstream.dashboard.web import presentation
from fraudstream.dashboard.web.actor import Actors
from fraudstream.dashboard.web.queries import AlertList
from fraudstream.errors import RequestError
from fraudstream.messages.base import Object
from fraudstream.store.change_reading import ChangeReader
from fraudstream.store.changes import NOBODY
from fraudstream.store.filters import Where, write_cursor
from fraudstream.store.search import SearchPage
from fraudstream.store.store import AlertStore
from fraudstream.store.triage_state import OPEN as OPEN_STATUSES
from fraudstream.store.triage_state import VERDICTS, AlertStatus
from fraudstream.times import iso_time
from fraudstream.transactions.wire import AlertField

OPEN: Final = tuple(each.value for each in OPEN_STATUSES)
"""The default statuses: alerts that are not decided yet."""

ORDERS: Final = {
    "loss": "expected loss",
    "score": "score",
    "amount": "amount",
    "newest": "newest first",
    "oldest": "oldest first",
    "due": "due first",
}
OPERATORS: Final = {
    "eq": "is",
    "ne": "is not",
    "lt": "is below",
    "le": "is at most",
    "gt": "is above",
    "ge": "is at least",
    "has": "contains",
}
OUTCOMES: Final = {"alert": "fraud alerts", "unscorable": "unscorable payments", "all": "both"}
ME: Final = "me"
DEFAULTS: Final = {"sort": "loss", "outcome": "alert"}
SINGLE: Final = {
    "q": "text",
    "assignee": "assignee",
    "reason_code": "reason",
    "due_before": "due before",
    "since": "from",
    "until": "before",
    "min_score": "score at least",
    "max_score": "score at most",
    "min_amount": "amount at least",
    "max_amount": "amount at most",
    "model_id": "model",
    "schema_id": "schema",
    "source": "topic",
    "outcome": "outcome",
    "sort": "order",
}
"""The parameters that occur once in the address, with their labels."""

_NEW_CONDITION: Final = ("where_name", "where_op", "where_value")


class Chip(NamedTuple):
    """An active filter: its label and value, and the address without it."""

    label: str
    value: str
    without: str
    is_time: bool


class Tab(NamedTuple):
    """A predefined view."""

    label: str
    href: str
    is_current: bool


class QueueQuery:
    """The filters in the address of the page."""

    def __init__(self, args: MultiDict[str, str]) -> None:
        """Parse the query; empty and default values are left out."""
        pairs = [(name, args[name].strip()) for name in SINGLE if args.get(name, "").strip()]
        pairs = [(name, value) for name, value in pairs if DEFAULTS.get(name) != value]
        statuses = [each.value for each in AlertStatus if each.value in args.getlist("status")]
        if tuple(statuses) != OPEN:
            pairs += [("status", each) for each in statuses]
        conditions = [each for each in args.getlist("where") if each]
        name, op, value = (args.get(each, "").strip() for each in _NEW_CONDITION)
        if name:
            conditions.append(f"{name}:{op if op in OPERATORS else 'eq'}:{value}")
        self.pairs: Final = pairs + [("where", each) for each in dict.fromkeys(conditions)]
        self.is_tidy: Final = not any(name in args for name in _NEW_CONDITION) and all(args.values())

    def one(self, name: str) -> str:
        """Return the value of a parameter that occurs once, or its default."""
        return next((value for key, value in self.pairs if key == name), DEFAULTS.get(name, ""))

    def many(self, name: str) -> list[str]:
        """Return the values of a parameter that may occur several times."""
        return [value for key, value in self.pairs if key == name]

    @property
    def statuses(self) -> list[str]:
        """The requested statuses."""
        return self.many("status") or list(OPEN)

    @property
    def is_narrowed(self) -> bool:
        """Whether it filters by anything except the status."""
        return any(name not in ("status", "sort") for name, _ in self.pairs)

    @property
    def is_mine(self) -> bool:
        """Whether it filters by the user's own alerts."""
        return self.one("assignee") == ME

    def api_query(self, actor: str | None) -> MultiDict[str, str]:
        """Return the query for the API, which has no "me" and no default status."""
        pairs = [(name, value) for name, value in self.pairs if name not in ("status", "sort", "assignee")]
        assignee = self.one("assignee")
        if assignee:
            pairs.append(("assignee", (actor or "") if assignee == ME else assignee))
        pairs += [("status", each) for each in self.statuses]
        return MultiDict([*pairs, ("sort", self.one("sort"))])

    def address(self, *more: tuple[str, str]) -> str:
        """Return the address of the page with these filters."""
        return _address([*self.pairs, *more])

    def chips(self) -> list[Chip]:
        """Return the active filters that neither a tab nor the order shows."""
        chips = []
        for at, (name, value) in enumerate(self.pairs):
            if name in ("sort", "status"):
                continue
            without = _address(self.pairs[:at] + self.pairs[at + 1 :])
            label, text = _condition(value) if name == "where" else (SINGLE[name], OUTCOMES.get(value, value))
            chips.append(Chip(label, text, without, name in ("since", "until")))
        if self.many("status") and not any(tab.is_current for tab in self.tabs()):
            text = " or ".join(each.replace("_", " ") for each in self.statuses)
            chips.append(Chip("status", text, _address(p for p in self.pairs if p[0] != "status"), False))
        return chips

    def tabs(self) -> list[Tab]:
        """Return the views, each with the other filters unchanged."""
        rest = [pair for pair in self.pairs if pair[0] not in ("status", "assignee")]
        decided = [("status", each.value) for each in VERDICTS]
        views = {
            "To do": [],
            "Mine": [("assignee", ME), *(("status", each) for each in OPEN if each != AlertStatus.NEW)],
            "Decided": decided,
            "All": [("status", each.value) for each in AlertStatus],
        }
        current = {pair for pair in self.pairs if pair[0] in ("status", "assignee")}
        return [Tab(label, _address(rest + pairs), current == set(pairs)) for label, pairs in views.items()]


ROWS: Final = 50
ID_CHARS: Final = 240


def queue_page(store: AlertStore, statistics: Statistics, reasons: ReasonStore, actors: Actors) -> str | Response:
    """Render a page of the alerts that match the address; redirect an untidy address to its canonical form."""
    query = QueueQuery(request.args)
    if not query.is_tidy:
        return redirect(query.address(), code=303)
    # Read before the rows, so that the page's stream and its poll of changes start no later than its content.
    latest = store.latest_seq()
    changed = ChangeReader(store.database).latest_seq()
    who = actors.current()
    name = "" if who == NOBODY else who.name
    api_query = query.api_query(name)
    before = ("cursor", request.args.get("cursor", ""))
    filters = AlertList.read(MultiDict([*api_query.items(multi=True), before]))
    if query.is_mine and not name:
        page = SearchPage([], None)
    else:
        page = store.search.page(filters.filter(), sort=filters.sort, after=filters.position(), limit=ROWS)
    documents = [alert.document() for alert in reasons.with_reasons(page.alerts)]
    open_alert = request.args.get("alert", "")[:ID_CHARS]
    if open_alert in {document[AlertField.ALERT_ID] for document in documents}:
        open_alert = ""
    stats = statistics.current()
    cursor = None if page.following is None else write_cursor(filters.sort, page.following)
    return render_template(
        "queue.html",
        latest=latest,
        changed=changed,
        stats=stats,
        query=query,
        name=name,
        rows=[_row(document, stats) for document in documents],
        open_alert=_one(open_alert, store, reasons, stats) if open_alert else None,
        columns=sorted({column for document in documents for column in document[AlertField.TRANSACTION]}),
        orders=ORDERS,
        operators=OPERATORS,
        outcomes=OUTCOMES,
        statuses={each.value: each.value.replace("_", " ") for each in AlertStatus},
        asked=urlencode(list(api_query.items(multi=True))),
        back_to=iso_time(page.reached_us),
        older=None if cursor is None else query.address(("cursor", cursor)),
        is_first="cursor" not in request.args,
    )


def _one(alert_id: str, store: AlertStore, reasons: ReasonStore, stats: Mapping[str, Any]) -> Object:
    match = store.alert(alert_id)
    if match is None:
        raise RequestError("there is no alert with this id", status=404)
    return _row(reasons.with_reasons([match])[0].document(), stats)


def _row(document: Mapping[str, Any], stats: Mapping[str, Any]) -> Object:
    return {"row": presentation.row(document, stats), "loss": presentation.expected_loss(document)}


def _address(pairs: Iterable[tuple[str, str]]) -> str:
    query = urlencode(list(pairs))
    return f"/queue?{query}" if query else "/queue"


def _condition(where: str) -> tuple[str, str]:
    condition = Where.parse(where)
    return ("", where) if condition is None else (f"{condition.name} {OPERATORS[condition.op]}", condition.value)
