"""The ledger against the input topic: whether its entries cover every offset, and what they add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from fraudstream.audit.facts import Facts
from fraudstream.audit.report import AuditReport, Finding, Kind, PartitionAccount
from fraudstream.transactions.ledger import EntryKind
from fraudstream.transactions.wire import Outcome

Span = tuple[int, int]


def check_coverage(facts: Facts, report: AuditReport) -> None:
    """Put the account of each partition into the report, with gaps, losses and entries that make no sense."""
    for partition in sorted(facts.marks):
        _check_partition(facts, partition, report)
    report.add(_inconsistent(facts))
    report.add(_former_losses(facts))


def _check_partition(facts: Facts, partition: int, report: AuditReport) -> None:
    begin, end = facts.marks[partition]
    batches = list(_batches(facts, partition))
    losses = union(
        (start, until)
        for start, until in facts.db.execute(
            "SELECT from_offset, until_offset FROM entries WHERE partition = ? AND kind = ?",
            (partition, EntryKind.LOSS),
        )
    )
    covered = union((start, until) for start, until, _ in batches)
    # A batch whose records are fewer than its offsets may have passed over what was lost within it.
    dense = union((start, until) for start, until, records in batches if records == until - start)
    lost = subtract(losses, dense)
    first = min([begin, *(start for start, _ in (*covered[:1], *losses[:1]))])
    until = max([first, *(last for _, last in (*covered[-1:], *losses[-1:]))])
    gaps = subtract([(first, until)], union([*covered, *losses]))
    shortfall = _shortfall(batches)
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
    report.add(_ranges(facts, partition, Kind.LOST, lost, "gone before they were read"))
    report.add(_ranges(facts, partition, Kind.UNACCOUNTED, gaps, "no entry of the ledger accounts for them"))
    if until > end:
        beyond = [(max(end, first), until)]
        report.add(_ranges(facts, partition, Kind.LOST, beyond, "in the ledger, and no longer in the topic"))
    for outcome, count in _outcomes(facts, partition).items():
        report.outcomes[outcome] += count


def _batches(facts: Facts, partition: int) -> Iterator[tuple[int, int, int]]:
    yield from facts.db.execute(
        "SELECT from_offset, until_offset, records FROM entries WHERE partition = ? AND kind = ?"
        " ORDER BY from_offset, until_offset DESC",
        (partition, EntryKind.BATCH),
    )


def _shortfall(batches: Iterable[tuple[int, int, int]]) -> int:
    """Offsets without a record in the entries' union; where entries overlap, the first tells of the part it covers."""
    reached, missing = 0, 0
    for start, until, records in batches:
        if until > reached:
            missing += min(until - start - records, until - max(start, reached))
            reached = until
    return missing


def _outcomes(facts: Facts, partition: int) -> Counter[str]:
    """The counts of the entries; of a batch that other entries cover already, nothing is counted twice."""
    counts: Counter[str] = Counter()
    reached = 0
    for start, until, *found in facts.db.execute(
        "SELECT from_offset, until_offset, clear, alert, unscorable, dead_letter FROM entries"
        " WHERE partition = ? AND kind = ? ORDER BY from_offset, until_offset DESC",
        (partition, EntryKind.BATCH),
    ):
        if start >= reached:
            counts.update(dict(zip(map(str, Outcome), found, strict=True)))
        reached = max(reached, until)
    return counts


def _former_losses(facts: Facts) -> Iterator[Finding]:
    """Losses of a topic of the same name that was deleted since: making it anew gives nothing back."""
    for loss in facts.former_losses.values():
        what = f"gone before they were read, of the former topic with the id {loss.topic_id}"
        yield Finding(Kind.LOST, what, facts.topic, loss.partition, loss.from_offset, loss.until_offset, loss.offsets)


def _inconsistent(facts: Facts) -> Iterator[Finding]:
    for partition, start, until, records, total in facts.db.execute(
        "SELECT partition, from_offset, until_offset, records, clear + alert + unscorable + dead_letter AS total"
        " FROM entries WHERE kind = ? AND (records <> total OR records > until_offset - from_offset)"
        " ORDER BY partition, from_offset",
        (EntryKind.BATCH,),
    ):
        what = f"the entry tells of {records:,} records, of {total:,} outcomes and of {until - start:,} offsets"
        count = max(1, abs(records - total), records - (until - start))
        yield Finding(Kind.UNACCOUNTED, what, facts.topic, partition, start, until, count)


def _ranges(facts: Facts, partition: int, kind: Kind, spans: Iterable[Span], what: str) -> Iterator[Finding]:
    for start, until in spans:
        yield Finding(kind, what, facts.topic, partition, start, until, until - start)


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
    taken = list(others)
    for begin, until in spans:
        start = begin
        for other_start, other_until in taken:
            if other_until <= start or other_start >= until:
                continue
            if other_start > start:
                left.append((start, other_start))
            start = max(start, other_until)
        if start < until:
            left.append((start, until))
    return left


def length(spans: Iterable[Span]) -> int:
    """How many offsets."""
    return sum(until - start for start, until in spans)
