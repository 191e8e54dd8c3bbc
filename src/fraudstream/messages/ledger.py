"""An entry of the ledger: the outcome of one partition's share of one committed batch; `wire.py` names its topic."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, Field, NonNegativeInt, ValidationError, model_validator

from fraudstream.errors import DataError
from fraudstream.messages.base import Id, Message, Object, reason


class EntryKind(StrEnum):
    """What an entry accounts for: records that were judged, or records that were gone before anybody read them."""

    BATCH = "batch"
    LOSS = "loss"


class Source(StrEnum):
    """Where an entry's counts come from: the query itself, or the range scored again because a crash took them."""

    OBSERVED = "observed"
    SCORED_AGAIN = "scored_again"


Count = Annotated[int, Field(ge=0, le=2**53)]
"""Up to what every reader of JSON takes for the same number, a browser's JavaScript too (RFC 8259, section 6)."""


class LedgerEntry(Message):
    """The offsets `from_offset` to `until_offset` (exclusive) of a partition, and how many ended in which outcome.

    Attributes:
        entry_id: The same for the same batch and partition, whenever it is written: a replay counts once.
        topic_id: Kafka's id of it: a topic that was deleted and made anew has another.
        records: Records there; fewer than the offsets where Kafka keeps markers of its own, or lost some.
        batch_id: The batch's number in that checkpoint.
        committed_at: ISO 8601 in UTC.
        reason: Why records were lost; empty for a batch.
    """

    entry_id: Id
    kind: Annotated[EntryKind, Field(strict=False)]
    topic: str
    topic_id: str
    partition: Annotated[int, Field(ge=0, lt=2**31)]
    from_offset: Count
    until_offset: Count
    records: Count = 0
    clear: Count = 0
    alert: Count = 0
    unscorable: Count = 0
    dead_letter: Count = 0
    checkpoint_id: str = ""
    batch_id: int = -1
    model_id: str = ""
    revision: int = 0
    threshold: float = 0.0
    aliases: dict[str, str] = Field(default_factory=dict)
    committed_at: str = ""
    source: Annotated[Source, Field(strict=False)] = Source.OBSERVED
    reason: str = ""

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.from_offset > self.until_offset:
            raise ValueError("from_offset must be at most until_offset")
        return self

    @property
    def offsets(self) -> int:
        """How many offsets it covers."""
        return self.until_offset - self.from_offset

    def to_json(self) -> bytes:
        """As it stands on the topic and is posted to the API."""
        return self.model_dump_json().encode()


def batch_entry_id(checkpoint_id: str, batch_id: int, partition: int) -> str:
    """The id of a batch's entry."""
    return f"{checkpoint_id}/{batch_id}/{partition}"


def loss_entry_id(topic_id: str, partition: int, from_offset: int, until_offset: int) -> str:
    """The id of a loss: the same loss, seen again after a restart, is the same entry."""
    return f"loss/{topic_id}/{partition}/{from_offset}/{until_offset}"


def parse_entry(value: bytes | str | Object) -> LedgerEntry:
    """Read an entry, from JSON text or from a JSON object; keys of later releases are ignored.

    Raises DataError where it is not what `LedgerEntry.to_json` writes.
    """
    try:
        if isinstance(value, dict):
            return LedgerEntry.model_validate(value)
        return LedgerEntry.model_validate_json(value)
    except ValidationError as e:
        raise DataError(f"not an entry of the ledger: {reason(e)}") from e


class ProblemKind(StrEnum):
    """What can be wrong."""

    DATABASE = "database"
    RELAY = "relay"
    KAFKA = "kafka"
    DETECTOR = "detector"
    SLOTS = "slots"
    STARVED = "starved"
    LOSS = "loss"


class Problem(BaseModel, frozen=True):
    """One thing that is wrong: its sentence for people, since when (ISO 8601), and the partition where it is of one."""

    kind: ProblemKind
    message: str = Field(max_length=500)
    since: str | None = Field(None, max_length=40)
    partition: NonNegativeInt | None = None


class PartitionReport(BaseModel, frozen=True):
    """What the detector's status says of its partitions.

    `task_slots` is null for micro-batches, `reading` (the partitions that a task reads) on a cluster.
    """

    task_slots: NonNegativeInt | None = None
    reading: list[NonNegativeInt] | None = None
    problems: list[Problem] = []
