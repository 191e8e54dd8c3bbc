"""How an answer reads that the API has masked: as often as it was masked, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient

from dashboards import Clock, alert, open_store, told
from fraudstream.config import Settings
from fraudstream.dashboard.app import create_app
from fraudstream.dashboard.masked_answers import AS_THEY_CAME, MASKED_WHERE_READ
from fraudstream.transactions.masking import CardMask

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


def test_a_sum_that_looks_like_a_card_stays_a_number(client: FlaskClient) -> None:
    now = Clock().at.isoformat()
    client.post("/api/alerts", json=[alert(2, produced_at=now, transaction={"Amount": 4000000000005.0})])
    report = told(client.get("/api/charts"))
    assert report["amounts"]["at_risk"] == max(report["minutes"]["at_risk"]) == 4000000000006.0


def test_beside_figures_cards_are_masked_still() -> None:
    mask = CardMask(["token"]).keeping_figures()
    body = {
        "sum": 4111111111111111.0,
        "sums": [4111111111111111, GROUPED],
        "transaction": {"n": 4111111111111111, "token": 123456789},
        GROUPED: {"of": f"card {GROUPED}"},
    }
    assert orjson.loads(mask.json(orjson.dumps(body))) == {
        "sum": 4111111111111111.0,
        "sums": [4111111111111111, SHOWN],
        "transaction": {"n": "411111******1111", "token": "*****6789"},
        SHOWN: {"of": f"card {SHOWN}"},
    }


def test_an_alert_nested_as_deep_as_may_be_is_claimed_and_answered(client: FlaskClient) -> None:
    posted = []
    for depth in range(190, 256):
        nested: object = {"pan": GROUPED}
        for _ in range(depth):
            nested = {"x": nested}
        posted.append(alert(depth, score=0.99, transaction={"Amount": 9.0 * depth, "nested": nested}))
    told(client.post("/api/alerts", json=posted))
    for _ in range(len(posted) + 2):
        answer = client.post("/api/work/next", json={"order": "loss"})
        assert answer.status_code == 200
        if told(answer)["alert"] is None:
            break
        assert SHOWN in answer.text
        assert SHOWN in client.get("/api/alerts?limit=1").text
    else:
        raise AssertionError("the queue does not end")
