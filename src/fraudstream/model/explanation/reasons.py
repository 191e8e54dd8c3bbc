"""One reason: a column's value, how unusual it is, what it contributed, and all of that as a sentence."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fraudstream.model.explanation.cells import ReadCell
from fraudstream.model.manifest import Feature, FeatureType

WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MIDDLE: Final = (0.25, 0.75)
_LONGEST: Final = 60
"""Characters of a value in a sentence."""


@dataclass(frozen=True)
class Reason:
    """What one column had to do with a score.

    Attributes:
        feature: The column's name in training.
        value: As it came; None where nothing did.
        typical: The training median; of a category the most frequent value, of a time its median as HH:MM.
        quantile: Share of the training values below it, 0 to 1; None for a category and where nothing could be read.
        contribution: What it added to the margin (below 0: what it took from it).
        imputed: Whether nothing could be read, so that the typical value stands in.
    """

    feature: str
    value: Any
    typical: float | str | None
    quantile: float | None
    contribution: float
    imputed: bool
    text: str


def reason_of(cell: ReadCell, came: Any, contribution: float) -> Reason:
    """The reason that a cell gives."""
    feature = cell.feature
    quantile = None if cell.is_imputed or feature.type is FeatureType.CATEGORY else place_in(feature, cell.slots[0])
    typical = _typical(feature)
    sentence = f"{_value(cell, came)} {_standing(cell, quantile, typical)}: {_effect(contribution)}"
    return Reason(feature.name, came, typical, quantile, contribution, cell.is_imputed, sentence)


def place_in(feature: Feature, value: float) -> float:
    """The share of the training values below `value`, between the quantiles that the manifest has.

    Where many training values are the same, the middle of their share.
    """
    points = _points(feature)
    values = [at for _, at in points]
    left, right = bisect_left(values, value), bisect_right(values, value)
    if left == len(values):
        return 1.0
    if right == 0:
        return 0.0
    if left < right:
        return (points[left][0] + points[right - 1][0]) / 2
    (below, low), (above, high) = points[left - 1], points[left]
    return below + (above - below) * (value - low) / (high - low)


def _points(feature: Feature) -> list[tuple[float, float]]:
    """Shares and the values below which they lie, both rising."""
    known = [(place / (len(feature.quantiles) - 1), value) for place, value in enumerate(feature.quantiles)]
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


def _value(cell: ReadCell, came: Any) -> str:
    named = cell.feature.name if cell.column == cell.feature.name else f"{cell.feature.name} (sent as {cell.column})"
    if came is None or came == "":
        return f"{named} is missing"
    shown = number_text(came) if isinstance(came, int | float) and not isinstance(came, bool) else str(came)
    shown = shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
    if cell.is_imputed:
        return f"{named} is {shown!r}, which is no {_kind(cell.feature)}"
    if cell.feature.type is FeatureType.TIME:
        hour, weekday = cell.slots
        return f"{named} is {shown}, {_clock(hour)} on a {WEEKDAYS[int(weekday)]}"
    if cell.feature.type is FeatureType.ELAPSED:
        return f"{named} is {shown}, {cell.slots[0]:,.0f} days before"
    return f"{named} is {shown}"


def _standing(cell: ReadCell, quantile: float | None, typical: float | str | None) -> str:
    usual = number_text(typical) if isinstance(typical, float) else typical
    if cell.is_imputed:
        return f"(the typical {usual} stands in)"
    if quantile is None:
        return f"({_rank(cell.feature.values, cell.slots)}, typically {usual})"
    return f"({_among(cell.feature, cell.slots[0], quantile)}, typically {usual})"


def _among(feature: Feature, value: float, quantile: float) -> str:
    if feature.minimum is not None and value < feature.minimum:
        return "lower than ever in training"
    if feature.maximum is not None and value > feature.maximum:
        return "higher than ever in training"
    if quantile <= 0.01:
        return "among the lowest 1 % in training"
    if quantile >= 0.99:
        return "among the highest 1 % in training"
    if _MIDDLE[0] <= quantile <= _MIDDLE[1]:
        return "in the usual range"
    if quantile < _MIDDLE[0]:
        return f"lower than {1 - quantile:.0%} in training".replace("%", " %")
    return f"higher than {quantile:.0%} in training".replace("%", " %")


def _rank(values: Sequence[str], slots: Sequence[float]) -> str:
    place = slots.index(1.0)
    if place == len(values):
        return "rare or never seen in training"
    return "the most frequent in training" if place == 0 else f"number {place + 1} of {len(values)} by frequency"


def _effect(contribution: float) -> str:
    if contribution == 0.0:
        return "no effect"
    return "speaks for fraud" if contribution > 0.0 else "speaks against fraud"


def _kind(feature: Feature) -> str:
    return {FeatureType.NUMBER: "number", FeatureType.CATEGORY: "category"}.get(feature.type, "date")


def _clock(hour: float) -> str:
    minutes = int(hour * 60)
    return f"{minutes // 60:02}:{minutes % 60:02}"


def number_text(value: float) -> str:
    """A number in few characters: 1,234 or -6.77 or 1.23e-05."""
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:,.2f}" if 0.01 <= abs(value) < 1e6 else f"{value:.3g}"
