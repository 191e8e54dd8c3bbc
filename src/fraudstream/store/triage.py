"""What people do with alerts: claim, release, decide, note, undo, take the next; each is one write transaction.

`work_writing.py` says what may be done, does and records it, `candidates` finds the next alert.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import Final

from fraudstream.messages.answers import Change
from fraudstream.messages.posted import STORED_OUTCOMES
from fraudstream.store import triage_writing as work_writing
from fraudstream.store.change_reading import ChangeReader
from fraudstream.store.changes import Action, Actor
from fraudstream.store.filters import AlertFilter, Sort
from fraudstream.store.search import AlertSearch
from fraudstream.store.store import AlertStore
from fraudstream.store.triage_state import AlertStatus, TriageState
from fraudstream.store.triage_writing import Ask, Done, carry_out, carry_out_undo, standing
from fraudstream.times import microseconds
from fraudstream.transactions.wire import AlertField

TOGETHER: Final = 8
"""Candidates that are looked up at once: where several people ask at the same time, each gets one of them."""

SCAN_SECONDS: Final = 10.0
"""The longest that a column without an index is searched: what was not found by then is not waited for."""

_ROUNDS: Final = 20
"""How often `next` looks again where others were quicker with all that it found."""

Versions = Mapping[str, int]
"""The version of an alert that somebody has seen, by its id; where it is another by now, the request is refused."""


class Order(StrEnum):
    """Which alert comes first."""

    LOSS = "loss"
    SCORE = "score"
    NEWEST = "newest"
    OLDEST = "oldest"


def candidates(search: AlertSearch, wanted: AlertFilter, order: Order, skip: Collection[str] = ()) -> list[str]:
    """The ids of the first new alerts in an order; of every outcome, frauds before what could not be scored."""
    if wanted.statuses and AlertStatus.NEW not in wanted.statuses:
        return []
    ids: list[str] = []
    for outcome in STORED_OUTCOMES if wanted.outcome is None else (wanted.outcome,):
        new = replace(wanted, outcome=outcome, statuses=(AlertStatus.NEW.value,))
        page = search.page(new, sort=Sort(order), limit=TOGETHER + len(skip), seconds=SCAN_SECONDS)
        ids += [str(alert.document()[AlertField.ALERT_ID]) for alert in page.alerts]
    return [each for each in ids if each not in skip][:TOGETHER]


class Triage:
    """Does what people ask with the alerts of a store; two of them never have the same alert without knowing it.

    What is refused is told in the answer, alert by alert; what is so already is no change and no error. Every method
    but `standing` raises StoreError where the database does not take it: nothing was changed then.
    """

    def __init__(self, store: AlertStore, told: Callable[[Done], None] = lambda done: None) -> None:
        """Work on a store; `told` gets each request that changed something, once it is committed."""
        self._store = store
        self._told = told
        self._changes = ChangeReader(store)

    def claim(
        self, actor: Actor, alert_ids: Sequence[str], *, take_over: bool = False, versions: Versions | None = None
    ) -> Done:
        """Have alerts for oneself until they are released, decided or taken over; another's only with `take_over`."""
        rule = partial(work_writing.claim, actor=actor.name, take_over=take_over)
        return self._do(actor, Action.CLAIM, alert_ids, rule, versions=versions)

    def release(self, actor: Actor, alert_ids: Sequence[str], *, versions: Versions | None = None) -> Done:
        """Leave one's claimed alerts to others."""
        return self._do(
            actor, Action.RELEASE, alert_ids, partial(work_writing.release, actor=actor.name), versions=versions
        )

    def verdict(
        self,
        actor: Actor,
        alert_ids: Sequence[str],
        status: AlertStatus,
        *,
        note: str = "",
        take_over: bool = False,
        versions: Versions | None = None,
    ) -> Done:
        """Decide alerts; what another has claimed or decided only with `take_over`."""
        rule = partial(work_writing.decide, actor=actor.name, status=status, take_over=take_over, repeat=bool(note))
        return self._do(actor, Action.VERDICT, alert_ids, rule, why=note, versions=versions)

    def note(self, actor: Actor, alert_id: str, text: str) -> Done:
        """Write a note on an alert, whoever has it; it stands as it stood."""
        return self._do(actor, Action.NOTE, [alert_id], lambda work, now_us: work, why=text)

    def undo(self, actor: Actor, change_id: str, *, take_over: bool = False) -> Done:
        """Take one's own change of alerts back, where they still stand as it left them; that is a change itself.

        Another's is taken back only with `take_over`, and recorded as such. RequestError where there is no such change.
        """
        with self._store.writing() as connection:
            done = carry_out_undo(connection, actor, change_id, self._store.now(), take_over=take_over)
        return self._tell(done)

    def next(self, actor: Actor, wanted: AlertFilter, order: Order = Order.LOSS, skip: Sequence[str] = ()) -> Done:
        """Claim the first new alert in an order; nothing is done where there is none.

        It is looked for before the transaction, so that no alert waits to be stored meanwhile; who is quicker has it.
        """
        rule = partial(work_writing.claim_new, actor=actor.name)
        for _ in range(_ROUNDS):
            found = candidates(self._store.search, wanted, order, skip)
            for alert_id in found:
                done = self._do(actor, Action.CLAIM, [alert_id], rule)
                if done.done:
                    return done
            if not found:
                break
        return Done(actor)

    def standing(self, alert_id: str) -> tuple[TriageState, list[Change]] | None:
        """How an alert stands and what was done to it, the newest first; None where there is none."""
        with self._store.reading() as connection:
            found = standing(connection, [alert_id]).get(alert_id)
        return None if found is None else (found.work, self._changes.history(found.seq))

    def _do(
        self,
        actor: Actor,
        action: Action,
        alert_ids: Sequence[str],
        rule: Callable[..., TriageState],
        *,
        why: str = "",
        versions: Versions | None = None,
    ) -> Done:
        seen = versions or {}
        with self._store.writing() as connection:
            now = self._store.now()
            made = partial(rule, now_us=microseconds(now))
            rules: dict[str, work_writing.Rule] = {
                each: partial(work_writing.seen, rule=made, version=seen[each]) if each in seen else made
                for each in alert_ids
            }
            done = carry_out(connection, Ask(actor, action, rules, why), now)
        return self._tell(done)

    def _tell(self, done: Done) -> Done:
        if done.changed:
            self._told(done)
        return done
