"""Builds the reason code of a column: its value, how unusual it is, its contribution, and a sentence on them."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fraudstream.model.explanation.cells import ReadCell
from fraudstream.model.manifest import Feature, FeatureType

WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LONGEST: Final = 60
"""Most characters of a value in a sentence."""


@dataclass(frozen=True)
class Reason:
    """The contribution of one column to a score.

    Attributes:
        value: As received; None if missing.
        typical: The training median; of a category the most frequent value, of a time its median as HH:MM.
        quantile: Share of the training values below it, 0 to 1; None for a category and if it could not be read.
        contribution: To the margin; negative if it lowers it.
        imputed: Whether the value was missing or unreadable, so that the typical value was used.
    """

    feature: str
    value: Any
    typical: float | str | None
    quantile: float | None
    contribution: float
    imputed: bool
    text: str


def reason_of(cell: ReadCell, raw: Any, contribution: float) -> Reason:
    """Build the reason for a cell."""
    feature, typical = cell.feature, _typical(cell.feature)
    is_ranked = not cell.is_imputed and feature.type is not FeatureType.CATEGORY
    quantile = quantile_of(feature, cell.components[0]) if is_ranked else None
    effect = "no effect" if contribution == 0.0 else f"speaks {'for' if contribution > 0.0 else 'against'} fraud"
    sentence = f"{_value(cell, raw)} {_rarity(cell, quantile, typical)}: {effect}"
    return Reason(feature.name, raw, typical, quantile, contribution, cell.is_imputed, sentence)


def quantile_of(feature: Feature, value: float) -> float:
    """Return the share of the training values below `value`, interpolated between the manifest's quantiles.

    If many training values are equal, the middle of their share.
    """
    shares, values = zip(*_points(feature), strict=True)
    left, right = bisect_left(values, value), bisect_right(values, value)
    if left < right:
        return float(shares[left] + shares[right - 1]) / 2
    return float(np.interp(value, values, shares, left=0.0, right=1.0))


def _points(feature: Feature) -> list[tuple[float, float]]:
    """Return shares and the values below which they lie, both ascending."""
    known = [(index / (len(feature.quantiles) - 1), value) for index, value in enumerate(feature.quantiles)]
    known += [(0.01, feature.p01), (0.99, feature.p99)] if feature.p01 is not None and feature.p99 is not None else []
    if not feature.quantiles:
        known += [(0.0, feature.minimum), (0.5, feature.median), (1.0, feature.maximum)]  # type: ignore[list-item]
    return sorted((share, value) for share, value in known if value is not None)


def _typical(feature: Feature) -> float | str | None:
    match feature.type:
        case FeatureType.CATEGORY:
            return feature.values[0] if feature.values else None
        case FeatureType.TIME:
            return None if feature.median is None else _clock(feature.median)
        case _:
            return feature.median


def _value(cell: ReadCell, raw: Any) -> str:
    name = cell.feature.name if cell.column == cell.feature.name else f"{cell.feature.name} (sent as {cell.column})"
    if raw is None or raw == "":
        return f"{name} is missing"
    text = number_text(raw) if isinstance(raw, int | float) and not isinstance(raw, bool) else str(raw)
    text = shortened(text, _LONGEST)
    if cell.is_imputed:
        kind = {FeatureType.NUMBER: "number", FeatureType.CATEGORY: "category"}.get(cell.feature.type, "date")
        return f"{name} is {text!r}, which is not a {kind}"
    if cell.feature.type is FeatureType.TIME:
        hour, weekday = cell.components
        return f"{name} is {text}, {_clock(hour)} on a {WEEKDAYS[int(weekday)]}"
    if cell.feature.type is FeatureType.ELAPSED:
        return f"{name} is {text}, {cell.components[0]:,.0f} days before"
    return f"{name} is {text}"


def _rarity(cell: ReadCell, quantile: float | None, typical: float | str | None) -> str:
    usual = number_text(typical) if isinstance(typical, float) else typical
    if cell.is_imputed:
        return f"(the typical {usual} is used)"
    if quantile is None:
        return f"({_rank(cell.feature.values, cell.components)}, typically {usual})"
    return f"({_among(cell.feature, cell.components[0], quantile)}, typically {usual})"


def _among(feature: Feature, value: float, quantile: float) -> str:
    if feature.minimum is not None and value < feature.minimum:
        return "lower than ever in training"
    if feature.maximum is not None and value > feature.maximum:
        return "higher than ever in training"
    if quantile <= 0.01:
        return "among the lowest 1 % in training"
    if quantile >= 0.99:
        return "among the highest 1 % in training"
    if 0.25 <= quantile <= 0.75:
        return "in the usual range"
    if quantile < 0.25:
        return f"lower than {1 - quantile:.0%} in training".replace("%", " %")
    return f"higher than {quantile:.0%} in training".replace("%", " %")


def _rank(values: Sequence[str], components: Sequence[float]) -> str:
    index = components.index(1.0)
    if index == len(values):
        return "rare or never seen in training"
    return "the most frequent in training" if index == 0 else f"number {index + 1} of {len(values)} by frequency"


def _clock(hour: float) -> str:
    minutes = int(hour * 60)
    return f"{minutes // 60:02}:{minutes % 60:02}"


def shortened(text: str, chars: int) -> str:
    """Truncate a text that is too long."""
    return text if len(text) <= chars else f"{text[: chars - 1]}…"


def number_text(value: float) -> str:
    """Format a number in few characters: 1,234 or -6.77 or 1.23e-5."""
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{value:,.0f}"
    if 0.01 <= abs(value) < 1e6:
        return f"{value:,.2f}"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa}e{int(exponent):+d}"
