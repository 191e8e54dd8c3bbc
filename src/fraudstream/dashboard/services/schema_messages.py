"""Builds the messages about schema changes and alert storms for banners and events."""

import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from fraudstream.dashboard.services.columns import Shares
from fraudstream.messages.base import Object
from fraudstream.store.schemas import SchemaObservation
from fraudstream.times import from_microseconds, iso_z, microseconds
from fraudstream.transactions.drift import MEDIAN, REMEDIES, Contract, changes, describe_columns, drift_of

MAX_SENTENCES: Final = 5
UNSCORABLE: Final = "unscorable: too many features are missing"


@dataclass(frozen=True)
class Sentence:
    """A sentence with one time, which a page shows in the reader's time zone; `at` is empty without one."""

    before: str
    at: str
    after: str


def iso(at_us: int | None) -> str:
    """Return a time as ISO 8601 in UTC, empty without one."""
    return "" if at_us is None else iso_z(from_microseconds(at_us))


def percent(share: float) -> str:
    """Format a share of 0 to 1, which is never rounded to 0 % or 100 %."""
    if share >= 1.0 - 1e-9:
        return "100 %"
    if share < 0.001:
        return "less than 0.1 %"
    return f"{min(share * 100, 99.9):.1f} %" if share < 0.1 or share > 0.99 else f"{share * 100:.0f} %"


def sentences(shares: Shares, contract: Contract | None) -> list[Sentence]:
    """Describe how the scoring of the recent transactions differs from training; empty if it does not."""
    if contract is None or shares.newest is None:
        return []
    messages = []
    if shares.unscorable > 0:
        messages.append(Sentence(f"{percent(shares.unscorable)} of recent transactions are {UNSCORABLE}", "", ""))
    for since, share, kind, names in _groups(shares, contract):
        subject = describe_columns(names)
        change, treatment = _describe(kind, shares.retyped, names)
        unscored = min(max(shares.unscored.get(name, 0.0) for name in names), share)
        extent = f"{percent(share)} of recent transactions"
        if unscored >= share - 1e-9:
            treatment = "such transactions are unscorable"
        elif unscored:
            extent = f"{percent(share - unscored)} of recent transactions, while {percent(unscored)} are unscorable"
        before = f"{subject[0].upper()}{subject[1:]} {change}{' since about ' if since else ''}"
        messages.append(Sentence(before, since, f": {treatment}; {extent}"))
    left = len(messages) - MAX_SENTENCES
    if left > 0:
        messages[MAX_SENTENCES - 1 :] = [Sentence(f"And {left + 1} more changes, on the Schema page", "", "")]
    return messages


def first_observation(observation: SchemaObservation, contract: Contract | None) -> Object:
    """Return the message and the changes of the event of a new schema."""
    where = f" since about {observation.where} (from samples)" if observation.partition is not None else ""
    if contract is None:
        return {
            "message": f"new schema of {observation.column_count} columns{where}; no active model to compare it with"
        }
    drift = drift_of(observation.columns, contract, is_whole=observation.is_whole)
    lines = "; ".join(map(str, changes(drift))) or "every feature of the model is there"
    return {
        "message": f"new schema{where}: {lines}",
        "model_id": contract.model_id,
        "added": list(drift.added),
        "missing": list(drift.missing),
        "retyped": dict(drift.retyped),
    }


WINDOW_SECONDS: Final = 60
STORM_ALERTS: Final = 600
"""A storm starts with more alerts than this within the window: nobody can review ten a second."""

CALM_ALERTS: Final = STORM_ALERTS // 2
"""It ends below half of that, so that the banner does not flicker at the limit."""


@dataclass(frozen=True)
class Storm:
    """An alert storm in `/api/stats`; `sentence` is for the banner."""

    alerts_per_minute: int
    share_of_payments: float | None
    since: str
    sentence: Sentence


class StormWatch:
    """Counts the alerts committed in the last 60 s, by second: a commit costs the same for any size.

    In memory only: after a restart of the dashboard a storm is reported again with its next 600 alerts.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[int] = Counter()
        self._scored: deque[tuple[int, int]] = deque()
        self._since: datetime | None = None

    def committed(self, alerts: int, at: datetime) -> None:
        """Count newly stored alerts."""
        second = _second(at)
        with self._lock:
            # A storm may have ended since the last call.
            self._forget(second)
            self._counts[second] += alerts
            if self._since is None and self._counts.total() > STORM_ALERTS:
                self._since = at

    def scored(self, payments: int, at: datetime) -> None:
        """Record the number of payments scored until now, once a second, for the share."""
        second = _second(at)
        with self._lock:
            if self._scored and (payments < self._scored[-1][1] or second < self._scored[-1][0]):
                self._scored.clear()  # the topic was recreated, or the clock was set back
            if not self._scored or second > self._scored[-1][0]:
                self._scored.append((second, payments))
            # One reading before the window stays: the share covers the whole window.
            while len(self._scored) > 1 and self._scored[1][0] <= second - WINDOW_SECONDS:
                self._scored.popleft()

    def current(self, payments: int, at: datetime) -> Storm | None:
        """Return the storm, if there is one; `payments` are those scored until now."""
        self.scored(payments, at)
        with self._lock:
            self._forget(_second(at))
            if self._since is None:
                return None
            scored = payments - self._scored[0][1]
            # The number scored is estimated from samples: it may lag a little behind the alerts.
            total = self._counts.total()
            share = min(1.0, total / scored) if scored > 0 else None
            since = iso(microseconds(self._since))
            of = "" if share is None else f", {percent(share)} of the payments scored"
            after = f": {total:,} in the last minute{of}"
            sentence = Sentence("More alerts than analysts can review since ", since, after)
            return Storm(total, None if share is None else round(share, 4), since, sentence)

    def _forget(self, second: int) -> None:
        # Either side: the clock may have been set back.
        self._counts = Counter({at: n for at, n in self._counts.items() if abs(second - at) < WINDOW_SECONDS})
        if self._counts.total() < CALM_ALERTS:
            self._since = None


def _groups(shares: Shares, contract: Contract) -> Iterable[tuple[str, float, str, list[str]]]:
    """Yield imputed features that changed alike (kind, share, minute of the start), the largest share first."""
    newest = shares.newest
    is_old = newest is not None and newest.scored_by[1] != contract.revision
    aliased = set(contract.aliases.values())
    grouped: dict[tuple[str, str, str], list[str]] = {}
    at: dict[tuple[str, str, str], str] = {}
    for name, share in shares.imputed.items():
        observation = shares.since.get(name)
        since = iso(observation.produced_us) if observation is not None else ""
        if is_old and name in aliased:
            kind = "aliased"
        else:
            kind = "missing" if shares.absent.get(name, 0.0) >= share / 2 else "empty"
        key = (kind, percent(share), since[:16])
        grouped.setdefault(key, []).append(name)
        at.setdefault(key, since)
    order = {name: position for position, name in enumerate(contract.features)}
    for key, names in sorted(grouped.items(), key=lambda group: -shares.imputed[group[1][0]]):
        yield at[key], shares.imputed[names[0]], key[0], sorted(names, key=lambda name: order.get(name, 0))


def _describe(kind: str, retyped: Mapping[str, str], names: list[str]) -> tuple[str, str]:
    is_plural = len(names) > 1
    median = "the training medians are used" if is_plural else MEDIAN
    if kind == "aliased":
        return f"{'have' if is_plural else 'has'} an alias that takes effect within 15 s; missing", median
    if kind == "missing":
        return f"{'are' if is_plural else 'is'} missing", median
    types = {retyped[name] for name in names if name in retyped}
    actual = f" but {', '.join(sorted(types))}" if types else ""
    treatments = [median, *(REMEDIES[each] for each in types if each in REMEDIES)]
    return f"{'hold' if is_plural else 'holds'} no number{actual}", "; ".join(treatments)


def _second(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp())
