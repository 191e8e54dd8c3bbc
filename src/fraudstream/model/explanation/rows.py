"""One row of a CSV as the stream would carry it, to be explained."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from fraudstream.errors import DataError
from fraudstream.model.explanation.cells import parse_transaction
from fraudstream.transactions.csv_source import open_csv


def row_of(data: Path, row: int) -> dict[str, Any]:
    """The row of that number, from 0.

    Raises:
        DataError: The CSV cannot be used, or has no such row.
    """
    text = next(itertools.islice(open_csv(data).json_rows(row), 1), None)
    if text is None:
        raise DataError("the CSV has no such row", where=f"{data}, row {row}", remedy="rows are counted from 0")
    return parse_transaction(text)
