"""What is posted of a sampled row: its set of columns and some values, never the row; `records.py` reads the record."""

import math
from collections.abc import Mapping
from typing import Any, Final

from fraudstream.transactions.drift import UNKNOWN, columns_of, id_of, listed
from fraudstream.transactions.wire import EventField

MOST_VALUES: Final = 256
"""Numbers of one row that are posted, so that a column can be known again under another name."""


def describe_columns(sample: Mapping[str, Any], row: object) -> dict[str, Any]:
    """The keys that a sample gains from its row, or from its columns' names where the row was too long to travel.

    `row` is what the sample carried, parsed; anything but an object where it carried none.
    """
    if isinstance(row, dict):
        columns = columns_of(row)
    elif isinstance(names := sample.get(EventField.COLUMNS), list):
        columns = {str(name): UNKNOWN for name in names}
    else:
        return {}
    told: dict[str, Any] = {
        EventField.SCHEMA_ID.value: id_of(columns),
        EventField.COLUMNS.value: listed(columns),
        EventField.COLUMN_COUNT.value: len(columns),
    }
    # Only a row that misses something can hold a renamed column.
    if sample.get(EventField.IMPUTED) and isinstance(row, dict):
        told[EventField.VALUES.value] = _numbers(row)
    return told


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for name, value in row.items():
        if len(numbers) == MOST_VALUES:
            break
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                number = float(value)
            except OverflowError:
                continue
            if math.isfinite(number):
                numbers[name] = number
    return numbers
