"""Defines the queries and bodies of requests; an empty query value counts as absent, as in a form."""

import base64
import contextlib
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Self, get_origin
from urllib.parse import parse_qsl, urlencode

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
from werkzeug.datastructures import MultiDict

from fraudstream.errors import RequestError
from fraudstream.messages.base import Instant, Message, Written, instant, reason
from fraudstream.transactions.cards import masked_text
from fraudstream.transactions.masking import typed
from fraudstream.transactions.wire import RecordId

TIME, LATER = "2026-01-02T03:04:05Z", "2036-01-02T03:04:05Z"


def time_of(value: object) -> int:
    """Parse a time in ISO 8601 from a query to microseconds since 1970 (UTC)."""
    # In a query an unescaped + is a space: "T10:00:00+02:00" arrives as "T10:00:00 02:00".
    with contextlib.suppress(ValueError):
        return instant(value)
    return instant("+".join(value.rsplit(" ", 1)) if isinstance(value, str) else value)


def parameter(default: Any, example: object, about: str, **limits: Any) -> Any:
    """Define a parameter with an example value."""
    return Field(default, examples=[example], description=about, **limits)


def _digits(value: object) -> object:
    if isinstance(value, str) and not (value.isascii() and value.isdecimal()):
        raise ValueError("must be a whole number")
    return value


Whole = Annotated[int, BeforeValidator(_digits)]
Time = Annotated[int, BeforeValidator(time_of), WithJsonSchema({"type": "string"})]
Repeated = BeforeValidator(lambda value: value if isinstance(value, list) else [value])


class Query(BaseModel):
    """The parameters of a query, or of a JSON body with the same members."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True, str_max_length=1_000)

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, values: Any) -> Any:
        return (
            {name: each for name, each in values.items() if each not in ("", None)} if type(values) is dict else values
        )

    @classmethod
    def read(cls, args: MultiDict[str, str]) -> Self:
        """Parse the arguments of a request or URL; raises RequestError for an invalid value."""
        values: dict[str, str | list[str]] = {}
        for name, field in cls.model_fields.items():
            if texts := [value for value in args.getlist(name) if value]:
                values[name] = texts if get_origin(field.annotation) is list else texts[0]
        try:
            return cls.model_validate(values)
        except ValidationError as e:
            raise RequestError(reason(e)) from e


class Page(Query):
    """A page of a list, newest first."""

    limit: Whole = parameter(100, 10, "the page size", ge=1, le=1_000)
    cursor: Whole | None = parameter(None, 1, "the `next_cursor` of the previous page", ge=1, le=10**18)

    def following(self, seqs: Sequence[int]) -> str | None:
        """Return the cursor of the page after these rows; None on the last page."""
        return str(seqs[-1]) if len(seqs) == self.limit else None


MOST_ALERTS: Final = 1_000
"""Alerts that one request may change: every viewer receives all of the changes."""

MOST_RECORDS: Final = 10_000


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except ValueError as e:
        raise ValueError("must be base64") from e
    return text


def _record_reference(text: str) -> str:
    try:
        return str(RecordId.parse(text))
    except ValueError as e:
        raise ValueError("must be topic/partition/offset") from e


def _masked_query(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    return urlencode([(masked_text(name), masked_text(value)) for name, value in pairs])


Verdict = Literal["confirmed_fraud", "false_alarm", "unsure"]
ChangeId = Annotated[str, Field(min_length=1, max_length=240)]
AlertIds = Annotated[
    list[ChangeId], Field(min_length=1, max_length=MOST_ALERTS), AfterValidator(lambda ids: list(dict.fromkeys(ids)))
]
Why = Annotated[Written, Field(max_length=1_000)]
Note = Annotated[Written, Field(max_length=4_000)]
Column = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(typed)]
RecordReference = Annotated[str, AfterValidator(_record_reference)]
BatchId = Annotated[Written, Field(max_length=64)]


class Command(Message):
    """A request of a person; `who` is their name if neither session, header nor cookie has one."""

    who: str | None = None


class Release(Command):
    """Return claimed alerts to the queue."""

    alert_ids: AlertIds
    versions: dict[str, int] | None = Field(None, description="the known version of each; a changed alert is refused")


class Claim(Release):
    """Claim alerts."""

    take_over: bool = Field(False, description="also alerts that somebody else has claimed or decided")
    note: Note | Literal[""] | None = None


class Decide(Claim):
    """Set the verdict of alerts, if wanted with a reason code of that verdict."""

    status: Verdict
    reason_code: Annotated[str, Field(max_length=100)] | None = None


class Escalate(Claim):
    """Give alerts to somebody else."""

    to: str = Field(description="the name of that person")


class NeedInformation(Claim):
    """Keep alerts until the information that they need is due."""

    due_at: Instant


class PublishedVerdicts(Message):
    """The relay's position in the verdicts: 0 at first, then `until` of the previous response, once it is published."""

    until: Annotated[int, Field(ge=0, lt=2**53)]


class AddNote(Command):
    """Add a note to one alert."""

    alert_ids: Annotated[list[ChangeId], Field(min_length=1, max_length=1)]
    text: Note


class Undo(Command):
    """Undo a change; `take_over` is needed if somebody else made it."""

    change_id: ChangeId
    take_over: bool = False


class Introduction(Message):
    """The name of the person."""

    name: str


class NewView(Command):
    """Save a search of the review page under a name; it replaces one of the same name."""

    name: Annotated[Written, Field(max_length=60)]
    query: Annotated[str, Field(max_length=4_000), AfterValidator(_masked_query)]


class Acknowledgement(Command):
    """Acknowledge losses; `until_seq` is that of `losses` in `GET /api/system`."""

    until_seq: int
    why: Note | None = None


class NewThreshold(Command):
    """Deploy a threshold; `revision` is the one that the person saw, from `GET /api/what-if`."""

    threshold: float
    revision: int
    why: Why


class RemovedAlias(Command):
    """Remove an alias."""

    new: Column
    why: Annotated[str, Field(max_length=1_000), AfterValidator(typed)] | None = None


class Alias(RemovedAlias):
    """Read the column `new` as the feature `old`."""

    old: Column


class ReplayRequest(Command):
    """Replay records: those in `places`, or those that match a `filter` (a query string as for the list)."""

    why: Why
    places: Annotated[list[RecordReference], Field(min_length=1, max_length=MOST_RECORDS)] | None = None
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
                "set either places (a list of topic/partition/offset) or filter (a query string as for the list)"
            )
        if self.payload_base64 is not None and len(set(self.places or ())) != 1:
            raise ValueError("a corrected payload is for a single record: set exactly one in places")
        return self


class ReplayClaim(Message):
    """Claim replays to send; with `limit` 0 only count those that are waiting."""

    limit: Annotated[int, Field(ge=0, le=1_000)]
    batch: BatchId | None = None


class ReplayResult(Message):
    """The result of a replay: the `place` of the new record, or the `reason` why there is none."""

    replay_id: BatchId
    place: Why | None = None
    reason: Why | None = None

    @model_validator(mode="after")
    def _has_result(self) -> Self:
        if self.place is None and self.reason is None:
            raise ValueError("either place or reason is required")
        return self


class ReplayResults(Message):
    """The results of replays."""

    results: list[ReplayResult]
