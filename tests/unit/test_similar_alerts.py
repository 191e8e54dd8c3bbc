"""Similar alerts: by what names a card, customer, merchant or terminal, else by values; bounded in a large store."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert

from columns import row
from dashboards import alert
from fraudstream.store import tables
from fraudstream.store.similar import AROUND_BY_VALUES, CHUNK, similar_alerts
from fraudstream.store.store import AlertStore


def similar(store: AlertStore, alert_id: str, values: dict[str, float] | None = None) -> Any:
    alert = store.alert(alert_id)
    assert alert is not None
    return similar_alerts(store, alert, values or {})


def test_alerts_of_the_same_card_or_terminal_come_first_whatever_their_values(store: AlertStore) -> None:
    ids = [("C1", "T1"), ("C1", "T2"), ("C2", "T1"), ("C1", "T1"), ("C3", "T3"), ("C10", "T11")]
    store.add_alerts(
        [alert(n, transaction=row(n, card_id=card, terminal_id=till)) for n, (card, till) in enumerate(ids)]
    )
    matches = similar(store, "id-0", {"V1": 1.0})
    assert matches.by == "entities"
    assert [(each.alert_id, each.shared) for each in matches.alerts] == [
        ("id-3", ("card_id", "terminal_id")),
        ("id-1", ("card_id",)),
        ("id-2", ("terminal_id",)),
    ]


def test_without_identifiers_the_nearest_by_values_of_the_same_model(store: AlertStore) -> None:
    values = [0.0, 5.0, 0.1, -4.0, 0.2]
    store.add_alerts([alert(n, transaction={"V1": value, "V2": 1.0}) for n, value in enumerate(values)])
    store.add_alerts([alert(9, transaction={"V1": 0.0, "V2": 1.0}, model_id="m-2")])
    store.add_alerts([alert(10, transaction={"V2": "text"})])
    matches = similar(store, "id-0", {"V1": 0.0, "V2": 1.0})
    assert matches.by == "values"
    assert [each.alert_id for each in matches.alerts] == ["id-2", "id-4", "id-3", "id-10", "id-1"]
    assert [each.distance for each in matches.alerts] == sorted(each.distance for each in matches.alerts)


def test_a_card_without_another_alert_falls_back_to_values_and_says_so(store: AlertStore) -> None:
    store.add_alerts([alert(n, transaction=row(n, card_id=f"C{n}")) for n in range(3)])
    assert similar(store, "id-1").alerts == ()
    assert similar(store, "id-1").by == "entities"
    assert similar(store, "id-1", {"V1": 0.5}).by == "values"
    store.add_alerts([alert(7, transaction={"V1": "x"})])
    assert similar(store, "id-7").by == "nothing"


def test_a_large_store_costs_no_more_than_its_neighbourhood(store: AlertStore) -> None:
    many = 60_000
    store.add_alerts([alert(0, transaction=row(0, V1=0.1))])
    with store.database.write() as connection:
        body = '{"alert_id":"x%d","transaction":{"V1":%d,"V2":1.5}}'
        rows = [
            {"alert_id": f"x{n}", "outcome": "alert", "score": 0.9, "model_id": "m-1", "received_us": n,
             "column_set": 1, "digest": "d", "body": body % (n, many - n)}
            for n in range(many)
        ]  # fmt: skip
        connection.execute(insert(tables.alerts), rows)
    store.add_alerts([alert(1, transaction=row(1, V1=0.5))])
    matches = similar(store, "id-1", {"V1": 0.5})
    assert 0 < matches.compared <= AROUND_BY_VALUES + CHUNK
    assert matches.alerts[0].alert_id == f"x{many - 1}"
