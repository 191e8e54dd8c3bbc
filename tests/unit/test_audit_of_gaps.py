"""The audit's arithmetic where offsets hold no record, and where a topic was made anew."""

from __future__ import annotations

from audits import TOPIC, alert, audit, entry, loss
from fraudstream.audit.report import Kind


def test_offsets_without_a_record_are_neither_lost_nor_open() -> None:
    # Ten offsets with eight records, then a marker that no entry covers yet.
    report = audit([entry(0, 10, records=8, clear=8)], marks={0: (0, 11)}, next_records={0: 11})
    (account,) = report.partitions
    assert (account.acknowledged, account.accounted, account.open, account.lost) == (8, 8, 0, 0)
    assert account.without_record == 3
    assert report.complete


def test_records_behind_a_gap_are_open() -> None:
    report = audit([entry(0, 10)], marks={0: (0, 20)}, next_records={0: 13})
    (account,) = report.partitions
    assert (account.acknowledged, account.accounted, account.open, account.without_record) == (17, 10, 7, 3)
    assert report.ok
    assert not report.complete


def test_an_earlier_loss_stays_visible_after_the_topic_was_made_anew() -> None:
    former = loss(5, 9).model_copy(update={"topic_id": "former-id"})
    report = audit([entry(0, 10, alert=1), former], [alert(3)], marks={0: (0, 10)})
    (lost,) = report.findings
    assert (lost.kind, lost.position, lost.count) == (Kind.LOST, f"{TOPIC}[0] 5..8", 4)
    assert "former-id" in lost.what
    assert not report.ok
