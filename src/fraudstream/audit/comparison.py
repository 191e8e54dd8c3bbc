"""Compares the output topics with the ledger and with the store, by the views of `views.sql`.

Against the ledger it compares counts and reports ranges: only rescoring can identify the exact offset (`deep.py`).
"""

from collections.abc import Iterable
from contextlib import closing

from fraudstream.audit.deep import check_scores
from fraudstream.audit.facts import Facts
from fraudstream.audit.gather import gather
from fraudstream.audit.report import AuditReport, Finding, Kind, PartitionAccount
from fraudstream.config import Settings
from fraudstream.kafka.client import Cluster
from fraudstream.kafka.topics import require_rights_of, topic_id
from fraudstream.messages.ledger import Apart, Range, merge_ranges
from fraudstream.times import iso_time
from fraudstream.transactions.wire import Outcome, Topic


def check_coverage(facts: Facts, report: AuditReport) -> None:
    """Add the account of each partition to the report, with gaps, losses and inconsistent entries."""
    for partition in sorted(facts.marks):
        _check_partition(facts, partition, report)
    for *outcomes, without_transaction, additional in facts.db.execute("SELECT * FROM outcomes"):
        report.outcomes.update(dict(zip(map(str, Outcome), outcomes, strict=True)))
        report.apart.update({Apart.WITHOUT_TRANSACTION: without_transaction, Apart.ADDITIONAL: additional})
    report.add(facts.findings("ledger_findings"))


def _check_partition(facts: Facts, partition: int, report: AuditReport) -> None:
    begin, end = facts.marks[partition]
    covered, losses = facts.ranges("batches", partition), facts.ranges("losses", partition)
    # A batch with fewer records than offsets may have skipped what was lost within it.
    dense = facts.ranges("dense", partition)
    lost = subtract(losses, dense)
    accounted = merge_ranges([*covered, *losses])
    first = min([begin, *(each.from_offset for each in accounted)])
    until = max([first, *(each.until_offset for each in accounted)])
    gaps = subtract([Range(partition, first, until)], accounted)
    shortfall = dict(facts.db.execute("SELECT * FROM shortfalls")).get(partition, 0)
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


def check_store(facts: Facts, report: AuditReport) -> None:
    """Compare the output topics with the rows of the store; what the relay has not committed is in transit."""
    report.add(facts.findings("store_findings"))
    (report.in_transit,) = facts.db.execute("SELECT count(*) FROM not_stored WHERE NOT is_relayed").fetchone()
    if facts.pruned_before_us:
        query = "SELECT count(*), coalesce(sum(outcome = 'alert'), 0) FROM not_stored WHERE is_relayed AND is_pruned"
        outcomes, alerts = facts.db.execute(query).fetchone()
        report.notes.append(
            f"alerts from before {iso_time(facts.pruned_before_us)} that nobody triaged were pruned from the store:"
            f" {outcomes:,} outcomes on the topics are not compared with it"
        )
        # Each alert had a row of its own; an unscorable transaction may have been in an alert's.
        if (more := alerts - facts.pruned_alerts) > 0:
            what = f"{alerts:,} alerts of that time are not in the store, {facts.pruned_alerts:,} were pruned"
            report.add([Finding(Kind.MISSING, what, count=more)])


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
    report.add(facts.findings("output_findings"))
    report.add(facts.findings("superseded_findings"))
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
