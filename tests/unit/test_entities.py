"""Entities: recognised by column names and a model's manifest, stored with each alert, counted, and searched for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from columns import row
from dashboards import alert, open_store, take_back
from fraudstream.model.explanation.explainer import ExplainerLibrary
from fraudstream.model.features.selection import entity_columns
from fraudstream.model.manifest import manifest_from_json, manifest_to_json
from fraudstream.store import tables
from fraudstream.store.changes import Actor
from fraudstream.store.filters import AlertFilter, Sort
from fraudstream.store.store import AlertStore
from fraudstream.store.triage import TriageService
from fraudstream.store.triage_state import AlertStatus
from fraudstream.transactions.data_source import open_data
from fraudstream.transactions.entities import Entity, EntityColumns, entities_of, entity_kind
from fraudstream.transactions.label import profile
from saved_models import LINEAR_ID, deployed_linear_model

ANN = Actor("Ann")
T1 = Entity("terminal_id", "T1")


def at(number: int, card: Any, terminal: Any, **changes: Any) -> dict[str, Any]:
    return alert(number, transaction=row(number, card_id=card, terminal_id=terminal, Amount=10.0), **changes)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("cc_num", "card"), ("card_id", "card"), ("CARD_NUMBER", "card"), ("CardId", "card"),
        ("CUSTOMER_ID", "customer"), ("nameOrig", "customer"), ("nameDest", "merchant"), ("merchant", "merchant"),
        ("TERMINAL_ID", "terminal"), ("terminalId", "terminal"), ("account.id", "customer"), ("device_id", "device"),
        ("merchant_category", None), ("customer_age", None), ("card4", None), ("V1", None), ("merch_lat", None),
        ("Amount", None), ("card_type", None), ("", None), ("card_merchant", None), ("device_os", None),
    ],
)  # fmt: skip
def test_columns_of_entities_are_recognised_by_their_names(column: str, kind: str | None) -> None:
    assert entity_kind(column) == kind


def test_empty_masked_and_fractional_values_identify_nobody() -> None:
    transaction = {"card_id": "", "customer_id": 1.5, "terminal_id": None, "merchant_id": True, "account_id": 7}
    assert entities_of(transaction | {"user_id": "****", "device_id": 12.0}) == [
        ("account_id", "7"),
        ("device_id", "12"),
    ]


def test_the_model_names_its_entities_and_new_columns_go_by_their_names() -> None:
    model = EntityColumns(("batch",), frozenset({"customer_token"}))
    transaction = {"batch": "B1", "customer_token": "never twice", "card_id": "C1", "V1": 1}
    assert entities_of(transaction, model) == [("card_id", "C1"), ("batch", "B1")]


def test_of_very_many_entities_those_of_the_model_come_first() -> None:
    transaction = {f"card{'_' * number}": "C" for number in range(190)} | {"batch": "B1"}
    entities = entities_of(transaction, EntityColumns(("batch",)))
    assert len(entities) == 16
    assert entities[-1] == ("batch", "B1")


def test_training_records_the_identifiers_that_recur(tmp_path: Path) -> None:
    columns: dict[str, Callable[[int], object]] = {
        "card_id": lambda n: f"C{n % 3_000}",
        "trans_num": lambda n: f"x{n}",
        "customer_no": lambda n: n,
        "terminal_id": lambda n: n % 50,
        "merchant": lambda n: f"shop {n % 7}",
        "merchant_category": lambda n: f"kind {n % 5}",
        "batch_id": lambda n: f"B{n // 100}",
        "pin_number": lambda n: n % 100,
        "Amount": lambda n: n * 0.37 % 90,
        "Class": lambda n: int(n % 8 == 0),
    }
    lines = [",".join(columns), *(",".join(str(of(n)) for of in columns.values()) for n in range(9_000))]
    (tmp_path / "payments.csv").write_text("\n".join(lines) + "\n")
    recorded = entity_columns(profile(open_data(tmp_path / "payments.csv")))
    assert recorded == ("card_id", "terminal_id", "merchant", "batch_id")


def test_the_manifest_of_an_earlier_release_recognises_entities_by_name(tmp_path: Path) -> None:
    library = ExplainerLibrary(deployed_linear_model(tmp_path / "models"))
    assert library.entity_columns(LINEAR_ID) == EntityColumns()
    assert library.entity_columns("missing-000000000000") == EntityColumns()
    manifest_file = tmp_path / "models" / LINEAR_ID / "manifest.json"
    manifest = replace(manifest_from_json(manifest_file.read_bytes(), manifest_file), entities=("V1",))
    manifest_file.write_bytes(manifest_to_json(manifest))
    assert ExplainerLibrary(tmp_path / "models" / "current").entity_columns(LINEAR_ID).entities == ("V1",)


def test_an_alert_has_its_entities_with_the_number_of_their_alerts(store: AlertStore) -> None:
    store.add_alerts([at(1, "C1", "T1"), at(2, "C2", "T1"), at(3, "C3", "T1", outcome="unscorable")])
    newest, alert_2, _ = (each.document() for each in store.entities.with_entities(store.alerts(AlertFilter(None))))
    assert newest["entities"] == []
    assert alert_2["entities"] == [
        {"column": "card_id", "value": "C2", "alerts": 1},
        {"column": "terminal_id", "value": "T1", "alerts": 2},
    ]


def test_the_columns_of_the_model_that_scored_an_alert_apply(store: AlertStore) -> None:
    models = {"m-2": EntityColumns(("Time",), frozenset({"card_id"}))}
    posted = [at(1, "C1", "T1"), at(2, "C2", "T1", model_id="m-2")]
    store.add_alerts(posted, columns_of=lambda model_id: models.get(model_id or "", EntityColumns()))
    columns = {seq: [each.column for each in entities] for seq, entities in store.entities.counts([1, 2]).items()}
    assert columns == {1: ["card_id", "terminal_id"], 2: ["terminal_id", "Time"]}


def test_columns_that_differ_in_nul_and_its_sign_are_one_entity(store: AlertStore) -> None:
    store.add_alerts([alert(1, transaction={"card\0id": "C1", "card\u2400id": "C2"})])
    assert [each.value for each in store.entities.counts([1])[1]] == ["C2"]


@pytest.mark.parametrize("sort", [each for each in Sort if each is not Sort.DUE])
def test_alerts_of_an_entity_are_found_in_any_order(store: AlertStore, sort: Sort) -> None:
    store.add_alerts([at(number, f"C{number % 3}", f"T{number % 2}", score=number / 20) for number in range(12)])
    query = AlertFilter(entities=(T1, Entity("card_id", "C2")))
    page = store.search.page(query, sort=sort, limit=10)
    assert sorted(each.document()["offset"] for each in page.alerts) == [5, 11]
    assert store.count(query) == 2
    assert [len(each) for each in store.search.walk(query)] == [2]


def test_alerts_of_an_entity_come_in_the_order_of_their_scores(store: AlertStore) -> None:
    store.add_alerts([at(number, "C1", f"T{number % 2}", score=number / 20) for number in range(12)])
    page = store.search.page(AlertFilter(entities=(T1,)), sort=Sort.SCORE, limit=4)
    assert [each.document()["offset"] for each in page.alerts] == [11, 9, 7, 5]


def test_entities_are_ranked_by_their_alerts_with_sums_and_times(store: AlertStore) -> None:
    later = "2026-01-02T03:04:10.000+00:00"
    store.add_alerts([at(1, "C1", "T1"), at(2, "C2", "T1", produced_at=later), at(3, "C1", "T2")])
    TriageService(store).verdict(ANN, ["id-1"], AlertStatus.CONFIRMED_FRAUD)
    first, second = store.entities.top("terminal_id", AlertFilter(), 10)
    assert (first.value, first.alerts, first.undecided, first.amount, first.expected_loss) == ("T1", 2, 1, 20.0, 18.0)
    assert (first.first_at, first.last_at) == ("2026-01-02T03:04:05+00:00", "2026-01-02T03:04:10+00:00")
    assert (second.value, second.alerts) == ("T2", 1)
    assert [each.value for each in store.entities.top("card_id", AlertFilter(min_score=0.95), 10)] == []
    assert store.entities.columns() == ["card_id", "terminal_id"]


def test_one_entity_has_its_statuses_timeline_and_undecided_alerts(store: AlertStore) -> None:
    times = [f"2026-01-02T03:04:{second:02d}.000+00:00" for second in (5, 5, 25, 45)]
    store.add_alerts([at(number, "C1", "T1", produced_at=time) for number, time in enumerate(times)])
    TriageService(store).verdict(ANN, ["id-0"], AlertStatus.FALSE_ALARM)
    assert store.entities.statuses(T1) == {"new": 3, "false_alarm": 1}
    assert store.entities.undecided(T1, 2) == {"id-3": 0, "id-2": 0}
    totals = store.entities.totals(T1)
    assert totals is not None
    assert [(bar.number, bar.alerts) for bar in store.entities.timeline(totals)] == [(0, 2), (19, 1), (39, 1)]
    assert store.entities.totals(Entity("terminal_id", "T9")) is None


def test_a_migration_finds_the_entities_of_stored_alerts(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.add_alerts([at(number, f"C{number}", "T1") for number in range(1_203)])
    take_back(f"sqlite:///{tmp_path / 'alerts.db'}")
    with open_store(tmp_path) as store:
        assert store.entities.counts([1203])[1203][1].alerts == 1_000
        totals = store.entities.totals(T1)
        assert totals is not None
        assert totals.alerts == 1_203
        assert store.database.scalar(select(func.count()).select_from(tables.alert_entities)) == 2_406
