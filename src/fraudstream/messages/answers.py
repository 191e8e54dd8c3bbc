"""Defines the responses of the API as models for the OpenAPI document; a member with a default may be absent.

Tests validate real responses against them; at run time nothing is validated, as alerts are stored as JSON.
"""

from dataclasses import dataclass
from types import GenericAlias
from typing import Annotated, Any, Final, Literal

from pydantic import Field, create_model

from fraudstream.messages.base import Message, Object
from fraudstream.messages.ledger import Problem
from fraudstream.messages.requests import Verdict
from fraudstream.transactions.wire import Outcome, ReplayState

Time = Annotated[str, Field(description="ISO 8601 with an offset")]
Text = str | None
Number = float | None
Whole = int | None
Moment = Time | None
Kind = Literal["alert", "unscorable"]


def answer(name: str, about: str = "", /, **members: Any) -> Any:
    """Create the model of a response; a member is a type, or a type and a default if it may be absent."""
    return create_model(name, __base__=Message, __doc__=about or None, **members)


def many(item: Any) -> Any:
    """Return the type of a list of items."""
    return GenericAlias(list, (item,))


def page(name: str, item: Any, **more: Any) -> Any:
    """Create the model of a page of a list, with the cursor of the next page."""
    return answer(f"PageOf{name.title().replace('_', '')}", **{name: many(item)}, next_cursor=Text, **more)


Error = answer("Error", "Why a request failed.", error=str, status=int)
FAILED: Final[Any] = {"error": (str, ""), "status": (int, 409)}


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one of the posted records was not stored."""

    index: int
    reason: str


Received = answer("Received", accepted=int, duplicates=int, conflicts=int, rejected=list[Rejection])

Status = Literal["new", "claimed", "escalated", "needs_information"] | Verdict
_TRIAGE: Final[Any] = {
    "status": Status, "assignee": Text, "version": int, "decided_at": Moment, "since": (Moment, None),
    "reason_code": (Text, None), "due_at": (Moment, None), "escalated_by": (Text, None),
}  # fmt: skip
TriageState = answer(
    "TriageState", "The triage state of an alert; `version` is incremented with each change.", **_TRIAGE
)
Alert = answer(
    "Alert", "A stored alert or unscorable transaction.",
    seq=int, alert_id=str, outcome=Kind, transaction=Object, received_at=Time, work=TriageState,
    score=(Number, None), threshold=(Number, None), model_id=(Text, None), as_text=(list[str], []),
    reasons=(list[Object] | None, None), explanation=(Object | None, None),
    entities=(many(answer("AlertEntity", "An entity of an alert, and how many alerts it has (counted up to 1,000).",
                          column=str, value=str, alerts=int)), []),
)  # fmt: skip
AlertPage = page("alerts", Alert, complete=bool, back_to=Text, scanned=int, of=int)
FollowingAlerts = answer(
    "FollowingAlerts", "The alerts after an event of the stream, oldest first.",
    alerts=many(Alert), latest=int, more=bool, reset=bool, complete=bool,
)  # fmt: skip

Changed = answer("Changed", alert_id=str, seq=int, **_TRIAGE)
Refused = answer("Refused", alert_id=str, reason=str, work=TriageState | None)
Triaged = answer(
    "Triaged", "The result for each alert; `error` if none was changed.",
    change_id=Text, done=many(Changed), refused=many(Refused), **FAILED,
)  # fmt: skip


@dataclass(frozen=True)
class Change:
    """A change that a person made; in the history of an alert, `before` and `after` are the alert's own."""

    change_id: str
    at: Time
    actor: Text
    verified: bool
    action: str
    subject: str
    before: Object | None
    after: Object | None
    why: str
    undoes: Text
    undone_by: Text
    session: Text
    hash: str


@dataclass(frozen=True)
class AlertChange(Change):
    """The effect of a change on one alert; `alert_id` is null if the change was not made to alerts."""

    alert_id: Text


@dataclass(frozen=True)
class Touched:
    """The effect of a change on one of its alerts."""

    seq: int
    alert_id: str
    before: Object | None
    after: Object | None


@dataclass(frozen=True)
class ListedChange(Change):
    """A change in a list, with the number of alerts that it affected and the first of them."""

    seq: int
    alerts: int
    touched: list[Touched]


Triage = answer("Triage", "An alert's triage state and its changes.", work=TriageState, history=list[Change])
Person = answer("Person", "The current person; the name is not authenticated.", name=str, verified=bool)
Introduced = answer("Introduced", actor=Person | None)

Stats = answer(
    "Stats", "The counters; those in `sampled` come from samples.",
    at=Time, payments_seen=int, scored=int, alerts=int, unscorable=int, dead_letters=int, rejected=int, conflicts=int,
    duplicates=int, lag=int, viewers=int, rate=float, p50_ms=Number, p99_ms=Number, latency_to=Text, model_id=Text,
    threshold=Number, unseen_from_row=Whole, data_fingerprint=Text, problems=list[str], waiting_for=Text,
    columns=Object, ledger=Object, storm=Object | None, sampled=list[str], to_do=int, quiet_seconds=Whole, texts=Object,
)  # fmt: skip


@dataclass(frozen=True)
class Losses:
    """Lost records that nobody has acknowledged, the last ledger entry with one (or 0), and the time of the first."""

    records: int
    until_seq: int
    since: Moment


@dataclass(frozen=True)
class ProcessState:
    """The state of a process according to its last status."""

    process: str
    state: str
    since: Moment
    last_seen: Moment
    message: str


@dataclass(frozen=True)
class PartitionState:
    """The offsets and the scored position of a partition; `reading` is null if unknown."""

    topic: str
    partition: int
    begin: int
    end: int
    position: int
    lag: int
    starved_since: Moment
    reading: bool | None


@dataclass(frozen=True)
class System:
    """The state of the whole system; `past_problems` are the latest times during which a partition was not read."""

    at: Time
    problems: list[Problem]
    past_problems: list[Problem]
    processes: list[ProcessState]
    task_slots: Whole
    partitions: list[PartitionState]
    losses: Losses


_ACTIVE: Final[Any] = {"model_id": str, "threshold": float, "revision": int, "who": str, "when": str, "why": str}
ActiveModel = answer("Deployment", "The active model.", **_ACTIVE)
NewDeployment = answer("NewDeployment", **_ACTIVE, former_threshold=float, change_id=Text)
Figures = answer(
    "Figures", "The effect of a threshold over a source's period; null if unknown.",
    alerts=float, alerts_per_day=Number, error=Number, frauds_caught=float, frauds_missed=float, false_alarms=float,
    saved=Number,
)  # fmt: skip
FigureSource = answer(
    "FigureSource", "A source of figures, `now` at the active threshold and `then` at the other.",
    key=Literal["test", "live", "verdicts"], title=str, kind=Literal["measured", "estimate", "partial"], about=str,
    period=str, known_from=float, lacking=Text, now=Figures | None, then=Figures | None,
)  # fmt: skip
CurvePoint = answer("CurvePoint", threshold=float, **dict.fromkeys(("test", "live", "verdicts"), (Figures, None)))
WhatIf = answer(
    "WhatIf", "The effect of another threshold.",
    in_force=ActiveModel, threshold=float, review_cost=float, recommended=Number, cheapest=Number, changeable=bool,
    why_not=Text, sources=many(FigureSource), curve=(many(CurvePoint), []),
)  # fmt: skip
StoredScore = answer("StoredScore", score=Number, threshold=Number, outcome=Outcome, model_id=Text, revision=Whole)
NewScore = answer("NewScore", score=Number, threshold=float, outcome=Outcome, model_id=str, revision=int, missing=int)


@dataclass(frozen=True)
class Contribution:
    """The contribution of a feature when the alert was scored, and now."""

    feature: str
    value: object
    imputed: bool
    then: Number
    now: Number
    difference: Number


Rescored = answer(
    "Rescored", "An alert scored again, and the differences from the stored score.",
    alert_id=str, stored=StoredScore, now=NewScore, difference=Number, same_model=bool, scale=str, comparable=bool,
    stored_cause=Text, features=list[Contribution], sentence=str,
)  # fmt: skip
Aliases = answer("Aliases", aliases=dict[str, str], model_id=str, revision=int)

ReplayRequested = answer(
    "ReplayRequested", "The result of a request for replays; `error` if none was recorded.",
    batch=Text, letters=int, replayed=int, missing=int, without_place=int, **FAILED,
)  # fmt: skip


@dataclass(frozen=True)
class Replay:
    """A replay of a record."""

    seq: int
    replay_id: str
    batch: str
    kind: Literal["dead_letter", "unscorable"]
    origin: str
    state: ReplayState
    place: Text
    reason: Text
    who: str
    why: str
    requested_at: Time
    changed_at: Time
    corrected: bool


@dataclass(frozen=True)
class Claimed:
    """A replay that a sender has claimed."""

    replay_id: str
    origin: str
    letter: Object
    payload_base64: Text


ClaimedReplays = answer("ClaimedReplays", replays=list[Claimed])
WaitingReplays = answer("WaitingReplays", waiting=int)
