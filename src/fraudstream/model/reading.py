"""How a row's JSON text is read: the one parse, how far it can be trusted, the map of strings where it cannot.

What becomes of the cells on the way to the model's vector is `projection.py`'s.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T


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
