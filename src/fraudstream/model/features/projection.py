"""From a row's JSON text to the model's vector, by name, alike in training, batch and stream.

How the text is read, and what a category or a time becomes, is `reading.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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

from fraudstream.model.features.reading import (
    NO_ALIASES,
    Cell,
    Projected,
    TrainingColumn,
    doubles,
    is_as_expected,
    lacks_only_values,
    moments,
    number_from_text,
    parse_row,
    parse_strings,
    parsed_fields,
    parsed_numbers,
    slots,
    stand_ins,
    strings_of,
    text_columns,
    with_dotted_names,
)
from fraudstream.model.manifest import Feature, FeatureType, by_component
from fraudstream.runtime.files import hadoop_path


def project(frame: DataFrame, features: Sequence[Feature], *, aliases: Mapping[str, str] = NO_ALIASES) -> DataFrame:
    """Add the model's vector to rows that carry their JSON in the string column `text`; other columns pass.

    `features` are in the manifest's order; `aliases` go from new column name to the feature's name. Adds `as_expected`,
    `only_missing`, `is_object`, `imputed` (names of the columns for which something stands in, in order) and `features`
    (dense vector of the slots of `by_slots(features)`).
    """
    wanted = _Wanted.of(features, aliases)
    numbers, as_expected = F.col(Projected.NUMBERS), F.col(Projected.AS_EXPECTED)
    only_missing = F.col(Projected.ONLY_MISSING)
    is_read = as_expected | only_missing
    own_names, medians = strings_of(wanted.own_names), doubles(wanted.medians)
    strings = with_dotted_names(parse_strings(F.col(Projected.TEXT)), wanted.columns)
    # Lambdas over arrays, not an expression per feature: the plan stays small, and with it the time to start.
    slow_numbers = F.transform(
        strings_of(wanted.names), lambda name, i: F.coalesce(_number_named(name), _number_named(own_names[i]))
    )
    read = (
        _read(frame, wanted)
        .withColumn(Projected.STRINGS, F.when(~is_read, strings))
        .withColumn(Projected.NUMBERS, F.when(is_read, parsed_numbers(wanted.names)).otherwise(slow_numbers))
    )
    absent = F.filter(own_names, lambda _, i: numbers[i].isNull())
    completed = F.transform(numbers, lambda number, i: F.coalesce(number, medians[i]))
    imputed = F.when(as_expected, strings_of([])).otherwise(absent)
    vector = F.when(as_expected, numbers).otherwise(completed)
    if wanted.others:
        read = _read_others_slowly(read, wanted, ~is_read)
        others = F.col(Projected.OTHERS)
        imputed = (
            F.when(as_expected, strings_of([]))
            .when(only_missing, absent)
            .otherwise(F.concat(absent, _absent_others(wanted.others)))
        )
        vector = (
            F.when(as_expected, F.concat(numbers, others))
            .when(only_missing, F.concat(completed, others))
            .otherwise(F.concat(completed, _completed_others(wanted.others)))
        )
    return read.withColumns(
        {
            Projected.IS_OBJECT: is_read | F.col(Projected.STRINGS).isNotNull(),
            Projected.IMPUTED: imputed,
            Projected.FEATURES: array_to_vector(vector),
        }
    ).drop(
        *(Projected.PARSED, Projected.MOMENTS, Projected.OTHERS, Projected.STRINGS, Projected.NUMBERS),
        *(Projected.SLOW_MOMENTS, Projected.SLOW_OTHERS),
    )


def screened_vector(
    frame: DataFrame, features: Sequence[Feature], missing_limit: int, *, aliases: Mapping[str, str] = NO_ALIASES
) -> DataFrame:
    """Add the vector of a row straight from its one parse, with `is_screened`: whether that vector is the row's own.

    The arguments are those of `project`; a row with more features missing than `missing_limit` is not screened. Adds
    `is_screened` and `features`: what stands in for missing values in all places where the row is not screened.
    """
    wanted = _Wanted.of(features, aliases)
    numbers, as_expected = F.col(Projected.NUMBERS), F.col(Projected.AS_EXPECTED)
    medians = doubles(wanted.medians)
    within_limit = F.size(F.filter(numbers, lambda number: number.isNull())) <= F.lit(missing_limit)
    is_screened = as_expected | (F.col(Projected.ONLY_MISSING) & within_limit)
    found = numbers
    completed = F.transform(numbers, lambda number, i: F.coalesce(number, medians[i]))
    if wanted.others:
        found = F.concat(found, F.col(Projected.OTHERS))
        completed = F.concat(completed, F.col(Projected.OTHERS))
    nothing = doubles([value for feature in by_component(features) for value in feature.stand_in])
    vector = F.when(as_expected, found).when(F.col(Projected.IS_SCREENED), completed).otherwise(nothing)
    return (
        _read(frame, wanted)
        .withColumn(Projected.NUMBERS, parsed_numbers(wanted.names))
        .withColumn(Projected.IS_SCREENED, is_screened)
        .withColumn(Projected.FEATURES, array_to_vector(vector))
        .drop(
            *(Projected.PARSED, Projected.MOMENTS, Projected.OTHERS, Projected.NUMBERS),
            *(Projected.AS_EXPECTED, Projected.ONLY_MISSING),
        )
    )


def split_by_type(features: Sequence[Feature]) -> tuple[list[Feature], list[Feature]]:
    """The numbers, and the features of the other types, in the order of their slots."""
    ordered = by_component(features)
    numbers = [feature for feature in ordered if feature.type is FeatureType.NUMBER]
    return numbers, list(ordered[len(numbers) :])


@dataclass(frozen=True)
class _Wanted:
    """What is looked for in a row.

    Attributes:
        names: The columns of the numbers in the stream, in the order of their slots.
        own_names: Their names in training.
        texts: The columns in the stream that `others` are made from.
        aliases: New column name to the feature's name.
    """

    names: tuple[str, ...]
    own_names: tuple[str, ...]
    medians: tuple[float, ...]
    others: tuple[Feature, ...]
    texts: tuple[str, ...]
    aliases: Mapping[str, str]

    @classmethod
    def of(cls, features: Sequence[Feature], aliases: Mapping[str, str]) -> _Wanted:
        numbers, others = split_by_type(features)
        return cls(
            names=tuple(_name_in_stream(feature.name, aliases) for feature in numbers),
            own_names=tuple(feature.name for feature in numbers),
            medians=tuple(feature.stand_in[0] for feature in numbers),
            others=tuple(others),
            texts=tuple(dict.fromkeys(_name_in_stream(name, aliases) for name in text_columns(others))),
            aliases=aliases,
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Every name that a cell may be found under."""
        return (*self.names, *self.own_names, *self.texts, *text_columns(self.others))


def _read(frame: DataFrame, wanted: _Wanted) -> DataFrame:
    """Parse the column `text` once and add `as_expected` and `only_missing`: what every row goes through.

    With features that are no numbers also `moments` and `others` (their slots, null where one is missing).
    """
    text, as_expected = F.col(Projected.TEXT), F.col(Projected.AS_EXPECTED)
    parsed = frame.withColumn(Projected.PARSED, parse_row(text, wanted.names, wanted.texts))
    expected = is_as_expected(text, wanted.names)
    lacking = lacks_only_values(text, wanted.names, wanted.own_names)
    if wanted.others:
        # A stage of its own for each, so that nothing is worked out twice: the optimizer keeps stages apart whose
        # results are used more than once.
        cell = _parsed_cell(wanted.aliases)
        parsed = parsed.withColumn(Projected.MOMENTS, moments(wanted.others, cell))
        found = F.concat(*slots(wanted.others, cell, F.col(Projected.MOMENTS)))
        parsed = parsed.withColumn(Projected.OTHERS, found)
        expected = expected & F.col(Projected.OTHERS).isNotNull()
        lacking = lacking & F.col(Projected.OTHERS).isNotNull()
    # The second is worked out for the rows that the first fails, and for no other.
    only_missing = F.when(~as_expected, lacking).otherwise(F.lit(False))
    return parsed.withColumn(Projected.AS_EXPECTED, expected).withColumn(Projected.ONLY_MISSING, only_missing)


def _name_in_stream(name: str, aliases: Mapping[str, str]) -> str:
    return next((new for new, old in aliases.items() if old == name), name)


def _number_named(name: Column) -> Column:
    return number_from_text(F.element_at(F.col(Projected.STRINGS), name))


def _read_others_slowly(frame: DataFrame, wanted: _Wanted, slow: Column) -> DataFrame:
    """Add, to the rows of the slow path, the slots of each feature that is no number, from the map of strings."""
    cell = _slow_cell(wanted.aliases)
    with_moments = frame.withColumn(Projected.SLOW_MOMENTS, F.when(slow, moments(wanted.others, cell)))
    found = F.array(*slots(wanted.others, cell, F.col(Projected.SLOW_MOMENTS)))
    return with_moments.withColumn(Projected.SLOW_OTHERS, F.when(slow, found))


def _absent_others(others: Sequence[Feature]) -> Column:
    found = F.col(Projected.SLOW_OTHERS)
    return F.filter(strings_of([feature.name for feature in others]), lambda _, i: found[i].isNull())


def _completed_others(others: Sequence[Feature]) -> Column:
    usual = stand_ins(others)
    return F.flatten(F.transform(F.col(Projected.SLOW_OTHERS), lambda found, i: F.coalesce(found, usual[i])))


def _parsed_cell(aliases: Mapping[str, str]) -> Cell:
    return lambda name: F.expr(parsed_fields([_name_in_stream(name, aliases)])[0])


def _slow_cell(aliases: Mapping[str, str]) -> Cell:
    """An alias reads the new name first and still the old one, as with numbers."""
    strings = F.col(Projected.STRINGS)
    return lambda name: F.coalesce(
        F.element_at(strings, F.lit(_name_in_stream(name, aliases))), F.element_at(strings, F.lit(name))
    )


_ROWS_PER_FILE: Final = 16_384


@dataclass(frozen=True)
class RowNotes:
    """What training knows of each row beside its columns; `weight` is how many rows of the whole it stands for."""

    is_fraud: NDArray[np.bool_]
    weight: NDArray[np.float64]
    part: NDArray[np.int8]


def write_training_rows(rows: Iterable[bytes], notes: RowNotes, directory: Path) -> None:
    """Write each row's JSON as the stream carries it, with its number and notes, as Parquet files of 16,384 rows."""
    schema = pa.schema(
        [
            (TrainingColumn.ROW, pa.int64()),
            (Projected.TEXT, pa.string()),
            (TrainingColumn.LABEL, pa.float64()),
            (TrainingColumn.WEIGHT, pa.float64()),
            (TrainingColumn.PART, pa.int8()),
        ]
    )
    for number, texts in enumerate(_batches(iter(rows))):
        start = number * _ROWS_PER_FILE
        batch = slice(start, start + len(texts))
        columns = [
            np.arange(batch.start, batch.stop),
            pa.array(texts, pa.binary()).cast(pa.string()),
            notes.is_fraud[batch].astype(np.float64),
            notes.weight[batch],
            notes.part[batch],
        ]
        pq.write_table(pa.table(columns, schema=schema), directory / f"rows-{number:06}.parquet", compression="lz4")


def read_rows(spark: SparkSession, directory: Path) -> DataFrame:
    """The written rows, each with its JSON."""
    # Said and not inferred: that would be one more job for a JVM that is still cold.
    schema = (
        f"{TrainingColumn.ROW} BIGINT, {Projected.TEXT} STRING, {TrainingColumn.LABEL} DOUBLE, "
        f"{TrainingColumn.WEIGHT} DOUBLE, {TrainingColumn.PART} TINYINT"
    )
    return spark.read.schema(schema).parquet(hadoop_path(directory))


def with_vectors(rows: DataFrame, features: Sequence[Feature]) -> DataFrame:
    """The rows of `read_rows` with their vectors in place of their JSON."""
    return project(rows, features).select(
        TrainingColumn.ROW, TrainingColumn.LABEL, TrainingColumn.WEIGHT, TrainingColumn.PART, Projected.FEATURES
    )


def _batches(rows: Iterator[bytes]) -> Iterator[list[bytes]]:
    while batch := list(islice(rows, _ROWS_PER_FILE)):
        yield batch
