"""The queries and bodies of requests; an empty value of a query counts as absent, as in a form."""

import base64
import binascii
import contextlib
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Protocol, Self, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from fraudstream.errors import RequestError
from fraudstream.messages.base import Message, Written, instant, reason
from fraudstream.transactions.masking import typed
from fraudstream.transactions.wire import RecordId

TIME, LATER = "2026-01-02T03:04:05Z", "2036-01-02T03:04:05Z"


class Arguments(Protocol):
    """The arguments of a query, as werkzeug's MultiDict has them."""

    def getlist(self, key: str, /) -> list[str]:
        """The values under a name."""


def time_of(value: object) -> int:
    """A time in ISO 8601 in a query, as microseconds since 1970 (UTC)."""
    # In a query an unescaped + means a blank: "T10:00:00+02:00" then arrives as "T10:00:00 02:00".
    with contextlib.suppress(ValueError):
        return instant(value)
    return instant("+".join(value.rsplit(" ", 1)) if isinstance(value, str) else value)


def parameter(default: Any, example: object, about: str, **limits: Any) -> Any:
    """A parameter with a value to try it with."""
    return Field(default, examples=[example], description=about, **limits)


def _digits(value: object) -> object:
    if isinstance(value, str) and not (value.isascii() and value.isdecimal()):
        raise ValueError("must be a whole number")
    return value


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
        values: dict[str, str | list[str]] = {}
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


MOST_ALERTS: Final = 1_000
"""Alerts that one request may change: each viewer gets all of the changes."""

MOST_RECORDS: Final = 10_000


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as e:
        raise ValueError("must be base64") from e
    return text


def _place(text: str) -> str:
    try:
        return str(RecordId.parse(text))
    except ValueError as e:
        raise ValueError("must be topic/partition/offset") from e


Verdict = Literal["confirmed_fraud", "false_alarm", "unsure"]
ChangeId = Annotated[str, Field(min_length=1, max_length=240)]
AlertIds = Annotated[
    list[ChangeId], Field(min_length=1, max_length=MOST_ALERTS), AfterValidator(lambda ids: list(dict.fromkeys(ids)))
]
Why = Annotated[Written, Field(max_length=1_000)]
Note = Annotated[Written, Field(max_length=4_000)]
Column = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(typed)]
Place = Annotated[str, AfterValidator(_place)]
BatchId = Annotated[Written, Field(max_length=64)]


class Command(Message):
    """A request of a person; `who` names them where neither session, header nor cookie does."""

    who: str | None = None


class Release(Command):
    """Leave one's own alerts to others."""

    alert_ids: AlertIds
    versions: dict[str, int] | None = Field(None, description="the version that was seen of each; another is refused")


class Claim(Release):
    """Have alerts for oneself."""

    take_over: bool = Field(False, description="also what another has claimed or decided")


class Decide(Claim):
    """Decide alerts."""

    status: Verdict
    note: Note | Literal[""] | None = None


class AddNote(Command):
    """Write a note on one alert."""

    alert_ids: Annotated[list[ChangeId], Field(min_length=1, max_length=1)]
    text: Note


class Undo(Command):
    """Take a change back, another's only with `take_over`."""

    change_id: ChangeId
    take_over: bool = False


class Introduction(Message):
    """The name to act under."""

    name: str


class Acknowledgement(Command):
    """Have losses no longer reported; `until_seq` as `GET /api/system` has it in `losses`."""

    until_seq: int
    why: Note | None = None


class NewThreshold(Command):
    """Deploy a threshold; `revision` is the one that the person saw, as `GET /api/what-if` has it."""

    threshold: float
    revision: int
    why: Why


class RemovedAlias(Command):
    """Take an alias back."""

    new: Column
    why: Annotated[str, Field(max_length=1_000), AfterValidator(typed)] | None = None


class Alias(RemovedAlias):
    """Have the column `new` read as the feature `old`."""

    old: Column


class ReplayRequest(Command):
    """Have records sent again: those at `places`, or those that a `filter` (a query string as of the list) matches."""

    why: Why
    places: Annotated[list[Place], Field(min_length=1, max_length=MOST_RECORDS)] | None = None
    filter: str | None = None
    again: bool = Field(False, description="also those that were replayed before")
    dry_run: bool = Field(False, description="only count")
    payload_base64: Annotated[str, Field(max_length=16 * 1024 * 1024), AfterValidator(_base64)] | None = Field(
        None, description="a corrected value, for a single record"
    )

    @model_validator(mode="after")
    def _names_records(self) -> Self:
        if (self.places is None) == (self.filter is None):
            raise ValueError(
                "name places (a list of topic/partition/offset) or a filter (a query string as of the list)"
            )
        if self.payload_base64 is not None and len(set(self.places or ())) != 1:
            raise ValueError("a corrected payload takes the place of one record's: name one in places")
        return self


class ReplayClaim(Message):
    """Claim replays to send; with `limit` 0 only count those that wait."""

    limit: Annotated[int, Field(ge=0, le=1_000)]
    batch: BatchId | None = None


class ReplayResult(Message):
    """What became of a replay: the `place` of the new record, or the `reason` why there is none."""

    replay_id: BatchId
    place: Why | None = None
    reason: Why | None = None

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if self.place is None and self.reason is None:
            raise ValueError("reason must say why there is no place")
        return self


class ReplayResults(Message):
    """What became of replays."""

    results: list[ReplayResult]
