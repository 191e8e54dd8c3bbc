"""What the ledger comes to, in figures for `/api/ledger` and `/api/stats` and in sentences for the page."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, NamedTuple

from fraudstream.messages.base import Object
from fraudstream.messages.ledger import EntryKind
from fraudstream.store.ledger import COUNTS, Gap, LedgerReader, LedgerTotals
from fraudstream.store.positions import Position, TopicPartition
from fraudstream.store.store import AlertStore

LISTED: Final = 100
"""Losses and gaps that are listed; the totals know of all."""


@dataclass(frozen=True, slots=True)
class LedgerPartition(LedgerTotals):
    """What the entries of one partition come to, beside its end, the records in progress and the number of gaps."""

    end: int | None = None
    open: int = 0
    gaps: int = 0


@dataclass(frozen=True)
class LedgerSummary:
    """The figures of `/api/stats`; it is complete while there is no gap and nothing is lost."""

    records: int
    open: int
    lost: int
    complete: bool


@dataclass(frozen=True)
class LedgerReport:
    """All that the ledger says, with a page of its entries, the newest first."""

    totals: dict[str, int]
    open: int
    complete: bool
    partitions: list[LedgerPartition]
    gaps: list[Gap]
    losses: list[Object]
    entries: list[Object]
    next_cursor: str | None


def ledger_summary(partitions: Sequence[LedgerPartition]) -> LedgerSummary:
    """The figures of all partitions together."""
    counts = (sum(getattr(each, name) for each in partitions) for name in ("records", "open", "lost"))
    records, in_progress, lost = counts
    return LedgerSummary(records, in_progress, lost, not lost and not any(each.gaps for each in partitions))


def ledger_partitions(ledger: LedgerReader, positions: Mapping[TopicPartition, Position]) -> list[LedgerPartition]:
    """The partitions that the ledger knows or that have records, beside what Kafka holds of them."""
    totals, gaps, partitions = ledger.totals(), ledger.gap_counts(), []
    for place in sorted({place for place, position in positions.items() if position.end is not None} | set(totals)):
        position = positions.get(place, Position(0, None, 0))
        known = totals.get(place) or LedgerTotals(place.topic, place.partition, "", position.begin)
        waiting = 0 if position.end is None else max(0, position.end - known.covered_until)
        partition = LedgerPartition(**asdict(known), end=position.end, open=waiting, gaps=gaps.get(place, 0))
        partitions.append(partition)
    return partitions


def ledger_report(store: AlertStore, *, before: int | None = None, limit: int = 100) -> LedgerReport:
    """All of it, with a page of the newest entries, or of those with a `seq` below `before`."""
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


class Verdict(NamedTuple):
    """What the page says first; `good` where nothing is wrong, None where there is nothing to judge yet."""

    good: bool | None
    sentence: str


def verdict(report: LedgerReport) -> Verdict:
    """Whether each record has an outcome, and how many are on their way to one."""
    totals = report.totals
    in_progress = f" {_records(report.open)} in progress." if report.open else ""
    if not report.complete:
        found = []
        if totals["lost"]:
            found.append(f"{_records(totals['lost'])} lost: Kafka had deleted them before they were judged.")
        gaps = sum(partition.gaps for partition in report.partitions)
        if gaps:
            found.append(
                f"{'1 range of offsets has' if gaps == 1 else f'{gaps:,} ranges of offsets have'} no recorded outcome."
            )
        return Verdict(False, " ".join(found) + in_progress)
    if not totals["records"]:
        return Verdict(None, "No batch is finished yet." + in_progress)
    return Verdict(True, "Each record up to the last finished batch has its outcome; none is lost." + in_progress)


def loss_sentence(loss: Object) -> str:
    """What was lost where, and why."""
    place = f"{loss['topic']}[{loss['partition']}]"
    offsets = f"offsets {loss['from_offset']:,} to {loss['until_offset'] - 1:,}"
    if not loss["counted"]:
        return f"{place}, {offsets}: gone for a later checkpoint, but judged before by another one."
    reason = loss["reason"] or "nobody said why"
    return f"{_records(loss['counted'])} lost from {place}, {offsets}: {reason}."


def _records(number: int) -> str:
    return "1 record is" if number == 1 else f"{number:,} records are"
