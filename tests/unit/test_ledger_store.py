"""The ledger in a real SQLite file: each entry once, and no offset counted twice."""

from __future__ import annotations

import itertools
import sqlite3
from typing import Any

import pytest
from sqlalchemy import Pool, event

from dashboards import alert
from fraudstream.messages.ledger import EntryKind
from fraudstream.store.filters import AlertFilter
from fraudstream.store.ledger import Gap, LedgerTotals
from fraudstream.store.positions import TopicPartition
from fraudstream.store.reading import Total
from fraudstream.store.store import AlertStore
from ledgers import TOPIC, batch, ends, loss


def place(store: AlertStore, partition: int = 0) -> LedgerTotals:
    return store.ledger.totals()[TopicPartition(TOPIC, partition)]


def gaps(store: AlertStore) -> list[tuple[int, int]]:
    return [(gap.from_offset, gap.until_offset) for gap in store.ledger.gaps()]


def test_entries_that_follow_each_other_add_up_and_say_how_far_all_is_scored(store: AlertStore) -> None:
    added = store.add_ledger([batch(0, 0, 100), batch(1, 100, 150, unscorable=2, dead_letter=3, clear=44)])
    assert (added.accepted, added.duplicates, added.rejected) == (2, 0, [])
    assert place(store) == LedgerTotals(TOPIC, 0, "t-1", 150, 150, 143, 2, 2, 3)
    assert store.positions()[TopicPartition(TOPIC, 0)].position == 150
    assert gaps(store) == []


def test_what_counts_apart_adds_up_too(store: AlertStore) -> None:
    store.add_ledger([batch(n, n * 9, n * 9 + 9, clear=7, without_transaction=3, additional=2) for n in range(2)])
    totals = place(store)
    assert (totals.records, totals.without_transaction, totals.additional) == (18, 6, 4)


def test_an_entry_that_comes_again_counts_once(store: AlertStore) -> None:
    store.add_ledger([batch(0, 0, 100)])
    again = store.add_ledger([batch(0, 0, 100), batch(1, 100, 200), batch(1, 100, 200)])
    assert (again.accepted, again.duplicates) == (1, 2)
    assert place(store).records == 200


def test_what_another_checkpoint_accounts_for_again_is_kept_and_counts_nothing(store: AlertStore) -> None:
    store.add_ledger([batch(0, 0, 100), batch(1, 100, 200)])
    store.add_ledger([batch(0, 0, 150, checkpoint="c-2")])
    assert place(store).records == 200
    assert not place(store).overlaps
    assert [entry["counted"] for entry in store.ledger.entries()] == [0, 100, 100]


def test_an_entry_of_old_and_new_offsets_is_counted_whole_and_its_partition_says_so(store: AlertStore) -> None:
    store.add_ledger([batch(0, 0, 100), batch(0, 50, 250, checkpoint="c-2")])
    assert (place(store).records, place(store).covered_until) == (300, 250)
    assert place(store).overlaps


def test_what_an_entry_skips_is_a_gap_until_it_is_filled(store: AlertStore) -> None:
    store.add_ledger([batch(0, 0, 100), batch(2, 160, 200)])
    assert gaps(store) == [(100, 160)]
    store.add_ledger([batch(3, 120, 140)])
    assert gaps(store) == [(100, 120), (140, 160)]
    store.add_ledger([batch(4, 100, 120), batch(5, 140, 160)])
    assert gaps(store) == []
    assert place(store).records == 200
    assert not place(store).overlaps


def test_records_before_the_first_entry_are_a_gap_while_kafka_has_them(store: AlertStore) -> None:
    store.add_events([ends(500, begin=20), ends(500, begin=100, partition=1, at="2026-01-02T03:04:06+00:00")])
    store.add_ledger([batch(0, 50, 100), batch(0, 100, 200, partition=1), batch(0, 70, 200, partition=2)])
    assert store.ledger.gaps() == [Gap(TOPIC, 0, 20, 50)]


def test_a_loss_is_counted_and_leaves_no_gap(store: AlertStore) -> None:
    store.add_ledger([batch(0, 0, 100), loss(100, 140), batch(0, 140, 200, checkpoint="c-2"), loss(100, 140)])
    assert (place(store).records, place(store).lost, place(store).covered_until) == (160, 40, 200)
    assert gaps(store) == []
    assert [entry["from_offset"] for entry in store.ledger.entries(kind=EntryKind.LOSS)] == [100]


def test_a_loss_within_its_batch_counts_and_one_of_scored_records_does_not(store: AlertStore) -> None:
    store.add_ledger([batch(0, 0, 100), batch(1, 100, 200, records=90, clear=89), loss(100, 110)])
    assert (place(store).records, place(store).lost) == (190, 10)
    store.add_ledger([loss(20, 60)])
    assert (place(store).records, place(store).lost) == (190, 10)


def test_a_topic_that_was_made_anew_begins_anew(store: AlertStore) -> None:
    store.add_ledger([batch(0, 0, 100), batch(1, 150, 200), loss(200, 210)])
    store.add_ledger([batch(0, 0, 30, checkpoint="c-2", topic_id="t-2")])
    assert place(store) == LedgerTotals(TOPIC, 0, "t-2", 30, 30, 29, 1)
    assert gaps(store) == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"kind": "guess"}, "kind"),
        ({"until_offset": -1}, "until_offset must be at"),
        ({"from_offset": 101}, "from_offset must be at most until_offset"),
        ({"records": -1}, "records must be at least 0"),
        ({"records": "100"}, "records must be an integer"),
        ({"entry_id": ""}, "entry_id must have at least 1 character"),
        ({"until_offset": 2**63}, "until_offset must be at"),
        ({"partition": 2**40}, "partition must be less than"),
        ({"committed_at": "yesterday"}, "committed_at must be a time"),
        ({"threshold": float("nan")}, "threshold cannot be written as JSON"),
        ({"topic": "\ud800"}, "cannot be written as JSON"),
    ],
)
def test_a_malformed_entry_is_kept_with_its_reason_and_blocks_no_other(
    store: AlertStore, changed: dict[str, Any], reason: str
) -> None:
    added = store.add_ledger([batch(0, 0, 100) | changed, batch(1, 0, 100)])
    assert [rejection.index for rejection in added.rejected] == [0]
    assert reason in added.rejected[0].reason
    assert [row.document["kind"] for row in store.rejected()] == ["ledger entry"]
    assert place(store).records == 100


def test_keys_of_a_later_release_are_kept(store: AlertStore) -> None:
    store.add_ledger([batch(0, 0, 100, colour="blue")])
    assert store.ledger.entries()[0]["colour"] == "blue"


@pytest.mark.sqlite
def test_a_long_ledger_is_neither_read_nor_written_slowly(store: AlertStore) -> None:
    def steps(entries: int) -> int:
        """So many hundred steps SQLite takes to store one more batch and a loss, and to read the newest."""
        store.add_ledger([batch(number, number * 10, number * 10 + 10) for number in range(entries // 2, entries)])
        ticks = itertools.count()

        def count(connection: sqlite3.Connection, *_: object) -> None:
            connection.set_progress_handler(lambda: bool(next(ticks)) and False, 100)

        event.listen(Pool, "checkout", count)
        try:
            store.add_ledger([batch(entries, entries * 10, entries * 10 + 10), loss(50, 60)])
            assert place(store).covered_until == entries * 10 + 10
            assert len(store.ledger.entries(limit=10)) == 10
        finally:
            event.remove(Pool, "checkout", count)
        return next(ticks)

    few, many = steps(1_000), steps(2_000)
    assert many < 1.5 * few


def stored(store: AlertStore) -> list[tuple[str, str, bool]]:
    documents = [alert.document() for alert in store.alerts(AlertFilter(outcome=None))]
    return [(each["alert_id"], each["outcome"], each.get("superseded", False)) for each in documents]


def unscorable(number: int, **more: Any) -> dict[str, Any]:
    return alert(number, outcome="unscorable", score=None, reason="too much is missing", **more)


def test_an_alert_of_what_was_unscorable_is_new_and_takes_the_id(store: AlertStore) -> None:
    store.add_alerts([unscorable(1), alert(2)])
    published: list[int] = []
    added = store.add_alerts([alert(1)], on_commit=lambda new: published.extend(each.seq for each in new))
    assert (added.accepted, added.duplicates, added.conflicts) == (1, 0, 0)
    assert published == [store.latest_seq()]
    assert stored(store) == [
        ("id-1", "alert", False),
        ("id-2", "alert", False),
        ("id-1~unscorable", "unscorable", True),
    ]
    stored_alert = store.alert("id-1")
    assert stored_alert is not None
    assert stored_alert.document()["score"] == 0.9
    totals = store.totals()
    assert (totals[Total.ALERTS], totals[Total.UNSCORABLE], totals[Total.DUPLICATES]) == (2, 1, 0)


def test_once_superseded_both_verdicts_are_duplicates(store: AlertStore) -> None:
    store.add_alerts([unscorable(1), alert(1)])
    again = store.add_alerts([unscorable(1), alert(1), alert(1)])
    assert (again.accepted, again.duplicates, again.conflicts) == (0, 3, 0)
    assert len(stored(store)) == 2
    assert store.totals()[Total.DUPLICATES] == 3


def test_an_alert_never_gives_way_to_an_unscorable_row(store: AlertStore) -> None:
    assert store.add_alerts([alert(1), unscorable(1)]).duplicates == 1
    assert stored(store) == [("id-1", "alert", False)]


def test_an_alert_of_another_transaction_than_the_unscorable_one_is_a_conflict(store: AlertStore) -> None:
    other = {"Amount": 99}
    added = store.add_alerts([unscorable(1), alert(1, transaction=other)])
    assert (added.accepted, added.conflicts) == (1, 1)
    assert [outcome for _, outcome, _ in stored(store)] == ["alert", "unscorable"]


def test_an_unscorable_row_in_conflict_gives_way_too(store: AlertStore) -> None:
    other = {"Amount": 99}
    store.add_alerts([alert(1), unscorable(1, transaction=other)])
    added = store.add_alerts([alert(1, transaction=other)])
    assert (added.conflicts, added.duplicates) == (1, 0)
    newest = store.alerts()[0].document()
    assert (newest["conflict_of"], newest["transaction"]) == ("id-1", other)
    assert stored(store)[1][0] == f"{newest['alert_id']}~unscorable"
    assert len(store.ledger.conflicts()) == 2


def test_the_name_of_a_superseded_row_may_be_taken(store: AlertStore) -> None:
    store.add_alerts([unscorable(1), alert(2, alert_id="id-1~unscorable")])
    assert store.add_alerts([alert(1)]).accepted == 1
    assert [identity for identity, _, _ in stored(store)] == ["id-1", "id-1~unscorable", "id-1~unscorable~1"]
