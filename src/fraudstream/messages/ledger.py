"""Defines a ledger entry: the outcomes of one partition's records in one committed batch."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Final, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, Field, NonNegativeInt, ValidationError, model_validator

from fraudstream.errors import DataError
from fraudstream.messages.base import Id, Posted, instant, reason


class EntryKind(StrEnum):
    """What an entry accounts for: records that were scored, or records that were deleted before they were read."""

    BATCH = "batch"
    LOSS = "loss"


class Source(StrEnum):
    """The source of an entry's counts: the query itself, or its range scored again after a crash."""

    OBSERVED = "observed"
    SCORED_AGAIN = "scored_again"


class Apart(StrEnum):
    """What an entry counts apart from the outcomes, so that records and outcomes add up with an envelope."""

    WITHOUT_TRANSACTION = "without_transaction"
    """Records that hold none: deletes, heartbeats, tombstones."""
    ADDITIONAL = "additional"
    """Transactions of a list beyond the first of their record."""


def _time_if_any(text: str) -> str:
    if text:
        instant(text)
    return text


Count = Annotated[int, Field(ge=0, le=2**53)]
"""A count that every JSON parser reads exactly, also that of a browser (RFC 8259, section 6)."""


class Range(NamedTuple):
    """The offsets `from_offset` to `until_offset` (exclusive) of a partition."""

    partition: int
    from_offset: int
    until_offset: int

    @property
    def offsets(self) -> int:
        """The number of offsets in it."""
        return self.until_offset - self.from_offset


def merge_ranges(ranges: Iterable[Range]) -> list[Range]:
    """Merge ranges to as few as possible, in order; empty ranges are left out."""
    merged: list[Range] = []
    for each in sorted(each for each in ranges if each.from_offset < each.until_offset):
        last = merged[-1] if merged else None
        if last is not None and last.partition == each.partition and each.from_offset <= last.until_offset:
            merged[-1] = Range(last.partition, last.from_offset, max(last.until_offset, each.until_offset))
        else:
            merged.append(each)
    return merged


class LedgerEntry(Posted):
    """The offsets `from_offset` to `until_offset` (exclusive) of a partition, and the count of each outcome.

    Attributes:
        entry_id: The same whenever the batch and partition are written again, so that they count once.
        topic_id: Kafka's id of the topic; a recreated topic has another.
        records: Number of records; less than the number of offsets with transaction markers or lost records.
        without_transaction: Number of records in `records` that have no outcome, as in `Apart`.
        additional: Number of outcomes beyond one for each record, as in `Apart`.
        envelope: The setting by which the transactions were read.
        batch_id: The number of the batch in that checkpoint.
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
    without_transaction: Count = 0
    additional: Count = 0
    checkpoint_id: str = ""
    batch_id: int = -1
    model_id: str = ""
    revision: int = 0
    threshold: float = 0.0
    aliases: dict[str, str] = Field(default_factory=dict)
    envelope: str = ""
    committed_at: Annotated[str, AfterValidator(_time_if_any)] = ""
    source: Annotated[Source, Field(strict=False)] = Source.OBSERVED
    reason: str = ""

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.from_offset > self.until_offset:
            raise ValueError("from_offset must be at most until_offset")
        return self

    @property
    def committed_us(self) -> int | None:
        """The time of the commit in microseconds since 1970."""
        return instant(self.committed_at) if self.committed_at else None

    @property
    def offsets(self) -> int:
        """The number of offsets that it covers."""
        return self.until_offset - self.from_offset

    def to_json(self) -> bytes:
        """Encode it for the topic and the API."""
        return self.model_dump_json().encode()


def batch_entry_id(checkpoint_id: str, batch_id: int, partition: int) -> str:
    """Return the entry id of a batch."""
    return f"{checkpoint_id}/{batch_id}/{partition}"


def loss_entry_id(topic_id: str, partition: int, from_offset: int, until_offset: int) -> str:
    """Return the entry id of a loss: the same if it is detected again after a restart."""
    return f"loss/{topic_id}/{partition}/{from_offset}/{until_offset}"


def parse_entry(value: bytes | str) -> LedgerEntry:
    """Parse an entry from JSON, ignoring unknown keys; raises DataError if `LedgerEntry.to_json` did not write it."""
    try:
        return LedgerEntry.model_validate_json(value)
    except ValidationError as e:
        raise DataError(f"not a ledger entry: {reason(e)}") from e


class ProblemKind(StrEnum):
    """The kinds of problems."""

    DATABASE = "database"
    RELAY = "relay"
    KAFKA = "kafka"
    DETECTOR = "detector"
    SLOTS = "slots"
    STARVED = "starved"
    LOSS = "loss"
    HISTORY = "history"


class Problem(BaseModel, frozen=True):
    """A problem: a message for people, its start and its end (ISO 8601), and the partition, if it concerns one."""

    kind: ProblemKind
    message: str = Field(max_length=500)
    since: str | None = Field(None, max_length=40)
    until: str | None = Field(None, max_length=40)
    partition: NonNegativeInt | None = None


MOST_PAST_PROBLEMS: Final = 20


class PartitionReport(BaseModel, frozen=True):
    """The state of the partitions in the detector's status.

    `task_slots` is null for micro-batches, `reading` (the partitions that a task reads) is null on a cluster.
    `past_problems` are the latest times during which a partition was not read.
    """

    task_slots: NonNegativeInt | None = None
    reading: list[NonNegativeInt] | None = None
    problems: list[Problem] = []
    past_problems: Annotated[list[Problem], Field(max_length=MOST_PAST_PROBLEMS)] = []
