"""An entry of the ledger: what became of one partition's share of one committed batch; `wire.py` names its topic."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Final

import orjson
from pydantic import TypeAdapter, ValidationError

from fraudstream.errors import DataError


class EntryKind(StrEnum):
    """What an entry accounts for: records that were judged, or records that were gone before anybody read them."""

    BATCH = "batch"
    LOSS = "loss"


class Source(StrEnum):
    """Where an entry's counts come from: the query itself, or the range scored again because a crash took them."""

    OBSERVED = "observed"
    SCORED_AGAIN = "scored_again"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """The offsets `from_offset` to `until_offset` (exclusive) of a partition, and how many ended in which outcome.

    Attributes:
        entry_id: The same for the same batch and partition, whenever it is written: a replay counts once.
        topic_id: Kafka's id of it: a topic that was deleted and made anew has another.
        records: Records found there; fewer than the offsets where Kafka keeps markers of its own, or lost some.
        batch_id: The batch's number in that checkpoint.
        committed_at: ISO 8601 in UTC.
        reason: Why records were lost; empty for a batch.
    """

    entry_id: str
    kind: EntryKind
    topic: str
    topic_id: str
    partition: int
    from_offset: int
    until_offset: int
    records: int = 0
    clear: int = 0
    alert: int = 0
    unscorable: int = 0
    dead_letter: int = 0
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

    Raises:
        DataError: It is not what `LedgerEntry.to_json` writes.
    """
    try:
        entry = (
            _ADAPTER.validate_json(value) if isinstance(value, bytes | str) else _ADAPTER.validate_python(dict(value))
        )
    except ValidationError as e:
        raise DataError(f"not an entry of the ledger: {e.errors()[0]['msg']} at {e.errors()[0]['loc']}") from e
    is_offset_range = 0 <= entry.from_offset <= entry.until_offset < 2**63
    if not entry.entry_id or not is_offset_range or not 0 <= entry.partition < 2**31:
        raise DataError("not an entry of the ledger: its id or its offsets make no sense")
    if min(entry.records, entry.clear, entry.alert, entry.unscorable, entry.dead_letter) < 0:
        raise DataError("not an entry of the ledger: a count is below 0")
    return entry
