"""The page of an entity and the routes of entities, on a real store."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from flask.testing import FlaskClient

import archives
from apps import create_app
from columns import manifest, row
from dashboards import Clock, alert, json_of
from fraudstream.archive.rows import Row
from fraudstream.archive.writer import Archive
from fraudstream.config import Settings
from fraudstream.history.profiles import profile_path, write_table
from fraudstream.history.spec import HistoryEntity, HistorySpec, with_features
from fraudstream.store.store import AlertStore
from fraudstream.transactions.cards import masked_text
from saved_models import linear_model

WHO = {"X-Fraudstream-Actor": "Ann"}
CARD = "4111111111111111"
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(model=tmp_path / "models", archive=tmp_path / "archive", profiles=tmp_path / "profiles")


@pytest.fixture
def client(store: AlertStore, settings: Settings) -> FlaskClient:
    client = create_app(settings, store, clock=Clock()).test_client()
    posted = [
        alert(
            number,
            transaction=row(number, card_id=f"C{number}", terminal_id="T/7" if number < 3 else "T8", Amount=100.0),
            produced_at=f"2026-01-02T03:04:0{number}.000+00:00",
        )
        for number in range(4)
    ]
    client.post("/api/alerts", json=posted)
    return client


def test_the_entities_with_the_most_alerts_are_listed_by_column(client: FlaskClient) -> None:
    listed = json_of(client.get("/api/entities?column=terminal_id&min_amount=50"))
    assert listed["columns"] == ["card_id", "terminal_id"]
    assert [(each["value"], each["alerts"], each["amount"]) for each in listed["entities"]] == [
        ("T/7", 3, 300.0),
        ("T8", 1, 100.0),
    ]
    assert json_of(client.get("/api/entities"))["column"] == "card_id"


@pytest.mark.parametrize("query", ["q=T8", "where=card_id:eq:C1"])
def test_entities_are_not_counted_by_text_or_another_column(client: FlaskClient, query: str) -> None:
    refused = client.get(f"/api/entities?{query}")
    assert refused.status_code == 400
    assert "leave them out" in refused.text


def test_the_list_is_filtered_by_entity(client: FlaskClient) -> None:
    alerts = json_of(client.get("/api/alerts?entity=terminal_id:T/7&entity=card_id:C1"))["alerts"]
    assert [each["alert_id"] for each in alerts] == ["id-1"]
    assert alerts[0]["entities"][1] == {"column": "terminal_id", "value": "T/7", "alerts": 3}
    assert client.get("/api/alerts?entity=terminal_id").status_code == 400


@pytest.mark.parametrize("inside", ["q=kiosk", "where=V1:ge:0"])
def test_entities_are_not_counted_by_what_is_inside_the_payment(client: FlaskClient, inside: str) -> None:
    answer = client.get(f"/api/entities?column=card_id&{inside}")
    assert answer.status_code == 400
    assert "leave them out" in json_of(answer)["error"]


def test_one_entity_has_sums_verdicts_and_times(client: FlaskClient) -> None:
    client.post("/api/work/verdict", json={"alert_ids": ["id-1"], "status": "confirmed_fraud"}, headers=WHO)
    one = json_of(client.get("/api/entities/terminal_id/T/7"))
    assert one["totals"]["undecided"] == 2
    assert one["statuses"] == {"new": 2, "confirmed_fraud": 1}
    assert [each["alerts"] for each in one["timeline"]] == [1, 1, 1]
    assert client.get("/api/entities/terminal_id/T9").status_code == 404


def test_the_page_offers_to_decide_what_is_undecided(client: FlaskClient) -> None:
    page = client.get("/entities/terminal_id/T%2F7").text
    assert "Decide all 3" in page
    assert "2.0 s" in page
    assert page.count('<tbody class="alert') == 3
    assert "?entity=terminal_id%3AT%2F7" in page
    ids = [f"id-{number}" for number in range(3)]
    client.post("/api/work/verdict", json={"alert_ids": ids, "status": "false_alarm"}, headers=WHO)
    page = client.get("/entities/terminal_id/T%2F7").text
    assert "Decide all" not in page
    assert "3 false alarm" in page


@pytest.mark.parametrize("route", ["/entities", "/api/entities"])
def test_a_full_card_number_leads_to_the_masked_one(client: FlaskClient, route: str) -> None:
    client.post("/api/alerts", json=[alert(9, transaction=row(9, card_id=masked_text(CARD)))])
    response = client.get(f"{route}/card_id/{CARD}")
    assert response.status_code == 200
    assert masked_text(CARD) in response.text


def test_a_script_in_an_entity_is_text(client: FlaskClient) -> None:
    client.post("/api/alerts", json=[alert(9, transaction=row(9, card_id=SCRIPT))])
    page = client.get(f"/entities/card_id/{SCRIPT}").text
    assert SCRIPT not in page
    assert "&lt;script&gt;" in page
    assert client.get(f"/entities/card_id/{SCRIPT}x").status_code == 404


def test_an_entity_without_archive_or_profile_has_neither(client: FlaskClient) -> None:
    entity = json_of(client.get("/api/entities/terminal_id/T8"))
    assert (entity["payments"], entity["profile"]) == ([], None)
    assert 'id="payments"' not in client.get("/entities/terminal_id/T8").text


def test_the_page_has_the_archived_payments_the_newest_first(client: FlaskClient, settings: Settings) -> None:
    def payment(offset: int, at: int, terminal: str) -> Row:
        text = f'{{"V1":1.5,"Amount":{offset}.25}}'
        one = archives.row(offset, at=at, text=text)
        return one._replace(event_id=f"id-{offset}", entity_ids=(("terminal_id", terminal), ("card_id", "C1")))

    rows = [
        payment(offset, archives.NOON + offset * archives.MINUTE, "T/7" if offset % 2 else "T8") for offset in range(8)
    ]
    late = payment(8, archives.NOON + archives.DAY, "T/7")
    nothing = archives.row(9, text=None)._replace(entity_ids=(("terminal_id", "T/7"),))
    with Archive.open(settings.archive, "t", "id") as archive:
        archive.write({0: [*rows, late, nothing]}, {0: 10})
    entity = json_of(client.get("/api/entities/terminal_id/T/7"))
    assert [each["event_id"] for each in entity["payments"]] == ["id-8", "id-7", "id-5", "id-3", "id-1"]
    assert entity["payments"][0]["at"] == "2024-10-05T12:00:00.000+00:00"
    assert entity["payments"][0]["transaction"] == {"V1": 1.5, "Amount": 8.25}
    assert entity["payments"][0]["entity_ids"] == {"terminal_id": "T/7", "card_id": "C1"}
    page = client.get("/entities/terminal_id/T/7").text
    assert "8.25" in page
    assert page.count("<td>card_id C1</td>") == 5
    assert page.count(">alert</a>") == 1  # that of id-1: of id-3, another terminal's alert has the id


def test_the_page_has_the_newest_profile_in_the_model_s_words(
    client: FlaskClient, store: AlertStore, settings: Settings
) -> None:
    spec = with_features(
        HistorySpec(
            (HistoryEntity("card", "card_id"), HistoryEntity("shop", "terminal_id")), time="Time", amount="Amount"
        )
    )
    settings.model.mkdir()
    artifact = linear_model(settings.model, linear=replace(manifest("m-1"), history=spec))
    # Other texts are ids too, and most shares are 0.
    ids = ["two\nlines\r\n", 'quote "', "x" * 1024, *(f"T{number}" for number in range(100_000)), "T/7"]
    for day, count in ((1, 3.0), (2, 5.5)):
        counts, means = [0.0] * (len(ids) - 1) + [count], pa.nulls(len(ids), pa.float64())
        path = profile_path(settings.profiles, spec.profile_folder(spec.entities[1]), date(2024, 10, day))
        write_table(pa.table({"id": ids, "payments_1": counts, "mean_amount_30": means}), path)
    app = create_app(settings.model_copy(update={"model": artifact.path}), store)
    client = app.test_client()
    past = json_of(client.get("/api/entities/terminal_id/T/7"))["profile"]
    assert past["date"] == "2024-10-02"
    assert past["numbers"] == {"payments at this shop in 1 day": 5.5, "mean amount at this shop in 30 days": None}
    path.write_bytes(path.read_bytes()[:-20])
    assert json_of(client.get("/api/entities/terminal_id/T/7"))["profile"] is None
