"""How an answer reads that the API has masked: as often as it was masked, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from dashboards import Clock, alert, open_store, told
from fraudstream.config import Settings
from fraudstream.dashboard.app import create_app
from fraudstream.dashboard.masked_answers import AS_THEY_CAME, MASKED_WHERE_READ

GROUPED = "4111 1111 1111 1111"
SHOWN = "4111 11** **** 1111"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    with open_store(tmp_path) as store:
        yield create_app(Settings(card_columns=("token",)), store, clock=Clock())


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    client = app.test_client()
    client.post("/api/alerts", json=[alert(1, transaction={"Amount": 1.0, "token": GROUPED})])
    assert client.post("/api/actor", json={"name": "Ann"}).status_code == 200
    return client


def test_each_answer_that_passes_is_of_a_route_that_is_there(app: Flask) -> None:
    assert app.view_functions.keys() >= MASKED_WHERE_READ | AS_THEY_CAME


def test_a_card_reads_alike_in_the_list_in_one_alert_and_in_the_next(client: FlaskClient) -> None:
    (listed,) = told(client.get("/api/alerts"))["alerts"]
    one = told(client.get("/api/alerts/id-1"))
    following = told(client.post("/api/work/next", json={"order": "loss"}))["alert"]
    assert [each["transaction"]["token"] for each in (listed, one, following)] == [SHOWN] * 3
