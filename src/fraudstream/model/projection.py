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
    ONLY_MISSING: Final = "only_missing"
    IS_SCREENED: Final = "is_screened"
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

# What some writers make of a float that is no number, and Spark's parser does not read: inf, -nan, +Infinity.
_ODD_FLOAT = r"(?i)([:\[,]\s*)[+-]?(?:nan|inf|infinity)(?=\s*[,}\]])"
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
    return finite & _is_one_flat_object(text)


def lacks_only_values(text: Column, features: Sequence[FeatureContract], aliases: Mapping[str, str]) -> Column:
    """True where `parsed` is all that there is to know: a feature that is null there is absent from the text, or null.

    Such a row needs no second parse. A stream that has lost a column for good is scored at the rate of one that has
    not. What is not sure by a look at the text (a name that stands in it twice, an escape) is false.
    """
    numbers = fast_numbers(names_in_stream(features, aliases))
    finite = F.forall(numbers, lambda number: number.isNull() | (F.abs(number) < F.lit(LARGEST_SQUARE_SUM**0.5)))
    # One number at the least: of what is no JSON at all, the parse gives a row of nulls.
    was_read = F.exists(numbers, lambda number: number.isNotNull())
    plain = _is_one_flat_object(text) & (F.instr(text, "\\") == 0) & was_read
    # Under an alias the old name is looked for too.
    names = [{_name_in_stream(feature.name, aliases), feature.name} for feature in features]
    quoted = F.array(*(F.array(*(F.lit(f'"{name}"') for name in sorted(each))) for each in names))
    told = F.forall(
        F.arrays_zip(numbers.alias("number"), quoted.alias("names")),
        lambda each: each["number"].isNotNull() | F.forall(each["names"], lambda name: _says_nothing_of(text, name)),
    )
    return plain & finite & told


def _says_nothing_of(text: Column, quoted: Column) -> Column:
    """Whether a name in its quotes is not in the text, or stands there once and with null behind it."""
    once = F.length(text) - F.length(F.replace(text, quoted, F.lit(""))) == F.length(quoted)
    is_null = F.contains(text, F.concat(quoted, F.lit(":null"))) | F.contains(text, F.concat(quoted, F.lit(": null")))
    return ~F.contains(text, quoted) | (once & is_null)


def _is_one_flat_object(text: Column) -> Column:
    one_object = F.startswith(text, F.lit("{")) & (F.instr(text, "}") == F.length(text))
    return one_object & F.is_valid_utf8(text)


def parse_strings(text: Column, options: Mapping[str, str] = LENIENT_JSON) -> Column:
    """The row as a map of strings, the last of equal names; null where the text is not exactly one JSON object.

    Leniently, a row that cannot be read is read once more with its odd floats taken for null.
    """
    strings = _parse_strings(text, options)
    if options is LENIENT_JSON:
        repaired = F.when(F.is_valid_utf8(text), F.regexp_replace(text, _ODD_FLOAT, "$1null"))
        strings = F.coalesce(strings, _parse_strings(repaired, options))
    # An object may name a column twice: the last counts, as in the parse into numbers and for whoever reads the alert.
    return F.map_from_entries(F.map_entries(strings))


def _parse_strings(text: Column, options: Mapping[str, str]) -> Column:
    """The text is wrapped together with a sentinel.

    Spark's parser would otherwise accept an object with anything behind it, and an array of one object.
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
        `frame` with `as_expected`, `only_missing`, `is_object`, `imputed` (names filled with their median, in order)
        and `features` (dense vector).
    """
    names = names_in_stream(features, aliases)
    text, as_expected, numbers = F.col(Projected.TEXT), F.col(Projected.AS_EXPECTED), F.col(Projected.NUMBERS)
    is_read = as_expected | F.col(Projected.ONLY_MISSING)
    own_names = F.lit([feature.name for feature in features])
    medians = F.lit([feature.median for feature in features])
    with_strings = _checked(frame, features, aliases).withColumn(
        Projected.STRINGS,
        F.when(~is_read, _with_dotted_names(parse_strings(text), (*names, *dict.fromkeys(aliases.values())))),
    )
    # Lambdas over arrays, not an expression per feature: the plan stays small, and with it the time to start.
    slow_numbers = F.transform(
        F.lit(names), lambda name, i: F.coalesce(_number_named(name), _number_named(own_names[i]))
    )
    with_numbers = with_strings.withColumn(
        Projected.NUMBERS, F.when(is_read, fast_numbers(names)).otherwise(slow_numbers)
    )
    absent = F.filter(own_names, lambda _, i: numbers[i].isNull())
    completed = F.transform(numbers, lambda number, i: F.coalesce(number, medians[i]))
    nothing = F.array().cast(T.ArrayType(T.StringType()))
    return with_numbers.withColumns(
        {
            Projected.IS_OBJECT: is_read | F.col(Projected.STRINGS).isNotNull(),
            Projected.IMPUTED: F.when(as_expected, nothing).otherwise(absent),
            Projected.FEATURES: array_to_vector(F.when(as_expected, numbers).otherwise(completed)),
        }
    ).drop(Projected.PARSED, Projected.STRINGS, Projected.NUMBERS)


def screened_vector(
    frame: DataFrame,
    features: Sequence[FeatureContract],
    missing_limit: int,
    *,
    aliases: Mapping[str, str] = NO_ALIASES,
) -> DataFrame:
    """Add the vector of a row straight from its one parse, with `is_screened`: whether that vector is the row's own.

    Args:
        frame: Rows with the column `text`; other columns pass.
        features: The model's features in the manifest's order.
        missing_limit: A row with more features missing is not screened.
        aliases: As for `project`.

    Returns:
        `frame` with `is_screened` and `features`: the medians in all places where the row is not screened.
    """
    numbers, as_expected = F.col(Projected.NUMBERS), F.col(Projected.AS_EXPECTED)
    medians = F.lit([feature.median for feature in features])
    within_limit = F.size(F.filter(numbers, lambda number: number.isNull())) <= F.lit(missing_limit)
    # Not as a column of its own: it is to be worked out for the rows that are not as expected, and for no other.
    is_screened = as_expected | (F.col(Projected.ONLY_MISSING) & within_limit)
    completed = F.transform(numbers, lambda number, i: F.coalesce(number, medians[i]))
    return (
        _checked(frame, features, aliases)
        .withColumn(Projected.NUMBERS, fast_numbers(names_in_stream(features, aliases)))
        .withColumn(Projected.IS_SCREENED, is_screened)
        .withColumn(
            Projected.FEATURES,
            array_to_vector(
                F.when(as_expected, numbers).when(F.col(Projected.IS_SCREENED), completed).otherwise(medians)
            ),
        )
        .drop(Projected.PARSED, Projected.NUMBERS, Projected.AS_EXPECTED, Projected.ONLY_MISSING)
    )


def _checked(frame: DataFrame, features: Sequence[FeatureContract], aliases: Mapping[str, str]) -> DataFrame:
    """Add `parsed`, `as_expected` and `only_missing`."""
    text, names = F.col(Projected.TEXT), names_in_stream(features, aliases)
    only_missing = F.when(~F.col(Projected.AS_EXPECTED), lacks_only_values(text, features, aliases)).otherwise(False)
    return (
        frame.withColumn(Projected.PARSED, parse_numbers(text, names))
        .withColumn(Projected.AS_EXPECTED, is_as_expected(text, names))
        .withColumn(Projected.ONLY_MISSING, only_missing)
    )


def _with_dotted_names(strings: Column, names: Sequence[str]) -> Column:
    """The map of a row with what nested objects hold under the dotted names that are asked for.

    Args:
        strings: The row as a map of strings.
        names: The columns that are looked for; those without a dot are left alone.
    """
    dotted = [name for name in dict.fromkeys(names) if "." in name and not set("'\\") & set(name)]
    if not dotted:
        return strings
    nested: list[Column] = []
    for name in dotted:
        outer, *inner = name.split(".")
        path = "$" + "".join(f"['{part}']" for part in inner)
        nested += [F.lit(name), F.get_json_object(F.try_element_at(strings, F.lit(outer)), path)]
    # The row's own column of that very name comes last, and so it counts.
    return F.map_concat(F.create_map(*nested), strings)


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
