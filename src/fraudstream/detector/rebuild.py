"""Makes a checkpoint anew from the ledger, the damaged one put aside; what is wrong with one says `checkpoint.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from fraudstream.detector.checkpoint import Marker, put_aside, write_marker
from fraudstream.detector.spark_log import Offsets
from fraudstream.errors import SettingsError
from fraudstream.transactions.ledger import LedgerEntry


class Rebuilt(NamedTuple):
    """Where the detector goes on, at the earliest offset of a partition not named; where the former checkpoint is."""

    offsets: Offsets
    put_aside: Path | None


def accounted_until(entries: Iterable[LedgerEntry], topic_id: str, begins: Mapping[int, int]) -> dict[int, int]:
    """By partition, up to where every offset that Kafka still has is accounted for, without a gap.

    Args:
        entries: Of the ledger, in any order, of several checkpoints.
        topic_id: Entries of another topic of this name count for nothing.
        begins: The first offset that Kafka has, by partition.
    """
    until = dict(begins)
    for entry in sorted(entries, key=attrgetter("partition", "from_offset")):
        reached = until.get(entry.partition)
        if entry.topic_id == topic_id and reached is not None and entry.from_offset <= reached:
            until[entry.partition] = max(reached, entry.until_offset)
    return until


def rebuild(
    checkpoint: Path,
    topic: str,
    topic_id: str,
    entries: Iterable[LedgerEntry],
    begins: Mapping[int, int],
    now: datetime,
) -> Rebuilt:
    """Put a checkpoint that no detector uses aside, and make one that goes on where the ledger ends.

    What lies behind the ledger's end is judged again, so that nothing is lost; the store knows what it has already.

    Args:
        checkpoint: Its directory.
        topic: The input topic.
        topic_id: Kafka's id of it.
        entries: Of the ledger.
        begins: The first offset that Kafka has, by partition.
        now: The time, for the name of what is put aside.

    Raises:
        SettingsError: The directory cannot be written.
    """
    offsets = accounted_until(entries, topic_id, begins)
    try:
        checkpoint.mkdir(parents=True, exist_ok=True)
        aside = put_aside(checkpoint, "damaged", now)
        write_marker(checkpoint, Marker(topic, topic_id, start=offsets))
    except OSError as e:
        raise SettingsError(
            f"the checkpoint cannot be made anew: {e.strerror}", where=str(checkpoint), remedy="check folder and disk"
        ) from e
    return Rebuilt(offsets, aside)
