"""Which columns of a CSV become features, and why the others do not; `projection.py` brings them to the model."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fraudstream.errors import DataError
from fraudstream.model.evaluation.record import LeakSuspicion
from fraudstream.model.features.leakage import category_leaks, find_leaks, leaks, reason_in_the_name, reason_to_keep_out
from fraudstream.model.manifest import NO_SELECTION, Feature, FeatureType, Selection, by_component
from fraudstream.transactions.column_reader import MOST_VALUES, Categories, ColumnKind, ColumnProfile, least_rows
from fraudstream.transactions.label import CsvProfile, statistics
from fraudstream.transactions.times import (
    SECONDS_PER_DAY,
    hours_and_weekdays,
    is_clearly_time,
    may_be_time,
    mentions_time,
)

MOST_KEPT: Final = 30
"""Values of a category that get a slot of their own; the rest share one."""
_COUNTER_VALUES: Final = 10
"""A column with fewer distinct values is no counter, even where it never falls (a file sorted by it)."""
_LEAK: Final = "alone tells every fraud from every legitimate row, as what is written down afterwards does (a leak)"


@dataclass(frozen=True)
class FeatureChoice:
    """What the model reads: the features in the order of the vector, with their distribution over the training rows.

    `excluded` are the other columns but the label, with the reason.
    """

    features: tuple[Feature, ...]
    excluded: dict[str, str]
    leaks: tuple[LeakSuspicion, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line for each of the leaks."""
        return tuple(leak.message for leak in self.leaks)


class _NoFeature(Exception):
    """A column is left out; the message says why."""


def choose_features(
    profile: CsvProfile,
    is_train: NDArray[np.bool_],
    selection: Selection = NO_SELECTION,
    legitimate_share: float = 1.0,
) -> FeatureChoice:
    """Every column that can say something of a payment yet to come, or those that the user names.

    Only the training rows of the profile are looked at. A column that the user names is taken where it can be, however
    suspect it looks. `legitimate_share` is the share of the legitimate rows that the CSV holds. Raises DataError where
    no column is left, or one that the user named holds nothing to learn from.
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
                    where=str(profile.source.path),
                    remedy="leave it out of --features",
                ) from reason
            excluded[column.name] = str(reason)
    if not features:
        raise DataError(
            "no column is left to learn from",
            where=str(profile.source.path),
            remedy="give a CSV with columns of numbers or categories, or name some with --features; left out were: "
            + ("; ".join(f"{name} ({reason})" for name, reason in excluded.items()) or "none"),
        )
    return FeatureChoice(by_component(features), excluded, find_leaks(profile, features, is_train, legitimate_share))


class _Choice:
    """What is decided of each column, over the training rows alone."""

    def __init__(self, profile: CsvProfile, is_train: NDArray[np.bool_], selection: Selection) -> None:
        self._profile = profile
        self._is_train = is_train
        self._is_fraud = profile.label.is_fraud[is_train]
        self._selection = selection

    def feature(self, column: ColumnProfile) -> Feature:
        """The feature that the column becomes; raises _NoFeature where it becomes none."""
        name, wanted = column.name, self._selection.features
        if name in self._selection.exclude:
            raise _NoFeature("left out by --exclude")
        if wanted and name not in wanted:
            raise _NoFeature("not among --features")
        if column.kind is ColumnKind.EMPTY:
            raise _NoFeature("has no value")
        if reason := reason_to_keep_out(column):
            raise _NoFeature(reason)
        if not wanted:
            self._check_suspects(column)
        time = self._profile.time
        is_own_time = time is not None and name == time.column
        if column.kind is ColumnKind.TEXT:
            return self._category(column)
        if column.kind is ColumnKind.DATE:
            return self._time(column, None) if is_own_time or may_be_time(name) else self._elapsed(column)
        if time is not None and is_own_time and time.clock is not None:
            return self._time(column, time.clock)
        return self._number(column, is_own_time=is_own_time)

    def _check_suspects(self, column: ColumnProfile) -> None:
        time = self._profile.time
        if time is not None and column.name == time.column:
            return
        is_number = column.kind is ColumnKind.NUMBER and bool(column.name.strip())
        if is_number and column.is_non_decreasing:
            distinct = len(np.unique(column.values[self._is_train]))
            # A clock may stand still for long: days in a file of a week.
            if distinct >= _COUNTER_VALUES or (distinct > 1 and mentions_time(column.name)):
                raise _NoFeature("only ever grows, as a row number or a clock does")
        if reason := reason_in_the_name(column.name, is_text=column.kind is ColumnKind.TEXT):
            raise _NoFeature(reason)

    def _number(self, column: ColumnProfile, *, is_own_time: bool) -> Feature:
        values = column.values[self._is_train]
        if not self._selection.features:
            if is_own_time:
                raise _NoFeature("orders the rows; the times of payments to come were never seen in training")
            if is_clearly_time(column.name):
                raise _NoFeature("a clock; the times of payments to come were never seen in training")
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
        # Dates without a time of day, all at midnight, still have their weekdays.
        return _measured(feature, hours, may_be_constant=True)

    def _elapsed(self, column: ColumnProfile) -> Feature:
        time = self._profile.time
        if time is None or time.seconds is None:
            raise _NoFeature("a date, and no column says at which date the payment was made")
        days = (time.seconds - column.values)[self._is_train] / SECONDS_PER_DAY
        if not self._selection.features and leaks(days, self._is_fraud):
            raise _NoFeature(_LEAK)
        feature = Feature(column.name, FeatureType.ELAPSED, reference=time.column, clock=time.clock)
        return _measured(feature, days)

    def _category(self, column: ColumnProfile) -> Feature:
        categories = column.categories
        rows = self._profile.rows - column.missing
        if categories is None:
            raise _NoFeature(f"text with more than {MOST_VALUES:,} distinct values: it names something")
        if not self._selection.features:
            if len(categories.values) * 2 > rows:
                raise _NoFeature(f"text with {len(categories.values):,} distinct values in {rows:,} rows")
            if category_leaks(categories, self._is_train, self._profile.label.is_fraud):
                raise _NoFeature(_LEAK)
        return Feature(column.name, FeatureType.CATEGORY, values=self._kept(categories))

    def _kept(self, categories: Categories) -> tuple[str, ...]:
        counts = categories.counts(self._is_train)
        present = np.flatnonzero(counts)
        if len(present) == 1:
            raise _NoFeature(f"always {categories.values[present[0]]!r} in the training rows")
        least = least_rows(len(self._is_fraud))
        # Of equally frequent values the one that comes first in the alphabet: the same whatever the rows' order.
        ordered = sorted(present.tolist(), key=lambda code: (-counts[code], categories.values[code]))
        kept = tuple(categories.values[code] for code in ordered[:MOST_KEPT] if counts[code] >= least)
        if not kept:
            raise _NoFeature(f"text of which no value stands in {least:,} training rows")
        return kept


def _measured(feature: Feature, values: NDArray[np.float64], *, may_be_constant: bool = False) -> Feature:
    """The feature with its distribution."""
    found = statistics(values)
    if found is None:
        raise _NoFeature("no value in the training rows")
    if found.minimum == found.maximum and not may_be_constant:
        raise _NoFeature(f"always {found.minimum:g} in the training rows")
    return replace(
        feature,
        median=found.median,
        minimum=found.minimum,
        maximum=found.maximum,
        p01=found.p01,
        p99=found.p99,
        quantiles=found.quantiles if feature.type is FeatureType.NUMBER else (),
    )
