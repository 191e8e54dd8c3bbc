"""Features that alone give the label away, told and kept; what is left out at once is `suspects.py`'s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fraudstream.model.evaluation import Floats, Scored, average_precision, roc_auc
from fraudstream.model.evaluation_record import LeakSuspicion
from fraudstream.model.feature import Feature, FeatureType
from fraudstream.model.suspects import LEAK_FRAUDS
from fraudstream.transactions.column_reader import ColumnProfile
from fraudstream.transactions.profile import CsvProfile

STRONG_PRECISION: Final = 0.9
STRONG_AUC: Final = 0.99
"""The best single column of creditcard.csv has an average precision of 0.65 (V17) and an area of 0.96 (V14), that
of the handbook's simulated payments 0.26 and 0.66: a feature beyond these limits would make the model needless."""


def find_leaks(
    profile: CsvProfile, features: Sequence[Feature], is_train: NDArray[np.bool_], legitimate_share: float
) -> tuple[LeakSuspicion, ...]:
    """The features of which one alone ranks the frauds of the training rows nearly as well as can be.

    Args:
        profile: The CSV.
        features: The model's.
        is_train: By row, whether it is a training row; no other is looked at.
        legitimate_share: Share of the legitimate rows that the CSV holds.
    """
    is_fraud = profile.label.is_fraud[is_train]
    if int(is_fraud.sum()) < LEAK_FRAUDS or is_fraud.all():
        return ()
    weight = np.where(is_fraud, 1.0, 1.0 / legitimate_share)
    columns = {column.name: column for column in profile.columns}
    found = []
    for feature in features:
        values = _values(columns[feature.name], feature, is_train, is_fraud)
        if values is not None and (leak := _leak(feature.name, values, is_fraud, weight)) is not None:
            found.append(leak)
    return tuple(found)


def _values(
    column: ColumnProfile, feature: Feature, is_train: NDArray[np.bool_], is_fraud: NDArray[np.bool_]
) -> Floats | None:
    """By training row, a number to rank by: of a category, the share of frauds of its value."""
    if feature.type is FeatureType.TIME:
        return None
    if column.categories is None:
        return column.values[is_train]
    codes = column.categories.codes[is_train] + 1
    rows = np.bincount(codes, minlength=len(column.categories.values) + 1)
    frauds = np.bincount(codes[is_fraud], minlength=len(rows))
    return np.asarray((frauds / np.maximum(rows, 1))[codes])


def _leak(name: str, values: Floats, is_fraud: NDArray[np.bool_], weight: Floats) -> LeakSuspicion | None:
    # A missing value ranks lowest in either direction: what is written down for frauds alone is missing elsewhere.
    rankings = [np.where(np.isnan(values), -np.inf, sign * values) for sign in (1.0, -1.0)]
    scored = [Scored(ranking, is_fraud, weight) for ranking in rankings]
    area, precision = max(map(roc_auc, scored)), max(map(average_precision, scored))
    if area < STRONG_AUC and precision < STRONG_PRECISION:
        return None
    message = (
        f"column {name!r} alone tells nearly every fraud from the legitimate rows (average precision {precision:.3f}, "
        f"ROC AUC {area:.4f}): does it leak? --exclude {name} trains without it"
    )
    return LeakSuspicion(name, area, precision, message)
