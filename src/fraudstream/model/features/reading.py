"""Parses a transaction's JSON text and encodes its features as vector components."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from fraudstream.model.manifest import Feature, FeatureType, date_orders
from fraudstream.transactions import notation
from fraudstream.transactions.amounts import MISSING_MARKS
from fraudstream.transactions.reading_options import DateOrder, Decimal
from fraudstream.transactions.times import DATE_PATTERN, LAST_SECOND, MONDAY, SECONDS_PER_DAY


class TrainingColumn:
    """Names of the training frame's columns, besides those of the projection."""

    ROW: Final = "row"
    LABEL: Final = "is_fraud"
    WEIGHT: Final = "weight"
    PART: Final = "part"
    IS_KNOWN: Final = "is_known"
    SCALED: Final = "scaled"
    SCORE: Final = "score"


class Projected:
    """Names of the columns that parsing and projection read and add."""

    TEXT: Final = "text"
    PARSED: Final = "parsed"
    MOMENTS: Final = "moments"
    OTHERS: Final = "others"
    AS_EXPECTED: Final = "as_expected"
    ONLY_MISSING: Final = "only_missing"
    IS_SCREENED: Final = "is_screened"
    STRINGS: Final = "strings"
    JSON_NUMBERS: Final = "json_numbers"
    IS_OBJECT: Final = "is_object"
    NUMBERS: Final = "numbers"
    SLOW_MOMENTS: Final = "slow_moments"
    SLOW_OTHERS: Final = "slow_others"
    IMPUTED: Final = "imputed"
    FEATURES: Final = "features"


NO_ALIASES: Final[Mapping[str, str]] = MappingProxyType({})

LARGEST_SQUARE_SUM: Final = 1e200
"""A sum of squares below this means finite values under 1e100, which cannot overflow any margin."""

STRICT_JSON: Final = {"allowNonNumericNumbers": "false", "allowSingleQuotes": "false"}
LENIENT_JSON: Final = {"allowNonNumericNumbers": "true", "allowSingleQuotes": "false"}
"""NaN and Infinity, which Python and JavaScript write, are read as missing instead of rejected."""

# Non-finite floats that some writers emit and Spark's parser rejects: inf, -nan, +Infinity.
_ODD_FLOAT: Final = r"(?i)([:\[,]\s*)[+-]?(?:nan|inf|infinity)(?=\s*[,}\]])"
_END: Final = '{"end":"of row"}'


def parse_row(text: Column, names: Sequence[str], texts: Sequence[str] = ()) -> Column:
    """Parse the text once into a struct: a double for each of `names`, a string for each of `texts`.

    A value that is not a number is null as a double; any value is text as a string.
    """
    fields = [T.StructField(name, T.DoubleType()) for name in names]
    fields += [T.StructField(name, T.StringType()) for name in texts]
    return F.from_json(text, T.StructType(fields), dict(LENIENT_JSON))


def parsed_fields(names: Sequence[str]) -> list[str]:
    """Return the fields of `parsed` as SQL: one JVM call, where a Column per operation would take thousands."""
    return [f"{Projected.PARSED}.`{name.replace('`', '``')}`" for name in names]


def parsed_numbers(names: Sequence[str]) -> Column:
    """Return the numbers of `parsed` as an array, in order."""
    return F.expr(f"array({', '.join(parsed_fields(names))})") if names else doubles([])


def is_as_expected(text: Column, names: Sequence[str]) -> Column:
    """Return true if each number in `parsed` is finite and below 1e100 and the text is one flat JSON object.

    A single comparison replaces a check per column: null, NaN and infinity all fail it.
    """
    if not names:
        return _is_one_flat_object(text)
    squares = " + ".join(f"{field} * {field}" for field in parsed_fields(names))
    return F.expr(f"coalesce({squares} < {LARGEST_SQUARE_SUM}D, false)") & _is_one_flat_object(text)


def has_only_missing_values(text: Column, names: Sequence[str], own_names: Sequence[str]) -> Column:
    """Return true if every number that is null in `parsed` is absent from the text or null there.

    Such a transaction needs no second parse, so a stream that has lost a column for good is scored at the same rate.
    Returns false if the text is ambiguous (a name that occurs twice, an escape). `own_names` are the names in
    training: with an alias, the original name is looked up too.
    """
    if not names:
        return F.lit(False)
    numbers = parsed_numbers(names)
    finite = F.forall(numbers, lambda number: number.isNull() | (F.abs(number) < F.lit(LARGEST_SQUARE_SUM**0.5)))
    # At least one number: for text that is not JSON, the parse returns a row of nulls.
    was_read = F.exists(numbers, lambda number: number.isNotNull())
    plain = _is_one_flat_object(text) & (F.instr(text, "\\") == 0) & was_read
    pairs = [sorted(set(pair)) for pair in zip(names, own_names, strict=True)]
    quoted = F.array(*(F.array(*(F.lit(f'"{name}"') for name in pair)) for pair in pairs))
    absences = F.forall(
        F.arrays_zip(numbers.alias("number"), quoted.alias("names")),
        lambda each: each["number"].isNotNull() | F.forall(each["names"], lambda name: _is_absent_or_null(text, name)),
    )
    return plain & finite & absences


def parse_strings(text: Column, options: Mapping[str, str] = LENIENT_JSON) -> Column:
    """Parse the text into a map of strings (of duplicate names the last); null if it is not exactly one JSON object.

    In lenient mode, a text that cannot be parsed is parsed again with its non-finite floats replaced by null.
    """
    strings = _parse_strings(text, options)
    if options is LENIENT_JSON:
        strings = F.coalesce(strings, _parse_strings(repaired(text), options))
    # If an object names a column twice, the last counts, as when parsing numbers and for readers of the alert.
    return F.map_from_entries(F.map_entries(strings))


def repaired(text: Column) -> Column:
    """Return the text with null in place of numbers that are no JSON; null if it is not UTF-8."""
    return F.when(F.is_valid_utf8(text), F.regexp_replace(text, _ODD_FLOAT, "$1null"))


def finite(number: Column) -> Column:
    """Return the number; null if it is infinite or none."""
    return F.when(F.abs(number) < F.lit(float("inf")), number)


def with_dotted_names(strings: Column, names: Sequence[str]) -> Column:
    """Add the values of nested objects to the map of strings, under the dotted names among `names`."""
    dotted = [name for name in dict.fromkeys(names) if "." in name and not set("'\\") & set(name)]
    if not dotted:
        return strings
    nested: list[Column] = []
    for name in dotted:
        outer, *inner = name.split(".")
        path = "$" + "".join(f"['{part}']" for part in inner)
        nested += [F.lit(name), F.get_json_object(F.try_element_at(strings, F.lit(outer)), path)]
    # The transaction's own column of that exact name comes last, so it wins.
    return F.map_concat(F.create_map(*nested), strings)


def doubles(values: Sequence[float]) -> Column:
    """Return an array of doubles, possibly empty."""
    return F.lit(list(values)) if values else F.array().cast(T.ArrayType(T.DoubleType()))


def strings_of(values: Sequence[str]) -> Column:
    """Return an array of strings, possibly empty."""
    return F.lit(list(values)) if values else F.array().cast(T.ArrayType(T.StringType()))


def _is_one_flat_object(text: Column) -> Column:
    """Require the first closing brace to be the last character: Spark's parser ignores text after the first object."""
    return F.startswith(text, F.lit("{")) & (F.instr(text, "}") == F.length(text)) & F.is_valid_utf8(text)


def _is_absent_or_null(text: Column, quoted: Column) -> Column:
    """Return whether a quoted name is not in the text, or occurs once, followed by null."""
    once = F.length(text) - F.length(F.replace(text, quoted, F.lit(""))) == F.length(quoted)
    is_null = F.contains(text, F.concat(quoted, F.lit(":null"))) | F.contains(text, F.concat(quoted, F.lit(": null")))
    return ~F.contains(text, quoted) | (once & is_null)


def _parse_strings(text: Column, options: Mapping[str, str]) -> Column:
    """Parse the text wrapped in an array with a sentinel.

    Spark's parser would otherwise accept an object followed by anything, and an array of one object.
    """
    wrapped = F.concat(F.lit("["), text, F.lit(f",{_END}]"))
    rows = F.from_json(wrapped, T.ArrayType(T.MapType(T.StringType(), T.StringType())), dict(options))
    # A lambda, so that the plan contains the parse once and not once per condition.
    whole = F.filter(F.array(rows), lambda each: (F.size(each) == 2) & (each[1]["end"] == F.lit("of row")))
    return F.when(F.is_valid_utf8(text), F.try_element_at(whole, F.lit(1))[0])


Cell = Callable[[str], Column]
"""The transaction's text for a column's name in training; null if there is none."""

_NUMBER: Final = r"^[+-]?([0-9]++(\.[0-9]*+)?|\.[0-9]++)([eE][+-]?[0-9]++)?\z"
"""Each digit can match in one way only: a megabyte of digits and a character would block the stream for minutes."""


def number_from_text(text: Column, decimal: Decimal = Decimal.POINT) -> Column:
    """Parse a finite number ("1.5", " 2 ", "1e3", "$1,009.53"); null for any other text, never an ANSI error."""
    trimmed = F.trim(text)
    written = _written_number(trimmed, decimal)
    plain = F.when(trimmed.rlike(_NUMBER), trimmed.try_cast("double"))
    return finite(written if decimal is Decimal.COMMA else F.coalesce(plain, written))


def _written_number(text: Column, decimal: Decimal) -> Column:
    """`notation.canonical_number` as a Spark expression."""
    pattern = f"^(?:{notation.NUMBER_PATTERNS[decimal]})\\z"
    prefix, digits, exponent, suffix = (F.regexp_extract(text, pattern, group) for group in (1, 2, 4, 5))
    plain = F.translate(F.regexp_replace(digits, f"[^0-9{notation.SEPARATORS[decimal]}]", ""), ",", ".")
    sign = F.when(F.concat(prefix, suffix).rlike(f"[{notation.NEGATIVE}]"), F.lit("-")).otherwise(F.lit(""))
    is_number = (F.length(text) <= F.lit(notation.LONGEST_TEXT)) & text.rlike(pattern)
    is_number = is_number & (F.contains(prefix, F.lit("(")) == F.contains(suffix, F.lit(")")))
    return F.when(is_number, F.concat(sign, plain, exponent).try_cast("double"))


def text_columns(features: Sequence[Feature]) -> list[str]:
    """Return the source columns of these features, by their names in training, without duplicates."""
    return list(dict.fromkeys(name for feature in features for name in (feature.name, feature.reference) if name))


def moments(features: Sequence[Feature], cell: Cell) -> Column:
    """Return the times that the features need as seconds since 1970, each computed once; null if missing."""
    orders = date_orders(features)
    seconds = (seconds_since_1970(cell(name), clock, orders[name]) for name, clock in _clocks(features))
    return F.array(*seconds).cast("array<double>")


def components(features: Sequence[Feature], cell: Cell, moments: Column) -> list[Column]:
    """Encode each feature (except numbers) as an array of its components; null if the transaction has no value.

    `cell` returns the transaction's texts; `moments` is the result of the function `moments` for the same arguments.
    """
    indexes = {clock: index for index, clock in enumerate(_clocks(features))}

    def of(feature: Feature) -> Column:
        if feature.type is FeatureType.CATEGORY:
            return _one_hot(cell(feature.name), feature)
        if feature.type is FeatureType.TIME:
            return _hour_and_weekday(moments[indexes[feature.name, feature.clock]])
        since, until = moments[indexes[feature.name, None]], moments[indexes[str(feature.reference), feature.clock]]
        days = (until - since) / F.lit(SECONDS_PER_DAY)
        return F.when(days.isNotNull(), F.array(days))

    return [of(feature) for feature in features]


def _clocks(features: Sequence[Feature]) -> list[tuple[str, int | None]]:
    """Return the time columns, with the units per second of those that are numbers."""
    clocks: list[tuple[str, int | None]] = []
    for feature in features:
        if feature.type is FeatureType.TIME:
            clocks.append((feature.name, feature.clock))
        elif feature.type is FeatureType.ELAPSED:
            clocks += [(feature.name, None), (str(feature.reference), feature.clock)]
    return list(dict.fromkeys(clocks))


def seconds_since_1970(text: Column, clock: int | None, order: DateOrder | None) -> Column:
    """Parse a time, a number with so many units per second or a date; null if it is none."""
    if clock is not None:
        seconds = number_from_text(text) / F.lit(float(clock))
        return F.when(F.abs(seconds) <= F.lit(LAST_SECOND), seconds)
    trimmed = F.trim(text)
    # The pattern rejects what Spark would also accept: a bare time of day would become one of today.
    iso = f"^{DATE_PATTERN}$"
    if order is not None:
        trimmed = F.when(trimmed.rlike(iso), trimmed).otherwise(_iso_date(trimmed, order))
    date = F.when(trimmed.rlike(iso), trimmed).try_cast("timestamp")
    return F.unix_micros(date) / F.lit(1e6)


def _iso_date(text: Column, order: DateOrder) -> Column:
    """`notation.canonical_date` as a Spark expression; a text that is no date becomes one that is none either."""
    pattern = f"^(?:{notation.DATE_PARTS})\\z"
    parts = [F.regexp_extract(text, pattern, group) for group in (1, 3, 4, 5, 6, 7, 8, 9)]
    hour, minute, second, half, zone = parts[3:]
    year, month, day = (parts[index] for index in notation.DATE_INDEXES[order])
    century = F.when(year >= F.lit(notation.LAST_CENTURY), F.lit("19")).otherwise(F.lit("20"))
    year = F.when(F.length(year) == 2, F.concat(century, year)).otherwise(year)
    twelve = hour.try_cast("int")
    of_day = (twelve % 12 + F.when(F.lower(half) == "p", F.lit(12)).otherwise(F.lit(0))).cast("string")
    hour = F.when(half == "", hour).when(twelve.between(1, 12), of_day).otherwise(F.lit("none"))
    seconds = F.when(second == "", F.lit("00")).otherwise(second)
    clock = F.concat_ws(":", _two_digits(hour), minute, seconds)
    time = F.concat(F.lit(" "), clock, F.replace(zone, F.lit("UTC"), F.lit("Z")))
    date = F.concat_ws("-", year, _two_digits(month), _two_digits(day))
    return F.concat(date, F.when(hour == "", F.lit("")).otherwise(time))


def _two_digits(number: Column) -> Column:
    return F.when(F.length(number) == 1, F.concat(F.lit("0"), number)).otherwise(number)


def _one_hot(text: Column, feature: Feature) -> Column:
    """Map each encoded value to its components; Spark folds the map into one literal, without a comparison per value.

    An empty text is a missing value, like an empty cell of a file, and so are the usual marks for one.
    """
    width = len(feature.values) + 1
    rows = [_unit(index, width) for index in range(width)]
    encoded = F.create_map(
        *(part for value, row in zip(feature.values, rows, strict=False) for part in (F.lit(value), row))
    )
    is_missing = F.trim(text).isin(sorted(MISSING_MARKS.difference(feature.values)))
    return F.when(~is_missing, F.coalesce(F.try_element_at(encoded, text), rows[-1]))


def _unit(index: int, width: int) -> Column:
    # Six JVM calls, where a literal of 31 doubles takes 31, and a category has 31 of these.
    zero = F.lit(0.0)
    return F.concat(F.array_repeat(zero, index), F.array(F.lit(1.0)), F.array_repeat(zero, width - index - 1))


def _hour_and_weekday(seconds: Column) -> Column:
    hour = F.pmod(seconds, F.lit(SECONDS_PER_DAY)) / F.lit(3600.0)
    weekday = F.pmod(F.floor(seconds / F.lit(SECONDS_PER_DAY)) + F.lit(MONDAY), F.lit(7)).cast("double")
    return F.when(seconds.isNotNull(), F.array(hour, weekday))
