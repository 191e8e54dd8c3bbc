"""Posted records: what the relay posts to the API, checked once, when the store takes it."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Self, TypeVar

import orjson
from pydantic import BeforeValidator, Field, PlainValidator, ValidationError, WithJsonSchema, model_validator

from fraudstream.errors import RecordError
from fraudstream.messages.base import Id, Instant, Integer, Message, Object, reason
from fraudstream.transactions.amounts import amount_of
from fraudstream.transactions.presentable import MAX_PATHS, present
from fraudstream.transactions.wire import AlertField, EventType, Outcome

STORED_OUTCOMES: Final = (Outcome.ALERT, Outcome.UNSCORABLE)
RESERVED_KEYS: Final = frozenset({"seq", "work", "received_at", "conflict_of", "superseded"})
"""Keys that the store itself adds to an alert; posted ones are dropped."""


def _stored(value: object) -> Outcome:
    if value not in STORED_OUTCOMES:
        raise ValueError(f"must be {' or '.join(STORED_OUTCOMES)}")
    return Outcome(str(value))


def _partition(key: str) -> int:
    if not key.isdecimal() or len(key) > 9:
        raise ValueError("must be a partition")
    return int(key)


def _as_it_is(value: object) -> object:
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object")
    return value


StoredOutcome = Annotated[Outcome, BeforeValidator(_stored), WithJsonSchema({"enum": list(STORED_OUTCOMES)})]
Transaction = Annotated[Object, PlainValidator(_as_it_is), WithJsonSchema({"type": "object"})]
"""Not copied, as pydantic copies a dictionary: it has dozens of members of any type."""


class Posted(Message):
    """A posted record: the members that are known, and the whole JSON object as `document`, which is no member."""

    if TYPE_CHECKING:
        document: Object

    def model_post_init(self, document: Any) -> None:
        """Keep the JSON object that was checked."""
        self.__dict__["document"] = document


class PostedAlert(Posted):
    """An alert or an unscorable transaction."""

    if TYPE_CHECKING:  # made of the transaction by `model_post_init`, and no members
        digest: str
        amount: float | None

    alert_id: Id
    outcome: StoredOutcome = Outcome.ALERT
    transaction: Transaction
    score: Annotated[float, Field(ge=0, le=1)] | None = None
    threshold: float | None = None
    model_id: str | None = None
    revision: Integer | None = None
    schema_id: str | None = None
    topic: str | None = None
    partition: Integer | None = None
    offset: Integer | None = None
    source_row: Integer | None = None
    produced_us: Instant | None = Field(None, alias="produced_at")
    detected_us: Instant | None = Field(None, alias="detected_at")
    reason: str | None = None
    imputed: list[str] | None = None
    as_text: list[str] | None = None

    def model_post_init(self, document: Any) -> None:
        """Keep the JSON object without the keys that are the store's, and what is made of the transaction."""
        kept = {key: value for key, value in document.items() if key not in RESERVED_KEYS}
        own = {"document": {AlertField.OUTCOME.value: self.outcome.value} | kept}
        self.__dict__.update(own | {"digest": digest(self.transaction), "amount": amount_of(self.transaction)})

    @property
    def expected_loss(self) -> float | None:
        """Score times amount, where both are known: what is lost, on the average, by letting it pass."""
        return None if self.score is None or self.amount is None else self.score * self.amount


class Event(Posted):
    """An event of any type."""

    type: Annotated[str, Field(min_length=1, max_length=64)]
    event_id: Id | None = None


class Sample(Event):
    """A sampled transaction, as it was scored."""

    topic: str
    partition: Integer
    offset: Integer
    produced_us: Instant | None = Field(None, alias="produced_at")
    schema_id: Annotated[str, Field(min_length=1, max_length=32)] | None = None
    columns: dict[str, str] | None = None
    column_count: Integer | None = None
    outcome: str | None = None
    score: float | None = None
    threshold: float | None = None
    model_id: str | None = None
    revision: Integer | None = None
    imputed: list[str] | None = None
    values: Object | None = None

    @model_validator(mode="after")
    def _has_columns(self) -> Self:
        if self.schema_id is not None and self.columns is None:
            raise ValueError("columns must be a JSON object")
        return self


class Ends(Message):
    """The first offset of a partition, and the one after its last record."""

    begin: Integer | None = None
    end: Integer


class Scored(Message):
    """The offset of a partition after the last record that was scored."""

    position: Integer


Offsets = TypeVar("Offsets", Ends, Scored)
ByPartition = dict[str, dict[Annotated[int, BeforeValidator(_partition)], Offsets]]


class EndsEvent(Event):
    """The ends of the input topic's partitions, as the relay has read them."""

    at_us: Instant | None = Field(None, alias="at")
    positions: ByPartition[Ends]


class Progress(Event):
    """How far the detector has come."""

    positions: ByPartition[Scored]


class DeadLetter(Posted):
    """A record that is not a JSON object, and where it is on the input."""

    topic: Annotated[str, Field(min_length=1)]
    partition: Integer
    offset: Integer
    reason: str | None = None
    payload_base64: str | None = None


_EVENTS: Final[Mapping[object, type[Event]]] = {
    EventType.SAMPLE: Sample, EventType.POSITION: EndsEvent, EventType.PROGRESS: Progress,
}  # fmt: skip
_Posted = TypeVar("_Posted", bound=Posted)


def check_alert(raw: object) -> PostedAlert:
    """Check a posted alert, of which what cannot be stored and shown as it came is replaced, in place, by its text.

    Raises RecordError where it cannot be stored; the reason names the key and what it should be.
    """
    alert = _object(raw, "an alert")
    if as_text := present(alert):
        earlier = alert.get(AlertField.AS_TEXT) or []
        alert[AlertField.AS_TEXT.value] = [*earlier, *as_text][:MAX_PATHS] if isinstance(earlier, list) else earlier
    checked = _checked(PostedAlert, alert)
    if checked.score is None and checked.outcome is Outcome.ALERT:
        raise RecordError("score must be a number for an alert")
    return checked


def check_event(raw: object) -> Event:
    """Check a posted event as one of its type; raises a RecordError as `check_alert` does."""
    event = check_object(raw, "an event")
    return _checked(_EVENTS.get(str(event.get("type")), Event), event)


def check_dead_letter(raw: object) -> DeadLetter:
    """Check a posted dead letter; raises a RecordError as `check_alert` does."""
    return _checked(DeadLetter, check_object(raw, "a dead letter"))


def check_object(raw: object, what: str) -> Object:
    """The posted record as a JSON object that can be written as JSON again, down to its last number.

    Raises RecordError where it is something else, nested too deeply, or holds a number or text that JSON cannot carry.
    """
    record = _object(raw, what)
    if paths := present(record):
        raise RecordError(f"{paths[0]} cannot be written as JSON")
    return record


def digest(value: object) -> str:
    """A fingerprint of a JSON value that does not depend on the order of keys."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _object(raw: object, what: str) -> Object:
    if not isinstance(raw, dict):
        raise RecordError(f"{what} must be a JSON object")
    return raw


def _checked(model: type[_Posted], document: Object) -> _Posted:
    try:
        return model.model_validate(document, context=document)
    except ValidationError as e:
        raise RecordError(reason(e)) from e
