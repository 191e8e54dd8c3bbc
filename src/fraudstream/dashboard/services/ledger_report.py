"""Summarises the ledger in figures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from fraudstream.messages.base import Object
from fraudstream.messages.ledger import EntryKind
from fraudstream.store.ledger import COUNTS, Gap, LedgerReader, LedgerTotals
from fraudstream.store.positions import Position, TopicPartition
from fraudstream.store.store import AlertStore

LISTED: Final = 100
"""The most losses and gaps listed; the totals count all."""


@dataclass(frozen=True, slots=True)
class LedgerPartition(LedgerTotals):
    """The totals of one partition's entries, its end offset, the records in progress and the number of gaps."""

    end: int | None = None
    open: int = 0
    gaps: int = 0


@dataclass(frozen=True)
class LedgerSummary:
    """The ledger's figures in `/api/stats`; complete while there is no gap and no loss."""

    records: int
    open: int
    lost: int
    complete: bool


@dataclass(frozen=True)
class LedgerReport:
    """The whole ledger, with a page of its entries, the newest first."""

    totals: dict[str, int]
    open: int
    complete: bool
    partitions: list[LedgerPartition]
    gaps: list[Gap]
    losses: list[Object]
    entries: list[Object]
    next_cursor: str | None


def ledger_summary(partitions: Sequence[LedgerPartition]) -> LedgerSummary:
    """Return the figures of all partitions together."""
    counts = (sum(getattr(each, name) for each in partitions) for name in ("records", "open", "lost"))
    records, in_progress, lost = counts
    return LedgerSummary(records, in_progress, lost, not lost and not any(each.gaps for each in partitions))


def ledger_partitions(ledger: LedgerReader, positions: Mapping[TopicPartition, Position]) -> list[LedgerPartition]:
    """Return the partitions in the ledger or with records, with their end offsets in Kafka."""
    known, partitions = ledger.totals(), []
    gaps = Counter(TopicPartition(gap.topic, gap.partition) for gap in ledger.gaps())
    for key in sorted({key for key, position in positions.items() if position.end is not None} | set(known)):
        position = positions.get(key, Position(0, None, 0))
        entry = known.get(key) or LedgerTotals(key.topic, key.partition, "", position.begin)
        waiting = 0 if position.end is None else max(0, position.end - entry.covered_until)
        partitions.append(LedgerPartition(**asdict(entry), end=position.end, open=waiting, gaps=gaps[key]))
    return partitions


def ledger_report(store: AlertStore, *, before: int | None = None, limit: int = 100) -> LedgerReport:
    """Return the report, with a page of the newest entries, or of those with a `seq` below `before`."""
    partitions = ledger_partitions(store.ledger, store.positions())
    summary = ledger_summary(partitions)
    entries = store.ledger.entries(before=before, limit=limit)
    return LedgerReport(
        totals={name: sum(getattr(each, name) for each in partitions) for name in (*COUNTS, "lost")},
        open=summary.open,
        complete=summary.complete,
        partitions=partitions,
        gaps=store.ledger.gaps(limit=LISTED),
        losses=store.ledger.entries(kind=EntryKind.LOSS, limit=LISTED),
        entries=entries,
        next_cursor=str(entries[-1]["seq"]) if len(entries) == limit else None,
    )
