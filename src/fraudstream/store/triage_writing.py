"""Applies the rules of triage to alerts within a write transaction, and records the change."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, bindparam, select, update

from fraudstream.errors import RequestError
from fraudstream.store import tables
from fraudstream.store.changes import TRIAGE_ACTIONS, Action, Actor, Change, Item, insert_change, parse_state
from fraudstream.store.labels import insert_verdicts
from fraudstream.store.reading import TRIAGE_COLUMNS
from fraudstream.store.triage_state import VERDICTS, AlertStatus, TriageState, is_same_person
from fraudstream.times import iso_time, microseconds

Rule = Callable[[TriageState], TriageState]


class TriageRefused(Exception):
    """Raised if a rule refuses the request; its text is the reason shown to the person."""


def claim(state: TriageState, actor: str, now_us: int, take_over: bool = False) -> TriageState:
    """Claim an alert; `take_over` is needed if somebody else has claimed it or it is decided."""
    if state.status == AlertStatus.CLAIMED and is_same_person(state.assignee, actor):
        return state
    if state.status in VERDICTS and not take_over:
        raise TriageRefused(f"{_held(state)}; take it over to claim it")
    _require_own(state, actor, "claim", take_over)
    return _next(state, AlertStatus.CLAIMED, actor, now_us)


def release(state: TriageState, actor: str, now_us: int) -> TriageState:
    """Return a claimed alert to the queue."""
    if state.status == AlertStatus.NEW:
        return state
    if state.status in VERDICTS:
        raise TriageRefused(f"{_held(state)}; undo the verdict, or take the alert over")
    if not is_same_person(state.assignee, actor):
        raise TriageRefused(f"{_held(state)}; only the person who claimed an alert can release it")
    return _next(state, AlertStatus.NEW, None, now_us)


def decide(
    state: TriageState, actor: str, now_us: int, take_over: bool = False, *, status: str, code: str, repeat: bool
) -> TriageState:
    """Set a verdict; `take_over` is needed for another's alert, `repeat` (a note) to set the same verdict again.

    One's own verdict keeps its reason code unless another one is given.
    """
    _require_own(state, actor, "decide", take_over)
    is_same = state.status == status and is_same_person(state.assignee, actor)
    if is_same and not repeat and code in ("", state.reason_code):
        return state
    reason_code = code or (state.reason_code if is_same else None)
    return _next(state, status, actor, now_us)._replace(reason_code=reason_code)


def escalate(state: TriageState, actor: str, now_us: int, take_over: bool = False, *, to: str) -> TriageState:
    """Give an alert to somebody else, who is then its assignee."""
    if is_same_person(to, actor):
        raise TriageRefused("you cannot escalate an alert to yourself; name somebody else")
    _require_own(state, actor, "escalate", take_over)
    return _next(state, AlertStatus.ESCALATED, to, now_us)._replace(escalated_by=actor)


def need_information(
    state: TriageState, actor: str, now_us: int, take_over: bool = False, *, due_us: int
) -> TriageState:
    """Keep an alert until the information that it needs is there, or due."""
    if due_us <= now_us:
        raise TriageRefused("the due time has passed; choose a later one")
    _require_own(state, actor, "keep", take_over)
    return _next(state, AlertStatus.NEEDS_INFORMATION, actor, now_us)._replace(due_us=due_us)


def _require_own(state: TriageState, actor: str, action: str, take_over: bool) -> None:
    if state.status != AlertStatus.NEW and not is_same_person(state.assignee, actor) and not take_over:
        raise TriageRefused(f"{_held(state)}; take it over to {action} it")


def restore(state: TriageState, before: TriageState | None, after: TriageState | None, now_us: int) -> TriageState:
    """Undo a change by restoring the state before it, unless the alert has changed since; a note has no states.

    Changes that were undone do not count, so that a verdict can be undone after the reason that was added to it.
    """
    if before is None or after is None:
        return state
    if state._replace(version=after.version, since_us=after.since_us) != after:
        raise TriageRefused(f"it has changed since: {_held(state)}")
    return before._replace(version=state.version + 1, since_us=now_us)


def check_version(state: TriageState, version: int | None) -> None:
    """Refuse if the alert has no longer the version on which the person acts."""
    if version not in (None, state.version):
        raise TriageRefused(f"it has changed since you opened it: {_held(state)}")


_COLUMN: Final = tables.alerts.c
_UPDATE: Final = (
    update(tables.alerts)
    .where(_COLUMN.seq == bindparam("of"))
    .values({name: bindparam(f"to_{name}") for name in TriageState._fields})
)


class TriagedAlert(NamedTuple):
    """The triage state of an alert; `seq` is its commit order."""

    alert_id: str
    seq: int
    state: TriageState


class Refusal(NamedTuple):
    """Why an alert was left unchanged; `state` is None if there is no such alert."""

    alert_id: str
    reason: str
    state: TriageState | None


@dataclass(slots=True)
class TriageResult:
    """The result of a request; `done` are the alerts that are as requested, `changed` those of them that changed.

    `change_id` is the recorded change; None if nothing changed.
    """

    actor: Actor
    change_id: str | None = None
    done: list[TriagedAlert] = field(default_factory=list)
    changed: list[TriagedAlert] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TriageRequest:
    """A request with the rule for each alert, by its id; `undoes` is the change that it undoes."""

    actor: Actor
    action: Action
    rules: Mapping[str, Rule]
    why: str = ""
    undoes: str | None = None
    of_another: bool = False


def apply_request(connection: Connection, request: TriageRequest, now: datetime) -> TriageResult:
    """Apply the rule of each alert, write the new states, and record them as one change."""
    result = TriageResult(request.actor)
    alerts = triaged_alerts(connection, list(request.rules))
    items: list[Item] = []
    for alert_id, rule in request.rules.items():
        before = alerts.get(alert_id)
        if before is None:
            result.refused.append(Refusal(alert_id, "there is no alert with this id", None))
            continue
        try:
            state = rule(before.state)
        except TriageRefused as e:
            result.refused.append(Refusal(alert_id, str(e), before.state))
            continue
        after = before._replace(state=state)
        result.done.append(after)
        if state != before.state:
            items.append(Item(before.seq, before.state, state))
        elif request.action in (Action.NOTE, Action.UNDO):
            items.append(Item(before.seq, None, None))
        else:
            continue  # already in the requested state
        result.changed.append(after)
    if items:
        result.change_id = _write(connection, request, result.changed, items, now)
    return result


def triaged_alerts(connection: Connection, alert_ids: Sequence[str]) -> dict[str, TriagedAlert]:
    """Return the triage states of alerts by id, without those that do not exist."""
    query = select(_COLUMN.alert_id, _COLUMN.seq, *TRIAGE_COLUMNS).where(_COLUMN.alert_id.in_(alert_ids))
    return {row[0]: TriagedAlert(row[0], row[1], TriageState(*row[2:])) for row in connection.execute(query)}


def apply_undo(
    connection: Connection, actor: Actor, change_id: str, now: datetime, *, take_over: bool = False
) -> TriageResult:
    """Undo a change, and record that as a change; `take_over` is needed, and recorded, if somebody else made it.

    Raises RequestError if there is no such change of alerts.
    """
    change = connection.execute(select(tables.changes).where(tables.changes.c.change_id == change_id)).one_or_none()
    if change is None or change.action not in TRIAGE_ACTIONS:
        raise RequestError("there is no change of alerts with this change_id", status=404)
    items = _items(connection, change.seq)
    reason = _undo_refusal(connection, change, actor, take_over=take_over)
    if reason is not None:
        alerts = triaged_alerts(connection, list(items))
        return TriageResult(actor, refused=[Refusal(each, reason, alerts[each].state) for each in items])
    rules = {
        alert_id: partial(restore, before=item.before, after=item.after, now_us=microseconds(now))
        for alert_id, item in items.items()
    }
    request = TriageRequest(actor, Action.UNDO, rules, undoes=change_id, of_another=not _is_own(change, actor))
    return apply_request(connection, request, now)


def _write(
    connection: Connection, request: TriageRequest, changed: list[TriagedAlert], items: list[Item], now: datetime
) -> str:
    updates = [(item.alert, item.before, item.after) for item in items if item.before and item.after]
    if updates:
        states = {alert: after._asdict() for alert, _, after in updates}
        rows = [{"of": alert} | {f"to_{name}": state[name] for name in state} for alert, state in states.items()]
        connection.execute(_UPDATE, rows)
        insert_verdicts(connection, items, request.actor.name, microseconds(now))
    subject = changed[0].alert_id if len(changed) == 1 else f"{len(changed):,} alerts"
    before, after = _summary([each for _, each, _ in updates], [each for _, _, each in updates], request)
    change = Change(request.actor, request.action, subject, before, after, request.why, request.undoes, items)
    return str(insert_change(connection, change, now))


def _summary(old: Sequence[TriageState], new: Sequence[TriageState], request: TriageRequest) -> tuple[Any, Any]:
    """Summarise before and after: the state of a single alert, or the counts by status; the items keep each state."""
    if not old:
        return None, None
    if len(old) == 1:
        before, after = old[0].document(), new[0].document()
    else:
        before, after = (dict(Counter(each.status for each in states)) for states in (old, new))
    taken = sum(each.assignee is not None and not is_same_person(each.assignee, request.actor.name) for each in old)
    if request.action is Action.UNDO:
        taken = len(old) if request.of_another else 0
    if taken:
        after["taken_over"] = taken
    return before, after


def _items(connection: Connection, change: int) -> dict[str, Item]:
    column = tables.change_items.c
    query = (
        select(_COLUMN.alert_id, column.alert, column.before, column.after)
        .join_from(tables.change_items, tables.alerts, _COLUMN.seq == column.alert)
        .where(column.change == change)
    )
    rows = connection.execute(query).all()
    return {alert_id: Item(seq, parse_state(before), parse_state(after)) for alert_id, seq, before, after in rows}


def _is_own(change: Row[Any], actor: Actor) -> bool:
    """Whether the actor made the change: in the same session, or both without a session under the same name."""
    return bool(change.session == actor.session and (actor.session or is_same_person(change.actor, actor.name)))


def _undo_refusal(connection: Connection, change: Row[Any], actor: Actor, *, take_over: bool) -> str | None:
    if not take_over and not _is_own(change, actor):
        same = " in another session" if is_same_person(change.actor, actor.name) else ""
        return f"{change.actor} made this change{same}, and only they can undo it; take the alert over instead"
    column = tables.changes.c
    undo = connection.execute(select(column.at_us).where(column.undoes == change.change_id)).first()
    return None if undo is None else f"this change was already undone at {str(iso_time(undo.at_us))[:19]} UTC"


def _next(state: TriageState, status: str, assignee: str | None, now_us: int) -> TriageState:
    decided_us = now_us if status in VERDICTS else None
    return TriageState(str(status), assignee, state.version + 1, decided_us, now_us)


def _held(state: TriageState) -> str:
    since = str(state.document()["since"])[:19].replace("T", " ")
    if state.status == AlertStatus.NEW:
        return f"it has been new again since {since} UTC" if state.since_us is not None else "it is new"
    by = {
        AlertStatus.CLAIMED.value: f"{state.assignee} claimed it",
        AlertStatus.ESCALATED.value: f"{state.escalated_by} escalated it to {state.assignee}",
        AlertStatus.NEEDS_INFORMATION.value: f"{state.assignee} asked for information on it",
    }.get(state.status, f"{state.assignee} decided it ({state.status.replace('_', ' ')})")
    return f"{by} at {since} UTC"
