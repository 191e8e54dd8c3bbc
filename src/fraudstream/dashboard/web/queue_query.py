"""The filters, order and view in the address of the review page."""

import math
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import urlencode

from werkzeug.datastructures import MultiDict

from fraudstream.dashboard.web.queries import AlertList
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
LIVE: Final = "live"
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

_OPEN: Final = tuple(each.value for each in OPEN)
_NO_FILTERS: Final = ("status", "sort", "view", "group")
MANY: Final = ("status", "where", "entity")
_NEW_CONDITION: Final = ("where_name", "where_op", "where_value")
_FORM: Final = ("search", *_NEW_CONDITION, "from", "before")
"""The fields of the page's forms, which are converted to the parameters above."""


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
    """

    def __init__(self, args: MultiDict[str, str], vocabulary: Vocabulary) -> None:
        """Parse the query; empty and default values are left out."""
        self.errors: list[str] = []
        self.search = ""
        self._view = LIVE if args.get("view") == LIVE else ""
        given = [(name, value.strip()) for name, value in args.items(multi=True) if name in (*SINGLE, *MANY)]
        added = self._added(args, vocabulary)
        names = {name for name, _ in added}
        # A field of the form replaces what the address has for it; a condition on another column is one more.
        pairs = [pair for pair in given if pair[0] not in names or pair[0] == "where"] + added
        if "search" in args and "q" not in names:
            pairs = [pair for pair in pairs if pair[0] != "q"]
        pairs = [pair for pair in dict.fromkeys(pairs) if pair[1] and self._is_valid(*pair)]
        single = {name: value for name, value in pairs if name in SINGLE and self._default(name) != value}
        statuses = [each.value for each in AlertStatus if ("status", each.value) in pairs]
        self.pairs: Final = (
            [(name, single[name]) for name in SINGLE if name in single]
            + [("status", each) for each in statuses if tuple(statuses) != self._statuses]
            + [pair for pair in pairs if pair[0] in MANY and pair[0] != "status"]
        )
        self.is_tidy: Final = not any(name in args for name in _FORM) and all(args.values())

    def _added(self, args: MultiDict[str, str], vocabulary: Vocabulary) -> list[Pair]:
        """Return the filters of the form's fields."""
        added: list[Pair] = []
        text = args.get("search", "").strip()
        try:
            added = parse_search(text, vocabulary)
        except SearchTextError as e:
            self.search = text
            self.errors.append(f"{e} (character {e.start + 1}: {text[e.start : e.end]})")
        name, op, value = (args.get(each, "").strip() for each in _NEW_CONDITION)
        if name:
            added.append(("where", f"{name}:{op if op in OPERATORS else 'eq'}:{value}"))
        for field, parameter in (("from", "since"), ("before", "until")):
            if moment := args.get(field, "").strip():
                try:
                    added.append((parameter, parse_moment(moment, vocabulary)))
                except ValueError as e:
                    self.errors.append(str(e))
        return added

    def _is_valid(self, name: str, value: str) -> bool:
        if name in ("view", "group") or value == ME:
            return True
        try:
            AlertList.read(MultiDict([(name, value)]))
        except RequestError as e:
            self.errors.append(e.what[0].upper() + e.what[1:])
            return False
        return True

    def _default(self, name: str) -> str:
        return {"sort": "newest" if self._view else "loss", "outcome": "alert"}.get(name, "")

    @property
    def _statuses(self) -> tuple[str, ...]:
        return tuple(each.value for each in AlertStatus) if self._view else _OPEN

    @property
    def is_live(self) -> bool:
        """Whether new alerts are added at the top by themselves."""
        return bool(self._view)

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
        return all(name in ("view", "sort", "outcome") for name, _ in self.pairs) and self.is_live

    @property
    def is_mine(self) -> bool:
        """Whether it filters by the user's own alerts."""
        return self.one("assignee") == ME

    def api_query(self, actor: str | None) -> MultiDict[str, str]:
        """Return the query for the API, which has no "me", no view and no default status."""
        pairs = [(name, value) for name, value in self.pairs if name not in (*_NO_FILTERS, "assignee")]
        assignee = self.one("assignee")
        if assignee:
            pairs.append(("assignee", (actor or "") if assignee == ME else assignee))
        pairs += [("status", each) for each in self.statuses]
        return MultiDict([*pairs, ("sort", self.one("sort"))])

    def address(self, *more: Pair) -> str:
        """Return the address of the page with these filters."""
        return _address([*self.pairs, *more])

    def chips(self) -> list[Chip]:
        """Return the active filters that neither a tab nor the order shows."""
        chips = []
        for at, (name, value) in enumerate(self.pairs):
            if name in _NO_FILTERS:
                continue
            without = _address(self.pairs[:at] + self.pairs[at + 1 :])
            chips.append(Chip(*_described(name, value), without, name in ("since", "until", "due_before")))
        if self.many("status") and not any(tab.is_current for tab in self.tabs()):
            text = " or ".join(each.replace("_", " ") for each in self.statuses)
            chips.append(Chip("status", text, _address(p for p in self.pairs if p[0] != "status"), False))
        return chips

    def tabs(self) -> list[Link]:
        """Return the views, each with the other filters unchanged."""
        rest = [pair for pair in self.pairs if pair[0] not in ("status", "assignee", "view", "sort")]
        order = [("sort", value) for value in self.many("sort")]
        views: dict[str, list[Pair]] = {
            "To do": [],
            "Mine": [("assignee", ME), *(("status", each.value) for each in OPEN if each is not AlertStatus.NEW)],
            "Decided": [("status", each.value) for each in VERDICTS],
            "All": [("status", each.value) for each in AlertStatus],
        }
        current = {pair for pair in self.pairs if pair[0] in ("status", "assignee", "view")}
        tabs = [Link(label, _address(order + rest + pairs), current == set(pairs)) for label, pairs in views.items()]
        return [*tabs, Link("Live", _address([("view", LIVE), *rest]), self.is_live)]

    @property
    def label(self) -> str:
        """The name of the view."""
        return next((tab.label for tab in self.tabs() if tab.is_current), "Matches")

    def grouped(self, column: str) -> str:
        """Return the address of the entities in a column that match; without one, of the alerts."""
        rest = [pair for pair in self.pairs if pair[0] not in ("group", "view", "sort")]
        return _address([*rest, *([("group", column)] if column else [])])

    def of_entity(self, value: str) -> str:
        """Return the address of the alerts of an entity in the column of the groups."""
        rest = [pair for pair in self.pairs if pair[0] != "group"]
        return _address([*rest, ("entity", f"{self.one('group')}:{value}")])

    def head(self, label: str, *orders: str) -> Link:
        """Return the link that orders by a column, and by its other order if the first is active already."""
        active = self.one("sort")
        following = orders[(orders.index(active) + 1) % len(orders)] if active in orders else orders[0]
        rest = [pair for pair in self.pairs if pair[0] not in ("sort", "view")]
        href = _address([*rest, *([] if following == "loss" else [("sort", following)])])
        return Link(label, href, active in orders, "ascending" if active == "oldest" else "descending")


def _address(pairs: Iterable[Pair]) -> str:
    query = urlencode(list(pairs))
    return f"/?{query}" if query else "/"


def _described(name: str, value: str) -> tuple[str, str]:
    """Return the label and the value of a filter."""
    if name == "where":
        condition = Where.parse(value)
        return ("", value) if condition is None else (f"{condition.name} {OPERATORS[condition.op]}", condition.value)
    if name == "entity":
        column, _, entity = value.partition(":")
        return column, entity
    label, side = SINGLE[name], name[:4]
    if side in ("min_", "max_"):
        # The next number after a round one stands for "above" it.
        number, away = float(value), -math.inf if side == "min_" else math.inf
        round_one = math.nextafter(number, away)
        is_strict = len(repr(round_one)) < len(repr(number))
        sign = {("min_", True): ">", ("min_", False): "≥", ("max_", True): "<", ("max_", False): "≤"}[side, is_strict]
        return f"{label} {sign}", repr(round_one if is_strict else number).removesuffix(".0")
    return label, OUTCOMES.get(value, value)
