"""Compares the output topics with the ledger and with the store, by the views of `views.sql`.

Against the ledger it compares counts and reports ranges: only rescoring can identify the exact offset (`deep.py`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Final

from fraudstream.audit.deep import check_scores
from fraudstream.audit.facts import Facts
from fraudstream.audit.gather import gather
from fraudstream.audit.report import AuditReport, Finding, Kind, PartitionAccount
from fraudstream.config import Settings
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.topics import require_rights_of, topic_id
from fraudstream.messages.ledger import Apart, Range, Source, merge_ranges
from fraudstream.times import iso_time
from fraudstream.transactions.wire import REMARKABLE, Outcome, Topic

_LOSSES: Final = "SELECT partition, from_offset, until_offset FROM entries WHERE partition = ? AND kind = 'loss'"
_BATCHES: Final = """
SELECT from_offset, until_offset, records, clear, alert, unscorable, dead_letter, without_transaction, additional
FROM entries
WHERE partition = ? AND kind = 'batch' ORDER BY from_offset, until_offset DESC
"""


def check_coverage(facts: Facts, report: AuditReport) -> None:
    """Add the account of each partition to the report, with gaps, losses and inconsistent entries."""
    for partition in sorted(facts.marks):
        _check_partition(facts, partition, report)
    report.add(_inconsistent(facts))
    report.add(_former_losses(facts))


def _check_partition(facts: Facts, partition: int, report: AuditReport) -> None:
    begin, end = facts.marks[partition]
    losses = merge_ranges(map(Range._make, facts.db.execute(_LOSSES, (partition,))))
    batches = facts.db.execute(_BATCHES, (partition,)).fetchall()
    covered = merge_ranges(Range(partition, start, until) for start, until, *_ in batches)
    # A batch with fewer records than offsets may have skipped what was lost within it.
    dense = merge_ranges(Range(partition, start, until) for start, until, n, *_ in batches if n == until - start)
    lost = subtract(losses, dense)
    accounted = merge_ranges([*covered, *losses])
    first = min([begin, *(each.from_offset for each in accounted)])
    until = max([first, *(each.until_offset for each in accounted)])
    gaps = subtract([Range(partition, first, until)], accounted)
    shortfall = _add_up(batches, report)
    lost_within = length(lost) - length(subtract(lost, covered))
    # After the last entry there may be nothing but a transaction marker.
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
    beyond = [Range(partition, max(end, first), until)] if until > end else []
    for kind, spans, what in (
        (Kind.LOST, lost, "deleted before they were read"),
        (Kind.UNACCOUNTED, gaps, "no ledger entry accounts for them"),
        (Kind.LOST, beyond, "in the ledger, but no longer in the topic"),
    ):
        report.add(Finding(kind, what, facts.topic, *span, span.offsets) for span in spans)


def _add_up(batches: Iterable[tuple[int, ...]], report: AuditReport) -> int:
    """Add the entries' outcomes to the report and return how many offsets of their union hold no record.

    Where entries overlap, the first one counts for the part it covers; nothing is counted twice.
    """
    reached, missing = 0, 0
    for start, until, records, *counts in batches:
        if start >= reached:
            outcomes, apart = counts[: len(Outcome)], counts[len(Outcome) :]
            report.outcomes.update(dict(zip(map(str, Outcome), outcomes, strict=True)))
            report.apart.update(dict(zip(Apart, apart, strict=True)))
        if until > reached:
            missing += min(until - start - records, until - max(start, reached))
            reached = until
    return missing


def _former_losses(facts: Facts) -> Iterator[Finding]:
    """Report losses of an earlier topic of the same name: recreating the topic recovers nothing."""
    losses = facts.db.execute("SELECT * FROM former_losses ORDER BY partition, from_offset")
    for former_id, partition, start, until in losses:
        what = f"deleted before they were read, of the earlier topic with the id {former_id}"
        yield Finding(Kind.LOST, what, facts.topic, partition, start, until, until - start)


def _inconsistent(facts: Facts) -> Iterator[Finding]:
    rows = facts.db.execute("SELECT * FROM inconsistent ORDER BY partition, from_offset")
    for partition, start, until, records, total in rows:
        what = f"the entry counts {records:,} records, {total:,} outcomes and {until - start:,} offsets"
        count = max(1, abs(records - total), records - (until - start))
        yield Finding(Kind.UNACCOUNTED, what, facts.topic, partition, start, until, count)


def subtract(ranges: Iterable[Range], others: list[Range]) -> list[Range]:
    """Return the parts of `ranges` that are in none of `others`; of one partition, in order and without overlaps."""
    rest: list[Range] = []
    for partition, start, until in ranges:
        for _, other_start, other_until in others:
            if start < other_start < until:
                rest.append(Range(partition, start, other_start))
            if other_start < until and other_until > start:
                start = other_until
        if start < until:
            rest.append(Range(partition, start, until))
    return rest


def length(ranges: Iterable[Range]) -> int:
    """Count the offsets of ranges."""
    return sum(each.offsets for each in ranges)


NAMES: Final = {
    Outcome.ALERT: "alert",
    Outcome.UNSCORABLE: "unscorable row",
    Outcome.DEAD_LETTER: "dead letter",
}


def check_outputs(facts: Facts) -> Iterator[Finding]:
    """Compare each entry that was not rescored with the distinct positions of the output records in its range.

    An outcome of another revision or envelope than the entry's is superseded: its range was scored again.
    Outcomes after the last entry belong to the open batch and are ignored.
    """
    rows = facts.db.execute("SELECT * FROM counted ORDER BY partition, from_offset")
    for partition, start, until, source, is_pruned, is_changed, *figures in rows:
        counted, own, others = figures[:3], figures[3:6], figures[6:]
        for outcome, expected, actual, other in zip(REMARKABLE, counted, own, others, strict=True):
            # Counted again after a crash: the query may have scored with the previous deployment.
            superseded = other if source == Source.SCORED_AGAIN else 0
            name = f"{NAMES[outcome]}s"
            if is_pruned and outcome is not Outcome.DEAD_LETTER and actual < expected:
                continue
            if actual + superseded < expected:
                missing = expected - actual - superseded
                what = f"{missing:,} of the {expected:,} {name} that the ledger counts there are on no topic"
                yield Finding(Kind.MISSING, what, facts.topic, partition, start, until, missing)
            elif actual > expected:
                more = actual - expected
                kind = Kind.SUPERSEDED if facts.former or is_changed else Kind.DOUBLED
                what = f"{actual:,} {name}, where the ledger counts {expected:,}"
                yield Finding(kind, what, facts.topic, partition, start, until, more)


def list_superseded(facts: Facts) -> Iterator[Finding]:
    """List alerts and unscorable transactions in the ledger's ranges, of a revision that no entry there names."""
    rows = facts.db.execute("SELECT * FROM superseded ORDER BY partition, least")
    for partition, outcome, model, revision, count, least, most in rows:
        what = f"{count:,} {NAMES[Outcome(outcome)]}s of {model}, revision {revision}, were scored again by another"
        yield Finding(Kind.SUPERSEDED, what, facts.topic, partition, least, most + 1, count)


def check_store(facts: Facts, report: AuditReport) -> None:
    """Compare the output topics with the rows of the store; what the relay has not committed is in transit."""
    pruned: Counter[str] = Counter()
    rows = facts.db.execute("SELECT * FROM not_stored ORDER BY on_partition, on_offset")
    for relayed, on_topic, on_partition, on_offset, at_us, identity, outcome, *record in rows:
        if not relayed:
            report.in_transit += 1
            continue
        if outcome != Outcome.DEAD_LETTER and at_us < facts.pruned_before_us:
            pruned[outcome] += 1
            continue
        what = f"the {NAMES[outcome]} {identity} is on {on_topic}[{on_partition}] {on_offset} but not in the store"
        position = (on_topic, on_partition, on_offset) if None in record else record
        report.add([Finding.at(Kind.MISSING, what, *position)])
    report.add(_stored(facts))
    if facts.pruned_before_us:
        report.notes.append(
            f"alerts from before {iso_time(facts.pruned_before_us)} that nobody triaged were pruned from the store:"
            f" {pruned.total():,} outcomes on the topics are not compared with it"
        )
    # Each alert had a row of its own; an unscorable transaction may have been in an alert's.
    if (more := pruned[Outcome.ALERT] - facts.pruned_alerts) > 0:
        what = (
            f"{pruned[Outcome.ALERT]:,} alerts of that time are not in the store, {facts.pruned_alerts:,} were pruned"
        )
        report.add([Finding(Kind.MISSING, what, count=more)])


def _stored(facts: Facts) -> Iterator[Finding]:
    """Report rows of the store without an output record, duplicates, and id conflicts."""
    for identity, outcome, partition, offset in facts.db.execute("SELECT * FROM extra"):
        what = f"the {NAMES[outcome]} {identity} is in the store but on no topic"
        end = facts.marks.get(partition, (0, 0))[1]
        kind = Kind.EXTRA
        if None not in (partition, offset) and offset >= end and not facts.former:
            kind, what = Kind.BEYOND, f"{what}, beyond its end ({end})"
        yield Finding.at(kind, what, facts.topic, None if offset is None else partition, offset)
    for outcome, partition, offset, count, ids, surplus in facts.db.execute("SELECT * FROM stored_twice"):
        kind = Kind.EXTRA if facts.former else Kind.DOUBLED
        what = f"{count} rows of the store for one {NAMES[outcome]}: {ids}"
        yield Finding.at(kind, what, facts.topic, partition, offset, surplus)
    for identity, base, *position in facts.db.execute("SELECT * FROM conflicts"):
        yield Finding.at(Kind.CONFLICT, f"another payment with the id {base} is stored as {identity}", *position)


def audit(settings: Settings, *, deep: bool = False) -> AuditReport:
    """Compare ledger, topics and store, without changing any of them; the store may be in use.

    With `deep` the topic is scored again. Raises BrokerUnreachable, TopicMissing, KafkaFailure or StoreError if
    something cannot be read.
    """
    cluster = Cluster.of(settings)
    topic = cluster.topic(Topic.TRANSACTIONS)
    require_rights_of("audit", cluster)
    report = AuditReport(topic, topic_id(cluster, topic), deep)
    facts = gather(settings, report)
    with closing(facts.db):
        compare(facts, report, settings)
    return report


def compare(facts: Facts, report: AuditReport, settings: Settings) -> None:
    """Fill the report from indexed facts; `settings` name models and Spark for a deep one."""
    check_coverage(facts, report)
    if report.deep:
        report.add(check_scores(facts, settings))
    report.add(check_outputs(facts))
    report.add(list_superseded(facts))
    check_store(facts, report)
    if facts.former:
        report.notes.append(
            f"{facts.former:,} ledger entries are of an earlier topic {facts.topic}, which was deleted: what is on"
            " the output topics beyond the ledger's counts is attributed to it"
        )
    if facts.compacted_entries:
        report.notes.append(
            f"{facts.compacted_entries:,} ledger entries were not scored again: {facts.topic} is compacted, and some"
            " of their records are gone"
        )
    for name in facts.truncated:
        report.notes.append(f"{name} has lost its first records to retention: the store is used in their place")
