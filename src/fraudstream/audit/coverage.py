"""The ledger against the input topic: whether its entries cover every offset, and what they add up to."""

from collections.abc import Iterable, Iterator
from typing import Final

from fraudstream.audit.facts import Facts
from fraudstream.audit.report import AuditReport, Finding, Kind, PartitionAccount
from fraudstream.transactions.wire import Outcome

Span = tuple[int, int]

_LOSSES: Final = "SELECT from_offset, until_offset FROM entries WHERE partition = ? AND kind = 'loss'"
_BATCHES: Final = """
SELECT from_offset, until_offset, records, clear, alert, unscorable, dead_letter FROM entries
WHERE partition = ? AND kind = 'batch' ORDER BY from_offset, until_offset DESC
"""
_INCONSISTENT: Final = """
SELECT partition, from_offset, until_offset, records, clear + alert + unscorable + dead_letter AS total FROM entries
WHERE kind = 'batch' AND (records <> total OR records > until_offset - from_offset) ORDER BY partition, from_offset
"""


def check_coverage(facts: Facts, report: AuditReport) -> None:
    """Put the account of each partition into the report, with gaps, losses and entries that make no sense."""
    for partition in sorted(facts.marks):
        _check_partition(facts, partition, report)
    report.add(_inconsistent(facts))
    report.add(_former_losses(facts))


def _check_partition(facts: Facts, partition: int, report: AuditReport) -> None:
    begin, end = facts.marks[partition]
    losses = union(facts.db.execute(_LOSSES, (partition,)))
    batches = facts.db.execute(_BATCHES, (partition,)).fetchall()
    covered = union((start, until) for start, until, *_ in batches)
    # A batch whose records are fewer than its offsets may have passed over what was lost within it.
    dense = union((start, until) for start, until, records, *_ in batches if records == until - start)
    lost = subtract(losses, dense)
    first = min([begin, *(start for start, _ in (*covered[:1], *losses[:1]))])
    until = max([first, *(last for _, last in (*covered[-1:], *losses[-1:]))])
    gaps = subtract([(first, until)], union([*covered, *losses]))
    shortfall = _add_up(batches, report)
    lost_within = length(lost) - length(subtract(lost, covered))
    # Behind the last entry there may be nothing but a transaction's marker.
    waiting = min(max(end, until), max(until, facts.next_records.get(partition, until)))
    without_record = max(0, shortfall - lost_within) + waiting - until
    report.partitions.append(
        PartitionAccount(
            partition,
            begin,
            end,
            until,
            acknowledged=max(end, until) - first - without_record,
            accounted=length(covered) - shortfall,
            open=max(0, end - waiting),
            lost=length(lost),
            without_record=without_record,
        )
    )
    beyond = [(max(end, first), until)] if until > end else []
    for kind, spans, what in (
        (Kind.LOST, lost, "gone before they were read"),
        (Kind.UNACCOUNTED, gaps, "no entry of the ledger accounts for them"),
        (Kind.LOST, beyond, "in the ledger, and no longer in the topic"),
    ):
        report.add(Finding(kind, what, facts.topic, partition, *span, length([span])) for span in spans)


def _add_up(batches: Iterable[tuple[int, ...]], report: AuditReport) -> int:
    """Add the entries' outcomes to the report; returns how many offsets of their union are without a record.

    Where entries overlap, the first tells of the part it covers; of a batch that begins within another one's range
    nothing is counted twice.
    """
    reached, missing = 0, 0
    for start, until, records, *counts in batches:
        if start >= reached:
            report.outcomes.update(dict(zip(map(str, Outcome), counts, strict=True)))
        if until > reached:
            missing += min(until - start - records, until - max(start, reached))
            reached = until
    return missing


def _former_losses(facts: Facts) -> Iterator[Finding]:
    """Losses of a topic of the same name that was deleted since: making it anew gives nothing back."""
    for loss in facts.former_losses.values():
        what = f"gone before they were read, of the former topic with the id {loss.topic_id}"
        yield Finding(Kind.LOST, what, facts.topic, loss.partition, loss.from_offset, loss.until_offset, loss.offsets)


def _inconsistent(facts: Facts) -> Iterator[Finding]:
    for partition, start, until, records, total in facts.db.execute(_INCONSISTENT):
        what = f"the entry tells of {records:,} records, of {total:,} outcomes and of {until - start:,} offsets"
        count = max(1, abs(records - total), records - (until - start))
        yield Finding(Kind.UNACCOUNTED, what, facts.topic, partition, start, until, count)


def union(spans: Iterable[Span]) -> list[Span]:
    """The same offsets in as few spans as can be, in order; empty ones are left out."""
    merged: list[Span] = []
    for start, until in sorted(span for span in spans if span[0] < span[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], until))
        else:
            merged.append((start, until))
    return merged


def subtract(spans: Iterable[Span], others: Iterable[Span]) -> list[Span]:
    """What of `spans` is in none of `others`; both in order and without overlaps."""
    left: list[Span] = []
    others = list(others)
    for start, until in spans:
        for other_start, other_until in others:
            if start < other_start < until:
                left.append((start, other_start))
            if other_start < until and other_until > start:
                start = other_until
        if start < until:
            left.append((start, until))
    return left


def length(spans: Iterable[Span]) -> int:
    """How many offsets."""
    return sum(until - start for start, until in spans)
