"""The page Queue as it is served: its query and the alerts to be worked on; `queue.js` decides them."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from flask import redirect, render_template, request
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from fraudstream.dashboard.services.parts import parts
from fraudstream.dashboard.web import presentation
from fraudstream.dashboard.web.actor import actor_or_nobody
from fraudstream.dashboard.web.queries import AlertList
from fraudstream.errors import RequestError
from fraudstream.messages.base import Object
from fraudstream.store.change_reading import ChangeReader
from fraudstream.store.changes import NOBODY
from fraudstream.store.filters import Where, write_cursor
from fraudstream.store.search import Page
from fraudstream.store.triage_state import VERDICTS, AlertStatus
from fraudstream.times import iso_time
from fraudstream.transactions.wire import AlertField

OPEN: Final = (AlertStatus.NEW.value, AlertStatus.CLAIMED.value)
"""What is asked for where the address names no status: what is still to be done."""

ORDERS: Final = {
    "loss": "expected loss",
    "score": "score",
    "amount": "amount",
    "newest": "newest first",
    "oldest": "oldest first",
}
OPERATORS: Final = {
    "eq": "is",
    "ne": "is not",
    "lt": "is below",
    "le": "is at most",
    "gt": "is above",
    "ge": "is at least",
    "has": "holds",
}
OUTCOMES: Final = {"alert": "fraud alerts", "unscorable": "unscorable payments", "all": "both"}
ME: Final = "me"
DEFAULTS: Final = {"sort": "loss", "outcome": "alert"}
SINGLE: Final = {
    "q": "text",
    "assignee": "with",
    "since": "from",
    "until": "before",
    "min_score": "score at least",
    "max_score": "score at most",
    "min_amount": "amount at least",
    "max_amount": "amount at most",
    "model_id": "model",
    "schema_id": "columns",
    "source": "topic",
    "outcome": "outcome",
    "sort": "order",
}
"""The parameters that stand once in the address, with the words before their value."""

_NEW_CONDITION: Final = ("where_name", "where_op", "where_value")


class Chip(NamedTuple):
    """A filter in force: its words, and the address without it."""

    words: str
    value: str
    without: str
    is_time: bool


class Tab(NamedTuple):
    """A view that is asked for often."""

    label: str
    href: str
    is_current: bool


class QueueQuery:
    """The filters of an address."""

    def __init__(self, args: MultiDict[str, str]) -> None:
        """Take them out of the query; what is empty or as it would be anyway is left out."""
        found = [(name, args[name].strip()) for name in SINGLE if args.get(name, "").strip()]
        found = [(name, value) for name, value in found if DEFAULTS.get(name) != value]
        statuses = [each.value for each in AlertStatus if each.value in args.getlist("status")]
        if tuple(statuses) != OPEN:
            found += [("status", each) for each in statuses]
        conditions = [each for each in args.getlist("where") if each]
        name, op, value = (args.get(each, "").strip() for each in _NEW_CONDITION)
        if name:
            conditions.append(f"{name}:{op if op in OPERATORS else 'eq'}:{value}")
        self.pairs: Final = found + [("where", each) for each in dict.fromkeys(conditions)]
        self.is_tidy: Final = not any(name in args for name in _NEW_CONDITION) and all(args.values())

    def one(self, name: str) -> str:
        """The value of a parameter that stands once, or what holds without it."""
        return next((value for given, value in self.pairs if given == name), DEFAULTS.get(name, ""))

    def many(self, name: str) -> list[str]:
        """The values of a parameter that may stand several times."""
        return [value for given, value in self.pairs if given == name]

    @property
    def statuses(self) -> list[str]:
        """The statuses asked for."""
        return self.many("status") or list(OPEN)

    @property
    def is_narrowed(self) -> bool:
        """Whether it asks for anything beyond statuses and order."""
        return any(name not in ("status", "sort") for name, _ in self.pairs)

    @property
    def is_mine(self) -> bool:
        """Whether it asks for what is with who looks."""
        return self.one("assignee") == ME

    def asked(self, actor: str | None) -> MultiDict[str, str]:
        """The same for the API, which knows no "me" and no default status."""
        pairs = [(name, value) for name, value in self.pairs if name not in ("status", "sort", "assignee")]
        assignee = self.one("assignee")
        if assignee:
            pairs.append(("assignee", (actor or "") if assignee == ME else assignee))
        pairs += [("status", each) for each in self.statuses]
        return MultiDict([*pairs, ("sort", self.one("sort"))])

    def address(self, *more: tuple[str, str]) -> str:
        """The address of the page with these filters."""
        return _address([*self.pairs, *more])

    def chips(self) -> list[Chip]:
        """The filters in force that neither a tab nor the order shows."""
        chips = []
        for at, (name, value) in enumerate(self.pairs):
            if name in ("sort", "status"):
                continue
            without = _address(self.pairs[:at] + self.pairs[at + 1 :])
            words, shown = _condition(value) if name == "where" else (SINGLE[name], OUTCOMES.get(value, value))
            chips.append(Chip(words, shown, without, name in ("since", "until")))
        if self.many("status") and not any(tab.is_current for tab in self.tabs()):
            shown = " or ".join(each.replace("_", " ") for each in self.statuses)
            chips.append(Chip("status", shown, _address(p for p in self.pairs if p[0] != "status"), False))
        return chips

    def tabs(self) -> list[Tab]:
        """The views, each with the other filters kept."""
        rest = [pair for pair in self.pairs if pair[0] not in ("status", "assignee")]
        decided = [("status", each.value) for each in VERDICTS]
        views = {
            "To do": [],
            "Mine": [("assignee", ME), ("status", AlertStatus.CLAIMED.value)],
            "Decided": decided,
            "All": [("status", each.value) for each in AlertStatus],
        }
        now = {pair for pair in self.pairs if pair[0] in ("status", "assignee")}
        return [Tab(label, _address(rest + pairs), now == set(pairs)) for label, pairs in views.items()]


ROWS: Final = 50
ID_CHARS: Final = 240
EMPTY: Final = Page([], None)
"""What is with somebody whose name is not known."""


def queue_page() -> str | Response:
    """The alerts that the address asks for, a page of them; an untidy address leads to the tidy one."""
    using = parts()
    query = QueueQuery(request.args)
    if not query.is_tidy:
        return redirect(query.address(), code=303)
    # Before the rows, so that the page's stream and its look at the changes begin no later than what the page shows.
    latest = using.store.latest_seq()
    changed = ChangeReader(using.store).latest_seq()
    who = actor_or_nobody()
    name = "" if who == NOBODY else who.name
    asked = query.asked(name)
    before = ("cursor", request.args.get("cursor", ""))
    wanted = AlertList.read(MultiDict([*asked.items(multi=True), before]))
    page = EMPTY
    if not (query.is_mine and not name):
        page = using.store.search.page(wanted.filter(), sort=wanted.sort, after=wanted.position(), limit=ROWS)
    documents = [alert.document() for alert in using.reasons.attached(page.alerts)]
    in_hand = request.args.get("alert", "")[:ID_CHARS]
    if in_hand in {document[AlertField.ALERT_ID] for document in documents}:
        in_hand = ""
    stats = using.statistics.current()
    cursor = None if page.following is None else write_cursor(wanted.sort, page.following)
    return render_template(
        "queue.html",
        notice=using.notice,
        latest=latest,
        changed=changed,
        stats=stats,
        query=query,
        name=name,
        rows=[_row(document, stats) for document in documents],
        in_hand=_one(in_hand, stats) if in_hand else None,
        columns=sorted({column for document in documents for column in document[AlertField.TRANSACTION]}),
        orders=ORDERS,
        operators=OPERATORS,
        outcomes=OUTCOMES,
        statuses={each.value: each.value.replace("_", " ") for each in AlertStatus},
        asked=urlencode(list(asked.items(multi=True))),
        back_to=iso_time(page.reached_us),
        older=None if cursor is None else query.address(("cursor", cursor)),
        is_first="cursor" not in request.args,
    )


def _one(alert_id: str, stats: Mapping[str, Any]) -> Object:
    using = parts()
    found = using.store.alert(alert_id)
    if found is None:
        raise RequestError("there is no alert with this id", status=404)
    return _row(using.reasons.attached([found])[0].document(), stats)


def _row(document: Mapping[str, Any], stats: Mapping[str, Any]) -> Object:
    return {"row": presentation.row(document, stats), "loss": presentation.expected_loss(document)}


def _address(pairs: Iterable[tuple[str, str]]) -> str:
    query = urlencode(list(pairs))
    return f"/queue?{query}" if query else "/queue"


def _condition(where: str) -> tuple[str, str]:
    found = Where.parse(where)
    return ("", where) if found is None else (f"{found.name} {OPERATORS[found.op]}", found.value)
