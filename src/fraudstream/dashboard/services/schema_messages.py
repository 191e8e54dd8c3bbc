"""Builds the messages about schema changes and alert storms for banners and events."""

import math
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
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
        self._alerts = 0
        self._payments = math.inf
        self._readings: deque[tuple[int, int, float]] = deque()  # second, alerts and payments before it
        self._since: datetime | None = None

    def committed(self, alerts: int, at: datetime) -> None:
        """Count newly stored alerts."""
        with self._lock:
            self._read(at)
            self._alerts += alerts
            if self._since is None and self._alerts - self._readings[0][1] > STORM_ALERTS:
                self._since = at

    def scored(self, payments: int, at: datetime) -> None:
        """Record the number of payments scored until now, for the share."""
        with self._lock:
            if payments < self._payments:  # unknown so far, or the topic was recreated
                self._payments = payments
                self._readings = deque((second, alerts, payments) for second, alerts, _ in self._readings)
            self._read(at)
            self._payments = payments

    def current(self, payments: int, at: datetime) -> Storm | None:
        """Return the storm, if there is one; `payments` are those scored until now."""
        self.scored(payments, at)
        with self._lock:
            if self._since is None:
                return None
            _, alerts, before = self._readings[0]
            # The number scored is estimated from samples: it may lag a little behind the alerts.
            total, scored = self._alerts - alerts, payments - before
            share = min(1.0, total / scored) if scored > 0 else None
            since = iso(microseconds(self._since))
            of = "" if share is None else f", {percent(share)} of the payments scored"
            after = f": {total:,} in the last minute{of}"
            sentence = Sentence("More alerts than analysts can review since ", since, after)
            return Storm(total, None if share is None else round(share, 4), since, sentence)

    def _read(self, at: datetime) -> None:
        """Begin a new second, forget those that are a minute old, and notice the end of a storm."""
        second = int(at.timestamp())
        # A caller's time may be a little older than that of another thread.
        if self._readings and second < self._readings[-1][0] - WINDOW_SECONDS:
            self._readings.clear()  # the clock was set back
        if not self._readings or second > self._readings[-1][0]:
            self._readings.append((second, self._alerts, self._payments))
        while self._readings[0][0] <= second - WINDOW_SECONDS:
            self._readings.popleft()
        if self._alerts - self._readings[0][1] < CALM_ALERTS:
            self._since = None


def _groups(shares: Shares, contract: Contract) -> Iterable[tuple[str, float, str, list[str]]]:
    """Yield imputed features that changed alike (kind, share, minute of the start), the largest share first."""
    newest = shares.newest
    is_old = newest is not None and newest.scored_by[1] != contract.revision
    aliased = set(contract.aliases.values())
    grouped: dict[tuple[str, str, str], tuple[str, list[str]]] = {}
    for name in (each for each in contract.features if each in shares.imputed):
        share, observation = shares.imputed[name], shares.since.get(name)
        since = iso(observation.produced_us) if observation is not None else ""
        if is_old and name in aliased:
            kind = "aliased"
        else:
            kind = "missing" if shares.absent.get(name, 0.0) >= share / 2 else "empty"
        grouped.setdefault((kind, percent(share), since[:16]), (since, []))[1].append(name)
    for (kind, _, _), (since, names) in sorted(grouped.items(), key=lambda group: -shares.imputed[group[1][1][0]]):
        yield since, shares.imputed[names[0]], kind, names


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
