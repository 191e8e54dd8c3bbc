"""Defines the base class and common types of all messages, and formats validation errors."""

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from fraudstream.times import from_microseconds, microseconds, parse_time
from fraudstream.transactions.cards import masked_text

_PLAIN: Final = {
    "a valid string": "text",
    "a valid dictionary": "a JSON object",
    "a valid boolean": "true or false",
    "a valid integer": "an integer",
    "a valid number": "a number",
    "a valid list": "a list",
    "less than or equal to": "at most",
    "greater than or equal to": "at least",
}
"""Pydantic's terms, and those for readers who do not write Python."""


class Message(BaseModel):
    """A message with strict types; it is immutable, and ignores unknown members (from a later release)."""

    model_config = ConfigDict(strict=True, frozen=True)


def reason(error: ValidationError) -> str:
    """Describe why a message is invalid, in one line that starts with the name of the member."""
    first = error.errors(include_url=False, include_input=False)[0]
    member = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        message = "is missing"
    for term, plain in _PLAIN.items():
        message = message.replace(term, plain)
    message = re.sub("^(Input|String|List|Dictionary) should ", "must ", message)
    return f"{member} {message}" if member else message


def instant(value: Any) -> int:
    """Parse a time in ISO 8601 to microseconds since 1970 (UTC); raises ValueError."""
    try:
        at_us = microseconds(parse_time(value))
        from_microseconds(at_us)  # raises OverflowError for a time that only another zone can express
        return at_us
    except (TypeError, ValueError, OverflowError) as e:
        raise ValueError("must be a time in ISO 8601") from e


def _written(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return masked_text(text)


Instant = Annotated[int, BeforeValidator(instant), WithJsonSchema({"type": "string"})]
"""A time in ISO 8601, as microseconds since 1970 (UTC)."""

Integer = Annotated[int, Field(ge=-(2**53), le=2**53)]
"""An integer that every JSON parser reads exactly, also that of a browser (RFC 8259, section 6)."""

Id = Annotated[str, Field(min_length=1, max_length=200)]

Written = Annotated[str, AfterValidator(_written)]
"""Text that a person wrote: not blank, with card numbers masked."""

Object = dict[str, Any]
"""Any JSON object."""


class Posted(Message):
    """A posted record: its known members, and the whole JSON object as `document`, which is not a member."""

    @property
    def document(self) -> Object:
        """The JSON object that was validated."""
        document: Object = self.__dict__["document"]
        return document

    def model_post_init(self, document: Any) -> None:
        """Store the JSON object that was validated."""
        self.__dict__["document"] = document
