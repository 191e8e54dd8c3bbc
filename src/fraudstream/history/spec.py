"""Declares which history a model reads: its entities, the columns of time and amount, and the features derived."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property, partial
from typing import Any, Final

import orjson

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

    def profile_folder(self, entity: HistoryEntity) -> str:
        """Return the name of the folder of an entity's profiles, of its kind and all that the numbers depend on.

        A model that declares another history must not read tables that are final, and another's.
        """
        money, time = (self.amount, self.decimal, self.currency, self.home), (self.time, self.clock, self.date_order)
        content = orjson.dumps([entity.column, self.key.column, time, money, self.zone, self.delay_days])
        return f"{entity.kind}-{hashlib.sha256(content).hexdigest()[:8]}"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all history features, in the order in which the operator computes them."""
        return (*(each.name for each in self.live), *(each.name for each in self.profiles))


PROFILE_WINDOWS: Final = (1, 7, 30)
"""Days that a profile's numbers reach back."""


class ProfileColumn:
    """Names of the columns of a profile's table; a number of days is appended (`payments_7`)."""

    ID: Final = "id"
    PAYMENTS: Final = "payments"
    MEAN: Final = "mean_amount"
    PARTNERS: Final = "partners"
    SHARE: Final = "fraud_share"

    @classmethod
    def numbers(cls) -> list[str]:
        """Return the names of all columns but the id."""
        names = (cls.PAYMENTS, cls.MEAN, cls.PARTNERS, cls.SHARE)
        return [f"{name}_{days}" for days in PROFILE_WINDOWS for name in names]


_DAY, _WEEK, _MONTH = 24, 7 * 24, STATE_DAYS * 24
_LIVE: Final = (
    ("payments by this {0} in 1 h", Measure.COUNT, 1),
    ("payments by this {0} in 24 h", Measure.COUNT, _DAY),
    ("payments by this {0} in 7 days", Measure.COUNT, _WEEK),
    ("payments by this {0} in 30 days", Measure.COUNT, _MONTH),
    ("mean amount of this {0} in 24 h", Measure.MEAN, _DAY),
    ("mean amount of this {0} in 7 days", Measure.MEAN, _WEEK),
    ("mean amount of this {0} in 30 days", Measure.MEAN, _MONTH),
    ("amount of this {0} in 24 h", Measure.SUM, _DAY),
    ("amount compared with this {0}'s 30-day mean", Measure.RATIO, _MONTH),
    ("hours since this {0}'s last payment", Measure.SINCE, _MONTH),
    ("different {1}s of this {0} in 7 days", Measure.PARTNERS, _WEEK),
    ("first payment of this {0} at this {1}", Measure.FIRST, _MONTH),
)
"""The standard features of the key, kind 0; those that name a second kind need one."""

_PROFILE: Final = (
    ("payments at this {kind} in 1 day", ProfileColumn.PAYMENTS, 1),
    ("share of frauds at this {kind} in 1 day; known {delay} days later", ProfileColumn.SHARE, 1),
    ("payments at this {kind} in 7 days", ProfileColumn.PAYMENTS, 7),
    ("share of frauds at this {kind} in 7 days; known {delay} days later", ProfileColumn.SHARE, 7),
    ("payments at this {kind} in 30 days", ProfileColumn.PAYMENTS, 30),
    ("share of frauds at this {kind} in 30 days; known {delay} days later", ProfileColumn.SHARE, 30),
    ("mean amount at this {kind} in 30 days", ProfileColumn.MEAN, 30),
    ("different {key}s at this {kind} in 7 days", ProfileColumn.PARTNERS, 7),
)
"""The standard features of another entity's daily profiles."""


def with_features(spec: HistorySpec) -> HistorySpec:
    """Add the standard features: those of the key's live history and of every other entity's profile."""
    kinds = [entity.kind for entity in spec.entities]
    live = [
        LiveFeature(text.format(*kinds), measure, hours)
        for text, measure, hours in _LIVE
        if len(kinds) > 1 or "{1}" not in text
    ]
    profiles = [
        ProfileFeature(text.format(kind=kind, key=kinds[0], delay=spec.delay_days), kind, f"{column}_{days}")
        for kind in kinds[1:]
        for text, column, days in _PROFILE
    ]
    return replace(spec, live=tuple(live), profiles=tuple(profiles))


def names_of(column: str, aliases: Mapping[str, str]) -> list[str]:
    """Return the names that a column may have, a new one before that of training."""
    return [*(new for new, old in aliases.items() if old == column), column]


def operator_config(spec: HistorySpec, aliases: dict[str, str], profiles: str | None, secret: bytes) -> dict[str, Any]:
    """Return the configuration of the JVM's operator, as `jvm/History.scala` reads it from JSON."""
    names = partial(names_of, aliases=aliases)
    return {
        "format": STATE_FORMAT,
        "state_days": STATE_DAYS,
        "entities": [
            {"kind": entity.kind, "columns": names(entity.column), "folder": spec.profile_folder(entity)}
            for entity in spec.entities
        ],
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
