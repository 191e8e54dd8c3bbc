"""What the queries of the routes and pages share, as pydantic models; an empty value counts as absent, as in a form."""

import contextlib
from collections.abc import Sequence
from typing import Annotated, Any, Protocol, Self, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator

from fraudstream.errors import RequestError
from fraudstream.messages.base import instant, reason

TIME, LATER = "2026-01-02T03:04:05Z", "2036-01-02T03:04:05Z"


class Arguments(Protocol):
    """The arguments of a query, as werkzeug's MultiDict has them."""

    def getlist(self, key: str, /) -> list[str]:
        """The values under a name."""


def _digits(value: object) -> object:
    if isinstance(value, str) and not (value.isascii() and value.isdecimal()):
        raise ValueError("must be a whole number")
    return value


def time_of(value: object) -> int:
    """A time in ISO 8601 in a query, as microseconds since 1970 (UTC)."""
    # In a query an unescaped + means a blank: "T10:00:00+02:00" then arrives as "T10:00:00 02:00".
    with contextlib.suppress(ValueError):
        return instant(value)
    return instant("+".join(value.rsplit(" ", 1)) if isinstance(value, str) else value)


def parameter(default: Any, example: object, about: str, **limits: Any) -> Any:
    """A parameter with a value to try it with."""
    return Field(default, examples=[example], description=about, **limits)


Whole = Annotated[int, BeforeValidator(_digits)]
Time = Annotated[int, BeforeValidator(time_of), WithJsonSchema({"type": "string"})]
Repeated = BeforeValidator(lambda value: value if isinstance(value, list) else [value])


class Query(BaseModel):
    """The parameters of a query, or of a JSON body that may hold them."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True, str_max_length=1_000)

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, values: Any) -> Any:
        return (
            {name: each for name, each in values.items() if each not in ("", None)} if type(values) is dict else values
        )

    @classmethod
    def read(cls, args: Arguments) -> Self:
        """The query in the arguments of a request or an address; raises RequestError where a value makes no sense."""
        values: dict[str, Any] = {}
        for name, field in cls.model_fields.items():
            if texts := [value for value in args.getlist(name) if value]:
                values[name] = texts if get_origin(field.annotation) is list else texts[0]
        try:
            return cls.model_validate(values)
        except ValidationError as e:
            raise RequestError(reason(e)) from e


class Page(Query):
    """A page of a list, the newest first."""

    limit: Whole = parameter(100, 10, "how many", ge=1, le=1_000)
    cursor: Whole | None = parameter(None, 1, "the `next_cursor` of the page before", ge=1, le=10**18)

    def following(self, seqs: Sequence[int]) -> str | None:
        """The cursor of the page behind one that holds these; None where this is the last."""
        return str(seqs[-1]) if len(seqs) == self.limit else None
