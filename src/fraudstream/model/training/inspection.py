"""Describes payment files before a training: what was recognised, and what each column would become."""

from collections.abc import Mapping
from enum import StrEnum
from itertools import islice
from typing import Any

import numpy as np
import orjson

from fraudstream.errors import DataError, LabelError
from fraudstream.messages.base import Object
from fraudstream.model.features.leakage import reason_to_keep_out
from fraudstream.model.features.selection import choose_features
from fraudstream.model.training.split import split_in_time
from fraudstream.transactions.data_source import DataSource
from fraudstream.transactions.formats import ColumnKind
from fraudstream.transactions.label import ColumnProfile, CsvProfile, profile
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


def inspect_source(source: DataSource, label: str | None) -> Object:
    """Profile the files and choose features as a training does, without a label if there is none; return JSON.

    Raises DataError if a row cannot be read, or SettingsError if the named label column is not there.
    """
    warnings: list[str] = []
    try:
        data = profile(source, label)
    except LabelError as e:
        warnings.append(f"leaks were not looked for, as there is no usable label: {e.what}; {e.remedy}")
        data = profile(source, is_labelled=False)
    marked, time = data.label, data.time
    is_train = split_in_time(marked.is_fraud, time).is_train if marked.name else np.ones(data.rows, np.bool_)
    features: dict[str, str] = {}
    excluded: Mapping[str, str] = {}
    try:
        choice = choose_features(data, is_train)
        features = {feature.name: feature.type.value for feature in choice.features}
        excluded = choice.excluded
        warnings += [*choice.warnings, *(leak.message for leak in choice.leaks)]
    except DataError as e:
        warnings.append(e.what)
    examples = _examples(source)
    columns = [
        {
            "name": column.name,
            "kind": column.kind.value,
            "format": source.notes.get(column.name, ""),
            "missing": column.missing,
            "distinct": _distinct(column),
            "role": _role(column, data, features, excluded.get(column.name, "")),
            "reason": features.get(column.name, excluded.get(column.name, "")),
            "example": examples.get(column.name),
        }
        for column in data.columns
    ]
    return {
        "data": source.name,
        "dialect": source.dialect,
        "files": [str(file.path) for file in source.files],
        "rows": data.rows,
        "time": time and {
            "column": time.column,
            "start": time.format(float(time.values.min())),
            "end": time.format(float(time.values.max())),
        },
        "label": {
            "column": marked.name, "fraud": marked.fraud, "legitimate": marked.legitimate, "frauds": data.frauds,
            "delay_seconds": data.label_delay,
        } if marked.name else None,
        "columns": columns,
        "warnings": [*data.warnings, *warnings],
    }  # fmt: skip


def _role(column: ColumnProfile, data: CsvProfile, features: Mapping[str, str], reason: str) -> Role:
    if column.kind is ColumnKind.LABEL:
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
    """Count the different values; None for a text with more than 1,000."""
    if column.categories is not None:
        return len(column.categories.values)
    if column.kind is ColumnKind.LABEL:
        return 2
    return len(np.unique(column.values[~np.isnan(column.values)])) if len(column.values) else None


def _examples(source: DataSource) -> Mapping[str, Any]:
    """Return the first value of each column, masked as before a record is stored; secrets are absent."""
    examples: dict[str, Any] = {}
    for row in islice(source.json_rows(), 1_000):
        examples = {name: value for name, value in orjson.loads(row).items() if value is not None} | examples
    masked: Mapping[str, Any] = DataMask().record({"transaction": examples})["transaction"]
    return masked
