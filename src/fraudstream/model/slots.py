"""From a row's cells, all read as text, to the slots of categories, times and elapsed days; numbers are elsewhere.

The numbers, the parse and the two paths are `projection.py`'s.
"""

from collections.abc import Callable, Sequence
from typing import Final

from pyspark.sql import Column
from pyspark.sql import functions as F

from fraudstream.model.feature import Feature, FeatureType
from fraudstream.transactions.times import DATE_PATTERN, MONDAY, SECONDS_PER_DAY

Cell = Callable[[str], Column]
"""The text that a row holds under a column's name in training; null where it holds none."""

_NUMBER: Final = r"^[+-]?([0-9]++(\.[0-9]*+)?|\.[0-9]++)([eE][+-]?[0-9]++)?$"
"""Each digit can be read in one way only: a megabyte of digits and a letter would hold up the stream for minutes."""
_MICROSECONDS: Final = 1e6
_LAST_SECOND: Final = 253_402_300_799.0
"""Of the year 9999; a clock beyond it is broken, and far greater numbers would not fit the arithmetic of days."""


def number_from_text(text: Column) -> Column:
    """The finite number that a text spells ("1.5", " 2 ", "1e3"), else null; never an ANSI error."""
    trimmed = F.trim(text)
    number = F.when(trimmed.rlike(_NUMBER), trimmed.try_cast("double"))
    return F.when(F.abs(number) < F.lit(float("inf")), number)


def text_columns(features: Sequence[Feature]) -> list[str]:
    """The columns that these features are made from, by their names in training, each once."""
    return list(dict.fromkeys(name for feature in features for name in (feature.name, feature.reference) if name))


def moments(features: Sequence[Feature], cell: Cell) -> Column:
    """The moments that the features need as an array of seconds since 1970, each worked out once; null where none."""
    return F.array(*(_seconds(cell(name), clock) for name, clock in _clocks(features))).cast("array<double>")


def slots(features: Sequence[Feature], cell: Cell, moments: Column) -> list[Column]:
    """By feature (any but numbers), its slots as an array of doubles; null where the row has no value for it.

    `cell` gives the row's texts; `moments` is what the function of that name made of the same features and cells.
    """
    places = {clock: place for place, clock in enumerate(_clocks(features))}

    def of(feature: Feature) -> Column:
        if feature.type is FeatureType.CATEGORY:
            return _one_hot(cell(feature.name), feature)
        if feature.type is FeatureType.TIME:
            return _hour_and_weekday(moments[places[feature.name, feature.clock]])
        since, until = moments[places[feature.name, None]], moments[places[str(feature.reference), feature.clock]]
        days = (until - since) / F.lit(SECONDS_PER_DAY)
        return F.when(days.isNotNull(), F.array(days))

    return [of(feature) for feature in features]


def stand_ins(features: Sequence[Feature]) -> Column:
    """By feature, what stands in for a missing value: an array of the arrays of slots."""
    return F.array(*(F.lit(list(feature.stand_in)) for feature in features))


def _clocks(features: Sequence[Feature]) -> list[tuple[str, int | None]]:
    """The columns that are moments, with the units per second of those that are numbers."""
    found: dict[tuple[str, int | None], None] = {}
    for feature in features:
        if feature.type is FeatureType.TIME:
            found[feature.name, feature.clock] = None
        elif feature.type is FeatureType.ELAPSED:
            found[feature.name, None] = None
            found[str(feature.reference), feature.clock] = None
    return list(found)


def _seconds(text: Column, clock: int | None) -> Column:
    if clock is not None:
        seconds = number_from_text(text) / F.lit(float(clock))
        return F.when(F.abs(seconds) <= F.lit(_LAST_SECOND), seconds)
    trimmed = F.trim(text)
    # The pattern keeps out what Spark reads beside dates: a bare time of day would be one of today.
    date = F.when(trimmed.rlike(f"^{DATE_PATTERN}$"), trimmed).try_cast("timestamp")
    return F.unix_micros(date) / F.lit(_MICROSECONDS)


def _one_hot(text: Column, feature: Feature) -> Column:
    """A map from each kept value to its slots, which Spark folds into one literal: no comparison per value is planned.

    An empty text is a missing value, as an empty cell of a CSV is.
    """
    width = len(feature.values) + 1
    rows = [_unit(place, width) for place in range(width)]
    kept = F.create_map(
        *(part for value, row in zip(feature.values, rows, strict=False) for part in (F.lit(value), row))
    )
    return F.when(text != F.lit(""), F.coalesce(F.try_element_at(kept, text), rows[-1]))


def _unit(place: int, width: int) -> Column:
    # Six calls into the JVM, where a literal of 31 doubles is 31, and a category has 31 of these.
    zero = F.lit(0.0)
    return F.concat(F.array_repeat(zero, place), F.array(F.lit(1.0)), F.array_repeat(zero, width - place - 1))


def _hour_and_weekday(seconds: Column) -> Column:
    hour = F.pmod(seconds, F.lit(SECONDS_PER_DAY)) / F.lit(3600.0)
    weekday = F.pmod(F.floor(seconds / F.lit(SECONDS_PER_DAY)) + F.lit(MONDAY), F.lit(7)).cast("double")
    return F.when(seconds.isNotNull(), F.array(hour, weekday))
