"""From a row's JSON text to the model's vector, by name, alike in training, batch and stream; `scoring/` scores it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from pyspark.ml.functions import array_to_vector
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T


class FeatureContract(Protocol):
    """What the projection needs of a feature of the manifest."""

    @property
    def name(self) -> str:
        """The column's name in training."""

    @property
    def median(self) -> float:
        """The training median, which stands in for a missing value."""


class Projected:
    """Names of the columns that the projection reads and adds."""

    TEXT: Final = "text"
    PARSED: Final = "parsed"
    AS_EXPECTED: Final = "as_expected"
    STRINGS: Final = "strings"
    IS_OBJECT: Final = "is_object"
    NUMBERS: Final = "numbers"
    IMPUTED: Final = "imputed"
    FEATURES: Final = "features"


NO_ALIASES: Final[Mapping[str, str]] = MappingProxyType({})

LARGEST_SQUARE_SUM = 1e200
"""Rows whose sum of squares is below this have finite values under 1e100, which no margin can overflow on."""

STRICT_JSON: Final = {"allowNonNumericNumbers": "false", "allowSingleQuotes": "false"}
LENIENT_JSON: Final = {"allowNonNumericNumbers": "true", "allowSingleQuotes": "false"}
"""NaN and Infinity, which Python and JavaScript write, are read (as missing), not refused."""

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_END = '{"end":"of row"}'


def parse_numbers(text: Column, names: Sequence[str]) -> Column:
    """One parse of the row into a struct of doubles, a field per feature; what is no number is null."""
    fields = [T.StructField(name, T.DoubleType()) for name in names]
    return F.from_json(text, T.StructType(fields), dict(LENIENT_JSON))


def is_as_expected(text: Column, names: Sequence[str]) -> Column:
    """True where each feature in `parsed` is a finite number below 1e100 and the text is one flat JSON object.

    One comparison stands for a check per column: null, NaN and infinity all fail it. The first closing brace must be
    the last character, since Spark's parser ignores whatever follows the first object.
    """
    squares = " + ".join(f"{field} * {field}" for field in _parsed_fields(names))
    finite = F.expr(f"coalesce({squares} < {LARGEST_SQUARE_SUM}D, false)")
    one_object = F.startswith(text, F.lit("{")) & (F.instr(text, "}") == F.length(text))
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


def number_from_text(text: Column) -> Column:
    """The finite number that a text spells ("1.5", " 2 ", "1e3"), else null; never an ANSI error."""
    trimmed = F.trim(text)
    number = F.when(trimmed.rlike(_NUMBER), trimmed.try_cast("double"))
    return F.when(F.abs(number) < F.lit(float("inf")), number)


def project(
    frame: DataFrame, features: Sequence[FeatureContract], *, aliases: Mapping[str, str] = NO_ALIASES
) -> DataFrame:
    """Add the model's vector to rows that carry their JSON in the string column `text`.

    Args:
        frame: Rows with the column `text`; other columns pass.
        features: The model's features in the manifest's order.
        aliases: New column name to the feature's name, for columns renamed in the stream.

    Returns:
        `frame` with `as_expected`, `is_object`, `imputed` (names filled with their median, in order) and
        `features` (dense vector).
    """
    names = names_in_stream(features, aliases)
    text, as_expected, numbers = F.col(Projected.TEXT), F.col(Projected.AS_EXPECTED), F.col(Projected.NUMBERS)
    own_names = F.lit([feature.name for feature in features])
    medians = F.lit([feature.median for feature in features])
    parsed = frame.withColumn(Projected.PARSED, parse_numbers(text, names))
    checked = parsed.withColumn(Projected.AS_EXPECTED, is_as_expected(text, names))
    with_strings = checked.withColumn(Projected.STRINGS, F.when(~as_expected, parse_strings(text)))
    # Lambdas over arrays, not an expression per feature: the plan stays small, and with it the time to start.
    slow_numbers = F.transform(
        F.lit(names), lambda name, i: F.coalesce(_number_named(name), _number_named(own_names[i]))
    )
    with_numbers = with_strings.withColumn(
        Projected.NUMBERS, F.when(as_expected, fast_numbers(names)).otherwise(slow_numbers)
    )
    absent = F.filter(own_names, lambda _, i: numbers[i].isNull())
    completed = F.transform(numbers, lambda number, i: F.coalesce(number, medians[i]))
    nothing = F.array().cast(T.ArrayType(T.StringType()))
    return with_numbers.withColumns(
        {
            Projected.IS_OBJECT: as_expected | F.col(Projected.STRINGS).isNotNull(),
            Projected.IMPUTED: F.when(as_expected, nothing).otherwise(absent),
            Projected.FEATURES: array_to_vector(F.when(as_expected, numbers).otherwise(completed)),
        }
    ).drop(Projected.PARSED, Projected.STRINGS, Projected.NUMBERS)


def expected_vector(as_expected: Column, features: Sequence[FeatureContract], names: Sequence[str]) -> Column:
    """The vector of a row as expected, straight from its one parse; the medians where it is not."""
    medians = F.lit([feature.median for feature in features])
    return array_to_vector(F.when(as_expected, fast_numbers(names)).otherwise(medians))


def fast_numbers(names: Sequence[str]) -> Column:
    """The fields of `parsed` as an array, in order."""
    return F.expr(f"array({', '.join(_parsed_fields(names))})")


def names_in_stream(features: Sequence[FeatureContract], aliases: Mapping[str, str]) -> list[str]:
    """The columns to read from the stream, in the order of the features."""
    return [_name_in_stream(feature.name, aliases) for feature in features]


def _parsed_fields(names: Sequence[str]) -> list[str]:
    # As SQL: one call into the JVM, where a Column per operation would be thousands.
    return [f"{Projected.PARSED}.`{name.replace('`', '``')}`" for name in names]


def _name_in_stream(name: str, aliases: Mapping[str, str]) -> str:
    return next((new for new, old in aliases.items() if old == name), name)


def _number_named(name: Column) -> Column:
    return number_from_text(F.element_at(F.col(Projected.STRINGS), name))
