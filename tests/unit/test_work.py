"""What people do with alerts, on a real store: nobody has another's alert unknowingly, and everything is recorded."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboards import Clock, alert, open_store
from fraudstream.errors import RequestError
from fraudstream.store.change_reading import ChangeQuery, ChangeReader
from fraudstream.store.changes import Actor
from fraudstream.store.filters import AlertFilter, Op, Where
from fraudstream.store.store import AlertStore
from fraudstream.store.triage import Order, TriageService
from fraudstream.store.triage_state import AlertStatus
from fraudstream.store.triage_writing import TriageResult
from fraudstream.transactions.wire import Outcome

ANN, BEN = Actor("Ann"), Actor("Ben")
FRAUD, FALSE_ALARM = AlertStatus.CONFIRMED_FRAUD, AlertStatus.FALSE_ALARM


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[AlertStore]:
    with open_store(tmp_path, clock, 5) as store:
        yield store


@pytest.fixture
def told() -> list[TriageResult]:
    return []


@pytest.fixture
def desk(store: AlertStore, told: list[TriageResult]) -> TriageService:
    return TriageService(store, told.append)


def stands(desk: TriageService, alert_id: str) -> tuple[str, str | None, int]:
    found = desk.state(alert_id)
    assert found is not None
    return found[0].status, found[0].assignee, found[0].version


def recorded(store: AlertStore) -> list[tuple[str | None, str, str]]:
    """Actor, action and subject of every change, oldest first."""
    found = ChangeReader(store.database).page(ChangeQuery())
    return [(each.actor, each.action, each.subject) for each in reversed(found)]


def test_a_claimed_alert_is_refused_to_another_with_who_has_it_and_since_when(desk: TriageService) -> None:
    desk.claim(ANN, ["id-1"])
    refused = desk.claim(BEN, ["id-1"])
    assert refused.done == []
    assert refused.change_id is None
    (told,) = refused.refused
    assert told.reason == "Ann claimed it at 2026-01-02 03:04:05 UTC; take it over to claim it"
    assert told.state is not None
    assert told.state.document() == {
        "status": "claimed",
        "assignee": "Ann",
        "version": 1,
        "decided_at": None,
        "since": "2026-01-02T03:04:05+00:00",
    }
    assert stands(desk, "id-1") == ("claimed", "Ann", 1)


def test_a_takeover_is_recorded_as_one(desk: TriageService, store: AlertStore) -> None:
    desk.claim(ANN, ["id-1"])
    assert desk.claim(BEN, ["id-1"], take_over=True).change_id
    assert stands(desk, "id-1") == ("claimed", "Ben", 2)
    taken = ChangeReader(store.database).page(ChangeQuery(actor="Ben"))[0]
    assert taken.before is not None
    assert taken.after is not None
    assert (taken.before["assignee"], taken.after["assignee"], taken.after["taken_over"]) == ("Ann", "Ben", 1)


def test_a_claim_again_is_no_change(desk: TriageService, store: AlertStore, told: list[TriageResult]) -> None:
    desk.claim(ANN, ["id-1"])
    again = desk.claim(ANN, ["id-1"])
    assert [each.alert_id for each in again.done] == ["id-1"]
    assert again.change_id is None
    assert recorded(store) == [("Ann", "claim", "id-1")]
    assert len(told) == 1


def test_a_claim_stays_until_it_is_released(desk: TriageService, clock: Clock) -> None:
    desk.claim(ANN, ["id-1"])
    clock.forward(30 * 24 * 3600)
    assert desk.claim(BEN, ["id-1"]).refused
    assert "only the person who claimed" in desk.release(BEN, ["id-1"]).refused[0].reason
    desk.release(ANN, ["id-1"])
    assert stands(desk, "id-1") == ("new", None, 2)
    assert desk.release(ANN, ["id-1"]).change_id is None
    assert desk.claim(BEN, ["id-1"]).done


def test_a_verdict_on_what_another_has_claimed_or_decided_is_refused(desk: TriageService) -> None:
    desk.claim(ANN, ["id-1"])
    assert "Ann claimed it" in desk.verdict(BEN, ["id-1"], FRAUD).refused[0].reason
    desk.verdict(ANN, ["id-1"], FRAUD)
    assert "Ann decided it (confirmed fraud)" in desk.verdict(BEN, ["id-1"], FALSE_ALARM).refused[0].reason
    assert "undo the verdict" in desk.release(ANN, ["id-1"]).refused[0].reason
    desk.verdict(BEN, ["id-1"], FALSE_ALARM, take_over=True)
    assert stands(desk, "id-1") == ("false_alarm", "Ben", 3)


def test_an_own_verdict_may_change_and_a_repeat_needs_a_note(
    desk: TriageService, store: AlertStore, clock: Clock
) -> None:
    desk.verdict(ANN, ["id-1"], FRAUD)
    clock.forward(60)
    assert desk.verdict(ANN, ["id-1"], FRAUD).change_id is None
    desk.verdict(ANN, ["id-1"], FALSE_ALARM, note="the holder called")
    found = desk.state("id-1")
    assert found is not None
    work, history = found
    assert (work.status, work.version) == ("false_alarm", 2)
    assert work.document()["decided_at"] == "2026-01-02T03:05:05+00:00"
    assert [(each.action, each.why) for each in history] == [("verdict", "the holder called"), ("verdict", "")]
    assert desk.verdict(ANN, ["id-1"], FALSE_ALARM, note="and called again").change_id


def test_bulk_verdicts_succeed_where_they_can_and_say_what_was_refused(
    desk: TriageService, store: AlertStore, told: list[TriageResult]
) -> None:
    desk.claim(BEN, ["id-2"])
    done = desk.verdict(ANN, ["id-1", "id-2", "id-3", "gone"], FALSE_ALARM, note="one merchant")
    assert [each.alert_id for each in done.done] == ["id-1", "id-3"]
    assert [(each.alert_id, each.state is None) for each in done.refused] == [("id-2", False), ("gone", True)]
    (change, _) = ChangeReader(store.database).page(ChangeQuery())
    assert (change.alerts, [each.alert_id for each in change.touched]) == (2, ["id-1", "id-3"])
    assert change.subject == "2 alerts"
    assert (change.before, change.after) == ({"new": 2}, {"false_alarm": 2})
    assert [each.alert_id for each in told[-1].changed] == ["id-1", "id-3"]


def test_what_was_changed_since_one_looked_is_refused(desk: TriageService) -> None:
    desk.claim(ANN, ["id-1"])
    desk.release(ANN, ["id-1"])
    refused = desk.verdict(BEN, ["id-1", "id-2"], FRAUD, versions={"id-1": 0, "id-2": 0})
    assert [each.alert_id for each in refused.done] == ["id-2"]
    assert refused.refused[0].reason.startswith("it has changed since you opened it: it has been new again since")
    assert desk.verdict(BEN, ["id-1"], FRAUD, versions={"id-1": 2}).done


def test_a_note_leaves_the_alert_to_who_has_it(desk: TriageService) -> None:
    desk.claim(ANN, ["id-1"])
    done = desk.note(BEN, "id-1", "the same card as id-2")
    assert done.change_id
    assert stands(desk, "id-1") == ("claimed", "Ann", 1)
    assert desk.note(BEN, "gone", "?").refused[0].reason == "there is no alert with this id"


def test_undo_gives_back_what_was_and_is_a_change_itself(desk: TriageService, clock: Clock) -> None:
    desk.claim(ANN, ["id-1", "id-2"])
    decided = desk.verdict(ANN, ["id-1", "id-2"], FRAUD)
    desk.note(BEN, "id-1", "no doubt")
    clock.forward(10)
    undone = desk.undo(ANN, str(decided.change_id))
    assert [each.alert_id for each in undone.done] == ["id-1", "id-2"]
    assert stands(desk, "id-1") == ("claimed", "Ann", 3)
    found = desk.state("id-1")
    assert found is not None
    work, history = found
    assert work.decided_us is None
    assert [each.action for each in history] == ["undo", "note", "verdict", "claim"]
    assert history[0].undoes == decided.change_id
    assert history[2].undone_by == undone.change_id
    assert ((history[0].before or {})["status"], (history[0].after or {})["status"]) == ("confirmed_fraud", "claimed")


def test_nothing_is_undone_twice_but_an_undo_can_be_undone(desk: TriageService, store: AlertStore) -> None:
    decided = desk.verdict(ANN, ["id-1"], FRAUD)
    undone = desk.undo(ANN, str(decided.change_id))
    again = desk.undo(ANN, str(decided.change_id))
    assert (again.done, again.change_id) == ([], None)
    assert "already undone" in again.refused[0].reason
    desk.undo(ANN, str(undone.change_id))
    assert stands(desk, "id-1") == ("confirmed_fraud", "Ann", 3)
    assert desk.undo(ANN, str(undone.change_id)).refused
    assert recorded(store) == [("Ann", "verdict", "id-1"), ("Ann", "undo", "id-1"), ("Ann", "undo", "id-1")]


def test_undo_leaves_alone_what_was_changed_since(desk: TriageService) -> None:
    decided = desk.verdict(ANN, ["id-1", "id-2"], FRAUD)
    desk.verdict(BEN, ["id-2"], FALSE_ALARM, take_over=True)
    undone = desk.undo(ANN, str(decided.change_id))
    assert [each.alert_id for each in undone.done] == ["id-1"]
    assert undone.refused[0].reason.startswith("it has changed since: Ben decided it (a false alarm)")
    assert stands(desk, "id-2") == ("false_alarm", "Ben", 2)


def test_only_who_made_a_change_undoes_it_and_only_changes_of_alerts(desk: TriageService, store: AlertStore) -> None:
    decided = desk.verdict(ANN, ["id-1"], FRAUD)
    assert "Ann made this change" in desk.undo(BEN, str(decided.change_id)).refused[0].reason
    with pytest.raises(RequestError, match="no change of alerts"):
        desk.undo(ANN, "no such change")
    store.refuse_alias("new", "V1", who="Ann", why="")
    refused = ChangeReader(store.database).page(ChangeQuery(action="alias"))[0]
    assert (refused.subject, refused.after) == ("new as V1", {"refused": {"new": "V1"}})
    with pytest.raises(RequestError, match="no change of alerts"):
        desk.undo(ANN, refused.change_id)


def test_a_note_can_be_taken_back(desk: TriageService) -> None:
    note = desk.note(ANN, "id-1", "wrong alert")
    assert desk.undo(ANN, str(note.change_id)).done
    found = desk.state("id-1")
    assert found is not None
    assert found[1][1].undone_by == found[1][0].change_id
    assert found[0].version == 0


def test_of_twenty_who_claim_an_alert_at_once_one_has_it(desk: TriageService, store: AlertStore) -> None:
    barrier = threading.Barrier(20)
    won: list[str] = []

    def claim(name: str) -> None:
        barrier.wait()
        if desk.claim(Actor(name), ["id-1"]).done:
            won.append(name)

    threads = [threading.Thread(target=claim, args=(f"analyst {n}",)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert stands(desk, "id-1") == ("claimed", won[0], 1)
    assert recorded(store) == [(won[0], "claim", "id-1")]


def test_two_processes_on_one_database_do_not_both_have_an_alert(store: AlertStore, clock: Clock) -> None:
    other = AlertStore.open(f"sqlite:///{store.database.path}", clock=clock)
    barrier = threading.Barrier(2)
    won: list[str] = []

    def take(name: str, desk: TriageService) -> None:
        barrier.wait()
        won.extend(each.alert_id for _ in range(5) for each in desk.next(Actor(name), AlertFilter()).done)

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
    store: AlertStore, desk: TriageService, order: Order, ids: list[str]
) -> None:
    post(store, 11, 0.99, 20.0)
    post(store, 12, 0.95, 900.0)
    post(store, 13, 0.91, 700.0)
    found = [desk.next(ANN, AlertFilter(), order) for _ in range(3)]
    assert [each.done[0].alert_id for each in found] == ids
    assert [each.done[0].state.assignee for each in found] == ["Ann"] * 3


def test_next_keeps_to_the_filter_passes_over_what_is_not_wanted_and_ends(
    store: AlertStore, desk: TriageService
) -> None:
    post(store, 11, 0.99, 1e6, model_id="m-2")
    post(store, 12, 0.99, 10.0, model_id="m-2")
    post(store, 13, 0.99, 1e7, model_id="m-2", outcome="unscorable")
    wanted = AlertFilter(model_id="m-2")
    assert [each.alert_id for each in desk.next(ANN, wanted, skip=["id-11", "gone"]).done] == ["id-12"]
    assert desk.next(ANN, wanted, skip=["id-11"]).done == []
    every = AlertFilter(model_id="m-2", outcome=None)
    assert [desk.next(ANN, every).done[0].alert_id for _ in range(2)] == ["id-11", "id-13"]
    assert desk.next(ANN, AlertFilter(outcome=Outcome.UNSCORABLE)).done == []


@pytest.mark.parametrize("order", list(Order))
def test_next_finds_what_is_not_among_the_first_and_looks_inside(
    store: AlertStore, desk: TriageService, order: Order
) -> None:
    many = [alert(n, score=0.95, transaction={"Amount": 100.0, "Shop": "north"}) for n in range(100, 700)]
    needles = [alert(n, score=0.9, transaction={"Amount": 7.0, "Shop": "south"}) for n in (50, 51)]
    store.add_alerts([*many[:300], *needles, *many[300:]])
    inside = AlertFilter(where=(Where("Shop", Op.EQ, "south"),))
    last = "id-50" if order is Order.OLDEST else "id-51"
    other = "id-51" if order is Order.OLDEST else "id-50"
    assert [each.alert_id for each in desk.next(ANN, inside, order).done] == [last]
    assert [each.alert_id for each in desk.next(BEN, AlertFilter(max_amount=8.0), order).done] == [other]
    assert desk.next(ANN, inside, order).done == []
    assert desk.next(ANN, AlertFilter(statuses=("claimed",)), order).done == []


def test_next_passes_over_more_than_the_first(store: AlertStore, desk: TriageService) -> None:
    store.add_alerts([alert(n) for n in range(100, 700)])
    skip = [f"id-{n}" for n in range(10, 700)]
    assert desk.next(ANN, AlertFilter(), Order.NEWEST, skip).done[0].alert_id == "id-5"


def test_the_database_refuses_to_alter_or_delete_a_change(desk: TriageService, store: AlertStore) -> None:
    desk.claim(ANN, ["id-1"])
    database = sqlite3.connect(store.database.path)
    for table in ("changes", "change_items"):
        for statement in (
            f"UPDATE {table} SET seq = seq" if table == "changes" else f"UPDATE {table} SET alert = 2",
            f"DELETE FROM {table}",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                database.execute(statement)
    database.close()


def test_a_store_that_takes_no_write_changes_nothing(
    store: AlertStore, desk: TriageService, told: list[TriageResult]
) -> None:
    database = sqlite3.connect(store.database.path, isolation_level=None)
    database.execute("CREATE TRIGGER broken BEFORE INSERT ON change_items BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(Exception, match="a write to the alert store failed"):
        desk.claim(ANN, ["id-1"])
    assert stands(desk, "id-1") == ("new", None, 0)
    assert (recorded(store), told) == ([], [])
    database.close()
