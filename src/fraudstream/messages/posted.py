"""Defines and validates the records that the relay posts to the API."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Self, TypeVar

import orjson
from pydantic import BeforeValidator, Field, PlainValidator, ValidationError, WithJsonSchema, model_validator

from fraudstream.errors import RecordError
from fraudstream.messages.base import Id, Instant, Integer, Message, Object, Posted, reason
from fraudstream.messages.ledger import LedgerEntry
from fraudstream.transactions.amounts import amount_of
from fraudstream.transactions.presentable import MAX_PATHS, present
from fraudstream.transactions.wire import AlertField, EventType, Outcome

STORED_OUTCOMES: Final = (Outcome.ALERT, Outcome.UNSCORABLE)
RESERVED_KEYS: Final = frozenset({"seq", "work", "received_at", "conflict_of", "superseded"})
"""Keys that the store adds to an alert; posted ones are dropped."""


def _stored(value: object) -> Outcome:
    if value not in STORED_OUTCOMES:
        raise ValueError(f"must be {' or '.join(STORED_OUTCOMES)}")
    return Outcome(str(value))


def _partition(key: str) -> int:
    if not key.isdecimal() or len(key) > 9:
        raise ValueError("must be a partition")
    return int(key)


def _object_as_is(value: object) -> object:
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object")
    return value


StoredOutcome = Annotated[Outcome, BeforeValidator(_stored), WithJsonSchema({"enum": list(STORED_OUTCOMES)})]
Transaction = Annotated[Object, PlainValidator(_object_as_is), WithJsonSchema({"type": "object"})]
"""Not copied, unlike a dictionary field in pydantic: it has dozens of members of any type."""


class PostedAlert(Posted):
    """An alert or an unscorable transaction."""

    if TYPE_CHECKING:  # computed from the transaction by `model_post_init`; not members
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
    entity_ids: dict[str, str | None] | None = None
    history: dict[str, float | None] | None = None
    profile_date: str | None = None
    state_format: Integer | None = None
    as_text: list[str] | None = None

    def model_post_init(self, document: Any) -> None:
        """Store the JSON object without the reserved keys, the digest and the amount."""
        members = {key: value for key, value in document.items() if key not in RESERVED_KEYS}
        own = {"document": {AlertField.OUTCOME.value: self.outcome.value} | members}
        self.__dict__.update(own | {"digest": digest(self.transaction), "amount": amount_of(self.transaction)})

    @property
    def expected_loss(self) -> float | None:
        """Score times amount, if both are known: the mean loss if the transaction is approved."""
        return None if self.score is None or self.amount is None else self.score * self.amount


class Event(Posted):
    """An event of any type."""

    type: Annotated[str, Field(min_length=1, max_length=64)]
    event_id: Id | None = None


class Sample(Event):
    """A sampled transaction with its score."""

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
    """The watermarks of a partition: its first offset, and the offset after its last record."""

    begin: Integer | None = None
    end: Integer


class Scored(Message):
    """The scored position of a partition: the offset after the last record that was scored."""

    position: Integer


Partition = Annotated[int, BeforeValidator(_partition)]


class EndsEvent(Event):
    """The watermarks of the input topic, as read by the relay."""

    at_us: Instant | None = Field(None, alias="at")
    positions: dict[str, dict[Partition, Ends]]


class Progress(Event):
    """The scored positions of the detector."""

    positions: dict[str, dict[Partition, Scored]]


class DeadLetter(Posted):
    """A record that is not a JSON object, and its offset on the input topic."""

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
    """Validate a posted alert; values that cannot be stored and shown unchanged are replaced, in place, by their text.

    Raises RecordError if it cannot be stored; the reason names the key and the expected value.
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
    """Validate a posted event according to its type; raises RecordError like `check_alert`."""
    event = check_object(raw, "an event")
    return _checked(_EVENTS.get(str(event.get("type")), Event), event)


def check_dead_letter(raw: object) -> DeadLetter:
    """Validate a posted dead letter; raises RecordError like `check_alert`."""
    return _checked(DeadLetter, check_object(raw, "a dead letter"))


def check_entry(raw: object) -> LedgerEntry:
    """Validate a posted ledger entry; raises RecordError like `check_alert`."""
    return _checked(LedgerEntry, check_object(raw, "a ledger entry"))


def check_object(raw: object, what: str) -> Object:
    """Check that a posted record is a JSON object that can be written as JSON without loss.

    Raises RecordError if it is something else, nested too deeply, or has a number or text that JSON cannot represent.
    """
    record = _object(raw, what)
    if paths := present(record):
        raise RecordError(f"{paths[0]} cannot be written as JSON")
    return record


def digest(value: object) -> str:
    """Return a digest of a JSON value that does not depend on the order of keys."""
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
