"""Checks the ledger against the outcome of every record: no gap, no offset twice, counts that add up; no I/O."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fraudstream.messages.ledger import Apart, EntryKind, LedgerEntry
from fraudstream.transactions.wire import Outcome


@dataclass
class LedgerFindings:
    """What the ledger says that is not so; `entries` and `records` say how much it says.

    Attributes:
        entries: Distinct entries.
        records: Records that the newest checkpoint's entries account for.
        wrong: In words, each gap and each count that does not add up.
        losses: Entries that say that rows were gone before they were read.
    """

    entries: int = 0
    records: int = 0
    wrong: list[str] = field(default_factory=list)
    losses: int = 0


def check_ledger(entries: Iterable[LedgerEntry], outcomes: Mapping[str, Outcome | Apart]) -> LedgerFindings:
    """Check the entries, in the order in which they stand on the topic.

    Args:
        entries: All of them; one that was written twice counts once.
        outcomes: By `topic/partition/offset`, the outcome of every record of the input topic.
    """
    distinct = {entry.entry_id: entry for entry in entries}
    findings = LedgerFindings(entries=len(distinct))
    chains: dict[tuple[str, int], list[LedgerEntry]] = defaultdict(list)
    covered: set[str] = set()
    for entry in distinct.values():
        if entry.kind is EntryKind.LOSS:
            findings.losses += 1
            continue
        chains[entry.checkpoint_id, entry.partition].append(entry)
    for (checkpoint, partition), chain in chains.items():
        chain.sort(key=lambda entry: entry.from_offset)
        at = chain[0].from_offset
        for entry in chain:
            if entry.from_offset != at:
                findings.wrong.append(
                    f"partition {partition} of checkpoint {checkpoint}: {at} is followed by {entry.from_offset}"
                )
            at = entry.until_offset
            places = [f"{entry.topic}/{partition}/{offset}" for offset in range(entry.from_offset, entry.until_offset)]
            covered.update(places)
            findings.wrong += _count(entry, Counter(outcomes[place] for place in places if place in outcomes))
    for partition in sorted({entry.partition for entry in distinct.values()}):
        mine = [entry for entry in distinct.values() if entry.partition == partition]
        places = [f"{mine[0].topic}/{partition}/{offset}" for offset in range(max(e.until_offset for e in mine))]
        missing = sum(place in outcomes and place not in covered for place in places)
        if missing:
            findings.wrong.append(f"partition {partition}: {missing} records in no entry")
    findings.records = len(covered & outcomes.keys())
    return findings


def _count(entry: LedgerEntry, counted: Counter[Outcome | Apart]) -> list[str]:
    counts: dict[Outcome | Apart, int] = {
        Outcome.CLEAR: entry.clear,
        Outcome.ALERT: entry.alert,
        Outcome.UNSCORABLE: entry.unscorable,
        Outcome.DEAD_LETTER: entry.dead_letter,
        Apart.WITHOUT_TRANSACTION: entry.without_transaction,
    }
    wrong = [
        f"{entry.entry_id}: {counts[outcome]} {outcome.value}, counted {counted[outcome]}"
        for outcome in counts
        if counts[outcome] != counted[outcome]
    ]
    if entry.records != counted.total():
        wrong.append(f"{entry.entry_id}: {entry.records} records, counted {counted.total()}")
    return wrong
