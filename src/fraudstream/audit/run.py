"""One audit from beginning to end: gathers the facts, compares them pair by pair, and says what came of it."""

from __future__ import annotations

from collections.abc import Iterable

from fraudstream.audit.comparison import check_outputs, check_store, list_superseded
from fraudstream.audit.coverage import check_coverage
from fraudstream.audit.deep import Rescoring, check_deeply
from fraudstream.audit.facts import Facts
from fraudstream.audit.gather import gather
from fraudstream.audit.report import AuditReport
from fraudstream.transactions.masking import DataMask
from fraudstream.transactions.wire import Topic


def audit(
    bootstrap_servers: str,
    database: str,
    max_record_bytes: int,
    *,
    rescoring: Rescoring | None = None,
    card_columns: Iterable[str] = (),
) -> AuditReport:
    """Compare ledger, topics and store, without changing any of them.

    Args:
        bootstrap_servers: Kafka's address.
        database: SQLAlchemy's URL of the store; it may be in use.
        max_record_bytes: Largest transaction.
        rescoring: What to score the topic again with; None leaves that out.
        card_columns: The setting, as the relay has it: the store holds what is masked.

    Raises:
        BrokerUnreachable: Nobody answers at the bootstrap servers.
        TopicMissing: There is no input topic.
        KafkaFailure: Kafka does not give a topic.
        StoreError: The store cannot be read.
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
