"""Defines the labels of transactions as they are posted or imported, and as they are listed."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from fraudstream.messages.answers import Moment, Text, Time
from fraudstream.messages.base import Instant, Message
from fraudstream.messages.requests import MOST_RECORDS, ChangeId, Command
from fraudstream.transactions.cards import masked_text


def _without_card(event_id: str) -> str:
    if masked_text(event_id) != event_id:
        raise ValueError("holds a card number, which may not be stored")
    return event_id


class NewLabel(Message):
    """What a source says of a transaction. `known_at` is when it became known, by default now; `event_at` its time."""

    event_id: Annotated[ChangeId, AfterValidator(_without_card)]
    label: Literal["fraud", "legitimate", "unknown"] = Field(description="`unknown` withdraws what the source said")
    source: Literal["chargeback", "file"] = "chargeback"
    known_at: Instant | None = None
    event_at: Instant | None = None


class NewLabels(Command):
    """Store labels of transactions: all of them or none."""

    labels: Annotated[list[NewLabel], Field(min_length=1, max_length=MOST_RECORDS)]


@dataclass(frozen=True)
class StoredLabel:
    """What became known of a transaction, from which source and when; `event_at` is the transaction's time."""

    seq: int
    event_id: str
    label: Literal["fraud", "legitimate", "unknown"]
    source: Literal["verdict", "chargeback", "file"]
    event_at: Moment
    known_at: Time
    who: str


@dataclass(frozen=True)
class AddedLabels:
    """How many labels were new, by label, how many said nothing new, and the entry of the audit trail, if any."""

    added: dict[str, int]
    unchanged: int
    change_id: Text
