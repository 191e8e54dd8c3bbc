"""The rules of triage, and a request carried out in a write transaction of `work.py`'s: reads, applies, records."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, bindparam, select, update

from fraudstream.errors import RequestError
from fraudstream.store import tables
from fraudstream.store.changes import WORK_ACTIONS, Action, Actor, Change, Item, insert_change, work_of
from fraudstream.store.reading import WORK_COLUMNS
from fraudstream.store.triage_state import AlertStatus, TriageState, is_same_person
from fraudstream.times import iso_time, microseconds

Rule = Callable[[TriageState], TriageState]

VERDICT_WORDS = {
    AlertStatus.CONFIRMED_FRAUD: "confirmed fraud",
    AlertStatus.FALSE_ALARM: "a false alarm",
    AlertStatus.UNSURE: "unsure",
}


class Refused(Exception):
    """Raised when a rule refuses; its text is the reason shown to a person."""


def claim(work: TriageState, actor: str, now_us: int, *, take_over: bool) -> TriageState:
    """To work on an alert alone; what another has, or what is decided, only with `take_over`."""
    if work.status == AlertStatus.CLAIMED and is_same_person(work.assignee, actor):
        return work
    if work.status != AlertStatus.NEW and not take_over:
        raise Refused(f"{_held(work)}; take it over to work on it")
    return _next(work, AlertStatus.CLAIMED, actor, now_us)


def claim_new(work: TriageState, actor: str, now_us: int) -> TriageState:
    """To work on an alert that nobody has touched or has; anything else is refused."""
    if work.status != AlertStatus.NEW:
        raise Refused(_held(work))
    return _next(work, AlertStatus.CLAIMED, actor, now_us)


def release(work: TriageState, actor: str, now_us: int) -> TriageState:
    """To leave a claimed alert to others."""
    if work.status == AlertStatus.NEW:
        return work
    if work.is_decided:
        raise Refused(f"{_held(work)}; undo the verdict, or take the alert over")
    if not is_same_person(work.assignee, actor):
        raise Refused(f"{_held(work)}; only who has claimed an alert releases it")
    return _next(work, AlertStatus.NEW, None, now_us)


def decide(
    work: TriageState, actor: str, now_us: int, *, status: AlertStatus, take_over: bool, repeat: bool
) -> TriageState:
    """To give a verdict; on what another has only with `take_over`, the same once more only with `repeat` (a note)."""
    if work.status != AlertStatus.NEW and not is_same_person(work.assignee, actor) and not take_over:
        raise Refused(f"{_held(work)}; take it over to decide it")
    if work.status == status and is_same_person(work.assignee, actor) and not repeat:
        return work
    return _next(work, status, actor, now_us)


def restore(work: TriageState, before: TriageState, after: TriageState, now_us: int) -> TriageState:
    """To undo a change: what it made goes back to what it was, unless it has changed since."""
    if work.version != after.version:
        raise Refused(f"it was changed since: {_held(work)}")
    return before._replace(version=work.version + 1, since_us=now_us)


def keep(work: TriageState) -> TriageState:
    """To leave an alert as it is: for a note."""
    return work


def seen(work: TriageState, rule: Rule, version: int) -> TriageState:
    """The same rule for somebody who looks at a version of the alert: refused where it is another by now."""
    if work.version != version:
        raise Refused(f"it was changed since you looked: {_held(work)}")
    return rule(work)


NO_SUCH_ALERT: Final = "there is no alert with this id"

_COLUMN: Final = tables.alerts.c
_UPDATE: Final = (
    update(tables.alerts)
    .where(_COLUMN.seq == bindparam("of"))
    .values({name: bindparam(f"to_{name}") for name in TriageState._fields})
)


class TriagedAlert(NamedTuple):
    """How an alert stands; `seq` is its order of commit."""

    alert_id: str
    seq: int
    work: TriageState


class Refusal(NamedTuple):
    """Why an alert was left as it stands; `work` is None where there is no such alert."""

    alert_id: str
    reason: str
    work: TriageState | None


@dataclass(slots=True)
class Done:
    """What became of a request; `done` are the alerts that are as requested, `changed` those of them that changed.

    `change_id` is the change that was recorded; None where nothing changed.
    """

    actor: Actor
    change_id: str | None = None
    done: list[TriagedAlert] = field(default_factory=list)
    changed: list[TriagedAlert] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as it is carried out.

    `rules` is what is to become of each alert, by its id; `undoes` is the change that is taken back.
    """

    actor: Actor
    action: Action
    rules: Mapping[str, Rule]
    why: str = ""
    undoes: str | None = None
    of_another: bool = False


def carry_out(connection: Connection, ask: Ask, now: datetime) -> Done:
    """Apply the rule of each alert, write what changes, and record it as one change."""
    done = Done(ask.actor)
    found = standing(connection, list(ask.rules))
    items: list[Item] = []
    for alert_id, rule in ask.rules.items():
        was = found.get(alert_id)
        if was is None:
            done.refused.append(Refusal(alert_id, NO_SUCH_ALERT, None))
            continue
        try:
            work = rule(was.work)
        except Refused as e:
            done.refused.append(Refusal(alert_id, str(e), was.work))
            continue
        stands = was._replace(work=work)
        done.done.append(stands)
        if work != was.work:
            items.append(Item(was.seq, was.work, work))
        elif ask.action in (Action.NOTE, Action.UNDO):
            items.append(Item(was.seq, None, None))
        else:
            continue  # it stands as asked already
        done.changed.append(stands)
    if items:
        done.change_id = _write(connection, ask, done.changed, items, now)
    return done


def standing(connection: Connection, alert_ids: Sequence[str]) -> dict[str, TriagedAlert]:
    """How alerts stand, by their ids; those that are not there are left out."""
    query = select(_COLUMN.alert_id, _COLUMN.seq, *WORK_COLUMNS).where(_COLUMN.alert_id.in_(alert_ids))
    return {row[0]: TriagedAlert(row[0], row[1], TriageState(*row[2:])) for row in connection.execute(query)}


def carry_out_undo(
    connection: Connection, actor: Actor, change_id: str, now: datetime, *, take_over: bool = False
) -> Done:
    """Take a change back, and record that as a change; another's only with `take_over`, and recorded as such.

    Raises RequestError where there is no such change of alerts.
    """
    change = connection.execute(select(tables.changes).where(tables.changes.c.change_id == change_id)).one_or_none()
    if change is None or change.action not in WORK_ACTIONS:
        raise RequestError("there is no change of alerts with this change_id", status=404)
    items = _items(connection, change.seq)
    reason = _not_to_be_undone(connection, change, actor, take_over=take_over)
    if reason is not None:
        found = standing(connection, list(items))
        return Done(actor, refused=[Refusal(each, reason, found[each].work) for each in items])
    rules = {alert_id: _undoing(item, microseconds(now)) for alert_id, item in items.items()}
    ask = Ask(actor, Action.UNDO, rules, undoes=change_id, of_another=not _is_own(change, actor))
    return carry_out(connection, ask, now)


def _write(
    connection: Connection, ask: Ask, changed: Sequence[TriagedAlert], items: Sequence[Item], now: datetime
) -> str:
    moved = [(item.alert, item.before, item.after) for item in items if item.before and item.after]
    if moved:
        rows = [
            {f"to_{name}": value for name, value in after._asdict().items()} | {"of": alert}
            for alert, _, after in moved
        ]
        connection.execute(_UPDATE, rows)
    subject = changed[0].alert_id if len(changed) == 1 else f"{len(changed):,} alerts"
    before, after = _summary([was for _, was, _ in moved], [becomes for _, _, becomes in moved], ask)
    return str(
        insert_change(
            connection, Change(ask.actor, ask.action, subject, before, after, ask.why, ask.undoes, items), now
        )
    )


def _summary(was: Sequence[TriageState], becomes: Sequence[TriageState], ask: Ask) -> tuple[Any, Any]:
    """What was and what is: of one alert all of it, of many how many stand how; their items keep all of it."""
    if not was:
        return None, None
    if len(was) == 1:
        before, after = was[0].document(), becomes[0].document()
    else:
        before, after = (dict(Counter(work.status for work in works)) for works in (was, becomes))
    taken = sum(work.assignee is not None and not is_same_person(work.assignee, ask.actor.name) for work in was)
    if ask.action is Action.UNDO:
        taken = len(was) if ask.of_another else 0
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
    return {
        alert_id: Item(seq, work_of(before), work_of(after))
        for alert_id, seq, before, after in connection.execute(query)
    }


def _is_own(change: Row[Any], actor: Actor) -> bool:
    """Whether a change is the actor's: a session's own, or, without a session, one under the same name without one."""
    return bool(change.session == actor.session and (actor.session or is_same_person(change.actor, actor.name)))


def _not_to_be_undone(connection: Connection, change: Row[Any], actor: Actor, *, take_over: bool) -> str | None:
    if not take_over and not _is_own(change, actor):
        same = ", made in another session" if is_same_person(change.actor, actor.name) else ""
        return f"this change is {change.actor}'s{same}, and only who made it undoes it; take the alert over instead"
    column = tables.changes.c
    undo = connection.execute(select(column.at_us).where(column.undoes == change.change_id)).first()
    return None if undo is None else f"this change was undone already, at {str(iso_time(undo.at_us))[:19]} UTC"


def _undoing(item: Item, now_us: int) -> Rule:
    if item.before is None or item.after is None:
        return keep
    return partial(restore, before=item.before, after=item.after, now_us=now_us)


def _next(work: TriageState, status: AlertStatus, assignee: str | None, now_us: int) -> TriageState:
    decided_us = None if status in (AlertStatus.NEW, AlertStatus.CLAIMED) else now_us
    return TriageState(status.value, assignee, work.version + 1, decided_us, now_us)


def _held(work: TriageState) -> str:
    since = str(work.document()["since"])[:19].replace("T", " ")
    if work.status == AlertStatus.NEW:
        return f"it is new again since {since} UTC" if work.since_us is not None else "it is new"
    if work.status == AlertStatus.CLAIMED:
        return f"{work.assignee} has claimed it since {since} UTC"
    return f"{work.assignee} has decided it ({VERDICT_WORDS[AlertStatus(work.status)]}) at {since} UTC"
