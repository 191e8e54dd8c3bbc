"""The checker of the chaos suite finds what is wrong: one that cannot fail would be worth nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from chaos.checker import Expected, Findings, check, outcome_of_each_record
from chaos.data import Verdict
from chaos.evidence import Sent, Store, StoredRecord
from chaos.fuzz import DEAD_LETTER, Oddity
from chaos.ledger_check import check_ledger
from chaos.recovery import Attempt, aftermaths

from fraudstream.messages.ledger import EntryKind, LedgerEntry
from fraudstream.transactions.wire import Outcome

CLEAR = Verdict(Outcome.CLEAR, 0.1)
ALERT = Verdict(Outcome.ALERT, 0.9)
UNSCORABLE = Verdict(Outcome.UNSCORABLE, None)

EXPECTED = Expected(
    rows={"a": ALERT, "b": CLEAR, "c": UNSCORABLE, "d": ALERT},
    odd={"t/0/4": Oddity("empty", b"", DEAD_LETTER), "t/0/5": Oddity("a byte changed", b"?", None)},
)
RECORDS = [
    Sent("t/0/0", "a", 10.0),
    Sent("t/0/1", "b", 11.0),
    Sent("t/0/2", "c", 12.0),
    Sent("t/0/3", "d", 20.0),
    Sent("t/0/4", None, 21.0),
    Sent("t/0/5", None, 22.0),
    Sent("t/0/6", "a", 23.0),
]
A, C, D = (
    StoredRecord("a", None, ALERT, 10.5, "t/0/0"),
    StoredRecord("c", None, UNSCORABLE, 12.5, "t/0/2"),
    StoredRecord("d", None, ALERT, 25.0, "t/0/3"),
)
DEAD_LETTERS = {"t/0/4": "the value is empty"}
STORE = Store([A, C, D], DEAD_LETTERS, rejected=0)


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    findings = check(EXPECTED, RECORDS, STORE)
    assert findings == Findings()
    assert findings.all_well


@pytest.mark.parametrize("missing", [A, C])
def test_an_alert_and_an_unscorable_row_that_are_not_in_the_store_are_lost(missing: StoredRecord) -> None:
    rows = [each for each in STORE.rows if each is not missing]
    assert check(EXPECTED, RECORDS, replace(STORE, rows=rows)) == Findings(lost=[missing.alert_id])


@pytest.mark.parametrize("second_id", ["a~0123", "t/0/0", "another"])
def test_an_alert_stored_again_under_another_id_is_doubled(second_id: str) -> None:
    again = replace(A, alert_id=second_id, conflict_of="a" if "~" in second_id else None)
    assert check(EXPECTED, RECORDS, replace(STORE, rows=[*STORE.rows, again])) == Findings(doubled=["a"])


@pytest.mark.parametrize("verdict", [Verdict(Outcome.ALERT, 0.9000000001), Verdict(Outcome.UNSCORABLE, None)])
def test_another_score_or_another_outcome_is_wrong(verdict: Verdict) -> None:
    store = replace(STORE, rows=[replace(A, verdict=verdict), C, D])
    assert check(EXPECTED, RECORDS, store) == Findings(wrong=["a"])


@pytest.mark.parametrize("name", ["b", "of nobody"])
def test_an_alert_on_a_clear_row_or_on_no_row_is_unexpected(name: str) -> None:
    more = StoredRecord(name, None, ALERT, 11.5, "t/0/1" if name == "b" else "t/0/99")
    assert check(EXPECTED, RECORDS, replace(STORE, rows=[*STORE.rows, more])) == Findings(unexpected=[name])


def test_an_acknowledged_row_that_is_not_in_the_topic_is_found() -> None:
    assert check(EXPECTED, [record for record in RECORDS if record.event_id != "b"], STORE).not_in_topic == ["b"]


def test_a_record_that_no_producer_sent_is_found() -> None:
    assert check(EXPECTED, [*RECORDS, Sent("t/0/7", "z", 24.0)], STORE).unknown_in_topic == ["t/0/7"]


@pytest.mark.parametrize("dead_letters", [{}, {"t/0/4": ""}])
def test_an_odd_record_is_lost_unless_it_is_a_dead_letter_with_a_reason(dead_letters: dict[str, str]) -> None:
    assert check(EXPECTED, RECORDS, replace(STORE, dead_letters=dead_letters)) == Findings(dead_letters_lost=["t/0/4"])


def test_a_payment_among_the_dead_letters_is_found() -> None:
    dead_letters = DEAD_LETTERS | {"t/0/1": "the value is not UTF-8"}
    assert check(EXPECTED, RECORDS, replace(STORE, dead_letters=dead_letters)) == Findings(
        dead_letters_unexpected=["t/0/1"]
    )


def test_what_the_api_refused_is_found() -> None:
    assert not check(EXPECTED, RECORDS, replace(STORE, rejected=1)).all_well


def entry(batch: int, begin: int, until: int, *, alert: int, clear: int, other: tuple[int, int]) -> LedgerEntry:
    unscorable, dead_letter = other
    return LedgerEntry(
        entry_id=f"k/{batch}/0",
        kind=EntryKind.BATCH,
        topic="t",
        topic_id="T",
        partition=0,
        from_offset=begin,
        until_offset=until,
        records=until - begin,
        clear=clear,
        alert=alert,
        unscorable=unscorable,
        dead_letter=dead_letter,
        checkpoint_id="k",
        batch_id=batch,
    )


FIRST = entry(0, 0, 3, alert=1, clear=1, other=(1, 0))
SECOND = entry(1, 3, 7, alert=2, clear=1, other=(0, 1))


def test_a_ledger_that_adds_up_is_well() -> None:
    findings = check_ledger([FIRST, SECOND, SECOND], outcome_of_each_record(EXPECTED, RECORDS, STORE))
    assert findings.wrong == []
    assert (findings.entries, findings.records) == (2, 7)


@pytest.mark.parametrize(
    "entries",
    [
        [FIRST, entry(1, 4, 7, alert=1, clear=1, other=(0, 1))],
        [FIRST, entry(1, 2, 7, alert=2, clear=1, other=(1, 1))],
        [SECOND],
        [FIRST, entry(1, 3, 7, alert=1, clear=2, other=(0, 1))],
        [FIRST, SECOND.model_copy(update={"records": 3})],
    ],
    ids=["a gap", "an overlap", "the beginning missing", "a wrong count", "a wrong sum"],
)
def test_a_ledger_that_does_not_add_up_is_found(entries: list[LedgerEntry]) -> None:
    assert check_ledger(entries, outcome_of_each_record(EXPECTED, RECORDS, STORE)).wrong


def test_recovery_lasts_until_a_later_alert_and_all_earlier_ones_are_stored() -> None:
    produced = {"a": 10.0, "b": 11.0, "c": 12.0, "d": 20.0}
    stored = {"a": 17.0, "c": 12.5, "d": 25.0}
    attempts = [Attempt("first", 10.5, 11.0), Attempt("second", 15.0, 15.0)]
    recoveries = aftermaths(attempts, produced, stored, EXPECTED.stored_ids, Findings(lost=["d"]))
    assert [(each.recovered, each.rows, each.lost) for each in recoveries] == [(6.0, 3, 0), (10.0, 1, 1)]


def test_a_system_that_stores_nothing_any_more_has_not_recovered() -> None:
    produced = {"a": 10.0, "c": 12.0, "d": 20.0}
    attempt = [Attempt("kill", 11.0, 11.0)]
    for stored in ({"a": 10.5}, {"c": 12.5, "d": 25.0}):
        (recovery,) = aftermaths(attempt, produced, stored, EXPECTED.stored_ids, Findings())
        assert recovery.recovered is None
