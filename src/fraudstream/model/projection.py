"""From a row's JSON text to the model's vector, by name, alike in training, batch and stream; `scoring/` scores it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from pyspark.ml.functions import array_to_vector
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from fraudstream.model.feature import Feature, FeatureType, by_slots
from fraudstream.model.slots import Cell, moments, number_from_text, slots, stand_ins, text_columns


class Projected:
    """Names of the columns that the projection reads and adds."""

    TEXT: Final = "text"
    PARSED: Final = "parsed"
    MOMENTS: Final = "moments"
    OTHERS: Final = "others"
    AS_EXPECTED: Final = "as_expected"
    STRINGS: Final = "strings"
    IS_OBJECT: Final = "is_object"
    NUMBERS: Final = "numbers"
    SLOW_MOMENTS: Final = "slow_moments"
    SLOW_OTHERS: Final = "slow_others"
    IMPUTED: Final = "imputed"
    FEATURES: Final = "features"

    READING: Final = (PARSED, MOMENTS, OTHERS)
    """What `read_expected` adds beside `as_expected`, of use only until the vector is made."""


NO_ALIASES: Final[Mapping[str, str]] = MappingProxyType({})

LARGEST_SQUARE_SUM = 1e200
"""Rows whose sum of squares is below this have finite values under 1e100, which no margin can overflow on."""

STRICT_JSON: Final = {"allowNonNumericNumbers": "false", "allowSingleQuotes": "false"}
LENIENT_JSON: Final = {"allowNonNumericNumbers": "true", "allowSingleQuotes": "false"}
"""NaN and Infinity, which Python and JavaScript write, are read (as missing), not refused."""

_END = '{"end":"of row"}'


def read_expected(frame: DataFrame, features: Sequence[Feature], aliases: Mapping[str, str]) -> DataFrame:
    """Parse the column `text` once and add `as_expected`: the cheap half of the way, which every row takes.

    Returns:
        `frame` with `parsed` and `as_expected`, and with `moments` and `others` (the slots of all features that are no
        numbers, null where one is missing) where the model has such features.
    """
    numbers, others = split_by_type(features)
    names = names_in_stream(numbers, aliases)
    text = F.col(Projected.TEXT)
    texts = list(dict.fromkeys(_name_in_stream(name, aliases) for name in text_columns(others)))
    parsed = frame.withColumn(Projected.PARSED, parse_row(text, names, texts))
    expected = is_as_expected(text, names)
    if others:
        # A stage of its own for each, so that nothing is worked out twice: the optimizer keeps stages apart whose
        # results are used more than once.
        parsed = parsed.withColumn(Projected.MOMENTS, moments(others, _parsed_cell(aliases)))
        found = F.concat(*slots(others, _parsed_cell(aliases), F.col(Projected.MOMENTS)))
        parsed = parsed.withColumn(Projected.OTHERS, found)
        expected = expected & F.col(Projected.OTHERS).isNotNull()
    return parsed.withColumn(Projected.AS_EXPECTED, expected)


def parse_row(text: Column, names: Sequence[str], texts: Sequence[str] = ()) -> Column:
    """One parse of the row into a struct: a double for each of `names`, a string for each of `texts`.

    What is no number is null in the first, and whatever stands there is text in the second.
    """
    fields = [T.StructField(name, T.DoubleType()) for name in names]
    fields += [T.StructField(name, T.StringType()) for name in texts]
    return F.from_json(text, T.StructType(fields), dict(LENIENT_JSON))


def is_as_expected(text: Column, names: Sequence[str]) -> Column:
    """True where each number in `parsed` is finite and below 1e100 and the text is one flat JSON object.

    One comparison stands for a check per column: null, NaN and infinity all fail it. The first closing brace must be
    the last character, since Spark's parser ignores whatever follows the first object.
    """
    one_object = F.startswith(text, F.lit("{")) & (F.instr(text, "}") == F.length(text))
    if not names:
        return one_object & F.is_valid_utf8(text)
    squares = " + ".join(f"{field} * {field}" for field in _parsed_fields(names))
    finite = F.expr(f"coalesce({squares} < {LARGEST_SQUARE_SUM}D, false)")
    return finite & one_object & F.is_valid_utf8(text)


def parse_strings(text: Column, options: Mapping[str, str] = LENIENT_JSON) -> Column:
    """The row as a map of strings; null where the text is not exactly one JSON object.

    The text is wrapped together with a sentinel: Spark's parser would otherwise accept an object with anything
    behind it, and an array of one object.
    """
    wrapped = F.concat(F.lit("["), text, F.lit(f",{_END}]"))
    rows = F.from_json(wrapped, T.ArrayType(T.MapType(T.StringType(), T.StringType())), dict(options))
    # Through a lambda, so that the parse stands once in the plan and not once per condition on it.
    whole = F.filter(F.array(rows), lambda each: (F.size(each) == 2) & (each[1]["end"] == F.lit("of row")))
    return F.when(F.is_valid_utf8(text), F.try_element_at(whole, F.lit(1))[0])


def project(frame: DataFrame, features: Sequence[Feature], *, aliases: Mapping[str, str] = NO_ALIASES) -> DataFrame:
    """Add the model's vector to rows that carry their JSON in the string column `text`.

    Args:
        frame: Rows with the column `text`; other columns pass.
        features: The model's features in the manifest's order.
        aliases: New column name to the feature's name, for columns renamed in the stream.

    Returns:
        `frame` with `as_expected`, `is_object`, `imputed` (names of the columns for which something stands in, in
        order) and `features` (dense vector of the slots of `by_slots(features)`).
    """
    numeric, others = split_by_type(features)
    names = names_in_stream(numeric, aliases)
    text, as_expected, numbers = F.col(Projected.TEXT), F.col(Projected.AS_EXPECTED), F.col(Projected.NUMBERS)
    own_names = _strings([feature.name for feature in numeric])
    medians = _doubles([feature.stand_in[0] for feature in numeric])
    checked = read_expected(frame, features, aliases)
    with_strings = checked.withColumn(Projected.STRINGS, F.when(~as_expected, parse_strings(text)))
    # Lambdas over arrays, not an expression per feature: the plan stays small, and with it the time to start.
    slow_numbers = F.transform(
        _strings(names), lambda name, i: F.coalesce(_number_named(name), _number_named(own_names[i]))
    )
    with_numbers = with_strings.withColumn(
        Projected.NUMBERS, F.when(as_expected, fast_numbers(names)).otherwise(slow_numbers)
    )
    absent = F.filter(own_names, lambda _, i: numbers[i].isNull())
    completed = F.transform(numbers, lambda number, i: F.coalesce(number, medians[i]))
    expected = numbers
    if others:
        with_numbers = _read_others_slowly(with_numbers, others, aliases)
        expected = F.concat(numbers, F.col(Projected.OTHERS))
        absent = F.concat(absent, _absent_others(others))
        completed = F.concat(completed, _completed_others(others))
    return with_numbers.withColumns(
        {
            Projected.IS_OBJECT: as_expected | F.col(Projected.STRINGS).isNotNull(),
            Projected.IMPUTED: F.when(as_expected, _strings([])).otherwise(absent),
            Projected.FEATURES: array_to_vector(F.when(as_expected, expected).otherwise(completed)),
        }
    ).drop(*Projected.READING, Projected.STRINGS, Projected.NUMBERS, Projected.SLOW_MOMENTS, Projected.SLOW_OTHERS)


def expected_vector(features: Sequence[Feature], aliases: Mapping[str, str]) -> Column:
    """The vector of a row that `read_expected` found as expected; what stands in for missing values where it is not."""
    numbers, others = split_by_type(features)
    found = fast_numbers(names_in_stream(numbers, aliases))
    if others:
        found = F.concat(found, F.col(Projected.OTHERS))
    nothing = _doubles([value for feature in by_slots(features) for value in feature.stand_in])
    return array_to_vector(F.when(F.col(Projected.AS_EXPECTED), found).otherwise(nothing))


def split_by_type(features: Sequence[Feature]) -> tuple[list[Feature], list[Feature]]:
    """The numbers, and the features of the other types, in the order of their slots."""
    ordered = by_slots(features)
    numbers = [feature for feature in ordered if feature.type is FeatureType.NUMBER]
    return numbers, list(ordered[len(numbers) :])


def fast_numbers(names: Sequence[str]) -> Column:
    """The numbers of `parsed` as an array, in order."""
    return F.expr(f"array({', '.join(_parsed_fields(names))})") if names else _doubles([])


def names_in_stream(features: Sequence[Feature], aliases: Mapping[str, str]) -> list[str]:
    """The columns to read from the stream, in the order of the features."""
    return [_name_in_stream(feature.name, aliases) for feature in features]


def _parsed_fields(names: Sequence[str]) -> list[str]:
    # As SQL: one call into the JVM, where a Column per operation would be thousands.
    return [f"{Projected.PARSED}.`{name.replace('`', '``')}`" for name in names]


def _name_in_stream(name: str, aliases: Mapping[str, str]) -> str:
    return next((new for new, old in aliases.items() if old == name), name)


def _number_named(name: Column) -> Column:
    return number_from_text(F.element_at(F.col(Projected.STRINGS), name))


def _read_others_slowly(frame: DataFrame, others: Sequence[Feature], aliases: Mapping[str, str]) -> DataFrame:
    """Add, to rows not as expected, the slots of each feature that is no number, from the map of strings."""
    slow = ~F.col(Projected.AS_EXPECTED)
    cell = _slow_cell(aliases)
    with_moments = frame.withColumn(Projected.SLOW_MOMENTS, F.when(slow, moments(others, cell)))
    found = F.array(*slots(others, cell, F.col(Projected.SLOW_MOMENTS)))
    return with_moments.withColumn(Projected.SLOW_OTHERS, F.when(slow, found))


def _absent_others(others: Sequence[Feature]) -> Column:
    found = F.col(Projected.SLOW_OTHERS)
    return F.filter(_strings([feature.name for feature in others]), lambda _, i: found[i].isNull())


def _completed_others(others: Sequence[Feature]) -> Column:
    usual = stand_ins(others)
    return F.flatten(F.transform(F.col(Projected.SLOW_OTHERS), lambda found, i: F.coalesce(found, usual[i])))


def _parsed_cell(aliases: Mapping[str, str]) -> Cell:
    return lambda name: F.expr(_parsed_fields([_name_in_stream(name, aliases)])[0])


def _slow_cell(aliases: Mapping[str, str]) -> Cell:
    """An alias reads the new name first and still the old one, as with numbers."""
    strings = F.col(Projected.STRINGS)
    return lambda name: F.coalesce(
        F.element_at(strings, F.lit(_name_in_stream(name, aliases))), F.element_at(strings, F.lit(name))
    )


def _doubles(values: Sequence[float]) -> Column:
    return F.lit(list(values)) if values else F.array().cast(T.ArrayType(T.DoubleType()))


def _strings(values: Sequence[str]) -> Column:
    return F.lit(list(values)) if values else F.array().cast(T.ArrayType(T.StringType()))
