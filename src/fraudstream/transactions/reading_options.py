"""Defines how a user may override what is recognised in a data file."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from fraudstream.errors import SettingsError


class Decimal(StrEnum):
    """The decimal separator of a column's numbers."""

    POINT = "point"
    COMMA = "comma"


class DateOrder(StrEnum):
    """The order of day, month and year in a column's dates."""

    DMY = "dmy"
    MDY = "mdy"
    YMD = "ymd"


@dataclass(frozen=True)
class ReadingOptions:
    """The overrides; each default leaves it to what the files show.

    Attributes:
        fraud_value: The label's value that means fraud; every other value is legitimate.
        decimal: Decides on columns that can be read with either separator.
        date_order: Decides on columns whose dates can be read in several orders.
        encoding: A codec of Python; the default is UTF-8, or what a byte order mark says.
        delimiter: One character, of CSV files.
        skip_rows: Lines above the header of a CSV.
        has_header: False names the columns of a CSV c1, c2, ...; True accepts any header.
        skip_broken: The file for the broken rows, which are left out; None makes the first one an error.
        labels: A file that lists the frauds by id.
        label_key: The column with the id, in both.
    """

    fraud_value: str | None = None
    decimal: Decimal | None = None
    date_order: DateOrder | None = None
    encoding: str | None = None
    delimiter: str | None = None
    skip_rows: int = 0
    has_header: bool | None = None
    skip_broken: Path | None = None
    labels: Path | None = None
    label_key: str | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "ReadingOptions":
        """Convert texts to their types; `skip_broken` may be true. Raises SettingsError if a value is impossible."""
        given = {name: value for name, value in values.items() if value is not None and value is not False}
        if values.get("has_header") is False:
            given["has_header"] = False
        if given.get("skip_broken") in (True, ""):
            given["skip_broken"] = NAMED_AFTER_DATA
        try:
            return TypeAdapter(cls).validate_python(given)
        except ValidationError as e:
            first = e.errors(include_url=False)[0]
            name, message = str(first["loc"][0]), str(first["msg"])
            raise SettingsError(f"{name}: {message[:1].lower()}{message[1:]}", where="the options for data") from e


NAMED_AFTER_DATA: Final = Path()
"""Stands for a file of broken rows in the current directory, named after the data."""
AS_RECOGNISED: Final = ReadingOptions()
