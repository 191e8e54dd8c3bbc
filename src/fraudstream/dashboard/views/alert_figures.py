"""Computes the table of an alert's reasons: each value with its normal range and its contribution, both drawn.

Positions in the drawings are shares of the width, from 0 to 100.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from fraudstream.dashboard.web.presentation import value_text
from fraudstream.model.explanation.cells import plain
from fraudstream.model.explanation.explainer import TOP_REASONS, Step
from fraudstream.model.explanation.reasons import WEEKDAYS, number_text
from fraudstream.model.manifest import Feature, FeatureType

LOW_AT: Final = 20.0
HIGH_AT: Final = 80.0
"""Positions of the 1 % and 99 % quantiles of training on every strip, so that strips are comparable."""

_EDGE: Final = 2.0
_VALUE_CHARS: Final = 60


class NormalRange(NamedTuple):
    """The range of the central 98 % of the training values, and a value on it.

    Attributes:
        text: The range as text.
        middle: The position of the median.
        at: The position of the value.
        beyond: "low" or "high" if it lies beyond the end of the drawing; else empty.
    """

    text: str
    middle: float
    at: float
    beyond: str


class ReasonRow(NamedTuple):
    """A value of the payment, compared with the training values, and its contribution to the score.

    Attributes:
        imputation: The value used instead; empty if the value was read.
        normal: None for a category.
        rank: How frequent a category was in training.
        share: The contribution as a share of the largest one, from -1 to 1; 0 without one, as if the model is missing.
    """

    step: Step
    value: str
    imputation: str
    normal: NormalRange | None
    rank: str
    is_unusual: bool
    share: float


def reason_rows(steps: Sequence[Step]) -> list[ReasonRow]:
    """Return the steps, which have the largest contributions first, as rows: of the five largest ones and of the others
    first those for fraud.
    """
    most = abs(steps[0].reason.contribution) if steps else 0.0
    return [
        _row(step, most or 1.0)
        for part in (steps[:TOP_REASONS], steps[TOP_REASONS:])
        for step in sorted(part, key=lambda step: step.reason.contribution <= 0)
    ]


def signed(value: float) -> str:
    """Format a contribution with its sign."""
    size = abs(value)
    return f"{'−' if value < 0 else '+'}{f'{size:.2f}' if size < 1e5 else f'{size:.3g}'}"


def _row(step: Step, most: float) -> ReasonRow:
    cell, typical = step.cell, step.reason.typical
    feature, components = cell.feature, cell.components
    quantiles = _quantiles(feature)
    value, rank = value_text(plain(cell.raw_value), _VALUE_CHARS), ""
    is_unusual = quantiles is not None and not cell.is_imputed and not quantiles[0] <= components[0] <= quantiles[2]
    if cell.is_imputed:
        rank = "imputed with the typical value"
    elif feature.type is FeatureType.CATEGORY:
        index = components.index(1.0)
        is_unusual = index == len(feature.values)
        rank = (
            "rare or absent in training" if is_unusual else f"number {index + 1} of {len(feature.values)} by frequency"
        )
    elif feature.type is FeatureType.TIME:
        value = f"{value} ({components[0]:.1f} h on a {WEEKDAYS[int(components[1])]})"
    elif feature.type is FeatureType.ELAPSED:
        value = f"{value} ({components[0]:,.0f} days before)"
    return ReasonRow(
        step,
        value,
        "" if typical is None or not cell.is_imputed else value_text(typical, _VALUE_CHARS),
        None if quantiles is None else _normal_range(components[0], *quantiles),
        rank,
        is_unusual,
        step.reason.contribution / most,
    )


def _normal_range(value: float, low: float, median: float, high: float) -> NormalRange:
    at = _at(value, low, high)
    return NormalRange(
        f"{number_text(low)} to {number_text(high)}",
        round(min(max(_at(median, low, high), LOW_AT), HIGH_AT), 2),
        round(min(max(at, _EDGE), 100 - _EDGE), 2),
        "low" if at < 0 else "high" if at > 100 else "",
    )


def _quantiles(feature: Feature) -> tuple[float, float, float] | None:
    """Return the 1 %, 50 % and 99 % quantiles of training, the extremes for an old manifest; None for a category."""
    low = feature.p01 if feature.p01 is not None else feature.minimum
    high = feature.p99 if feature.p99 is not None else feature.maximum
    if feature.type is FeatureType.CATEGORY or low is None or high is None or feature.median is None:
        return None
    return low, feature.median, high


def _at(value: float, low: float, high: float) -> float:
    if high <= low:  # all training values are the same
        return 50.0 if value == low else -1.0 if value < low else 101.0
    return LOW_AT + (value - low) / (high - low) * (HIGH_AT - LOW_AT)
