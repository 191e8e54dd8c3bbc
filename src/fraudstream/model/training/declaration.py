"""Turns what a user declares, `--entity card=CUSTOMER_ID`, into the history that a model reads, and suggests one."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from fraudstream.errors import SettingsError
from fraudstream.history.labels import LABEL_DELAY_DAYS
from fraudstream.history.spec import HistoryEntity, HistorySpec, with_features
from fraudstream.model.features.selection import FeatureChoice
from fraudstream.model.manifest import FeatureType, Manifest
from fraudstream.transactions.amounts import is_amount
from fraudstream.transactions.data_source import DataSource
from fraudstream.transactions.entities import entity_kind
from fraudstream.transactions.formats import ColumnKind
from fraudstream.transactions.label import ColumnProfile, CsvProfile
from fraudstream.transactions.times import SECONDS_PER_DAY, units_per_second, words_of

MOST_ENTITIES: Final = 8
_KIND: Final = re.compile("[a-z][a-z0-9 _-]{0,29}")
_WHERE: Final = "--entity"
_PAYERS: Final = ("card", "customer")
"""Kinds that make good keys of the stream, as their own history says most."""


def declared_history(
    data: CsvProfile, entities: Sequence[str], time: str | None, amount: str | None, delay_seconds: float | None
) -> HistorySpec:
    """Return the history with its standard features; raises SettingsError if the data have no such columns.

    `entities` are texts as `card=CUSTOMER_ID`, the first one the key of the stream. Without a `time` or `amount`, they
    are those that the profile shows.
    """
    parsed = tuple(_entity(text, data) for text in entities)
    for part in ("kind", "column"):
        values = [getattr(each, part) for each in parsed]
        if len(set(values)) < len(values) or len(values) > MOST_ENTITIES:
            what = f"there are {len(values)} entities, or two of one {part}: {', '.join(values)}"
            raise SettingsError(what, where=_WHERE, remedy=f"declare each once, and at most {MOST_ENTITIES}")
    when, clock = _time(data, time)
    column = _amount(data, amount)
    currency, home = _currency(data)
    formats, delay = data.source.formats, data.label_delay if delay_seconds is None else delay_seconds
    spec = HistorySpec(
        parsed,
        when,
        column,
        clock=clock,
        date_order=formats[when].date_order,
        decimal=formats[column].decimal,
        currency=currency,
        home=home,
        delay_days=LABEL_DELAY_DAYS if delay is None else math.ceil(delay / SECONDS_PER_DAY),
    )
    return with_features(spec)


def _entity(text: str, data: CsvProfile) -> HistoryEntity:
    kind, _, column = text.partition("=")
    _column(data, column, _WHERE)
    if _KIND.fullmatch(kind) is None or column == data.label.name:
        what = f"{text!r} is not KIND=COLUMN with a kind of small letters and a column that is not the label"
        raise SettingsError(what, where=_WHERE, remedy="write it as in card=CUSTOMER_ID")
    return HistoryEntity(kind, column)


def _column(data: CsvProfile, name: str, where: str) -> ColumnProfile:
    for column in data.columns:
        if column.name == name:
            return column
    what = f"there is no column {name!r}; the columns are {', '.join(data.source.columns)}"[:2000]
    raise SettingsError(what, where=where, remedy="use a name in the header")


def _time(data: CsvProfile, name: str | None) -> tuple[str, int | None]:
    """Return the column of the payments' own time, with the units per second of a number that counts from 1970."""
    order = data.time
    if name is None and order is not None and order.seconds is not None and not order.parts:
        return order.column, order.clock
    if name is not None:
        column = _column(data, name, "--time")
        clock = units_per_second(column.values) if column.kind is ColumnKind.NUMBER else None
        if column.kind is ColumnKind.DATE or clock is not None:
            return name, clock
    what = "no column holds" if name is None else f"the column {name!r} does not hold"
    raise SettingsError(
        f"{what} the date and time of a payment, which its history needs",
        where="--time",
        remedy="name a column of dates, or of seconds or milliseconds since 1970, with --time",
    )


def _amount(data: CsvProfile, name: str | None) -> str:
    if name is None:
        columns = (each for each in data.columns if each.kind is ColumnKind.NUMBER and is_amount(each.name))
        column = next(columns, None)
    else:
        column = _column(data, name, "--amount")
    if column is None or column.kind is not ColumnKind.NUMBER:
        what = "no column of numbers is called an amount" if name is None else f"the column {name!r} is no number"
        raise SettingsError(what, where="--amount", remedy="name the column of the amounts with --amount")
    return column.name


def _currency(data: CsvProfile) -> tuple[str | None, str | None]:
    """Return the column of the amounts' currency, by its name, and the currency that most payments have."""
    for column in data.columns:
        if column.categories is not None and column.categories.values and "currency" in words_of(column.name):
            counts = column.categories.counts(np.ones(data.rows, np.bool_))
            return column.name, column.categories.values[counts.argmax()]
    return None, None


def extended(data: CsvProfile, source: DataSource) -> CsvProfile:
    """Return the profile of the same rows with the columns that were added to their source."""
    if source.added is None:
        return data
    values = source.added.values
    columns = [
        ColumnProfile(name, ColumnKind.NUMBER, int(np.isnan(values[:, index]).sum()), values[:, index])
        for index, name in enumerate(source.added.names)
    ]
    new = source.warnings[len(data.source.warnings) :]
    return replace(data, source=source, columns=(*data.columns, *columns), warnings=[*data.warnings, *new])


def used_history(spec: HistorySpec | None, choice: FeatureChoice) -> HistorySpec | None:
    """Return the history with the features that were chosen: one that never varies is not computed in the stream."""
    if spec is None:
        return None
    names = {feature.name for feature in choice.features}
    live = tuple(each for each in spec.live if each.name in names)
    used = replace(spec, live=live, profiles=tuple(each for each in spec.profiles if each.name in names))
    return used if used.names else None


def suggested_entities(manifest: Manifest) -> tuple[HistoryEntity, ...]:
    """Return the entities that a model without history could have one of, the key first; none without dates."""
    has_time = any(feature.type is FeatureType.TIME for feature in manifest.features)
    if manifest.history is not None or not has_time:
        return ()
    kinds: dict[str, str] = {}
    for column in manifest.entities or ():
        if (kind := entity_kind(column)) is not None:
            kinds.setdefault(kind, column)
    ordered = sorted(kinds, key=lambda kind: kind not in _PAYERS)
    return tuple(HistoryEntity(kind, kinds[kind]) for kind in ordered)
