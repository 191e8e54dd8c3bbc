"""What the tests of the audit share: entries, output records and stored rows of one imagined topic."""

from __future__ import annotations

from typing import Any

from fraudstream.audit.comparison import compare
from fraudstream.audit.facts import Facts, OutputRecord, StoredRecord
from fraudstream.audit.report import AuditReport
from fraudstream.config import Settings
from fraudstream.messages.ledger import EntryKind, LedgerEntry, batch_entry_id

TOPIC = "credit_card_transactions"
TOPIC_ID = "present"


def entry(start: int, until: int, *, partition: int = 0, checkpoint: str = "c", **changes: Any) -> LedgerEntry:
    """A batch's entry in which every record is clear but those that are named."""
    remarkable = sum(changes.get(outcome, 0) for outcome in ("alert", "unscorable", "dead_letter"))
    plain = LedgerEntry(
        entry_id=batch_entry_id(checkpoint, start, partition),
        kind=EntryKind.BATCH,
        topic=TOPIC,
        topic_id=TOPIC_ID,
        partition=partition,
        from_offset=start,
        until_offset=until,
        records=until - start,
        clear=until - start - remarkable,
        checkpoint_id=checkpoint,
        model_id="m",
        revision=1,
        threshold=0.5,
    )
    return plain.model_copy(update=changes)


def loss(start: int, until: int, *, partition: int = 0) -> LedgerEntry:
    return entry(start, until, partition=partition, kind=EntryKind.LOSS, entry_id=f"loss/{start}", records=0, clear=0)


def alert(offset: int, *, partition: int = 0, **changes: Any) -> OutputRecord:
    """An alert on its topic, relayed."""
    plain = OutputRecord(
        on_topic="fraud_alerts", on_partition=0, on_offset=offset, relayed=True, id=f"id-{partition}-{offset}",
        outcome="alert", topic=TOPIC, partition=partition, offset=offset, model_id="m", revision=1, score=0.9,
        digest=f"d-{partition}-{offset}",
    )  # fmt: skip
    return plain._replace(**changes)


def dead_letter(offset: int, *, partition: int = 0) -> OutputRecord:
    place = f"{TOPIC}/{partition}/{offset}"
    return OutputRecord("transactions_dead_letter", 0, offset, True, place, "dead_letter", TOPIC, partition, offset)


def row(output: OutputRecord, **changes: Any) -> StoredRecord:
    """What the store makes of a record."""
    plain = StoredRecord(
        output.id, output.id, False, output.outcome, output.topic, output.partition, output.offset, output.model_id,
        output.revision, output.digest,
    )  # fmt: skip
    return plain._replace(**changes)


def audit(
    entries: list[LedgerEntry],
    outputs: list[OutputRecord] | None = None,
    stored: list[StoredRecord] | None = None,
    *,
    marks: dict[int, tuple[int, int]],
    former: int = 0,
    next_records: dict[int, int] | None = None,
    truncated: list[str] | None = None,
    pruned: tuple[int, int] = (0, 0),
) -> AuditReport:
    """The report on these facts; the store has what the topics say where it is not given.

    `former` is the number of entries of an earlier topic of this name, besides those among `entries`; `pruned` the time
    before which the store was pruned, and the number of alerts.
    """
    facts = Facts(TOPIC, TOPIC_ID, marks=marks, next_records=next_records or {}, truncated=truncated or [])
    facts.pruned_before_us, facts.pruned_alerts = pruned
    for each in (*entries, *(entry(n, n + 1, checkpoint="former", topic_id="former-id") for n in range(former))):
        facts.add_entry(each)
    facts.add("outputs", outputs or [])
    facts.add("store_rows", {each.id: row(each) for each in outputs or []}.values() if stored is None else stored)
    facts.index()
    report = AuditReport(TOPIC, TOPIC_ID)
    compare(facts, report, Settings())
    facts.db.close()
    return report
