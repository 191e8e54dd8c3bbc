"""A feature: a column that the model reads, and the slots of the vector that it takes; `features.py` chooses them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class FeatureType(StrEnum):
    """What a feature is made from, and how many slots of the vector it takes."""

    NUMBER = "number"
    """One slot: the number."""
    CATEGORY = "category"
    """A slot for each kept value, 1 where the row has it, and one for every other value."""
    TIME = "time"
    """Two slots: the hour of the day, from 0 to below 24, and the weekday, Monday as 0; UTC where a zone is written."""
    ELAPSED = "elapsed"
    """One slot: days from the date to the payment's own time."""


@dataclass(frozen=True)
class Feature:
    """A column that the model reads, with its distribution over the training rows.

    The distribution is that of the number, of the hour of the day of a time, or of the elapsed days; a category has
    none.

    Attributes:
        median: The training median; stands in for a missing value.
        quantiles: Of a number, the training values at 0, 5 %, ..., 100 %; empty for the other types.
        values: Of a category, the kept values, most frequent first; the first stands in for a missing one.
        weekday: Of a time, the most frequent weekday; stands in for a missing one.
        reference: Of elapsed days, the column of the payment's own time.
        clock: Units per second where the time (of elapsed days, the reference) is a number that counts from 1970;
            None where it is a date.
    """

    name: str
    type: FeatureType
    median: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    p01: float | None = None
    p99: float | None = None
    quantiles: tuple[float, ...] = ()
    values: tuple[str, ...] = ()
    weekday: int | None = None
    reference: str | None = None
    clock: int | None = None

    @property
    def slots(self) -> tuple[str, ...]:
        """What each slot of the vector holds, in order; the feature's name where it takes only one."""
        match self.type:
            case FeatureType.CATEGORY:
                return (*(f"{self.name}={value}" for value in self.values), f"{self.name}: other")
            case FeatureType.TIME:
                return (f"{self.name}: hour", f"{self.name}: weekday")
            case _:
                return (self.name,)

    @property
    def stand_in(self) -> tuple[float, ...]:
        """What the slots hold where the column has no value; ValueError where the feature lacks what its type needs."""
        match self.type:
            case FeatureType.CATEGORY if self.values:
                return (1.0, *(0.0 for _ in self.values))
            case FeatureType.TIME if self.median is not None and self.weekday is not None:
                return (self.median, float(self.weekday))
            case FeatureType.NUMBER | FeatureType.ELAPSED if self.median is not None:
                return (self.median,)
        raise ValueError(f"nothing can stand in for the {self.type.value} {self.name!r}: it has no distribution")


def by_slots(features: Sequence[Feature]) -> tuple[Feature, ...]:
    """The features in the order of their slots in the vector: the numbers first, so that they are one block."""
    return tuple(sorted(features, key=lambda feature: feature.type is not FeatureType.NUMBER))
