"""Similar alerts: the nearest by values; bounded in a large store."""

from __future__ import annotations

from itertools import chain, repeat
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import insert

from columns import row
from dashboards import alert
from fraudstream.store import similar as module
from fraudstream.store import tables
from fraudstream.store.similar import AROUND, Similarity, similar_alerts
from fraudstream.store.store import AlertStore


def similar(store: AlertStore, alert_id: str, values: dict[str, float] | None = None) -> Any:
    alert = store.alert(alert_id)
    assert alert is not None
    return similar_alerts(store, alert, values or {})


def test_the_nearest_alerts_are_those_of_the_same_model_by_values(store: AlertStore) -> None:
    values = [0.0, 5.0, 0.1, -4.0, 0.2]
    store.add_alerts([alert(n, transaction={"V1": value, "V2": 1.0}) for n, value in enumerate(values)])
    store.add_alerts([alert(9, transaction={"V1": 0.0, "V2": 1.0}, model_id="m-2")])
    store.add_alerts([alert(10, transaction={"V2": "text"})])
    matches = similar(store, "id-0", {"V1": 0.0, "V2": 1.0})
    assert matches.columns == ("V1", "V2")
    assert [each.alert_id for each in matches.alerts] == ["id-2", "id-4", "id-3", "id-10", "id-1"]
    assert [each.distance for each in matches.alerts] == sorted(each.distance for each in matches.alerts)


def test_without_reasons_or_a_model_nothing_is_compared(store: AlertStore) -> None:
    store.add_alerts([alert(1), alert(2, model_id=None)])
    assert similar(store, "id-1") == similar(store, "id-2", {"V1": 0.5}) == Similarity((), 0, ())


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
    assert 0 < matches.compared <= 2 * AROUND
    assert matches.alerts[0].alert_id == f"x{many - 1}"


def test_within_its_time_limit_the_alerts_stored_next_to_it_are_compared(
    store: AlertStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add_alerts([alert(n, transaction={"V1": float(n)}) for n in range(20)])
    seconds = chain(repeat(0.0, 1 + 4), repeat(1.0))
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    alerts = similar(store, "id-8", {"V1": 8.0}).alerts
    assert {each.alert_id for each in alerts} == {"id-6", "id-7", "id-9", "id-10"}
