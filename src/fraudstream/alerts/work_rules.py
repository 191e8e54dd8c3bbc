"""What a person may do with an alert as it stands; `work.py` does it, in a transaction.

Each rule takes what an alert is and gives what it becomes, or the same where it is so already, or refuses.
"""

from collections.abc import Callable

from fraudstream.alerts.names import is_same_person
from fraudstream.alerts.status import AlertStatus, Work

Rule = Callable[[Work], Work]

VERDICT_WORDS = {
    AlertStatus.CONFIRMED_FRAUD: "confirmed fraud",
    AlertStatus.FALSE_ALARM: "a false alarm",
    AlertStatus.UNSURE: "unsure",
}


class Refused(Exception):
    """Raised when a rule refuses; its text is the reason shown to a person."""


def claim(work: Work, actor: str, now_us: int, *, take_over: bool) -> Work:
    """To work on an alert alone; what another has, or what is decided, only with `take_over`."""
    if work.status == AlertStatus.CLAIMED and is_same_person(work.assignee, actor):
        return work
    if work.status != AlertStatus.NEW and not take_over:
        raise Refused(f"{_held(work)}; take it over to work on it")
    return _next(work, AlertStatus.CLAIMED, actor, now_us)


def claim_new(work: Work, actor: str, now_us: int) -> Work:
    """To work on an alert that nobody has touched or has; anything else is refused."""
    if work.status != AlertStatus.NEW:
        raise Refused(_held(work))
    return _next(work, AlertStatus.CLAIMED, actor, now_us)


def release(work: Work, actor: str, now_us: int) -> Work:
    """To leave a claimed alert to others."""
    if work.status == AlertStatus.NEW:
        return work
    if work.is_decided:
        raise Refused(f"{_held(work)}; undo the verdict, or take the alert over")
    if not is_same_person(work.assignee, actor):
        raise Refused(f"{_held(work)}; only who has claimed an alert releases it")
    return _next(work, AlertStatus.NEW, None, now_us)


def decide(work: Work, actor: str, now_us: int, *, status: AlertStatus, take_over: bool, repeat: bool) -> Work:
    """To give a verdict; on what another has only with `take_over`, the same once more only with `repeat` (a note)."""
    if work.status != AlertStatus.NEW and not is_same_person(work.assignee, actor) and not take_over:
        raise Refused(f"{_held(work)}; take it over to decide it")
    if work.status == status and is_same_person(work.assignee, actor) and not repeat:
        return work
    return _next(work, status, actor, now_us)


def restore(work: Work, before: Work, after: Work, now_us: int) -> Work:
    """To undo a change: what it made goes back to what it was, unless it has changed since."""
    if work.version != after.version:
        raise Refused(f"it was changed since: {_held(work)}")
    return before._replace(version=work.version + 1, since_us=now_us)


def keep(work: Work) -> Work:
    """To leave an alert as it is: for a note."""
    return work


def seen(work: Work, rule: Rule, version: int) -> Work:
    """The same rule for somebody who looks at a version of the alert: refused where it is another by now."""
    if work.version != version:
        raise Refused(f"it was changed since you looked: {_held(work)}")
    return rule(work)


def _next(work: Work, status: AlertStatus, assignee: str | None, now_us: int) -> Work:
    decided_us = None if status in (AlertStatus.NEW, AlertStatus.CLAIMED) else now_us
    return Work(status.value, assignee, work.version + 1, decided_us, now_us)


def _held(work: Work) -> str:
    since = str(work.document()["since"])[:19].replace("T", " ")
    if work.status == AlertStatus.NEW:
        return f"it is new again since {since} UTC" if work.since_us is not None else "it is new"
    if work.status == AlertStatus.CLAIMED:
        return f"{work.assignee} has claimed it since {since} UTC"
    return f"{work.assignee} has decided it ({VERDICT_WORDS[AlertStatus(work.status)]}) at {since} UTC"
