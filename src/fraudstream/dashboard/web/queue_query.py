"""The filters, order and view in the address of the review page."""

import math
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import urlencode

from werkzeug.datastructures import MultiDict

from fraudstream.dashboard.web.queries import MOST_ENTITIES, MOST_WHERE, AlertList
from fraudstream.dashboard.web.search_text import Pair, SearchTextError, Vocabulary, parse_moment, parse_search
from fraudstream.errors import RequestError
from fraudstream.store.filters import Where
from fraudstream.store.triage_state import OPEN, VERDICTS, AlertStatus

ORDERS: Final = {
    "loss": "expected loss",
    "score": "score",
    "amount": "amount",
    "newest": "newest first",
    "oldest": "oldest first",
    "due": "due time",
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
LONGEST_VALUE: Final = 60
SINGLE: Final = {
    "q": "text",
    "assignee": "assignee",
    "since": "from",
    "until": "before",
    "min_score": "score",
    "max_score": "score",
    "min_amount": "amount",
    "max_amount": "amount",
    "model_id": "model",
    "schema_id": "schema",
    "source": "topic",
    "outcome": "outcome",
    "reason_code": "reason",
    "due_before": "due before",
    "sort": "order",
    "view": "view",
    "group": "group",
}
"""The parameters that occur once in the address, with their labels."""

_MOST: Final = {"where": MOST_WHERE, "entity": MOST_ENTITIES}
_NO_FILTERS: Final = ("status", "sort", "view", "group")
_FORM: Final = ("search", "where_name", "where_op", "where_value", "from", "before")
"""The fields of the page's forms, which are converted to the parameters above."""

_TIMES: Final = ("since", "until", "due_before")
_EVERY: Final = tuple(each.value for each in AlertStatus)
_OPEN: Final = tuple(each.value for each in OPEN)


class Chip(NamedTuple):
    """An active filter: its label and value, and the address without it."""

    label: str
    value: str
    without: str
    is_time: bool


class Link(NamedTuple):
    """A predefined view, or the head of a column."""

    label: str
    href: str
    is_current: bool
    direction: str = ""


class QueueQuery:
    """The filters in the address of the page.

    Attributes:
        pairs: The parameters without defaults, in a fixed order.
        errors: What could not be read; the filters are those that could.
        search: The search text if it could not be read, for the user to correct.
        is_live: Whether new alerts are added at the top by themselves.
        is_tidy: Whether the address is already in this form.
    """

    def __init__(self, args: MultiDict[str, str], vocabulary: Vocabulary) -> None:
        """Parse the query; empty and default values are left out."""
        self.errors: list[str] = []
        self.search = ""
        self.is_live: Final = args.get("view") == "live"
        added = self._added(args, vocabulary)
        names = {name for name, _ in added} | ({"q"} if "search" in args else set())
        # What the form adds replaces what the address has for it; a condition on another column is one more.
        pairs = [
            (name, value.strip())
            for name, value in args.items(multi=True)
            if (name in SINGLE and name not in names) or name in ("where", "entity") or (name == "status" not in names)
        ]
        pairs = [pair for pair in dict.fromkeys(pairs + added) if pair[1] and self._is_valid(*pair)]
        single = {name: value for name, value in pairs if name in SINGLE and value != self._default(name)}
        if "outcome" in single:  # only alerts have entities
            pairs = [
                ("where", value.replace(":", ":eq:", 1)) if name == "entity" else (name, value) for name, value in pairs
            ]
        for parameter, most in _MOST.items():
            if excess := [pair for pair in pairs if pair[0] == parameter][most:]:
                self.errors.append(f"A search has at most {most} filters {parameter}")
                pairs = [pair for pair in pairs if pair not in excess]
        statuses = tuple(each for each in _EVERY if ("status", each) in pairs)
        self.pairs: Final = (
            [(name, single[name]) for name in SINGLE if name in single]
            + [("status", each) for each in statuses if statuses != self._statuses]
            + [pair for pair in pairs if pair[0] in ("where", "entity")]
        )
        self.is_tidy: Final = not any(name in args for name in _FORM) and all(args.values())

    def _added(self, args: MultiDict[str, str], vocabulary: Vocabulary) -> list[Pair]:
        """Return the filters of the form's fields."""
        added: list[Pair] = []
        text, name, op, value, *times = (args.get(each, "").strip() for each in _FORM)
        try:
            added = parse_search(text, vocabulary)
        except SearchTextError as e:
            self.search = text
            self.errors.append(f"{e} (character {e.start + 1}: {text[e.start : e.end]})")
        if name:
            added.append(("where", f"{name}:{op if op in OPERATORS else 'eq'}:{value}"))
        for parameter, moment in zip(("since", "until"), times, strict=True):
            try:
                added += [(parameter, parse_moment(moment, vocabulary))] if moment else []
            except ValueError as e:
                self.errors.append(str(e))
        return added

    def _is_valid(self, name: str, value: str) -> bool:
        try:
            AlertList.read(MultiDict([(name, value)]))
        except RequestError as e:
            message = e.what.replace(f"{name}.0", name).replace(name, SINGLE.get(name, name), 1)
            self.errors.append(f"{message[0].upper()}{message[1:]} ({value[:LONGEST_VALUE]})")
            return False
        return True

    def _default(self, name: str) -> str:
        return {"sort": "newest" if self.is_live else "loss", "outcome": "alert"}.get(name, "")

    @property
    def _statuses(self) -> tuple[str, ...]:
        return _EVERY if self.is_live else _OPEN

    def one(self, name: str) -> str:
        """Return the value of a parameter that occurs once, or its default."""
        return next((value for key, value in self.pairs if key == name), self._default(name))

    def many(self, name: str) -> list[str]:
        """Return the values of a parameter that may occur several times."""
        return [value for key, value in self.pairs if key == name]

    @property
    def statuses(self) -> list[str]:
        """The requested statuses."""
        return self.many("status") or list(self._statuses)

    @property
    def is_narrowed(self) -> bool:
        """Whether it filters by anything except the status."""
        return any(name not in _NO_FILTERS for name, _ in self.pairs)

    @property
    def is_inside(self) -> bool:
        """Whether it filters by what is within the payment."""
        return bool(self.one("q") or self.many("where"))

    @property
    def is_whole(self) -> bool:
        """Whether it has every alert of its outcome."""
        return self.is_live and all(name in ("view", "outcome") for name, _ in self.pairs)

    @property
    def is_mine(self) -> bool:
        """Whether it filters by the user's own alerts."""
        return self.one("assignee") == ME

    def api_query(self, actor: str | None) -> MultiDict[str, str]:
        """Return the query for the API, which has no "me", no view and no default status."""
        pairs = [(name, value) for name, value in self.pairs if name not in (*_NO_FILTERS, "assignee")]
        if assignee := self.one("assignee"):
            pairs.append(("assignee", (actor or "") if assignee == ME else assignee))
        return MultiDict([*pairs, *(("status", each) for each in self.statuses), ("sort", self.one("sort"))])

    def address(self, *more: Pair, without: Iterable[str] = ()) -> str:
        """Return the address of the page with these filters, `more` of them and `without` some."""
        query = urlencode([*(pair for pair in self.pairs if pair[0] not in without), *more])
        return f"/?{query}" if query else "/"

    def chips(self) -> list[Chip]:
        """Return the active filters that neither a tab nor the order shows."""
        chips = []
        for name, value in self.pairs:
            if name not in _NO_FILTERS:
                rest = [pair for pair in self.pairs if pair != (name, value) and pair[0] == name]
                without = self.address(*rest, without=[name])
                chips.append(Chip(*_described(name, value), without, name in _TIMES))
        if self.many("status") and not any(tab.is_current for tab in self.tabs()):
            text = " or ".join(each.replace("_", " ") for each in self.statuses)
            chips.append(Chip("status", text, self.address(without=["status"]), False))
        return chips

    def tabs(self) -> list[Link]:
        """Return the views, each with the other filters unchanged."""
        views: dict[str, list[Pair]] = {
            "To do": [],
            "Mine": [("assignee", ME), *(("status", each) for each in _OPEN if each != AlertStatus.NEW)],
            "Decided": [("status", each.value) for each in VERDICTS],
            "All": [("status", each) for each in _EVERY],
            "Live": [("view", "live")],
        }
        own = ("status", "assignee", "view")
        current = {pair for pair in self.pairs if pair[0] in own}
        links = []
        for label, pairs in views.items():
            dropped = (*own, "sort", "group") if label == "Live" else own
            is_current = current == set(pairs) or (label == "Live" and self.is_live)
            links.append(Link(label, self.address(*pairs, without=dropped), is_current))
        return links

    @property
    def label(self) -> str:
        """The name of the view."""
        return next((tab.label for tab in self.tabs() if tab.is_current), "Matches")

    def head(self, label: str, *orders: str) -> Link:
        """Return the link that orders by a column, and by its other order if the first is active already."""
        active = self.one("sort")
        following = orders[(orders.index(active) + 1) % len(orders)] if active in orders else orders[0]
        pairs = [] if following == "loss" else [("sort", following)]
        href = self.address(*pairs, without=("sort", "view"))
        return Link(label, href, active in orders, "ascending" if active == "oldest" else "descending")


def _described(name: str, value: str) -> tuple[str, str]:
    """Return the label and the value of a filter."""
    if name == "entity":
        column, _, entity = value.partition(":")
        return column, entity
    if name == "where":
        condition = Where.parse(value)
        return ("", value) if condition is None else (f"{condition.name} {OPERATORS[condition.op]}", condition.value)
    if name.startswith(("min_", "max_")):
        # The next number after a round one stands for "above" it.
        number, is_least = float(value), name.startswith("min_")
        before = math.nextafter(number, -math.inf if is_least else math.inf)
        is_strict = len(repr(before)) < len(repr(number))
        sign = (">" if is_strict else "≥") if is_least else ("<" if is_strict else "≤")
        return f"{SINGLE[name]} {sign}", repr(before if is_strict else number).removesuffix(".0")
    return SINGLE[name], OUTCOMES.get(value, value)
