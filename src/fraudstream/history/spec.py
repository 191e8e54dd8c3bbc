"""Declares which history a model reads: its entities, the columns of time and amount, and the features derived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property, partial
from typing import Any, Final

from fraudstream.history.labels import LABEL_DELAY_DAYS
from fraudstream.transactions.reading_options import DateOrder, Decimal

STATE_FORMAT: Final = 1
"""The layout of an entity's state; incremented when a release cannot read the state of the previous one."""

STATE_DAYS: Final = 30
"""The longest window of the live history; older events leave the state."""

PROFILE_LAG_HOURS: Final = 6


class Measure(StrEnum):
    """What a live feature measures over the key's earlier transactions."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    """Of the amounts in the window; the transaction's own amount where there is none."""
    RATIO = "ratio"
    """The amount over the mean of the window; 1 where there is none."""
    SINCE = "since"
    """Hours since the newest earlier transaction; the whole window where there is none."""
    PARTNERS = "partners"
    """Different values of the second entity in the window."""
    FIRST = "first"
    """1 if the second entity does not occur in the window, else 0."""


@dataclass(frozen=True)
class HistoryEntity:
    """An entity: its kind, as people call it ("card"), and the column that identifies it."""

    kind: str
    column: str


@dataclass(frozen=True)
class LiveFeature:
    """A feature of the key's own history within the last `hours`."""

    name: str
    measure: Measure
    hours: int


@dataclass(frozen=True)
class ProfileFeature:
    """A number of another entity's daily profile; `column` is that of the profile's table."""

    name: str
    kind: str
    column: str


@dataclass(frozen=True)
class HistorySpec:
    """The history that a model reads, as its manifest has it.

    Attributes:
        entities: The first is the key of the stream, whose history is live; the others have daily profiles.
        time: The column of the transaction's own time; `clock` its units per second if it is a number that counts from
            1970, None if it is a date; `date_order` as in `Feature`.
        currency: The column of the amount's currency, and `home` the one that is the rule; amounts of other currencies
            do not enter a mean or a sum.
        zone: The time zone of the days of the profiles.
        lag_hours: A profile of a day serves from this many hours after the day's end.
        delay_days: A transaction without a label counts as legitimate only after this many days.
    """

    entities: tuple[HistoryEntity, ...]
    time: str
    amount: str
    clock: int | None = None
    date_order: DateOrder | None = None
    decimal: Decimal = Decimal.POINT
    currency: str | None = None
    home: str | None = None
    zone: str = "UTC"
    lag_hours: int = PROFILE_LAG_HOURS
    delay_days: int = LABEL_DELAY_DAYS
    live: tuple[LiveFeature, ...] = field(default=())
    profiles: tuple[ProfileFeature, ...] = field(default=())

    @property
    def key(self) -> HistoryEntity:
        """The entity whose transactions share a partition."""
        return self.entities[0]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a transaction that it is computed from."""
        currency = () if self.currency is None else (self.currency,)
        return (*(entity.column for entity in self.entities), self.time, self.amount, *currency)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all history features, in the order in which the operator computes them."""
        return (*(each.name for each in self.live), *(each.name for each in self.profiles))


def with_features(spec: HistorySpec) -> HistorySpec:
    """Add the standard features: those of the key's live history and of every other entity's profile."""
    return replace(spec, live=live_features(spec), profiles=profile_features(spec))


def live_features(spec: HistorySpec) -> tuple[LiveFeature, ...]:
    """Return the standard features of the key; those about partners need a second entity."""
    kind = spec.key.kind
    windows = {1: "1 h", 24: "24 h", 7 * 24: "7 days", 30 * 24: "30 days"}
    features = [
        LiveFeature(f"payments by this {kind} in {text}", Measure.COUNT, hours) for hours, text in windows.items()
    ]
    features += [
        LiveFeature(f"mean amount of this {kind} in {text}", Measure.MEAN, hours)
        for hours, text in windows.items()
        if hours > 1
    ]
    month = STATE_DAYS * 24
    features += [
        LiveFeature(f"amount of this {kind} in 24 h", Measure.SUM, 24),
        LiveFeature(f"amount compared with this {kind}'s 30-day mean", Measure.RATIO, month),
        LiveFeature(f"hours since this {kind}'s last payment", Measure.SINCE, month),
    ]
    if len(spec.entities) > 1:
        other = spec.entities[1].kind
        features += [
            LiveFeature(f"different {other}s of this {kind} in 7 days", Measure.PARTNERS, 7 * 24),
            LiveFeature(f"first payment of this {kind} at this {other}", Measure.FIRST, month),
        ]
    return tuple(features)


PROFILE_WINDOWS: Final = (1, 7, 30)
"""Days that a profile's numbers reach back."""


class ProfileColumn:
    """Names of the columns of a profile's table; a number of days is appended (`payments_7`)."""

    ID: Final = "id"
    PAYMENTS: Final = "payments"
    MEAN: Final = "mean_amount"
    PARTNERS: Final = "partners"
    SHARE: Final = "fraud_share"


def profile_features(spec: HistorySpec) -> tuple[ProfileFeature, ...]:
    """Return the standard features of the other entities' daily profiles."""
    features: list[ProfileFeature] = []
    for entity in spec.entities[1:]:
        at = f"at this {entity.kind} in"
        for days in PROFILE_WINDOWS:
            text = f"{days} day{'s' if days > 1 else ''}"
            features += [
                ProfileFeature(f"payments {at} {text}", entity.kind, f"{ProfileColumn.PAYMENTS}_{days}"),
                ProfileFeature(
                    f"share of frauds {at} {text}; known {spec.delay_days} days later",
                    entity.kind,
                    f"{ProfileColumn.SHARE}_{days}",
                ),
            ]
        features += [
            ProfileFeature(f"mean amount {at} 30 days", entity.kind, f"{ProfileColumn.MEAN}_30"),
            ProfileFeature(f"different {spec.key.kind}s {at} 7 days", entity.kind, f"{ProfileColumn.PARTNERS}_7"),
        ]
    return tuple(features)


def names_of(column: str, aliases: Mapping[str, str]) -> list[str]:
    """Return the names that a column may have, a new one before that of training."""
    return [*(new for new, old in aliases.items() if old == column), column]


def operator_config(spec: HistorySpec, aliases: dict[str, str], profiles: str | None, secret: bytes) -> dict[str, Any]:
    """Return the configuration of the JVM's operator, as `jvm/History.scala` reads it from JSON."""
    names = partial(names_of, aliases=aliases)
    return {
        "format": STATE_FORMAT,
        "state_days": STATE_DAYS,
        "entities": [{"kind": entity.kind, "columns": names(entity.column)} for entity in spec.entities],
        "time": {"columns": names(spec.time), "clock": spec.clock, "order": spec.date_order},
        "amount": {"columns": names(spec.amount), "decimal": spec.decimal},
        "currency": names(spec.currency) if spec.currency else [],
        "home": spec.home or "",
        "live": [{"measure": each.measure, "ms": each.hours * 3_600_000, "name": each.name} for each in spec.live],
        "profile": [{"kind": each.kind, "column": each.column, "name": each.name} for each in spec.profiles],
        "zone": spec.zone,
        "lag_ms": spec.lag_hours * 3_600_000,
        "profiles": profiles,
        "secret": secret.hex(),
    }
