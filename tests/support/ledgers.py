"""Entries of the ledger as the relay posts them, for the tests of the store, the API and the page."""

from __future__ import annotations

from typing import Any

from fraudstream.messages.ledger import EntryKind, batch_entry_id, loss_entry_id
from fraudstream.transactions.wire import Topic

TOPIC = Topic.TRANSACTIONS.value


def batch(number: int, start: int, end: int, *, checkpoint: str = "c-1", partition: int = 0, **more: Any) -> Any:
    """What became of the offsets `start` to `end`: one alert, the rest clear."""
    return {
        "entry_id": batch_entry_id(checkpoint, number, partition),
        "kind": EntryKind.BATCH.value,
        "topic": TOPIC,
        "topic_id": "t-1",
        "partition": partition,
        "from_offset": start,
        "until_offset": end,
        "records": end - start,
        "clear": end - start - 1,
        "alert": 1,
        "unscorable": 0,
        "dead_letter": 0,
        "checkpoint_id": checkpoint,
        "batch_id": number,
        "model_id": "m-1",
        "revision": 1,
        "threshold": 0.5,
        "aliases": {},
        "committed_at": "2026-01-02T03:04:05.000+00:00",
        "source": "observed",
        "reason": "",
    } | more


def loss(start: int, end: int, *, partition: int = 0, **more: Any) -> Any:
    """The offsets `start` to `end` were gone before they were read."""
    return {
        "entry_id": loss_entry_id("t-1", partition, start, end),
        "kind": EntryKind.LOSS.value,
        "topic": TOPIC,
        "topic_id": "t-1",
        "partition": partition,
        "from_offset": start,
        "until_offset": end,
        "committed_at": "2026-01-02T03:04:05.000+00:00",
        "reason": "Kafka's retention deleted them before a batch that contains them was committed",
    } | more


def ends(end: int, *, begin: int = 0, partition: int = 0, at: str = "2026-01-02T03:04:05.000+00:00") -> Any:
    """What the relay says of a partition: its first offset and its end."""
    return {
        "type": "position",
        "event_id": f"position/{at}/{partition}",
        "at": at,
        "positions": {TOPIC: {str(partition): {"begin": begin, "end": end}}},
    }
