"""Converts a raw payment to the model's vector in Python, cell for cell like the Spark projection.

A test checks that the two agree.
"""

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from fraudstream.errors import DataError
from fraudstream.messages.base import Object
from fraudstream.model.manifest import Feature, FeatureType, by_component, date_orders
from fraudstream.transactions.amounts import MISSING_MARKS, parse_number
from fraudstream.transactions.data_source import DataSource
from fraudstream.transactions.notation import canonical_date, canonical_number
from fraudstream.transactions.reading_options import DateOrder, Decimal
from fraudstream.transactions.times import LAST_SECOND, SECONDS_PER_DAY, hours_and_weekdays, seconds_of_dates


class NumberText(str):
    """A number as written in the JSON text: 1.50 differs from 1.5 as a category."""

    __slots__ = ()


@dataclass(frozen=True)
class ReadCell:
    """A feature of one transaction.

    Attributes:
        column: The column that it was read from; the feature's own name if there was none.
        raw_value: The value as received; None if missing.
        components: Its components of the vector; the imputation value if nothing could be read.
    """

    feature: Feature
    column: str
    raw_value: Any
    components: tuple[float, ...]
    is_imputed: bool
    how: str


def parse_transaction(text: bytes | str) -> Object:
    """Parse a transaction's JSON, keeping numbers as written; NaN and infinities become text, as in the relay.

    Raises ValueError if it is not one JSON object.
    """
    row = json.loads(text, parse_int=NumberText, parse_float=NumberText, parse_constant=str)
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    return row


def plain(value: Any) -> Any:
    """Convert a raw value for display and JSON, with numbers as numbers."""
    if isinstance(value, NumberText):
        try:
            return int(value)
        except ValueError:
            return float(value)
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def read_cells(row: Mapping[str, Any], features: Sequence[Feature], aliases: Mapping[str, str]) -> list[ReadCell]:
    """Read every feature of a transaction, in the order of the vector's components."""
    new_names: dict[str, str] = {}
    for new, old in aliases.items():
        new_names.setdefault(old, new)
    orders = date_orders(features)
    return [_read(row, feature, new_names, orders) for feature in by_component(features)]


def _read(
    row: Mapping[str, Any], feature: Feature, new_names: Mapping[str, str], orders: Mapping[str, DateOrder | None]
) -> ReadCell:
    names = [name for name in (new_names.get(feature.name), feature.name) if name is not None]
    if feature.type is FeatureType.NUMBER:
        column, value, number = _first_number(row, names, feature.decimal)
        is_text = isinstance(value, str) and not isinstance(value, NumberText)
        how = "number sent as text" if is_text else "number"
        return _cell(feature, column, value, None if number is None else (number,), how)
    column, value = _first(row, names)
    text = _text(value)
    match feature.type:
        case FeatureType.CATEGORY:
            return _cell(feature, column, value, _one_hot(text, feature), "category")
        case FeatureType.TIME:
            seconds = moment(text, feature.clock, feature.date_order)
            components = None
            if seconds is not None:
                hour, weekday = hours_and_weekdays(np.array([seconds]))
                components = (float(hour[0]), float(weekday[0]))
            return _cell(feature, column, value, components, "hour of the day and weekday")
        case _:
            reference = str(feature.reference)
            _, until_cell = _first(row, [name for name in (new_names.get(reference), reference) if name is not None])
            since = moment(text, None, feature.date_order)
            until = moment(_text(until_cell), feature.clock, orders[reference])
            days = None if since is None or until is None else ((until - since) / SECONDS_PER_DAY,)
            return _cell(feature, column, value, days, f"days until {reference}")


def _cell(feature: Feature, column: str, value: Any, components: tuple[float, ...] | None, how: str) -> ReadCell:
    if components is not None:
        return ReadCell(feature, column, value, components, False, how)
    why = "missing" if value is None or value == "" else "cannot be read"
    return ReadCell(feature, column, value, feature.imputation, True, f"{why}: the typical value is used")


def _first_number(row: Mapping[str, Any], names: Sequence[str], decimal: Decimal) -> tuple[str, Any, float | None]:
    """Return the first name with a number, like Spark's `coalesce`."""
    for name in names:
        value = _value(row, name)
        if (number := _as_number(value, decimal)) is not None:
            return name, value, number
    column, value = _first(row, names)
    return column, value, None


def _first(row: Mapping[str, Any], names: Sequence[str]) -> tuple[str, Any]:
    for name in names:
        value = _value(row, name)
        if value is not None:
            return name, value
    return names[-1], None


def _value(row: Mapping[str, Any], name: str) -> Any:
    """Return the value of a name, None if it is absent; a dotted one is also looked up in a nested object.

    As in `reading.with_dotted_names`.
    """
    if name in row or "." not in name or set("'\\") & set(name):
        return row.get(name)
    outer, *inner = name.split(".")
    value = row.get(outer)
    if isinstance(value, str) and not isinstance(value, NumberText):
        with contextlib.suppress(ValueError):
            value = parse_transaction(value)
    for part in inner:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str | None:
    """Convert a value to text, as Spark reads it into a string."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return orjson.dumps(plain(value)).decode()


def _as_number(value: Any, decimal: Decimal) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        with contextlib.suppress(OverflowError):
            return float(value) if math.isfinite(value) else None
    if isinstance(value, NumberText):
        decimal = Decimal.POINT
    return _number_in(value, decimal) if isinstance(value, str) else None


def _number_in(text: str, decimal: Decimal = Decimal.POINT) -> float | None:
    if decimal is Decimal.POINT and (number := parse_number(text)) is not None:
        return number
    number = float(canonical_number(text.strip(" "), decimal) or math.nan)
    return number if math.isfinite(number) else None


def moment(text: str | None, clock: int | None, order: DateOrder | None) -> float | None:
    """Parse a date, or a clock that counts from 1970, as seconds since 1970."""
    if text is None:
        return None
    if clock is not None:
        number = _number_in(text)
        seconds = None if number is None else number / clock
        return seconds if seconds is not None and abs(seconds) <= LAST_SECOND else None
    trimmed = text.strip(" ")
    date = None if order is None else canonical_date(trimmed, order)
    parsed = seconds_of_dates([date or trimmed.removesuffix("\n")])
    return None if parsed is None or math.isnan(parsed[0]) else float(parsed[0])


def _one_hot(text: str | None, feature: Feature) -> tuple[float, ...] | None:
    if text is None or text.strip(" ") in MISSING_MARKS.difference(feature.values):
        return None
    index = feature.values.index(text) if text in feature.values else len(feature.values)
    return tuple(float(index == each) for each in range(len(feature.values) + 1))


def row_of(data: DataSource, row: int) -> Object:
    """Return a row by its number, from 0; raises DataError if the data cannot be used, or have no such row."""
    text = next(data.json_rows(row), None) if row >= 0 else None
    if text is None:
        raise DataError("the data have no such row", where=f"{data.name}, row {row}", remedy="rows are numbered from 0")
    return parse_transaction(text)
