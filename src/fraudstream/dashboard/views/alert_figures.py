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
        column: The column that the feature `name` was read from.
        imputation: The value used instead; empty if the value was read.
        normal: None for a category.
        position: Where the value lies among the training values.
        side: "for" or "against" fraud; empty without a contribution, as if the model is missing.
        x: The position of the contribution's bar, with 50 in the middle; `width` is its length.
        text: The reason as a sentence.
    """

    name: str
    column: str
    value: str
    imputation: str
    normal: NormalRange | None
    position: str
    is_unusual: bool
    contribution: str
    side: str
    x: float
    width: float
    text: str


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
    cell, contribution = step.cell, step.reason.contribution
    feature, components = cell.feature, cell.components
    half = min(abs(contribution) / most, 1.0) * 50
    quantiles = _quantiles(feature)
    value = value_text(plain(cell.raw_value), _VALUE_CHARS)
    is_unusual = feature.type is FeatureType.CATEGORY and components[-1] == 1.0
    if quantiles is not None:
        is_unusual = not quantiles[0] <= components[0] <= quantiles[2]
    if feature.type is FeatureType.TIME and not cell.is_imputed:
        value = f"{value} ({components[0]:.1f} h on a {WEEKDAYS[int(components[1])]})"
    elif feature.type is FeatureType.ELAPSED and not cell.is_imputed:
        value = f"{value} ({components[0]:,.0f} days before)"
    return ReasonRow(
        name=feature.name,
        column=cell.column,
        value=value,
        imputation=_imputation_text(feature) if cell.is_imputed else "",
        normal=None if quantiles is None else _normal_range(components[0], *quantiles),
        position="imputed with the typical value" if cell.is_imputed else _position(step),
        is_unusual=is_unusual and not cell.is_imputed,
        contribution=signed(contribution) if contribution else "",
        side="for" if contribution > 0 else "against" if contribution else "",
        x=round(50 if contribution > 0 else 50 - half, 2),
        width=round(max(half, 0.4), 2),
        text=step.reason.text,
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


def _position(step: Step) -> str:
    quantile, feature, components = step.reason.quantile, step.cell.feature, step.cell.components
    if feature.type is FeatureType.CATEGORY:
        index = list(components).index(1.0) if 1.0 in components else len(feature.values)
        rank = f"number {index + 1} of {len(feature.values)} by frequency"
        return rank if index < len(feature.values) else "rare or absent in training"
    if feature.minimum is not None and components[0] < feature.minimum:
        return "below all training values"
    if feature.maximum is not None and components[0] > feature.maximum:
        return "above all training values"
    return "" if quantile is None else f"above {quantile * 100:.0f} % of the training values"


def _imputation_text(feature: Feature) -> str:
    if feature.type is FeatureType.CATEGORY:
        return feature.values[0] if feature.values else ""
    return "" if feature.median is None else number_text(feature.median)
