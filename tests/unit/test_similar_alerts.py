"""Similar alerts: by what names a card, customer, merchant or terminal, else by values; bounded in a large store."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert

from columns import row
from dashboards import alert
from fraudstream.store import tables
from fraudstream.store.similar import AROUND_BY_IDENTIFIER, identifier_kind, identifiers_of, similar_alerts
from fraudstream.store.store import AlertStore


def similar(store: AlertStore, alert_id: str, values: dict[str, float] | None = None) -> Any:
    alert = store.alert(alert_id)
    assert alert is not None
    return similar_alerts(store, alert, values or {})


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("cc_num", "card"), ("card_id", "card"), ("CARD_NUMBER", "card"), ("CUSTOMER_ID", "customer"),
        ("nameOrig", "customer"), ("nameDest", "merchant"), ("merchant", "merchant"), ("TERMINAL_ID", "terminal"),
        ("terminalId", "terminal"), ("account.id", "customer"),
        ("merchant_category", None), ("customer_age", None), ("card4", None), ("V1", None), ("merch_lat", None),
        ("Amount", None), ("card_type", None), ("", None), ("card_merchant", None),
    ],
)  # fmt: skip
def test_columns_that_name_somebody_are_recognized_by_their_names(column: str, kind: str | None) -> None:
    assert identifier_kind(column) == kind


def test_empty_values_and_numbers_with_a_fraction_name_nobody() -> None:
    transaction = {"card_id": "", "customer_id": 1.5, "terminal_id": None, "merchant_id": True, "account_id": 7}
    assert [each.column for each in identifiers_of(transaction)] == ["account_id"]


def test_alerts_of_the_same_card_or_terminal_come_first_whatever_their_values(store: AlertStore) -> None:
    ids = [("C1", "T1"), ("C1", "T2"), ("C2", "T1"), ("C1", "T1"), ("C3", "T3"), ("C10", "T11")]
    store.add_alerts(
        [alert(n, transaction=row(n, card_id=card, terminal_id=till)) for n, (card, till) in enumerate(ids)]
    )
    matches = similar(store, "id-0", {"V1": 1.0})
    assert matches.by == "identifiers"
    assert [(each.alert_id, each.shared) for each in matches.alerts] == [
        ("id-3", ("card_id", "terminal_id")),
        ("id-1", ("card_id",)),
        ("id-2", ("terminal_id",)),
    ]
    assert matches.compared == 5


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
    assert similar(store, "id-1").by == "identifiers"
    assert similar(store, "id-1", {"V1": 0.5}).by == "values"
    store.add_alerts([alert(7, transaction={"V1": "x"})])
    assert similar(store, "id-7").by == "nothing"


def test_a_large_store_costs_no_more_than_its_neighbourhood(store: AlertStore) -> None:
    many = 60_000
    store.add_alerts([alert(0, transaction=row(0, card_id="C-first"))])
    with store.database.write() as connection:
        body = '{"alert_id":"x%d","transaction":{"card_id":"C%d","V1":0.5,"V2":1.5}}'
        rows = [
            {"alert_id": f"x{n}", "outcome": "alert", "score": 0.9, "model_id": "m-1", "received_us": n,
             "column_set": 1, "digest": "d", "body": body % (n, n % 25_000)}
            for n in range(many)
        ]  # fmt: skip
        connection.execute(insert(tables.alerts), rows)
    store.add_alerts([alert(1, transaction=row(1, card_id="C7"))])
    matches = similar(store, "id-1", {"V1": 0.5})
    assert matches.compared <= AROUND_BY_IDENTIFIER + 500
    assert [each.alert_id for each in matches.alerts] == ["x50007"]
