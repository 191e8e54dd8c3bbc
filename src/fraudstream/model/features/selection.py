"""Selects the columns of a CSV that become features and records why the others do not."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fraudstream.errors import DataError
from fraudstream.model.evaluation.record import LeakSuspicion
from fraudstream.model.features.leakage import (
    find_leaks,
    is_identifier,
    is_named_like_a_leak,
    leaks,
    reason_in_the_name,
    reason_in_the_values,
    reason_to_keep_out,
)
from fraudstream.model.manifest import NO_SELECTION, Feature, FeatureType, Selection, by_component
from fraudstream.transactions.entities import entity_kind, entity_order
from fraudstream.transactions.formats import ColumnFormat, ColumnKind
from fraudstream.transactions.label import MOST_VALUES, ColumnProfile, CsvProfile, least_rows
from fraudstream.transactions.label_reader import Categories
from fraudstream.transactions.sensitive_names import Sensitivity, sensitivity
from fraudstream.transactions.times import (
    SECONDS_PER_DAY,
    hours_and_weekdays,
    is_clearly_time,
    may_be_time,
    mentions_time,
    units_per_second,
)

MOST_VALUES_ENCODED: Final = 30
"""Category values that get their own vector component; the rest share one."""
_COUNTER_VALUES: Final = 10
"""A column with fewer distinct values is not a counter, even if it never decreases (a file sorted by it)."""
_RECURS: Final = 1.2
"""A card or terminal has this many rows on average; the number of a row has one."""
_LEAK: Final = "alone separates every fraud from every legitimate row, like a value recorded afterwards (a leak)"


@dataclass(frozen=True)
class FeatureChoice:
    """The model's features in vector order, with their distribution over the training rows.

    `excluded` maps each other column, except the label, to the reason; `warnings` are on suspicious names of features.
    """

    features: tuple[Feature, ...]
    excluded: dict[str, str]
    leaks: tuple[LeakSuspicion, ...]
    warnings: tuple[str, ...] = ()


class _NoFeature(Exception):
    """A column is left out; the message is the reason."""


def choose_features(
    profile: CsvProfile, is_train: NDArray[np.bool_], selection: Selection = NO_SELECTION, legitimate_share: float = 1.0
) -> FeatureChoice:
    """Choose every column that is informative for a future payment, or those that the user named.

    Only the training rows of the profile are used. A column that the user named is taken if possible, however
    suspicious it looks. `legitimate_share` is the share of legitimate rows that the CSV holds. Raises DataError if no
    column is left, or if one that the user named contains nothing to learn from.
    """
    choice = _Choice(profile, is_train, selection)
    features: list[Feature] = []
    excluded: dict[str, str] = {}
    for column in profile.columns:
        if column.kind is ColumnKind.LABEL:
            continue
        try:
            features.append(choice.feature(column))
        except _NoFeature as reason:
            if column.name in selection.features:
                raise DataError(
                    f"the column {column.name!r} cannot be a feature: {reason}",
                    where=profile.source.where(),
                    remedy="leave it out of --features",
                ) from reason
            excluded[column.name] = str(reason)
    # A history is computed from what was known before the payment: it leaks nothing, whatever its name says.
    read = [feature for feature in features if feature.name not in choice.history]
    suspicions = find_leaks(profile, read, is_train, legitimate_share)
    named = [feature.name for feature in read if not selection.features and is_named_like_a_leak(feature.name)]
    for leak in suspicions:
        if leak.feature in named:
            excluded[leak.feature] = "alone separates nearly all frauds from legitimate rows, and its name says fraud"
    features = [feature for feature in features if feature.name not in excluded]
    if not features:
        raise DataError(
            "no column is left to learn from",
            where=profile.source.where(),
            remedy="use a CSV with columns of numbers or categories, or name some with --features; left out: "
            + ("; ".join(f"{name} ({reason})" for name, reason in excluded.items()) or "none"),
        )
    return FeatureChoice(
        by_component(features),
        excluded,
        tuple(leak for leak in suspicions if leak.feature not in excluded),
        tuple(
            f"column {name!r} is a feature although its name says fraud, as its values are no copy of the label. If it "
            f"is known only after the payment, --exclude {name} trains without it"
            for name in named
            if name not in excluded
        ),
    )


def entity_columns(profile: CsvProfile, declared: Collection[str] = ()) -> tuple[str, ...]:
    """Return the columns that identify a card, terminal or customer, with several rows each; the most useful first.

    Those that the user `declared` are among them. They may be features too. Columns that are
    removed or completely masked before an alert is stored are left out.
    """
    names = [
        column.name
        for column in profile.columns
        if column.kind in (ColumnKind.TEXT, ColumnKind.NUMBER)
        and (column.name in declared or entity_kind(column.name) is not None or is_identifier(column.name))
        and sensitivity(column.name) in (None, Sensitivity.CARD)
        and (column.name in declared or column.rows_per_value >= _RECURS)
    ]
    return tuple(sorted(names, key=entity_order))


class _Choice:
    """Decides on each column, using only the training rows."""

    def __init__(self, profile: CsvProfile, is_train: NDArray[np.bool_], selection: Selection) -> None:
        self._profile = profile
        self._is_train = is_train
        self._is_fraud = profile.label.is_fraud[is_train]
        self._selection = selection
        self._formats = profile.source.formats
        self.history = frozenset(profile.source.added.names if profile.source.added else ())

    def feature(self, column: ColumnProfile) -> Feature:
        """Return the column as a feature; raises _NoFeature if it cannot be one."""
        name, selected = column.name, self._selection.features
        if name in self.history:
            return _measured(Feature(name, FeatureType.NUMBER), column.values[self._is_train])
        if name in self._selection.exclude:
            raise _NoFeature("left out by --exclude")
        if selected and name not in selected:
            raise _NoFeature("not among --features")
        if column.kind is ColumnKind.EMPTY:
            raise _NoFeature("has no value")
        if reason := reason_to_keep_out(column):
            raise _NoFeature(reason)
        written = self._formats.get(name, ColumnFormat())
        if written.is_shortened:
            raise _NoFeature("identifiers that a spreadsheet shortened")
        if written.has_ambiguous_dates:
            raise _NoFeature("dates whose order is unclear")
        if not selected:
            self._check_suspects(column)
        time = self._profile.time
        if time is not None and name in time.parts and not selected:
            raise _NoFeature(f"a part of the time that orders the rows ({time.column})")
        is_own_time = time is not None and name == time.column
        if column.kind is ColumnKind.TEXT:
            return self._category(column)
        if column.kind is ColumnKind.DATE:
            own = is_own_time or may_be_time(name)
            return replace(self._time(column, None) if own else self._elapsed(column), date_order=written.date_order)
        if time is not None and is_own_time and time.clock is not None:
            return replace(self._time(column, time.clock), decimal=written.decimal)
        return replace(self._number(column, is_own_time=is_own_time), decimal=written.decimal)

    def _check_suspects(self, column: ColumnProfile) -> None:
        time = self._profile.time
        if time is not None and column.name == time.column:
            return
        is_number = column.kind is ColumnKind.NUMBER and bool(column.name.strip())
        if is_number and (np.diff(column.values) >= 0).all():
            distinct = len(np.unique(column.values[self._is_train]))
            # A clock may not move for long: days in a file covering a week.
            if distinct >= _COUNTER_VALUES or (distinct > 1 and mentions_time(column.name)):
                raise _NoFeature("only ever increases, like a row number or a clock")
        if reason := reason_in_the_name(column.name, is_text=column.kind is ColumnKind.TEXT):
            raise _NoFeature(reason)
        if (share := self._share_later(column)) > 0.5:
            raise _NoFeature(f"lies after the payment's time in {share:.0%} of its rows: known only later (a leak)")
        if reason := reason_in_the_values(column, self._is_train, self._is_fraud):
            raise _NoFeature(reason)

    def _share_later(self, column: ColumnProfile) -> float:
        """Return the share of the training rows with a time in the column after that of the payment."""
        unit = 1 if column.kind is ColumnKind.DATE else units_per_second(column.values)
        seconds = self._profile.time.seconds if self._profile.time is not None else None
        if unit is None or seconds is None:
            return 0.0
        after = (column.values / unit - seconds)[self._is_train]
        after = after[~np.isnan(after)]
        # Payments with a date but no time of day: another time on the same day may be earlier.
        least = SECONDS_PER_DAY if not (seconds % SECONDS_PER_DAY).any() else 1.0
        return float((after >= least).mean()) if len(after) else 0.0

    def _number(self, column: ColumnProfile, *, is_own_time: bool) -> Feature:
        values = column.values[self._is_train]
        if not self._selection.features:
            if is_own_time:
                raise _NoFeature("orders the rows; future times never occur in training")
            if is_clearly_time(column.name):
                raise _NoFeature("a clock; future times never occur in training")
            if leaks(values, self._is_fraud):
                raise _NoFeature(_LEAK)
        return _measured(Feature(column.name, FeatureType.NUMBER), values)

    def _time(self, column: ColumnProfile, clock: int | None) -> Feature:
        moments = column.values[self._is_train]
        moments = moments[~np.isnan(moments)] / (clock or 1)
        if not len(moments):
            raise _NoFeature("no value in the training rows")
        hours, weekdays = hours_and_weekdays(moments)
        weekday = int(np.bincount(weekdays.astype(np.int64)).argmax())
        feature = Feature(column.name, FeatureType.TIME, weekday=weekday, clock=clock)
        # Dates without a time of day, all at midnight, still have weekdays.
        return _measured(feature, hours, may_be_constant=True)

    def _elapsed(self, column: ColumnProfile) -> Feature:
        time = self._profile.time
        if time is None or time.seconds is None or time.parts:
            raise _NoFeature("a date, and no column holds the date of the payment")
        days = (time.seconds - column.values)[self._is_train] / SECONDS_PER_DAY
        if not self._selection.features and leaks(days, self._is_fraud):
            raise _NoFeature(_LEAK)
        feature = Feature(column.name, FeatureType.ELAPSED, reference=time.column, clock=time.clock)
        return _measured(feature, days)

    def _category(self, column: ColumnProfile) -> Feature:
        categories = column.categories
        rows = self._profile.rows - column.missing
        if categories is None:
            raise _NoFeature(f"text with more than {MOST_VALUES:,} distinct values: it looks like an identifier")
        if not self._selection.features and len(categories.values) * 2 > rows:
            raise _NoFeature(f"text with {len(categories.values):,} distinct values in {rows:,} rows")
        return Feature(column.name, FeatureType.CATEGORY, values=self._frequent_values(categories))

    def _frequent_values(self, categories: Categories) -> tuple[str, ...]:
        counts = categories.counts(self._is_train)
        present = np.flatnonzero(counts)
        if len(present) == 1:
            raise _NoFeature(f"always {categories.values[present[0]]!r} in the training rows")
        least = least_rows(len(self._is_fraud))
        # Ties are broken alphabetically, so that the result does not depend on row order.
        ordered = sorted(present.tolist(), key=lambda code: (-counts[code], categories.values[code]))
        frequent = tuple(categories.values[code] for code in ordered[:MOST_VALUES_ENCODED] if counts[code] >= least)
        if not frequent:
            raise _NoFeature(f"text, and no value occurs in {least:,} training rows")
        return frequent


def _measured(feature: Feature, values: NDArray[np.float64], *, may_be_constant: bool = False) -> Feature:
    """Add the distribution of the values to the feature."""
    present = values[~np.isnan(values)]
    if not len(present):
        raise _NoFeature("no value in the training rows")
    low, p01, median, p99, high = np.quantile(present, (0.0, 0.01, 0.5, 0.99, 1.0)).tolist()
    if low == high and not may_be_constant:
        raise _NoFeature(f"always {low:g} in the training rows")
    # At 0, 5 %, ..., 100 %.
    quantiles = np.quantile(present, np.linspace(0.0, 1.0, 21)).tolist() if feature.type is FeatureType.NUMBER else ()
    return replace(feature, median=median, minimum=low, maximum=high, p01=p01, p99=p99, quantiles=tuple(quantiles))
