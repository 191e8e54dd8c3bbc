"""An entry of the ledger: the outcome of one partition's share of one committed batch; `wire.py` names its topic."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Annotated, Final

import orjson
from pydantic import BaseModel, Field, NonNegativeInt, TypeAdapter, ValidationError

from fraudstream.errors import DataError


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


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """The offsets `from_offset` to `until_offset` (exclusive) of a partition, and how many ended in which outcome.

    Attributes:
        entry_id: The same for the same batch and partition, whenever it is written: a replay counts once.
        topic_id: Kafka's id of it: a topic that was deleted and made anew has another.
        records: Records there; fewer than the offsets where Kafka keeps markers of its own, or lost some.
        batch_id: The batch's number in that checkpoint.
        committed_at: ISO 8601 in UTC.
        reason: Why records were lost; empty for a batch.
    """

    entry_id: Annotated[str, Field(min_length=1, max_length=200)]
    kind: EntryKind
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
    aliases: Mapping[str, str] = field(default_factory=dict)
    committed_at: str = ""
    source: Source = Source.OBSERVED
    reason: str = ""

    @property
    def offsets(self) -> int:
        """How many offsets it covers."""
        return self.until_offset - self.from_offset

    def to_json(self) -> bytes:
        """As it stands on the topic and is posted to the API."""
        return orjson.dumps(asdict(self))


_ADAPTER: Final = TypeAdapter(LedgerEntry)


def batch_entry_id(checkpoint_id: str, batch_id: int, partition: int) -> str:
    """The id of a batch's entry."""
    return f"{checkpoint_id}/{batch_id}/{partition}"


def loss_entry_id(topic_id: str, partition: int, from_offset: int, until_offset: int) -> str:
    """The id of a loss: the same loss, seen again after a restart, is the same entry."""
    return f"loss/{topic_id}/{partition}/{from_offset}/{until_offset}"


def parse_entry(value: bytes | str | Mapping[str, object]) -> LedgerEntry:
    """Read an entry, from JSON text or from an object that was read already; keys of later releases are ignored.

    Raises DataError where it is not what `LedgerEntry.to_json` writes.
    """
    try:
        entry = (
            _ADAPTER.validate_json(value) if isinstance(value, bytes | str) else _ADAPTER.validate_python(dict(value))
        )
    except ValidationError as e:
        member = ".".join(map(str, e.errors()[0]["loc"]))
        raise DataError(f"not an entry of the ledger: {e.errors()[0]['msg']} at {member}") from e
    if entry.from_offset > entry.until_offset:
        raise DataError("not an entry of the ledger: its offsets make no sense")
    return entry


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
