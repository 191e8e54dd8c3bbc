"""Defines the query parameters of routes and pages; an empty value, as a form sends it, counts as absent."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, FiniteFloat, PlainValidator, WithJsonSchema

from fraudstream.errors import RequestError
from fraudstream.messages.requests import (
    LATER,
    MOST_ALERTS,
    TIME,
    ChangeId,
    Page,
    Query,
    Repeated,
    Time,
    Whole,
    parameter,
    time_of,
)
from fraudstream.store.change_reading import ChangeQuery
from fraudstream.store.dead_letters import Cursor, DeadLetterFilter, DeadLetterKind, parse_cursor
from fraudstream.store.filters import AlertFilter, Op, SearchPosition, Sort, Where, read_cursor
from fraudstream.store.full_text import Text
from fraudstream.store.minutes import KEPT_MINUTES
from fraudstream.store.schemas import MOST_SCHEMAS
from fraudstream.store.triage import Order
from fraudstream.store.triage_state import AlertStatus
from fraudstream.transactions.entities import Entity
from fraudstream.transactions.wire import Outcome, ReplayState

EVERY: Final = "all"
MOST_WHERE: Final = 20
MOST_ENTITIES: Final = 5


def _time_or_event(value: str) -> str:
    if not is_event(value):
        time_of(value)
    return value


def is_event(value: str) -> bool:
    """Whether a text is the id of an event."""
    return value.isascii() and value.isdecimal() and len(value) <= 18


def _read_by(parse: Callable[[Any], object], form: str) -> AfterValidator:
    def check(value: Any) -> Any:
        if parse(value) is None:
            raise ValueError(f"must be {form}")
        return value

    return AfterValidator(check)


Event = Annotated[str, AfterValidator(_time_or_event)]
DeadLetterCursor = Annotated[Cursor, PlainValidator(parse_cursor), WithJsonSchema({"type": "string"})]
Condition = Annotated[str, _read_by(Where.parse, f"NAME:OP:VALUE, OP one of {', '.join(Op)}")]
EntityText = Annotated[str, _read_by(Entity.parse, "COLUMN:VALUE")]


class OutcomeQuery(Query):
    """An outcome, or all."""

    outcome: Literal["alert", "unscorable", "all"] = parameter("alert", "alert", "`alert` by default")

    @property
    def only(self) -> Outcome | None:
        """The outcome; None for all."""
        return None if self.outcome == EVERY else Outcome(self.outcome)


class AlertQuery(OutcomeQuery):
    """Which alerts."""

    since: Event | None = parameter(None, TIME, "from this time on; digits only: after this event id")
    until: Time | None = parameter(None, LATER, "before this time")
    min_score: FiniteFloat | None = parameter(None, 0.1, "minimum score")
    max_score: FiniteFloat | None = parameter(None, 1, "maximum score")
    min_amount: FiniteFloat | None = parameter(None, 1, "minimum amount")
    max_amount: FiniteFloat | None = parameter(None, 5000, "maximum amount")
    status: Annotated[list[AlertStatus], Repeated] = parameter([], ["new"], "any of them")
    reason_code: str | None = parameter(None, "stolen_card", "the reason of the verdict")
    due_before: Time | None = parameter(None, LATER, "whose information is due before this time")
    assignee: str | None = parameter(None, "Mia", "who has claimed or decided it")
    model_id: str | None = parameter(None, "m-1", "the model that scored it")
    schema_id: str | None = parameter(None, "s-1", "its schema")
    source: str | None = parameter(None, "credit_card_transactions", "the input topic")
    q: str | None = parameter(None, "jew*", 'text: `"a phrase"`, the beginning of the last word from three letters on')
    where: Annotated[list[Condition], Repeated] = parameter(
        [], ["V1:ge:-3"], "`NAME:OP:VALUE` of a column; OP is eq, ne, lt, le, gt, ge or has", max_length=MOST_WHERE
    )
    entity: Annotated[list[EntityText], Repeated] = parameter(
        [],
        ["card_id:C1"],
        "alerts of a card, terminal or other entity, as `COLUMN:VALUE`; with all of them",
        max_length=MOST_ENTITIES,
    )

    @property
    def event(self) -> int | None:
        """The event id in `since`; None if that is a time."""
        return int(self.since) if self.since is not None and is_event(self.since) else None

    def filter(self) -> AlertFilter:
        """Return the filter for the store."""
        return AlertFilter(
            outcome=self.only,
            since_us=None if self.since is None or self.event is not None else time_of(self.since),
            until_us=self.until,
            due_before_us=self.due_before,
            statuses=tuple(dict.fromkeys(self.status)),
            text=None if self.q is None else Text.parse(self.q),
            where=tuple(filter(None, map(Where.parse, self.where))),
            entities=tuple(filter(None, map(Entity.parse, self.entity))),
            **{name: getattr(self, name) for name in _FILTER_FIELDS},
        )


_FILTER_FIELDS: Final = AlertQuery.model_fields.keys() & AlertFilter.__dataclass_fields__.keys() - {"outcome", "where"}


class AlertFileQuery(AlertQuery):
    """Which alerts a file holds."""

    work: Whole = parameter(1, 0, "0: without the triage state, which is in the last columns")


class AlertList(AlertQuery):
    """Alerts in an order."""

    sort: Sort = parameter(Sort.NEWEST, "newest", "the order")
    limit: Whole = parameter(100, 10, "how many", ge=1, le=1_000)
    cursor: str | None = parameter(None, "1", "the `next_cursor` of the previous page")

    def filter(self) -> AlertFilter:
        """Return the filter for the store: only alerts with a due time have an order by it."""
        query = super().filter()
        is_any_due = self.sort is Sort.DUE and query.due_before_us is None
        return replace(query, due_before_us=2**63 - 1) if is_any_due else query

    def position(self) -> SearchPosition | None:
        """Return the position at which the previous page ended."""
        position = read_cursor(self.cursor, self.sort) if self.cursor else None
        if self.cursor and position is None:
            raise RequestError("cursor must be the next_cursor of a list in the same order")
        return position


class AlertScan(AlertList):
    """Alerts in an order, line by line."""

    limit: Whole = parameter(1_000_000, 10, "how many", ge=1, le=1_000_000)


class RowList(AlertList):
    """Rows of the review page: some by their `seq`, or those that match after an event."""

    limit: Whole = parameter(1_000, 10, "how many", ge=1, le=1_000)
    seq: Annotated[list[Annotated[Whole, Field(lt=2**63)]], Repeated] = parameter([], [1], "these", max_length=100)


class EntityList(AlertQuery):
    """The entities in a column with the most alerts, of those that match."""

    column: str | None = parameter(None, "card_id", "the column; by default the most useful one")
    limit: Whole = parameter(50, 10, "how many", ge=1, le=1_000)

    def filter(self) -> AlertFilter:
        """Return the filter for the store; raises RequestError for one on the content of the transaction."""
        query = super().filter()
        if query.looks_inside:
            raise RequestError("q and where do not apply to entities: leave them out, or count the alerts of a search")
        return query


class NextAlert(AlertQuery):
    """Claim the first new alert in an order, of those that match."""

    order: Order = Order.LOSS
    skip: list[ChangeId] = Field([], max_length=MOST_ALERTS)
    who: str | None = None


class StreamQuery(OutcomeQuery):
    """Which events of the stream."""

    last_event_id: Whole | None = parameter(None, 0, "resume after this event, as with Last-Event-ID", le=10**18)
    rows: Whole = parameter(0, 1, "1: alerts as rows of the review page (HTML), in events `row`")


class EventList(Page):
    """Events of a type."""

    type: str | None = parameter(None, "schema", "of this type")


class DeadLetterQuery(DeadLetterFilter):
    """Which records, by default dead letters."""

    kind: DeadLetterKind = parameter("dead_letter", "all", "which of the two")


class DeadLetterListQuery(DeadLetterQuery):
    """A page of records, the newest first."""

    limit: Whole = parameter(100, 10, "how many", ge=1, le=1_000)
    cursor: DeadLetterCursor | None = parameter(None, "1.1", "the `next_cursor` of the previous page")


class ReplayList(Page):
    """Replays."""

    state: ReplayState | None = parameter(None, "sent", "their state")
    batch: str | None = parameter(None, "b-1", "those requested together")
    place: Annotated[list[str], Repeated] = parameter([], ["t/0/7"], "of these records")


class ChangeList(Page, ChangeQuery):
    """A page of changes."""


class ChartQuery(Query):
    """The range of the charts."""

    minutes: Whole = parameter(60, 60, "how many of the last minutes", ge=1, le=KEPT_MINUTES)
    until: Annotated[Time, _read_by(lambda at_us: at_us >= 0 or None, "a time from 1970 on")] | None = parameter(
        None, LATER, "the minutes before this time; by default up to now"
    )


class WhatIfQuery(Query):
    """Another threshold."""

    threshold: FiniteFloat | None = parameter(
        None, 0.5, "the threshold to compare; by default the active one", ge=0, le=1
    )
    review_cost: FiniteFloat | None = parameter(None, 2.5, "what reviewing a false alarm costs", ge=0, le=1e9)
    curve: Whole = parameter(0, 1, "1: with the figures along all thresholds")


class SchemaList(Query):
    """How many schemas."""

    limit: Whole = parameter(50, 10, "how many", ge=1, le=MOST_SCHEMAS)
