"""Compares the output topics with the ledger and with the store, from facts that are gathered and indexed.

Against the ledger it works on counts and names ranges: which offset it is, only scoring again can tell (`deep.py`).
"""

from collections.abc import Iterable, Iterator
from typing import Final

from fraudstream.audit.coverage import check_coverage
from fraudstream.audit.deep import Rescoring, check_deeply
from fraudstream.audit.facts import REMARKABLE, Facts
from fraudstream.audit.gather import gather
from fraudstream.audit.report import AuditReport, Finding, Kind
from fraudstream.transactions.ledger import Source
from fraudstream.transactions.masking import DataMask
from fraudstream.transactions.wire import Outcome, Topic

NAMES: Final = {
    Outcome.ALERT: "alert",
    Outcome.UNSCORABLE: "unscorable row",
    Outcome.DEAD_LETTER: "dead letter",
}

_SHORT: Final = """
SELECT e.partition, e.from_offset, e.until_offset, e.source, e.alert, e.unscorable, e.dead_letter,
  coalesce(sum(m.outcome = 'alert' AND m.is_own), 0), coalesce(sum(m.outcome = 'unscorable' AND m.is_own), 0),
  coalesce(sum(m.outcome = 'dead_letter'), 0),
  coalesce(sum(m.outcome = 'alert' AND NOT m.is_own), 0),
  coalesce(sum(m.outcome = 'unscorable' AND NOT m.is_own), 0), 0
FROM entries e LEFT JOIN matched m ON m.entry_id = e.entry_id
WHERE e.kind = 'batch' AND NOT e.verified GROUP BY e.entry_id ORDER BY e.partition, e.from_offset
"""

_SUPERSEDED: Final = """
SELECT partition, outcome, model_id, revision, count(*), min("offset"), max("offset") FROM (
  SELECT partition, "offset", outcome, model_id, revision FROM matched GROUP BY place HAVING NOT max(is_own)
) GROUP BY 1, 2, 3, 4 ORDER BY 1, 6
"""
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
_CONFLICTS: Final = """
SELECT id, base, coalesce(topic, ''), partition, "offset" FROM kept WHERE is_conflict
"""


def check_outputs(facts: Facts) -> Iterator[Finding]:
    """Compare each entry that was not scored again with the distinct places that the output topics name in its range.

    An outcome of another revision than the entry's is superseded: its range was judged again after a change. Outcomes
    behind the last entry are of the open batch and are not looked at.
    """
    for partition, start, until, source, *figures in facts.db.execute(_SHORT):
        counted, own, others = figures[:3], figures[3:6], figures[6:]
        for outcome, expected, found, other in zip(REMARKABLE, counted, own, others, strict=True):
            # Counted again after a crash: the query may have judged by what was in force before.
            stand_ins = other if source == Source.SCORED_AGAIN else 0
            name = f"{NAMES[outcome]}s"
            if found + stand_ins < expected:
                missing = expected - found - stand_ins
                what = f"{missing:,} of the {expected:,} {name} that the ledger counts there are on no topic"
                yield Finding(Kind.MISSING, what, facts.topic, partition, start, until, missing)
            elif found > expected:
                more = found - expected
                kind = Kind.SUPERSEDED if facts.former else Kind.DOUBLED
                what = f"{found:,} {name}, where the ledger counts {expected:,}"
                yield Finding(kind, what, facts.topic, partition, start, until, more)


def list_superseded(facts: Facts) -> Iterator[Finding]:
    """Alerts and unscorable rows in the ledger's ranges, of a revision that no entry of their place names."""
    for partition, outcome, model, revision, count, least, most in facts.db.execute(_SUPERSEDED):
        what = f"{count:,} {NAMES[Outcome(outcome)]}s of {model}, revision {revision}, were judged again by another"
        yield Finding(Kind.SUPERSEDED, what, facts.topic, partition, least, most + 1, count)


def check_store(facts: Facts, report: AuditReport) -> None:
    """Compare what the output topics say with the rows of the store; what the relay has not committed is in transit."""
    for relayed, on_topic, on_partition, on_offset, identity, outcome, *place in facts.db.execute(_NOT_STORED):
        if not relayed:
            report.in_transit += 1
            continue
        what = f"the {NAMES[outcome]} {identity} is on {on_topic}[{on_partition}] {on_offset} and not in the store"
        report.add([Finding.at(Kind.MISSING, what, *((on_topic, on_partition, on_offset) if None in place else place))])
    report.add(_stored(facts))


def _stored(facts: Facts) -> Iterator[Finding]:
    """Rows of the store that no record explains, of which there are two, and of which another has the id."""
    for identity, outcome, partition, offset in facts.db.execute(_EXTRA, (facts.topic,)):
        what = f"the {NAMES[outcome]} {identity} is in the store and on no topic"
        end = facts.marks.get(partition, (0, 0))[1]
        kind = Kind.EXTRA
        if None not in (partition, offset) and offset >= end and not facts.former:
            kind, what = Kind.BEYOND, f"{what}, and beyond its end ({end})"
        yield Finding.at(kind, what, facts.topic, None if offset is None else partition, offset)
    for outcome, partition, offset, count, ids in facts.db.execute(_TWICE, (facts.topic,)):
        kind = Kind.EXTRA if facts.former else Kind.DOUBLED
        what = f"{count} rows of the store for one {NAMES[outcome]}: {ids}"
        yield Finding.at(kind, what, facts.topic, partition, offset, count - 1)
    for identity, base, *place in facts.db.execute(_CONFLICTS):
        yield Finding.at(Kind.CONFLICT, f"another payment under the id {base} is kept as {identity}", *place)


def audit(
    bootstrap_servers: str,
    database: str,
    max_record_bytes: int,
    *,
    rescoring: Rescoring | None = None,
    card_columns: Iterable[str] = (),
) -> AuditReport:
    """Compare ledger, topics and store, without changing any of them; the store may be in use.

    `rescoring` is what to score the topic again with; None leaves that out. `card_columns` is the setting, as the relay
    has it: the store holds what is masked. Raises BrokerUnreachable, TopicMissing, KafkaFailure or StoreError where
    something cannot be read.
    """
    report = AuditReport(Topic.TRANSACTIONS.value, "")
    facts = gather(bootstrap_servers, database, max_record_bytes, report, DataMask(card_columns))
    try:
        compare(facts, report, rescoring)
    finally:
        facts.close()
    return report


def compare(facts: Facts, report: AuditReport, rescoring: Rescoring | None = None) -> None:
    """Fill the report from facts that are gathered and indexed."""
    check_coverage(facts, report)
    if rescoring is not None:
        report.deep = True
        report.add(check_deeply(facts, rescoring))
    report.add(check_outputs(facts))
    report.add(list_superseded(facts))
    check_store(facts, report)
    if facts.former:
        report.notes.append(
            f"{facts.former:,} entries of the ledger are of another topic {facts.topic}, which was deleted: what is on"
            " the output topics beyond the ledger's counts is taken for its"
        )
    if facts.compacted_entries:
        report.notes.append(
            f"{facts.compacted_entries:,} entries of the ledger were not scored again: {facts.topic} is compacted, and"
            " records of theirs are gone"
        )
    for name in facts.forgotten:
        report.notes.append(f"{name} has lost its first records to retention: the store stands for them")
