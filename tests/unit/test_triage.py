"""What people do with alerts, on a real store: nobody has another's alert unknowingly, and everything is recorded."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dashboards import Clock, alert, file_of, open_store
from fraudstream.errors import RequestError
from fraudstream.messages.verdicts import DEFAULT_REASON_CODES, ReasonCodes, UnpublishedVerdicts
from fraudstream.store.change_reading import ChangeQuery, ChangeReader
from fraudstream.store.changes import Actor, ChangeLog
from fraudstream.store.filters import AlertFilter, Op, Sort, Where
from fraudstream.store.store import AlertStore
from fraudstream.store.triage import Order, TriageService
from fraudstream.store.triage_state import AlertStatus
from fraudstream.store.triage_writing import TriageResult
from fraudstream.times import microseconds
from fraudstream.transactions.wire import Outcome

ANN, BEN = Actor("Ann"), Actor("Ben")
FRAUD, FALSE_ALARM = AlertStatus.CONFIRMED_FRAUD, AlertStatus.FALSE_ALARM


@pytest.fixture
def store(tmp_path: Path, clock: Clock, store_url: Callable[[Path], str]) -> Iterator[AlertStore]:
    with open_store(tmp_path, clock, 5, store_url(tmp_path)) as store:
        yield store


@pytest.fixture
def results() -> list[TriageResult]:
    return []


@pytest.fixture
def triage(store: AlertStore, results: list[TriageResult]) -> TriageService:
    return TriageService(store, results.append)


def stands(triage: TriageService, alert_id: str) -> tuple[str, str | None, int]:
    state = triage.state(alert_id)
    assert state is not None
    return state[0].status, state[0].assignee, state[0].version


def recorded(store: AlertStore) -> list[tuple[str | None, str, str]]:
    """Actor, action and subject of every change, oldest first."""
    page = ChangeReader(store.database).page(ChangeQuery())
    return [(each.actor, each.action, each.subject) for each in reversed(page)]


def test_a_claimed_alert_is_refused_to_another_with_who_has_it_and_since_when(triage: TriageService) -> None:
    triage.claim(ANN, ["id-1"])
    result = triage.claim(BEN, ["id-1"])
    assert result.done == []
    assert result.change_id is None
    (refusal,) = result.refused
    assert refusal.reason == "Ann claimed it at 2026-01-02 03:04:05 UTC; take it over to claim it"
    assert refusal.state is not None
    assert refusal.state.document() == {
        "status": "claimed",
        "assignee": "Ann",
        "version": 1,
        "decided_at": None,
        "since": "2026-01-02T03:04:05+00:00",
    }
    assert stands(triage, "id-1") == ("claimed", "Ann", 1)


def test_a_takeover_is_recorded_as_one(triage: TriageService, store: AlertStore) -> None:
    triage.claim(ANN, ["id-1"])
    assert triage.claim(BEN, ["id-1"], take_over=True).change_id
    assert stands(triage, "id-1") == ("claimed", "Ben", 2)
    change = ChangeReader(store.database).page(ChangeQuery(actor="Ben"))[0]
    assert change.before is not None
    assert change.after is not None
    assert (change.before["assignee"], change.after["assignee"], change.after["taken_over"]) == ("Ann", "Ben", 1)


def test_a_claim_again_is_no_change(triage: TriageService, store: AlertStore, results: list[TriageResult]) -> None:
    triage.claim(ANN, ["id-1"])
    again = triage.claim(ANN, ["id-1"])
    assert [each.alert_id for each in again.done] == ["id-1"]
    assert again.change_id is None
    assert recorded(store) == [("Ann", "claim", "id-1")]
    assert len(results) == 1


def test_a_claim_stays_until_it_is_released(triage: TriageService, clock: Clock) -> None:
    triage.claim(ANN, ["id-1"])
    clock.forward(30 * 24 * 3600)
    assert triage.claim(BEN, ["id-1"]).refused
    assert "only the person who claimed" in triage.release(BEN, ["id-1"]).refused[0].reason
    triage.release(ANN, ["id-1"])
    assert stands(triage, "id-1") == ("new", None, 2)
    assert triage.release(ANN, ["id-1"]).change_id is None
    assert triage.claim(BEN, ["id-1"]).done


def test_a_verdict_on_what_another_has_claimed_or_decided_is_refused(triage: TriageService) -> None:
    triage.claim(ANN, ["id-1"])
    assert "Ann claimed it" in triage.verdict(BEN, ["id-1"], FRAUD).refused[0].reason
    triage.verdict(ANN, ["id-1"], FRAUD)
    assert "Ann decided it (confirmed fraud)" in triage.verdict(BEN, ["id-1"], FALSE_ALARM).refused[0].reason
    assert "undo the verdict" in triage.release(ANN, ["id-1"]).refused[0].reason
    triage.verdict(BEN, ["id-1"], FALSE_ALARM, take_over=True)
    assert stands(triage, "id-1") == ("false_alarm", "Ben", 3)


def test_an_own_verdict_may_change_and_a_repeat_needs_a_note(
    triage: TriageService, store: AlertStore, clock: Clock
) -> None:
    triage.verdict(ANN, ["id-1"], FRAUD)
    clock.forward(60)
    assert triage.verdict(ANN, ["id-1"], FRAUD).change_id is None
    triage.verdict(ANN, ["id-1"], FALSE_ALARM, note="the holder called")
    state = triage.state("id-1")
    assert state is not None
    work, history = state
    assert (work.status, work.version) == ("false_alarm", 2)
    assert work.document()["decided_at"] == "2026-01-02T03:05:05+00:00"
    assert [(each.action, each.why) for each in history] == [("verdict", "the holder called"), ("verdict", "")]
    assert triage.verdict(ANN, ["id-1"], FALSE_ALARM, note="and called again").change_id


def test_bulk_verdicts_succeed_where_they_can_and_say_what_was_refused(
    triage: TriageService, store: AlertStore, results: list[TriageResult]
) -> None:
    triage.claim(BEN, ["id-2"])
    result = triage.verdict(ANN, ["id-1", "id-2", "id-3", "gone"], FALSE_ALARM, note="one merchant")
    assert [each.alert_id for each in result.done] == ["id-1", "id-3"]
    assert [(each.alert_id, each.state is None) for each in result.refused] == [("id-2", False), ("gone", True)]
    (change, _) = ChangeReader(store.database).page(ChangeQuery())
    assert (change.alerts, [each.alert_id for each in change.touched]) == (2, ["id-1", "id-3"])
    assert change.subject == "2 alerts"
    assert (change.before, change.after) == ({"new": 2}, {"false_alarm": 2})
    assert [each.alert_id for each in results[-1].changed] == ["id-1", "id-3"]


def test_what_was_changed_since_one_looked_is_refused(triage: TriageService) -> None:
    triage.claim(ANN, ["id-1"])
    triage.release(ANN, ["id-1"])
    result = triage.verdict(BEN, ["id-1", "id-2"], FRAUD, versions={"id-1": 0, "id-2": 0})
    assert [each.alert_id for each in result.done] == ["id-2"]
    assert result.refused[0].reason.startswith("it has changed since you opened it: it has been new again since")
    assert triage.verdict(BEN, ["id-1"], FRAUD, versions={"id-1": 2}).done


def test_an_escalated_alert_is_somebody_else_s_who_may_claim_or_release_it(triage: TriageService) -> None:
    triage.claim(ANN, ["id-1"])
    done = triage.escalate(ANN, ["id-1"], "Ben", note="a large one")
    assert stands(triage, "id-1") == ("escalated", "Ben", 2)
    (state, (change, _)) = triage.state("id-1") or (None, [])
    assert state is not None
    assert (state.escalated_by, change.action, change.why) == ("Ann", "escalate", "a large one")
    (refusal,) = triage.verdict(ANN, ["id-1"], FRAUD).refused
    assert refusal.reason == "Ann escalated it to Ben at 2026-01-02 03:04:05 UTC; take it over to decide it"
    assert triage.claim(BEN, ["id-1"]).done[0].state.escalated_by is None
    assert triage.undo(ANN, str(done.change_id)).refused
    assert (
        triage.escalate(BEN, ["id-1"], "ben").refused[0].reason.startswith("you cannot escalate an alert to yourself")
    )
    triage.escalate(BEN, ["id-2"], "Ann")
    assert triage.release(ANN, ["id-2"]).done[0].state.status == "new"


def test_what_needs_information_stays_to_do_until_a_due_time_in_the_future(
    triage: TriageService, clock: Clock, store: AlertStore
) -> None:
    now_us = microseconds(clock())
    later = {f"id-{number}": now_us + number * 3_600_000_000 for number in (3, 2, 1)}
    for alert_id, due_us in later.items():
        triage.need_information(ANN, [alert_id], due_us)
    (refusal,) = triage.need_information(ANN, ["id-4"], now_us).refused
    assert refusal.reason == "the due time has passed; choose a later one"
    assert triage.verdict(BEN, ["id-1"], FRAUD).refused[0].reason.startswith("Ann asked for information on it at")
    assert stands(triage, "id-1") == ("needs_information", "Ann", 1)
    assert [each.document()["alert_id"] for each in store.search.page(AlertFilter(), sort=Sort.DUE).alerts] == [
        *("id-1", "id-2", "id-3")
    ]
    soon = store.search.page(AlertFilter(due_before_us=later["id-2"]), sort=Sort.NEWEST).alerts
    assert [each.document()["work"]["due_at"] for each in soon] == ["2026-01-02T04:04:05+00:00"]
    first = store.search.page(AlertFilter(), sort=Sort.DUE, limit=1)
    second = store.search.page(AlertFilter(), sort=Sort.DUE, limit=1, after=first.following)
    assert second.alerts[0].document()["alert_id"] == "id-2"
    assert triage.verdict(ANN, ["id-1"], FRAUD).done[0].state.due_us is None


def test_an_own_verdict_keeps_its_reason_until_another_is_given(triage: TriageService) -> None:
    def code() -> str | None:
        state = triage.state("id-1")
        return None if state is None else state[0].reason_code

    triage.verdict(ANN, ["id-1"], FRAUD, code="stolen_card")
    assert triage.verdict(ANN, ["id-1"], FRAUD).change_id is None
    triage.verdict(ANN, ["id-1"], FRAUD, note="called the holder")
    assert code() == "stolen_card"
    triage.verdict(ANN, ["id-1"], FRAUD, code="scam")
    assert code() == "scam"
    triage.verdict(ANN, ["id-1"], FALSE_ALARM)
    assert code() is None


def test_a_verdict_is_undone_after_the_reason_that_was_added_to_it(triage: TriageService) -> None:
    verdict = triage.verdict(ANN, ["id-1"], FRAUD)
    reason = triage.verdict(ANN, ["id-1"], FRAUD, code="scam")
    assert triage.undo(ANN, str(verdict.change_id)).refused[0].reason.startswith("it has changed since")
    assert triage.undo(ANN, str(reason.change_id)).done[0].state.reason_code is None
    assert triage.undo(ANN, str(verdict.change_id)).done[0].state.status == "new"


def test_verdicts_and_their_withdrawals_are_published_in_their_order(triage: TriageService, store: AlertStore) -> None:
    triage.claim(ANN, ["id-1"])
    triage.verdict(ANN, ["id-1", "id-2"], FRAUD, code="scam")
    second = triage.verdict(BEN, ["id-3"], FALSE_ALARM)
    triage.note(BEN, "id-3", "checked")
    triage.undo(BEN, str(second.change_id))
    triage.claim(BEN, ["id-1"], take_over=True)
    reader = ChangeReader(store.database)
    first = reader.unpublished_verdicts(0)
    assert [(each.alert_id, each.verdict, each.former_verdict, each.by, each.action) for each in first.verdicts] == [
        ("id-1", "confirmed_fraud", None, "Ann", "verdict"),
        ("id-2", "confirmed_fraud", None, "Ann", "verdict"),
        ("id-3", "false_alarm", None, "Ben", "verdict"),
        ("id-3", None, "false_alarm", "Ben", "undo"),
        ("id-1", None, "confirmed_fraud", "Ben", "claim"),
    ]
    assert first.verdicts[2].event_id == f"verdict/{second.change_id}/id-3"
    assert [each.reason_code for each in first.verdicts] == ["scam", "scam", None, None, None]
    assert reader.unpublished_verdicts(0) == first, "nothing is skipped before it was published"
    assert reader.unpublished_verdicts(first.until) == UnpublishedVerdicts([], first.until)
    triage.verdict(ANN, ["id-4"], FRAUD)
    assert [each.alert_id for each in reader.unpublished_verdicts(0).verdicts] == ["id-4"]


def test_a_position_in_the_verdicts_of_another_store_is_ignored(triage: TriageService, store: AlertStore) -> None:
    reader = ChangeReader(store.database)
    assert reader.unpublished_verdicts(500) == UnpublishedVerdicts([], 0)
    triage.verdict(ANN, ["id-1"], FRAUD)
    answer = reader.unpublished_verdicts(500)
    assert ([each.alert_id for each in answer.verdicts], answer.until) == (["id-1"], 1)


def test_the_reason_codes_are_those_of_the_newest_change(store: AlertStore) -> None:
    log = ChangeLog(store.database)
    assert log.reason_codes() == DEFAULT_REASON_CODES
    codes = ReasonCodes(confirmed_fraud=["SIM swap"], false_alarm=[], unsure=["Überweisung?"])
    assert log.change_reason_codes(ANN, codes)
    assert log.change_reason_codes(BEN, codes) is None
    assert log.reason_codes() == codes
    assert (codes.of("confirmed_fraud"), codes.of("unsure")) == (
        {"sim_swap": "SIM swap"},
        {"überweisung": "Überweisung?"},
    )
    assert (codes.label("sim_swap"), codes.label("stolen_card")) == ("SIM swap", "Stolen card")
    assert recorded(store) == [("Ann", "reason_codes", "reason codes")]


def test_reason_codes_that_another_has_changed_meanwhile_are_not_replaced(store: AlertStore) -> None:
    log = ChangeLog(store.database)
    former = log.reason_codes_change()
    codes = ReasonCodes(confirmed_fraud=["SIM swap"], false_alarm=[], unsure=[])
    assert log.change_reason_codes(ANN, codes, former) == log.reason_codes_change()
    with pytest.raises(RequestError, match="somebody else has changed the reasons"):
        log.change_reason_codes(BEN, DEFAULT_REASON_CODES, former)
    assert log.reason_codes() == codes


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        (["Travel", "travel "], "'travel' and 'Travel' are the same reason"),
        (["?"], "'\\?' has no letter or digit"),
        (["x" * 61], "at most 60 characters"),
        ([f"reason {number}" for number in range(31)], "at most 30 items"),
    ],
)
def test_reason_codes_differ_and_are_short(labels: list[str], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        ReasonCodes(confirmed_fraud=labels, false_alarm=[], unsure=[])


def test_a_note_leaves_the_alert_to_who_has_it(triage: TriageService) -> None:
    triage.claim(ANN, ["id-1"])
    result = triage.note(BEN, "id-1", "the same card as id-2")
    assert result.change_id
    assert stands(triage, "id-1") == ("claimed", "Ann", 1)
    assert triage.note(BEN, "gone", "?").refused[0].reason == "there is no alert with this id"


def test_undo_gives_back_what_was_and_is_a_change_itself(triage: TriageService, clock: Clock) -> None:
    triage.claim(ANN, ["id-1", "id-2"])
    decided = triage.verdict(ANN, ["id-1", "id-2"], FRAUD)
    triage.note(BEN, "id-1", "no doubt")
    clock.forward(10)
    undone = triage.undo(ANN, str(decided.change_id))
    assert [each.alert_id for each in undone.done] == ["id-1", "id-2"]
    assert stands(triage, "id-1") == ("claimed", "Ann", 3)
    state = triage.state("id-1")
    assert state is not None
    work, history = state
    assert work.decided_us is None
    assert [each.action for each in history] == ["undo", "note", "verdict", "claim"]
    assert history[0].undoes == decided.change_id
    assert history[2].undone_by == undone.change_id
    assert ((history[0].before or {})["status"], (history[0].after or {})["status"]) == ("confirmed_fraud", "claimed")


def test_nothing_is_undone_twice_but_an_undo_can_be_undone(triage: TriageService, store: AlertStore) -> None:
    decided = triage.verdict(ANN, ["id-1"], FRAUD)
    undone = triage.undo(ANN, str(decided.change_id))
    again = triage.undo(ANN, str(decided.change_id))
    assert (again.done, again.change_id) == ([], None)
    assert "already undone" in again.refused[0].reason
    triage.undo(ANN, str(undone.change_id))
    assert stands(triage, "id-1") == ("confirmed_fraud", "Ann", 3)
    assert triage.undo(ANN, str(undone.change_id)).refused
    assert recorded(store) == [("Ann", "verdict", "id-1"), ("Ann", "undo", "id-1"), ("Ann", "undo", "id-1")]


def test_undo_leaves_alone_what_was_changed_since(triage: TriageService) -> None:
    decided = triage.verdict(ANN, ["id-1", "id-2"], FRAUD)
    triage.verdict(BEN, ["id-2"], FALSE_ALARM, take_over=True)
    undone = triage.undo(ANN, str(decided.change_id))
    assert [each.alert_id for each in undone.done] == ["id-1"]
    assert undone.refused[0].reason.startswith("it has changed since: Ben decided it (false alarm)")
    assert stands(triage, "id-2") == ("false_alarm", "Ben", 2)


def test_only_who_made_a_change_undoes_it_and_only_changes_of_alerts(triage: TriageService, store: AlertStore) -> None:
    decided = triage.verdict(ANN, ["id-1"], FRAUD)
    assert "Ann made this change" in triage.undo(BEN, str(decided.change_id)).refused[0].reason
    with pytest.raises(RequestError, match="no change of alerts"):
        triage.undo(ANN, "no such change")
    store.refuse_alias("new", "V1", who="Ann", why="")
    alias_change = ChangeReader(store.database).page(ChangeQuery(action="alias"))[0]
    assert (alias_change.subject, alias_change.after) == ("new as V1", {"refused": {"new": "V1"}})
    with pytest.raises(RequestError, match="no change of alerts"):
        triage.undo(ANN, alias_change.change_id)


def test_a_note_can_be_taken_back(triage: TriageService) -> None:
    note = triage.note(ANN, "id-1", "wrong alert")
    assert triage.undo(ANN, str(note.change_id)).done
    state = triage.state("id-1")
    assert state is not None
    assert state[1][1].undone_by == state[1][0].change_id
    assert state[0].version == 0


def test_of_twenty_who_claim_an_alert_at_once_one_has_it(triage: TriageService, store: AlertStore) -> None:
    barrier = threading.Barrier(20)
    won: list[str] = []

    def claim(name: str) -> None:
        barrier.wait()
        if triage.claim(Actor(name), ["id-1"]).done:
            won.append(name)

    threads = [threading.Thread(target=claim, args=(f"analyst {n}",)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert stands(triage, "id-1") == ("claimed", won[0], 1)
    assert recorded(store) == [(won[0], "claim", "id-1")]


def test_two_processes_on_one_database_do_not_both_have_an_alert(store: AlertStore, clock: Clock) -> None:
    other = AlertStore.open(store.database.backend.url, clock=clock)
    barrier = threading.Barrier(2)
    won: list[str] = []

    def take(name: str, triage: TriageService) -> None:
        barrier.wait()
        won.extend(each.alert_id for _ in range(5) for each in triage.next(Actor(name), AlertFilter()).done)

    threads = [threading.Thread(target=take, args=(name, TriageService(s))) for name, s in (("a", store), ("b", other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert sorted(won) == [f"id-{n}" for n in range(1, 6)]


def post(store: AlertStore, number: int, score: float, amount: float, **more: object) -> None:
    store.add_alerts([alert(number, score=score, transaction={"Amount": amount}, **more)])


@pytest.mark.parametrize(
    ("order", "ids"),
    [
        (Order.LOSS, ["id-12", "id-13", "id-11"]),
        (Order.SCORE, ["id-11", "id-12", "id-13"]),
        (Order.NEWEST, ["id-13", "id-12", "id-11"]),
        (Order.OLDEST, ["id-1", "id-2", "id-3"]),
    ],
)
def test_next_claims_in_the_order_asked_for(
    store: AlertStore, triage: TriageService, order: Order, ids: list[str]
) -> None:
    post(store, 11, 0.99, 20.0)
    post(store, 12, 0.95, 900.0)
    post(store, 13, 0.91, 700.0)
    claims = [triage.next(ANN, AlertFilter(), order) for _ in range(3)]
    assert [each.done[0].alert_id for each in claims] == ids
    assert [each.done[0].state.assignee for each in claims] == ["Ann"] * 3


def test_next_keeps_to_the_filter_passes_over_what_is_not_wanted_and_ends(
    store: AlertStore, triage: TriageService
) -> None:
    post(store, 11, 0.99, 1e6, model_id="m-2")
    post(store, 12, 0.99, 10.0, model_id="m-2")
    post(store, 13, 0.99, 1e7, model_id="m-2", outcome="unscorable")
    query = AlertFilter(model_id="m-2")
    assert [each.alert_id for each in triage.next(ANN, query, skip=["id-11", "gone"]).done] == ["id-12"]
    assert triage.next(ANN, query, skip=["id-11"]).done == []
    every = AlertFilter(model_id="m-2", outcome=None)
    assert [triage.next(ANN, every).done[0].alert_id for _ in range(2)] == ["id-11", "id-13"]
    assert triage.next(ANN, AlertFilter(outcome=Outcome.UNSCORABLE)).done == []


@pytest.mark.parametrize("order", list(Order))
def test_next_finds_what_is_not_among_the_first_and_looks_inside(
    store: AlertStore, triage: TriageService, order: Order
) -> None:
    many = [alert(n, score=0.95, transaction={"Amount": 100.0, "Shop": "north"}) for n in range(100, 700)]
    needles = [alert(n, score=0.9, transaction={"Amount": 7.0, "Shop": "south"}) for n in (50, 51)]
    store.add_alerts([*many[:300], *needles, *many[300:]])
    inside = AlertFilter(where=(Where("Shop", Op.EQ, "south"),))
    last = "id-50" if order is Order.OLDEST else "id-51"
    other = "id-51" if order is Order.OLDEST else "id-50"
    assert [each.alert_id for each in triage.next(ANN, inside, order).done] == [last]
    assert [each.alert_id for each in triage.next(BEN, AlertFilter(max_amount=8.0), order).done] == [other]
    assert triage.next(ANN, inside, order).done == []
    assert triage.next(ANN, AlertFilter(statuses=("claimed",)), order).done == []


def test_next_passes_over_more_than_the_first(store: AlertStore, triage: TriageService) -> None:
    store.add_alerts([alert(n) for n in range(100, 700)])
    skip = [f"id-{n}" for n in range(10, 700)]
    assert triage.next(ANN, AlertFilter(), Order.NEWEST, skip).done[0].alert_id == "id-5"


@pytest.mark.sqlite
def test_the_database_refuses_to_alter_or_delete_a_change(triage: TriageService, store: AlertStore) -> None:
    triage.claim(ANN, ["id-1"])
    database = sqlite3.connect(file_of(store))
    for table in ("changes", "change_items"):
        for statement in (
            f"UPDATE {table} SET seq = seq" if table == "changes" else f"UPDATE {table} SET alert = 2",
            f"DELETE FROM {table}",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                database.execute(statement)
    database.close()


@pytest.mark.sqlite
def test_a_store_that_takes_no_write_changes_nothing(
    store: AlertStore, triage: TriageService, results: list[TriageResult]
) -> None:
    database = sqlite3.connect(file_of(store), isolation_level=None)
    database.execute("CREATE TRIGGER broken BEFORE INSERT ON change_items BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(Exception, match="a write to the alert store failed"):
        triage.claim(ANN, ["id-1"])
    assert stands(triage, "id-1") == ("new", None, 0)
    assert (recorded(store), results) == ([], [])
    database.close()
