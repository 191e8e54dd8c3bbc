"""Defines how a user may override what is recognised in a data file."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, Field, ValidationError, field_validator

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


class ReadingOptions(BaseModel, frozen=True, extra="forbid"):
    """The overrides; each default leaves it to what the files show."""

    fraud_value: str | None = Field(None, description="The label's value that means fraud; any other is legitimate.")
    decimal: Decimal | None = Field(None, description="Decimal separator, where the file leaves it open.")
    date_order: DateOrder | None = Field(None, description="Order of dates, where the file leaves it open.")
    encoding: str | None = Field(
        None, description="Encoding of text files, as in cp1252.  [default: UTF-8, or by a byte order mark]"
    )
    delimiter: str | None = Field(None, description="Delimiter of CSV files; detected by default.")
    skip_rows: int = Field(0, ge=0, description="Lines above the header.")
    has_header: bool | None = Field(
        None, description="Without a header the columns are c1, c2, ...; --header takes the first row for one."
    )
    skip_broken: Path | None = Field(
        None, description="Leave out broken rows, and write them to FILE.  [NAME.broken.csv]"
    )
    labels: Path | None = Field(None, description="A file that lists the frauds by id.")
    label_key: str | None = Field(None, description="The column with the id, in --labels and in the data.")

    @field_validator("skip_broken", mode="before")
    @classmethod
    def _named_after_data(cls, value: Any) -> Any:
        return NAMED_AFTER_DATA if value in (True, "") else value or None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "ReadingOptions":
        """Convert texts to their types; `skip_broken` may be true. Raises SettingsError if a value is impossible."""
        try:
            return cls(**values)
        except ValidationError as e:
            first = e.errors(include_url=False)[0]
            name, message = str(first["loc"][0]), str(first["msg"])
            raise SettingsError(f"{name}: {message[:1].lower()}{message[1:]}", where="the options for data") from e


NAMED_AFTER_DATA: Final = Path()
"""Stands for a file of broken rows in the current directory, named after the data."""
AS_RECOGNISED: Final = ReadingOptions()
