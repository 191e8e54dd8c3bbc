"""Which columns of a CSV become features, and why the others do not; `projection.py` brings them to the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fraudstream.errors import DataError
from fraudstream.model.manifest import Feature, FeatureType
from fraudstream.transactions.profile import ColumnKind, ColumnProfile, CsvProfile, statistics

_COUNTER_VALUES: Final = 10
"""A column with fewer distinct values is no counter, even where it never falls (a file sorted by it)."""
_LEAK_FRAUDS: Final = 5


@dataclass(frozen=True)
class FeatureChoice:
    """What the model reads.

    Attributes:
        features: In file order, with their distribution over the training rows.
        excluded: The other columns but the label, with the reason.
        warnings: Features that look too good to be true.
    """

    features: tuple[Feature, ...]
    excluded: dict[str, str]
    warnings: tuple[str, ...]


def choose_features(profile: CsvProfile, is_train: NDArray[np.bool_]) -> FeatureChoice:
    """Every column of numbers that can say something of a payment yet to come.

    Args:
        profile: The CSV.
        is_train: By row, whether it is a training row; no other row is looked at.

    Raises:
        DataError: No column is left.
    """
    features: list[Feature] = []
    excluded: dict[str, str] = {}
    warnings: list[str] = []
    is_fraud = profile.label.is_fraud[is_train]
    for column in profile.columns:
        if column.kind is ColumnKind.LABEL:
            continue
        values = column.values[is_train] if column.kind is ColumnKind.NUMBER else column.values
        reason = _reason_to_exclude(column, values, profile)
        if reason:
            excluded[column.name] = reason
            continue
        found = statistics(values)
        if found is None:
            excluded[column.name] = "no value in the training rows"
            continue
        if _separates(values, is_fraud):
            warnings.append(f"column {column.name!r} alone tells every fraud from every legitimate row: does it leak?")
        features.append(
            Feature(
                column.name,
                FeatureType.NUMBER,
                found.median,
                found.minimum,
                found.maximum,
                found.p01,
                found.p99,
                found.quantiles,
            )
        )
    if not features:
        raise DataError(
            "no column of numbers is left to learn from",
            where=str(profile.source.path),
            remedy="give a CSV with columns of numbers; left out were: "
            + ("; ".join(f"{name} ({reason})" for name, reason in excluded.items()) or "none"),
        )
    return FeatureChoice(tuple(features), excluded, tuple(warnings))


def _reason_to_exclude(column: ColumnProfile, values: NDArray[np.float64], profile: CsvProfile) -> str:
    """Why the column is no feature; empty where it is one."""
    if profile.time is not None and column.name == profile.time.column:
        return "orders the rows; the times of payments to come were never seen in training"
    if not column.name.strip():
        return "has no name"
    if column.kind is ColumnKind.TEXT:
        return "text; features are numbers"
    if column.kind is ColumnKind.EMPTY:
        return "has no value"
    distinct = np.unique(values[~np.isnan(values)])
    if len(distinct) == 1:
        return f"always {distinct[0]:g} in the training rows"
    if column.is_non_decreasing and len(distinct) >= _COUNTER_VALUES:
        return "only ever grows, as a row number or a clock does"
    return ""


def _separates(values: NDArray[np.float64], is_fraud: NDArray[np.bool_]) -> bool:
    present = ~np.isnan(values)
    frauds, legitimate = values[is_fraud & present], values[~is_fraud & present]
    if len(frauds) < _LEAK_FRAUDS or not len(legitimate):
        return False
    return bool(frauds.min() > legitimate.max() or frauds.max() < legitimate.min())
