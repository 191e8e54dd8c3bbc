"""Projects a transaction's JSON text onto the model's vector, by name, identically in training, batch and stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.ml.functions import array_to_vector
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from fraudstream.model.features import reading
from fraudstream.model.features.reading import NO_ALIASES, Cell, Projected, TrainingColumn
from fraudstream.model.manifest import Feature, FeatureType, by_component
from fraudstream.runtime.cluster import read_parquet
from fraudstream.transactions.reading_options import Decimal


def project(frame: DataFrame, features: Sequence[Feature], *, aliases: Mapping[str, str] = NO_ALIASES) -> DataFrame:
    """Add the model's vector to a frame with JSON in the string column `text`; other columns are passed through.

    `features` are in the manifest's order; `aliases` go from new column name to the feature's name. Adds `as_expected`,
    `only_missing`, `is_object`, `imputed` (names of the imputed columns, in order) and `features` (dense vector of the
    components of `by_component(features)`).
    """
    inputs = _InputColumns(features, aliases)
    numbers, is_read = F.col(Projected.NUMBERS), F.col(Projected.AS_EXPECTED) | F.col(Projected.ONLY_MISSING)
    own_names, medians = reading.strings_of(inputs.own_names), reading.doubles(inputs.medians)
    strings = reading.with_dotted_names(reading.parse_strings(F.col(Projected.TEXT)), inputs.columns)
    # Lambdas over arrays instead of an expression per feature keep the plan, and so the startup time, small.
    slow_numbers = F.transform(
        reading.strings_of(inputs.names), lambda name, i: _slow_number(inputs, name, own_names[i], i)
    )
    read = (
        _read(frame, inputs)
        .withColumn(Projected.STRINGS, F.when(~is_read, strings))
        .withColumn(Projected.JSON_NUMBERS, F.when(~is_read, _json_numbers(inputs)))
        .withColumn(Projected.NUMBERS, F.when(is_read, reading.parsed_numbers(inputs.names)).otherwise(slow_numbers))
    )
    absent = F.filter(own_names, lambda _, i: numbers[i].isNull())
    completed = F.transform(numbers, lambda number, i: F.coalesce(number, medians[i]))
    imputed, vector = absent, completed
    if inputs.others:
        others, slow_others = F.col(Projected.OTHERS), F.col(Projected.SLOW_OTHERS)
        # On the slow path, each feature that is not a number is read from the map of strings.
        cell = _slow_cell(inputs.aliases)
        read = read.withColumn(Projected.SLOW_MOMENTS, F.when(~is_read, reading.moments(inputs.others, cell)))
        encoded = F.array(*reading.components(inputs.others, cell, F.col(Projected.SLOW_MOMENTS)))
        read = read.withColumn(Projected.SLOW_OTHERS, F.when(~is_read, encoded))
        other_names = reading.strings_of([feature.name for feature in inputs.others])
        absent_others = F.filter(other_names, lambda _, i: slow_others[i].isNull())
        defaults = F.array(*(F.lit(list(feature.imputation)) for feature in inputs.others))
        completed_others = F.flatten(F.transform(slow_others, lambda other, i: F.coalesce(other, defaults[i])))
        imputed = F.when(is_read, absent).otherwise(F.concat(absent, absent_others))
        vector = F.concat(completed, F.when(is_read, others).otherwise(completed_others))
    return read.withColumns(
        {
            Projected.IS_OBJECT: is_read | F.col(Projected.STRINGS).isNotNull(),
            Projected.IMPUTED: imputed,
            Projected.FEATURES: array_to_vector(vector),
        }
    ).drop(
        *(Projected.PARSED, Projected.MOMENTS, Projected.OTHERS, Projected.STRINGS, Projected.NUMBERS),
        Projected.JSON_NUMBERS,
        *(Projected.SLOW_MOMENTS, Projected.SLOW_OTHERS),
    )


def screened_vector(
    frame: DataFrame, features: Sequence[Feature], missing_limit: int, *, aliases: Mapping[str, str] = NO_ALIASES
) -> DataFrame:
    """Add a transaction's vector from a single parse, and `is_screened`: whether that vector was read from its text.

    The arguments are those of `project`; a transaction with more features missing than `missing_limit` is not
    screened. Adds `is_screened` and `features`, which holds only imputation values if it is not screened.
    """
    inputs = _InputColumns(features, aliases)
    numbers, as_expected = F.col(Projected.NUMBERS), F.col(Projected.AS_EXPECTED)
    medians = reading.doubles(inputs.medians)
    within_limit = F.size(F.filter(numbers, lambda number: number.isNull())) <= F.lit(missing_limit)
    is_screened = as_expected | (F.col(Projected.ONLY_MISSING) & within_limit)
    observed = numbers
    completed = F.transform(numbers, lambda number, i: F.coalesce(number, medians[i]))
    if inputs.others:
        observed = F.concat(observed, F.col(Projected.OTHERS))
        completed = F.concat(completed, F.col(Projected.OTHERS))
    all_imputed = reading.doubles([value for feature in by_component(features) for value in feature.imputation])
    vector = F.when(as_expected, observed).when(F.col(Projected.IS_SCREENED), completed).otherwise(all_imputed)
    return (
        _read(frame, inputs)
        .withColumn(Projected.NUMBERS, reading.parsed_numbers(inputs.names))
        .withColumn(Projected.IS_SCREENED, is_screened)
        .withColumn(Projected.FEATURES, array_to_vector(vector))
        .drop(
            *(Projected.PARSED, Projected.MOMENTS, Projected.OTHERS, Projected.NUMBERS),
            *(Projected.AS_EXPECTED, Projected.ONLY_MISSING),
        )
    )


class _InputColumns:
    """The input columns to read from a transaction.

    Attributes:
        names: The columns of the numbers in the stream, in the order of their components.
        own_names: Their names in training.
        has_comma: Whether text in them has a decimal comma.
        texts: The columns in the stream that `others` are derived from.
        columns: Every name under which a cell may appear.
        aliases: New column name to feature name.
    """

    def __init__(self, features: Sequence[Feature], aliases: Mapping[str, str]) -> None:
        ordered = by_component(features)
        numbers = [feature for feature in ordered if feature.type is FeatureType.NUMBER]
        self.aliases, self.others = aliases, ordered[len(numbers) :]
        self.names = tuple(_name_in_stream(feature.name, aliases) for feature in numbers)
        self.own_names = tuple(feature.name for feature in numbers)
        self.medians = tuple(feature.imputation[0] for feature in numbers)
        self.has_comma = tuple(feature.decimal is Decimal.COMMA for feature in numbers)
        own_texts = reading.text_columns(self.others)
        self.texts = tuple(dict.fromkeys(_name_in_stream(name, aliases) for name in own_texts))
        self.columns = (*self.names, *self.own_names, *self.texts, *own_texts)


def _read(frame: DataFrame, inputs: _InputColumns) -> DataFrame:
    """Parse the column `text` once and add `as_expected` and `only_missing`, for every transaction.

    With features other than numbers also add `moments` and `others` (their components, null if one is missing).
    """
    text, as_expected = F.col(Projected.TEXT), F.col(Projected.AS_EXPECTED)
    parsed = frame.withColumn(Projected.PARSED, reading.parse_row(text, inputs.names, inputs.texts))
    expected = reading.is_as_expected(text, inputs.names)
    only_missing_values = reading.has_only_missing_values(text, inputs.names, inputs.own_names)
    if inputs.others:
        # One stage each, so that nothing is computed twice: the optimizer keeps stages separate if their results are
        # used more than once.
        cell = _parsed_cell(inputs.aliases)
        parsed = parsed.withColumn(Projected.MOMENTS, reading.moments(inputs.others, cell))
        others = F.concat(*reading.components(inputs.others, cell, F.col(Projected.MOMENTS)))
        parsed = parsed.withColumn(Projected.OTHERS, others)
        expected = expected & F.col(Projected.OTHERS).isNotNull()
        only_missing_values = only_missing_values & F.col(Projected.OTHERS).isNotNull()
    # The second check runs only for transactions that fail the first.
    only_missing = F.when(~as_expected, only_missing_values).otherwise(F.lit(False))
    return parsed.withColumn(Projected.AS_EXPECTED, expected).withColumn(Projected.ONLY_MISSING, only_missing)


def _name_in_stream(name: str, aliases: Mapping[str, str]) -> str:
    return next((new for new, old in aliases.items() if old == name), name)


def _number_named(name: Column, decimal: Decimal = Decimal.POINT) -> Column:
    return reading.number_from_text(F.element_at(F.col(Projected.STRINGS), name), decimal)


def _json_numbers(inputs: _InputColumns) -> Column:
    """Parse the numbers under the names in the stream and then in training, if any has a decimal comma.

    Null for what is sent as text. A dotted name is also that of a member of an object, whose text is in `strings`.
    """
    names = [*inputs.names, *inputs.own_names] if any(inputs.has_comma) else []
    if not names:
        return reading.doubles([])

    def number(row: Column, name: str) -> Column:
        outer, *inner = name.split(".")
        if not inner:
            return row[name]
        kind = T.StructType([T.StructField(inner[-1], T.DoubleType())])
        for part in reversed(inner[:-1]):
            kind = T.StructType([T.StructField(part, kind)])
        text = F.try_element_at(F.col(Projected.STRINGS), F.lit(outer))
        nested = F.from_json(text, kind, dict(reading.LENIENT_JSON))
        return F.coalesce(row[name], reduce(lambda column, part: column[part], inner, nested))

    # A lambda, so that the plan contains the parse once and not once per name.
    rows = F.array(reading.parse_row(reading.repaired(F.col(Projected.TEXT)), list(dict.fromkeys(names))))
    return F.transform(rows, lambda row: F.array(*(reading.finite(number(row, name)) for name in names)))[0]


def _slow_number(inputs: _InputColumns, name: Column, own_name: Column, index: Column) -> Column:
    """Read a number from the map of strings; with a decimal comma, a JSON number differs from the same text."""
    number = F.coalesce(_number_named(name), _number_named(own_name))
    if not any(inputs.has_comma):
        return number
    json_numbers, own_index = F.col(Projected.JSON_NUMBERS), index + F.lit(len(inputs.names))
    with_comma = F.coalesce(
        json_numbers[index],
        _number_named(name, Decimal.COMMA),
        json_numbers[own_index],
        _number_named(own_name, Decimal.COMMA),
    )
    return F.when(F.lit(list(inputs.has_comma))[index], with_comma).otherwise(number)


def _parsed_cell(aliases: Mapping[str, str]) -> Cell:
    return lambda name: F.expr(reading.parsed_fields([_name_in_stream(name, aliases)])[0])


def _slow_cell(aliases: Mapping[str, str]) -> Cell:
    """Read the alias first, then the original name, as for numbers."""
    strings = F.col(Projected.STRINGS)
    return lambda name: F.coalesce(
        F.element_at(strings, F.lit(_name_in_stream(name, aliases))), F.element_at(strings, F.lit(name))
    )


_ROWS_PER_FILE: Final = 16_384
_ROWS: Final = pa.schema(
    {
        TrainingColumn.ROW: pa.int64(),
        Projected.TEXT: pa.string(),
        TrainingColumn.LABEL: pa.float64(),
        TrainingColumn.WEIGHT: pa.float64(),
        TrainingColumn.PART: pa.int8(),
        TrainingColumn.IS_KNOWN: pa.bool_(),
    }
)


@dataclass(frozen=True)
class RowNotes:
    """Per-row training data besides the columns.

    `weight` is how many rows of the full data a row represents, `is_known` whether its label had arrived in time.
    """

    is_fraud: NDArray[np.bool_]
    weight: NDArray[np.float64]
    part: NDArray[np.int8]
    is_known: NDArray[np.bool_]


def write_training_rows(rows: Iterable[bytes], notes: RowNotes | None, directory: Path) -> None:
    """Write each row's JSON as in the stream, with its number and any notes, to Parquet files of 16,384 rows."""
    remaining, start = iter(rows), 0
    while texts := list(islice(remaining, _ROWS_PER_FILE)):
        batch = slice(start, start + len(texts))
        columns = [np.arange(batch.start, batch.stop), pa.array(texts, pa.binary()).cast(pa.string())]
        if notes is not None:
            fields = (notes.is_fraud.astype(np.float64), notes.weight, notes.part, notes.is_known)
            columns += [field[batch] for field in fields]
        file = directory / f"rows-{start // _ROWS_PER_FILE:06}.parquet"
        pq.write_table(pa.table(columns, schema=pa.schema(list(_ROWS)[: len(columns)])), file, compression="lz4")
        start = batch.stop


def read_rows(spark: SparkSession, directory: Path) -> DataFrame:
    """Read the rows that `write_training_rows` wrote; what was not noted is null."""
    return read_parquet(spark, directory, _ROWS)


def with_vectors(rows: DataFrame, features: Sequence[Feature]) -> DataFrame:
    """Replace the JSON of the rows of `read_rows` with their vectors."""
    return project(rows, features).select(*(name for name in _ROWS.names if name != Projected.TEXT), Projected.FEATURES)
