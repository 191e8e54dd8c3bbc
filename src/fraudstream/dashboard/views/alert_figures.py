"""Computes the drawings of an alert's page: a bar per reason, a strip per value; positions are shares of the width."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from fraudstream.dashboard.web.presentation import value_text
from fraudstream.model.explanation.cells import plain
from fraudstream.model.explanation.explainer import Explanation, Step
from fraudstream.model.explanation.reasons import WEEKDAYS, number_text
from fraudstream.model.manifest import Feature, FeatureType

LOW_AT: Final = 20.0
HIGH_AT: Final = 80.0
"""Positions of the 1 % and 99 % quantiles of training on every strip, so that strips are comparable."""

_EDGE: Final = 2.0
_VALUE_CHARS: Final = 60
_UNITS: Final = {"log_odds": "log odds", "probability": "of probability"}


class Bar(NamedTuple):
    """The contribution of a column to the score; `x` and `width` in percent of the drawing, with 50 in the middle.

    `side` is "for" or "against", `text` the reason as a sentence.
    """

    name: str
    value: str
    contribution: str
    side: str
    x: float
    width: float
    text: str


class Strip(NamedTuple):
    """A value compared with the training values; positions on the strip are from 0 to 100.

    Attributes:
        imputation: Empty if the value was read.
        at: None without a strip.
        beyond: "low" or "high" if it lies beyond the end of the strip; else empty.
        low_text: The value below which 1 % of the training values lie; `high_text` for 99 %.
        is_unusual: Whether it lies outside the central 98 % of the training values.
    """

    name: str
    column: str
    value: str
    imputation: str
    at: float | None
    beyond: str
    middle: float
    low_text: str
    middle_text: str
    high_text: str
    position: str
    is_unusual: bool


def bars(explanation: Explanation) -> list[Bar]:
    """Return a bar for each column with a contribution, the longest first."""
    steps = sorted(explanation.steps, key=lambda step: -abs(step.reason.contribution))
    most = max((abs(step.reason.contribution) for step in steps), default=0.0) or 1.0
    return [_bar(step, most) for step in steps if step.reason.contribution != 0.0]


def sum_sentence(explanation: Explanation) -> str:
    """Describe the sum of the bars."""
    margin = f"{signed(explanation.margin)} {_UNITS[explanation.scale.value]}"
    return (
        f"From {signed(explanation.base)} ({explanation.background}) all columns together lead to "
        f"{margin}, a probability of {explanation.probability:.4g}; "
        f"after the model's calibration the score is {explanation.score:.6g}."
    )


def signed(value: float) -> str:
    """Format a contribution with its sign."""
    size = abs(value)
    return f"{'−' if value < 0 else '+'}{f'{size:.2f}' if size < 1e5 else f'{size:.3g}'}"


def _bar(step: Step, most: float) -> Bar:
    reason = step.reason
    half = min(abs(reason.contribution) / most, 1.0) * 50
    is_for = reason.contribution > 0
    return Bar(
        reason.feature,
        value_text(reason.value, _VALUE_CHARS, number_text),
        signed(reason.contribution),
        "for" if is_for else "against",
        round(50 if is_for else 50 - half, 2),
        round(max(half, 0.4), 2),
        reason.text,
    )


def strip(step: Step) -> Strip:
    """Return the strip of a step's feature."""
    feature, cell = step.cell.feature, step.cell
    imputation = _imputation_text(feature) if cell.is_imputed else ""
    quantiles = _quantiles(feature)
    value = value_text(plain(cell.raw_value), _VALUE_CHARS, number_text)
    if quantiles is None:
        position = "imputed with the typical value" if cell.is_imputed else _category_position(feature, cell.components)
        is_rare = not cell.is_imputed and feature.type is FeatureType.CATEGORY and cell.components[-1] == 1.0
        return Strip(feature.name, cell.column, value, imputation, None, "", 50.0, "", "", "", position, is_rare)
    low, middle, high = quantiles
    if feature.type is FeatureType.TIME and not cell.is_imputed:
        value = f"{value} ({cell.components[0]:.1f} h on a {WEEKDAYS[int(cell.components[1])]})"
    elif feature.type is FeatureType.ELAPSED and not cell.is_imputed:
        value = f"{value} ({cell.components[0]:,.0f} days before)"
    at = _at(cell.components[0], low, high)
    beyond = "low" if at < 0 else "high" if at > 100 else ""
    return Strip(
        feature.name,
        cell.column,
        value,
        imputation,
        round(min(max(at, _EDGE), 100 - _EDGE), 2),
        beyond,
        round(min(max(_at(middle, low, high), LOW_AT), HIGH_AT), 2),
        number_text(low),
        number_text(middle),
        number_text(high),
        "imputed with the typical value" if cell.is_imputed else _position(step),
        not cell.is_imputed and not low <= cell.components[0] <= high,
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
    quantile, feature, value = step.reason.quantile, step.cell.feature, step.cell.components[0]
    if feature.minimum is not None and value < feature.minimum:
        return "below all training values"
    if feature.maximum is not None and value > feature.maximum:
        return "above all training values"
    if quantile is None:
        return "–"
    return f"above {quantile * 100:.0f} % of the training values"


def _category_position(feature: Feature, components: Sequence[float]) -> str:
    if feature.type is not FeatureType.CATEGORY or 1.0 not in components:
        return "–"
    index = list(components).index(1.0)
    if index == len(feature.values):
        return "rare or absent in training"
    return f"number {index + 1} of {len(feature.values)} by frequency in training"


def _imputation_text(feature: Feature) -> str:
    if feature.type is FeatureType.CATEGORY:
        return feature.values[0] if feature.values else ""
    return "" if feature.median is None else number_text(feature.median)
