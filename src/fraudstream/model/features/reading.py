"""How a row's JSON text is read: the one parse, how far it can be trusted, the map of strings where it cannot.

What becomes of the cells on the way to the model's vector is `projection.py`'s.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from fraudstream.model.manifest import Feature, FeatureType
from fraudstream.transactions.times import DATE_PATTERN, MONDAY, SECONDS_PER_DAY


class TrainingColumn:
    """Names of the columns of the training frame, beside those of the projection."""

    ROW: Final = "row"
    LABEL: Final = "is_fraud"
    WEIGHT: Final = "weight"
    PART: Final = "part"
    SCALED: Final = "scaled"
    SCORE: Final = "score"


class Projected:
    """Names of the columns that the reading and the projection take and add."""

    TEXT: Final = "text"
    PARSED: Final = "parsed"
    MOMENTS: Final = "moments"
    OTHERS: Final = "others"
    AS_EXPECTED: Final = "as_expected"
    ONLY_MISSING: Final = "only_missing"
    IS_SCREENED: Final = "is_screened"
    STRINGS: Final = "strings"
    IS_OBJECT: Final = "is_object"
    NUMBERS: Final = "numbers"
    SLOW_MOMENTS: Final = "slow_moments"
    SLOW_OTHERS: Final = "slow_others"
    IMPUTED: Final = "imputed"
    FEATURES: Final = "features"


NO_ALIASES: Final[Mapping[str, str]] = MappingProxyType({})

LARGEST_SQUARE_SUM: Final = 1e200
"""Rows whose sum of squares is below this have finite values under 1e100, which no margin can overflow on."""

STRICT_JSON: Final = {"allowNonNumericNumbers": "false", "allowSingleQuotes": "false"}
LENIENT_JSON: Final = {"allowNonNumericNumbers": "true", "allowSingleQuotes": "false"}
"""NaN and Infinity, which Python and JavaScript write, are read (as missing), not refused."""

# What some writers make of a float that is no number, and Spark's parser does not read: inf, -nan, +Infinity.
_ODD_FLOAT: Final = r"(?i)([:\[,]\s*)[+-]?(?:nan|inf|infinity)(?=\s*[,}\]])"
_END: Final = '{"end":"of row"}'


def parse_row(text: Column, names: Sequence[str], texts: Sequence[str] = ()) -> Column:
    """One parse of the row into a struct: a double for each of `names`, a string for each of `texts`.

    What is no number is null in the first, and whatever stands there is text in the second.
    """
    fields = [T.StructField(name, T.DoubleType()) for name in names]
    fields += [T.StructField(name, T.StringType()) for name in texts]
    return F.from_json(text, T.StructType(fields), dict(LENIENT_JSON))


def parsed_fields(names: Sequence[str]) -> list[str]:
    """The fields of `parsed` as SQL: one call into the JVM, where a Column per operation would be thousands."""
    return [f"{Projected.PARSED}.`{name.replace('`', '``')}`" for name in names]


def parsed_numbers(names: Sequence[str]) -> Column:
    """The numbers of `parsed` as an array, in order."""
    return F.expr(f"array({', '.join(parsed_fields(names))})") if names else doubles([])


def is_as_expected(text: Column, names: Sequence[str]) -> Column:
    """True where each number in `parsed` is finite and below 1e100 and the text is one flat JSON object.

    One comparison stands for a check per column: null, NaN and infinity all fail it.
    """
    if not names:
        return _is_one_flat_object(text)
    squares = " + ".join(f"{field} * {field}" for field in parsed_fields(names))
    finite = F.expr(f"coalesce({squares} < {LARGEST_SQUARE_SUM}D, false)")
    return finite & _is_one_flat_object(text)


def lacks_only_values(text: Column, names: Sequence[str], own_names: Sequence[str]) -> Column:
    """True where `parsed` is all that there is to know: a number that is null there is absent from the text, or null.

    Such a row needs no second parse. A stream that has lost a column for good is scored at the rate of one that has
    not. What is not sure by a look at the text (a name that stands in it twice, an escape) is false. `own_names` are
    the names in training: under an alias the old name is looked for too.
    """
    if not names:
        return F.lit(False)
    numbers = parsed_numbers(names)
    finite = F.forall(numbers, lambda number: number.isNull() | (F.abs(number) < F.lit(LARGEST_SQUARE_SUM**0.5)))
    # One number at the least: of what is no JSON at all, the parse gives a row of nulls.
    was_read = F.exists(numbers, lambda number: number.isNotNull())
    plain = _is_one_flat_object(text) & (F.instr(text, "\\") == 0) & was_read
    pairs = [sorted(set(pair)) for pair in zip(names, own_names, strict=True)]
    quoted = F.array(*(F.array(*(F.lit(f'"{name}"') for name in pair)) for pair in pairs))
    told = F.forall(
        F.arrays_zip(numbers.alias("number"), quoted.alias("names")),
        lambda each: each["number"].isNotNull() | F.forall(each["names"], lambda name: _says_nothing_of(text, name)),
    )
    return plain & finite & told


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


def with_dotted_names(strings: Column, names: Sequence[str]) -> Column:
    """The map of strings of a row, with what nested objects hold under the dotted ones among `names`."""
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


def doubles(values: Sequence[float]) -> Column:
    """An array of doubles, which may be empty."""
    return F.lit(list(values)) if values else F.array().cast(T.ArrayType(T.DoubleType()))


def strings_of(values: Sequence[str]) -> Column:
    """An array of texts, which may be empty."""
    return F.lit(list(values)) if values else F.array().cast(T.ArrayType(T.StringType()))


def _is_one_flat_object(text: Column) -> Column:
    """The first closing brace must be the last character: Spark's parser ignores whatever follows the first object."""
    one_object = F.startswith(text, F.lit("{")) & (F.instr(text, "}") == F.length(text))
    return one_object & F.is_valid_utf8(text)


def _says_nothing_of(text: Column, quoted: Column) -> Column:
    """Whether a name in its quotes is not in the text, or stands there once and with null behind it."""
    once = F.length(text) - F.length(F.replace(text, quoted, F.lit(""))) == F.length(quoted)
    is_null = F.contains(text, F.concat(quoted, F.lit(":null"))) | F.contains(text, F.concat(quoted, F.lit(": null")))
    return ~F.contains(text, quoted) | (once & is_null)


def _parse_strings(text: Column, options: Mapping[str, str]) -> Column:
    """The text is wrapped together with a sentinel.

    Spark's parser would otherwise accept an object with anything behind it, and an array of one object.
    """
    wrapped = F.concat(F.lit("["), text, F.lit(f",{_END}]"))
    rows = F.from_json(wrapped, T.ArrayType(T.MapType(T.StringType(), T.StringType())), dict(options))
    # Through a lambda, so that the parse stands once in the plan and not once per condition on it.
    whole = F.filter(F.array(rows), lambda each: (F.size(each) == 2) & (each[1]["end"] == F.lit("of row")))
    return F.when(F.is_valid_utf8(text), F.try_element_at(whole, F.lit(1))[0])


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
