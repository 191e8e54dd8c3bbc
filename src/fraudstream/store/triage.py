"""Triages alerts: claim, release, decide, note, undo and claim the next, each in one write transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import Final, TypedDict, Unpack

from fraudstream.messages.answers import Change
from fraudstream.messages.posted import STORED_OUTCOMES
from fraudstream.store import triage_writing
from fraudstream.store.change_reading import ChangeReader
from fraudstream.store.changes import Action, Actor
from fraudstream.store.filters import AlertFilter, Sort
from fraudstream.store.store import AlertStore
from fraudstream.store.triage_state import AlertStatus, TriageState
from fraudstream.store.triage_writing import TriageRequest, TriageResult
from fraudstream.times import microseconds
from fraudstream.transactions.wire import AlertField

CANDIDATES: Final = 50
"""Alerts of a lookup: as many people may request the next one at the same time, and each gets one of them."""

SCAN_SECONDS: Final = 10.0
"""The time limit of a search on a column without an index."""

Versions = Mapping[str, int]
"""The version on which a person acts, by alert id; the request is refused if the alert has changed since."""


class Options(TypedDict, total=False):
    """How an action applies to alerts: also to somebody else's, only at these versions, and with a note."""

    take_over: bool
    versions: Versions
    note: str


class Order(StrEnum):
    """The order of the triage queue."""

    LOSS = "loss"
    SCORE = "score"
    NEWEST = "newest"
    OLDEST = "oldest"


class TriageService:
    """Applies triage requests to the alerts of a store; two people never hold the same alert unknowingly.

    The result lists each alert that was refused; a request that changes nothing is no error. Every method but `state`
    raises StoreError if the database refuses the write; nothing is changed then.
    """

    def __init__(self, store: AlertStore, on_commit: Callable[[TriageResult], None] = lambda result: None) -> None:
        """Use a store; `on_commit` receives each result that changed something, once it is committed."""
        self._store = store
        self._on_commit = on_commit
        self._changes = ChangeReader(store.database)

    def claim(self, actor: Actor, alert_ids: Sequence[str], **options: Unpack[Options]) -> TriageResult:
        """Assign alerts to the actor; `take_over` is needed for those that somebody else has claimed or decided."""
        return self._do(actor, Action.CLAIM, alert_ids, triage_writing.claim, **options)

    def release(self, actor: Actor, alert_ids: Sequence[str], **options: Unpack[Options]) -> TriageResult:
        """Return alerts that the actor has claimed to the queue."""
        return self._do(actor, Action.RELEASE, alert_ids, triage_writing.release, **options)

    def verdict(
        self, actor: Actor, alert_ids: Sequence[str], status: AlertStatus, code: str = "", **options: Unpack[Options]
    ) -> TriageResult:
        """Set the verdict, for a reason; `take_over` is needed for those that somebody else has claimed or decided."""
        rule = partial(triage_writing.decide, status=status, code=code, repeat=bool(options.get("note")))
        return self._do(actor, Action.VERDICT, alert_ids, rule, **options)

    def escalate(self, actor: Actor, alert_ids: Sequence[str], to: str, **options: Unpack[Options]) -> TriageResult:
        """Give alerts to somebody else, who is then their assignee."""
        return self._do(actor, Action.ESCALATE, alert_ids, partial(triage_writing.escalate, to=to), **options)

    def need_information(
        self, actor: Actor, alert_ids: Sequence[str], due_us: int, **options: Unpack[Options]
    ) -> TriageResult:
        """Keep alerts until a time at which the information that they need is due."""
        rule = partial(triage_writing.need_information, due_us=due_us)
        return self._do(actor, Action.NEEDS_INFORMATION, alert_ids, rule, **options)

    def note(self, actor: Actor, alert_id: str, text: str) -> TriageResult:
        """Add a note to an alert, whoever it is assigned to; its state does not change."""
        return self._do(actor, Action.NOTE, [alert_id], lambda state, *_: state, note=text)

    def undo(self, actor: Actor, change_id: str, *, take_over: bool = False) -> TriageResult:
        """Undo a change of the actor, on the alerts that have not changed since; this is recorded as a change.

        With `take_over` also a change of somebody else, recorded as such. Raises RequestError if there is no change.
        """
        with self._store.database.write() as connection:
            result = triage_writing.apply_undo(
                connection, actor, change_id, self._store.database.now(), take_over=take_over
            )
        return self._notify(result)

    def next(
        self, actor: Actor, query: AlertFilter, order: Order = Order.LOSS, skip: Sequence[str] = ()
    ) -> TriageResult:
        """Claim the first new alert in an order, if there is one; alerts come before unscorable transactions.

        The search runs before the transaction, so that it delays no insert; the first to commit gets the alert.
        """
        outcomes = STORED_OUTCOMES if query.outcome is None else (query.outcome,)
        for outcome in outcomes if not query.statuses or AlertStatus.NEW in query.statuses else ():
            new = replace(query, outcome=outcome, statuses=(AlertStatus.NEW.value,))
            limit = CANDIDATES + len(skip)
            page = self._store.search.page(new, sort=Sort(order), limit=limit, seconds=SCAN_SECONDS)
            for document in (alert.document() for alert in page.alerts):
                alert_id, version = str(document[AlertField.ALERT_ID]), document["work"]["version"]
                if alert_id not in skip:
                    result = self.claim(actor, [alert_id], versions={alert_id: version})
                    if result.done:
                        return result
        return TriageResult(actor)

    def state(self, alert_id: str) -> tuple[TriageState, list[Change]] | None:
        """Return the triage state of an alert and its changes, newest first; None if there is no such alert."""
        with self._store.database.read() as connection:
            alert = triage_writing.triaged_alerts(connection, [alert_id]).get(alert_id)
        return None if alert is None else (alert.state, self._changes.history(alert.seq))

    def _do(
        self,
        actor: Actor,
        action: Action,
        alert_ids: Sequence[str],
        rule: Callable[..., TriageState],
        **options: Unpack[Options],
    ) -> TriageResult:
        versions = options.get("versions", {})
        more = {"take_over": True} if options.get("take_over") else {}
        with self._store.database.write() as connection:
            now = self._store.database.now()

            def apply(state: TriageState, version: int | None = None) -> TriageState:
                triage_writing.check_version(state, version)
                return rule(state, actor.name, microseconds(now), **more)

            rules = {each: partial(apply, version=versions.get(each)) for each in alert_ids}
            request = TriageRequest(actor, action, rules, options.get("note", ""))
            result = triage_writing.apply_request(connection, request, now)
        return self._notify(result)

    def _notify(self, result: TriageResult) -> TriageResult:
        if result.changed:
            self._on_commit(result)
        return result
