"""Describes payment files before a training: what was recognised, and what each column would become."""

from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

import numpy as np
import orjson

from fraudstream.errors import DataError, LabelError
from fraudstream.model.features.leakage import reason_to_keep_out
from fraudstream.model.features.selection import choose_features
from fraudstream.model.training.split import split_in_time
from fraudstream.transactions.column_reader import ColumnProfile
from fraudstream.transactions.data_source import DataSource
from fraudstream.transactions.formats import ColumnKind
from fraudstream.transactions.label import CsvProfile, profile
from fraudstream.transactions.masking import DataMask


class Role(StrEnum):
    """What a column is to a model."""

    LABEL = "label"
    TIME = "time"
    FEATURE = "feature"
    IDENTIFIER = "identifier"
    LEAK = "leak"
    SECRET = "secret"  # noqa: S105 - it is none
    LEFT_OUT = "left out"


@dataclass(frozen=True)
class InspectedColumn:
    """A column of the files.

    Attributes:
        kind: Number, text, date, empty or label.
        notes: How its cells are written, if unusual.
        distinct: Its different values; None for a text with more than 1,000.
        role: What it would be to a model; `reason` is why it is no feature, or the feature's type.
        example: Its value in the first row that has one, masked where it must be.
    """

    name: str
    kind: str
    notes: str
    missing: int
    distinct: int | None
    role: Role
    reason: str
    example: Any


@dataclass(frozen=True)
class Inspection:
    """What was recognised in payment files.

    Attributes:
        dialect: What kind of files they are.
        time: What orders the rows; empty for the order of the file.
        label: The label column; empty if there is none.
        label_values: The values that mean fraud and legitimate.
    """

    name: str
    dialect: str
    files: tuple[str, ...]
    rows: int
    time: str
    time_from: str
    time_to: str
    label: str
    label_values: tuple[str, ...]
    frauds: int | None
    columns: tuple[InspectedColumn, ...]
    warnings: tuple[str, ...]


def inspect_source(source: DataSource, label: str | None) -> Inspection:
    """Profile the files and choose features as a training does, without a label if there is none.

    Raises DataError if a row cannot be read, or LabelError if the named label column is not there.
    """
    warnings: list[str] = []
    try:
        data = profile(source, label)
    except LabelError as e:
        if label is not None and label not in source.columns:
            raise
        warnings.append(f"leaks were not looked for, as there is no usable label: {e.what}; {e.remedy}")
        data = profile(source, is_labelled=False)
    if data.label.name:
        split = split_in_time(data.label.is_fraud, data.time)
        is_train = split.is_train
    else:
        is_train = np.ones(data.rows, np.bool_)
    try:
        choice = choose_features(data, is_train)
        features = {feature.name: feature.type.value for feature in choice.features}
        excluded = choice.excluded
        warnings += [leak.message for leak in choice.leaks]
    except DataError as e:
        features, excluded = {}, {}
        warnings.append(e.what)
    examples = _examples(source)
    time, seconds = data.time, None if data.time is None else data.time.values
    return Inspection(
        name=source.name,
        dialect=source.dialect,
        files=tuple(str(file.path) for file in source.files),
        rows=data.rows,
        time="" if time is None else time.column,
        time_from="" if time is None or seconds is None else time.format(float(seconds.min())),
        time_to="" if time is None or seconds is None else time.format(float(seconds.max())),
        label=data.label.name,
        label_values=(data.label.fraud, data.label.legitimate) if data.label.name else (),
        frauds=data.frauds if data.label.name else None,
        columns=tuple(
            InspectedColumn(
                name=column.name,
                kind=column.kind.value,
                notes=source.notes.get(column.name, ""),
                missing=column.missing,
                distinct=_distinct(column),
                role=_role(column, data, features, excluded.get(column.name, "")),
                reason=features.get(column.name, excluded.get(column.name, "")),
                example=examples.get(column.name),
            )
            for column in data.columns
        ),
        warnings=(*data.warnings, *warnings),
    )


def _role(column: ColumnProfile, data: CsvProfile, features: dict[str, str], reason: str) -> Role:
    if column.name == data.label.name:
        return Role.LABEL
    if data.time is not None and column.name in (data.time.column, *data.time.parts):
        return Role.TIME
    if column.name in features:
        return Role.FEATURE
    if reason_to_keep_out(column):
        return Role.SECRET
    if "(a leak)" in reason:
        return Role.LEAK
    return Role.IDENTIFIER if "identifier" in reason or "row number" in reason else Role.LEFT_OUT


def _distinct(column: ColumnProfile) -> int | None:
    if column.categories is not None:
        return len(column.categories.values)
    if column.kind is ColumnKind.LABEL:
        return 2
    return len(np.unique(column.values[~np.isnan(column.values)])) if len(column.values) else None


def _examples(source: DataSource) -> dict[str, Any]:
    """Return the first value of each column, masked as before a record is stored; secrets are absent."""
    examples: dict[str, Any] = {}
    for row in islice(source.json_rows(), 1_000):
        for name, value in orjson.loads(row).items():
            if value is not None and name not in examples:
                examples[name] = value
        if len(examples) == len(source.columns):
            break
    masked: dict[str, Any] = DataMask().record({"transaction": examples})["transaction"]
    return masked
