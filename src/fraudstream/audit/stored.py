"""The output topics against the store: each outcome that was relayed is in the store, once, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fraudstream.audit.facts import Facts
from fraudstream.audit.report import AuditReport, Finding, Kind

# An unscorable payment that a later revision called fraud is the alert's row; the reverse would lose an alert.
_NOT_STORED: Final = """
SELECT max(s.relayed), min(s.on_topic), min(s.on_partition), min(s.on_offset), s.id, s.outcome, s.topic, s.partition,
  s."offset"
FROM said s WHERE NOT EXISTS (
  SELECT 1 FROM kept k WHERE k.base = s.id AND k.digest = s.digest
  AND (k.outcome = s.outcome OR s.outcome = 'unscorable'))
GROUP BY s.id, s.outcome, s.digest ORDER BY 3, 4
"""
_EXTRA: Final = """
SELECT k.id, k.outcome, k.partition, k."offset" FROM kept k
WHERE k.topic = ? AND NOT EXISTS (SELECT 1 FROM said s WHERE s.id = k.base)
"""
_TWICE: Final = """
SELECT outcome, partition, "offset", count(*), group_concat(id, ', ') FROM kept
WHERE topic = ? AND "offset" IS NOT NULL GROUP BY outcome, partition, "offset" HAVING count(*) > 1
"""
_CONFLICTS: Final = 'SELECT id, base, topic, partition, "offset" FROM kept WHERE is_conflict'


def check_store(facts: Facts, report: AuditReport) -> None:
    """Compare what the output topics say with the rows of the store; what the relay has not committed is in transit."""
    for relayed, on_topic, on_partition, on_offset, identity, outcome, *place in facts.db.execute(_NOT_STORED):
        if not relayed:
            report.in_transit += 1
            continue
        what = f"the {_words(outcome)} {identity} is on {on_topic}[{on_partition}] {on_offset} and not in the store"
        topic, partition, offset = place
        if topic is None or partition is None or offset is None:
            topic, partition, offset = on_topic, on_partition, on_offset
        report.add([Finding(Kind.MISSING, what, topic, partition, offset, offset + 1)])
    report.add(_extra(facts))
    report.add(_twice(facts))
    report.add(_conflicts(facts))


def _extra(facts: Facts) -> Iterator[Finding]:
    for identity, outcome, partition, offset in facts.db.execute(_EXTRA, (facts.topic,)):
        what = f"the {_words(outcome)} {identity} is in the store and on no topic"
        end = facts.marks.get(partition, (0, 0))[1]
        if offset is None or partition is None:
            yield Finding(Kind.EXTRA, what, facts.topic)
        elif offset >= end and not facts.former:
            yield Finding(
                Kind.BEYOND, f"{what}, and beyond its end ({end})", facts.topic, partition, offset, offset + 1
            )
        else:
            yield Finding(Kind.EXTRA, what, facts.topic, partition, offset, offset + 1)


def _twice(facts: Facts) -> Iterator[Finding]:
    for outcome, partition, offset, count, ids in facts.db.execute(_TWICE, (facts.topic,)):
        kind = Kind.EXTRA if facts.former else Kind.DOUBLED
        what = f"{count} rows of the store for one {_words(outcome)}: {ids}"
        yield Finding(kind, what, facts.topic, partition, offset, offset + 1, count - 1)


def _conflicts(facts: Facts) -> Iterator[Finding]:
    for identity, base, topic, partition, offset in facts.db.execute(_CONFLICTS):
        what = f"another payment under the id {base} is kept as {identity}"
        until = None if offset is None else offset + 1
        yield Finding(Kind.CONFLICT, what, topic or "", partition, offset, until)


def _words(outcome: str) -> str:
    return {"unscorable": "unscorable row", "dead_letter": "dead letter"}.get(outcome, outcome)
