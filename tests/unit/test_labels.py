"""Labels in a real store: of verdicts, and of what is posted or imported, by event id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dashboards import Clock, alert, open_store
from fraudstream.errors import RequestError
from fraudstream.history.labels import LabelValue, current_label
from fraudstream.messages.labels import AddedLabels, NewLabel
from fraudstream.store.change_reading import ChangeQuery, ChangeReader
from fraudstream.store.changes import Action, Actor, broken_links
from fraudstream.store.database import read_store
from fraudstream.store.labels import LabelQuery, add_labels, labels_by_event
from fraudstream.store.store import AlertStore
from fraudstream.store.triage import TriageService
from fraudstream.store.triage_state import AlertStatus
from fraudstream.times import microseconds

ANN, BEN = Actor("Ann"), Actor("Ben")
FRAUD, FALSE_ALARM, UNSURE = AlertStatus.CONFIRMED_FRAUD, AlertStatus.FALSE_ALARM, AlertStatus.UNSURE
PRODUCED = "2026-01-02T03:04:05+00:00"


@pytest.fixture
def store(tmp_path: Path, clock: Clock, store_url: Callable[[Path], str]) -> Iterator[AlertStore]:
    with open_store(tmp_path, clock, 5, store_url(tmp_path)) as store:
        yield store


@pytest.fixture
def triage(store: AlertStore) -> TriageService:
    return TriageService(store)


def labels(store: AlertStore, event_id: str | None = None) -> list[tuple[str, str, str]]:
    """Event id, label and source of each label, the oldest first."""
    page = store.labels.page(LabelQuery(event_id=event_id))
    return [(each.event_id, each.label, each.source) for each in reversed(page)]


def current(store: AlertStore, as_of_us: int | None = None) -> dict[str, str]:
    with read_store(store.database.backend.url) as connection:
        labels = {event_id: current_label(known, as_of_us) for event_id, _, known in labels_by_event(connection)}
    return {event_id: label.label.value for event_id, label in labels.items() if label is not None}


def add(store: AlertStore, *new: dict[str, object]) -> AddedLabels:
    return add_labels(store.database, [NewLabel.model_validate(each) for each in new], BEN, "a list")


def fraud(event_id: str, **members: object) -> dict[str, object]:
    return {"event_id": event_id, "label": "fraud"} | members


def test_a_verdict_is_a_label_with_the_times_of_payment_and_verdict(triage: TriageService, store: AlertStore) -> None:
    triage.verdict(ANN, ["id-1", "id-2"], FRAUD)
    triage.verdict(ANN, ["id-3"], FALSE_ALARM)
    triage.verdict(ANN, ["id-4"], UNSURE)
    triage.claim(ANN, ["id-5"])
    assert current(store) == {"id-1": "fraud", "id-2": "fraud", "id-3": "legitimate"}
    label = store.labels.page(LabelQuery(event_id="id-3"))[0]
    assert (label.event_at, label.known_at, label.who) == (PRODUCED, PRODUCED, "Ann")


def test_an_undone_verdict_is_withdrawn_and_what_was_known_before_stays(
    triage: TriageService, store: AlertStore, clock: Clock
) -> None:
    change_id = triage.verdict(ANN, ["id-1"], FRAUD).change_id
    before_us = microseconds(clock())
    clock.forward(60)
    triage.undo(ANN, str(change_id))
    assert labels(store) == [("id-1", "fraud", "verdict"), ("id-1", "unknown", "verdict")]
    assert (current(store), current(store, before_us)) == ({}, {"id-1": "fraud"})


def test_only_a_change_of_the_verdict_is_a_label(triage: TriageService, store: AlertStore) -> None:
    triage.verdict(ANN, ["id-1"], FRAUD)
    triage.verdict(ANN, ["id-1"], FRAUD, note="called the holder")
    triage.note(ANN, "id-1", "again")
    assert labels(store) == [("id-1", "fraud", "verdict")]
    triage.verdict(BEN, ["id-1"], FALSE_ALARM, take_over=True)
    triage.claim(ANN, ["id-1"], take_over=True)
    assert [label for _, label, _ in labels(store)] == ["fraud", "legitimate", "unknown"]


def test_a_refused_verdict_leaves_no_label(triage: TriageService, store: AlertStore) -> None:
    triage.claim(ANN, ["id-1"])
    assert triage.verdict(BEN, ["id-1"], FRAUD).refused
    assert labels(store) == []


def test_a_chargeback_weeks_later_labels_a_payment_that_was_clear(store: AlertStore, clock: Clock) -> None:
    clock.forward(timedelta(days=40).total_seconds())
    result = add(store, fraud("clear-1", event_at="2026-01-03T00:00:00Z"), fraud("id-2"))
    assert (result.added, result.unchanged) == ({"fraud": 2}, 0)
    assert current(store) == {"clear-1": "fraud", "id-2": "fraud"}
    (clear,) = store.labels.page(LabelQuery(event_id="clear-1"))
    assert (clear.event_at, clear.known_at, clear.who) == ("2026-01-03T00:00:00+00:00", clock().isoformat(), "Ben")
    (of_alert,) = store.labels.page(LabelQuery(event_id="id-2"))
    assert of_alert.event_at == PRODUCED


def test_a_chargeback_counts_more_than_a_later_verdict(triage: TriageService, store: AlertStore, clock: Clock) -> None:
    triage.verdict(ANN, ["id-1"], FALSE_ALARM)
    clock.forward(60)
    add(store, fraud("id-1"))
    clock.forward(60)
    triage.claim(ANN, ["id-1"], take_over=True)
    triage.verdict(ANN, ["id-1"], FALSE_ALARM)
    assert current(store) == {"id-1": "fraud"}
    add(store, {"event_id": "id-1", "label": "unknown"})
    assert current(store) == {"id-1": "legitimate"}


def test_the_same_labels_again_change_nothing(store: AlertStore, clock: Clock) -> None:
    dated: list[dict[str, object]] = [
        fraud("a", known_at="2025-12-20"),
        {"event_id": "a", "label": "legitimate", "known_at": "2025-12-24T12:00:00+01:00"},
    ]
    withdrawn: dict[str, object] = {"event_id": "c", "label": "unknown"}
    new = (*dated, fraud("b"), fraud("b", source="file"), withdrawn)
    assert add(store, *new).unchanged == 1
    before = labels(store)
    clock.forward(3600)
    assert add(store, *reversed(new)) == AddedLabels({}, 5, None)
    assert labels(store) == before
    assert add(store, fraud("a", known_at="2025-12-01")).added == {"fraud": 1}
    assert current(store)["a"] == "legitimate"


def test_an_undo_reaches_the_label_of_a_payment_that_was_unscorable_then(
    store: AlertStore, triage: TriageService
) -> None:
    store.add_alerts([alert(7, outcome="unscorable", score=None)])
    change_id = triage.verdict(ANN, ["id-7"], FRAUD).change_id
    store.add_alerts([alert(7)])
    assert triage.undo(ANN, str(change_id)).done[0].alert_id == "id-7~unscorable"
    assert labels(store, "id-7") == [("id-7", "fraud", "verdict"), ("id-7", "unknown", "verdict")]


def test_a_label_of_the_future_is_refused_but_for_time_zones(store: AlertStore, clock: Clock) -> None:
    assert add(store, fraud("a", known_at="2026-01-03")).added == {"fraud": 1}
    with pytest.raises(RequestError, match="known_at of 'b' is in the future"):
        add(store, fraud("c"), fraud("b", known_at="2062-01-03"))
    assert [event_id for event_id, _, _ in labels(store)] == ["a"]


def test_an_import_is_one_entry_of_the_audit_trail(store: AlertStore) -> None:
    new = [NewLabel.model_validate(fraud(f"e-{number}")) for number in range(2_500)]
    result = add_labels(store.database, new, BEN, "chargebacks.csv", {"sha256": "00ff"})
    (change,) = ChangeReader(store.database).page(ChangeQuery(action=Action.LABELS))
    assert change.change_id == result.change_id
    assert (change.actor, change.subject) == ("Ben", "chargebacks.csv")
    assert change.after == {"labels": {"fraud": 2_500}, "sha256": "00ff"}
    with store.database.read() as connection:
        assert list(broken_links(connection)) == []
    assert store.labels.count(LabelQuery()) == sum(map(len, store.labels.every(LabelQuery()))) == 2_500


def test_a_failing_write_stores_neither_a_label_nor_an_entry(
    store: AlertStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("fraudstream.store.labels.insert_change", fail)
    with pytest.raises(RuntimeError):
        add(store, fraud("a"))
    assert labels(store) == []
    assert ChangeReader(store.database).count(ChangeQuery()) == 0


def test_labels_are_filtered_by_transaction_label_source_and_time(triage: TriageService, store: AlertStore) -> None:
    triage.verdict(ANN, ["id-1"], FALSE_ALARM)
    add(store, fraud("id-1", known_at="2025-12-31"), fraud("x", source="file"))

    def matches(query: LabelQuery) -> list[str]:
        return [f"{each.event_id} {each.source}" for each in store.labels.page(query)]

    assert matches(LabelQuery(event_id="id-1")) == ["id-1 chargeback", "id-1 verdict"]
    assert matches(LabelQuery(label=LabelValue.FRAUD)) == ["x file", "id-1 chargeback"]
    assert matches(LabelQuery.model_validate({"source": "verdict"})) == ["id-1 verdict"]
    assert matches(LabelQuery.model_validate({"until": "2026-01-01T00:00:00Z"})) == ["id-1 chargeback"]


def test_a_pruned_alert_keeps_its_label(store: AlertStore) -> None:
    from fraudstream.store.operations import prune

    add(store, fraud("id-1"))
    prune(store.database, microseconds(store.database.now()) + 1)
    assert store.alert("id-1") is None
    assert current(store) == {"id-1": "fraud"}


def test_a_label_counts_by_the_id_under_which_an_alert_is_stored(store: AlertStore, triage: TriageService) -> None:
    store.add_alerts([alert(1, transaction={"Amount": 99.0})])
    conflicting = next(each for each in store.alerts() if each.document().get("conflict_of") == "id-1")
    other = str(conflicting.document()["alert_id"])
    triage.verdict(ANN, [other], FRAUD)
    assert current(store) == {other: "fraud"}
