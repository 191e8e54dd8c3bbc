"""Who acts: names that look the same are one name, and a body cannot name another person than the request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from apps import create_app
from columns import model_with_contract
from dashboards import Clock, json_of, open_store
from fraudstream.config import Settings
from fraudstream.dashboard.services.revisions import deployed_model
from fraudstream.store.triage_state import is_same_person, name_of

ANN = {"X-Fraudstream-Actor": "Ann"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    current = model_with_contract(tmp_path)
    with open_store(tmp_path, alerts=2) as store:
        app = create_app(Settings(model=current), store, clock=Clock(), deployment=deployed_model(current))
        yield app.test_client()


@pytest.mark.parametrize(
    "name",
    [
        "\u0410nn",  # a Cyrillic А before Latin letters
        "Ann\u03bf",  # a Greek ο
        "Ann\u200b",  # a blank of no width
        "A\u034fnn",  # a grapheme joiner
        "Ann\u3164",  # a Hangul letter that is not drawn
        "Ann\ufe0f",  # a variation selector
        "\u202eAnn",  # right to left
        "Иван 张伟",
    ],
)
def test_a_name_that_only_looks_like_another_is_refused(name: str) -> None:
    assert name_of(name) is None


@pytest.mark.parametrize(
    "name", ["Zoë 张伟", "Иван Петров", "Νίκος", "山田太郎", "김철수", "O'Neill-Ng", "ann_01", "ʻōlani"]
)
def test_names_of_one_script_are_kept(name: str) -> None:
    assert name_of(name) == name


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Ann", "ANN"),
        ("Ann", "Ａｎｎ"),
        ("Ann  Lee", "Ann Lee"),
        ("Zoë", "Zoe\u0308"),
        ("\u0410\u0421\u0415", "ACE"),
        ("ß", "SS"),
    ],
)
def test_names_that_look_the_same_are_one_person(name: str, other: str) -> None:
    first, second = name_of(name), name_of(other)
    assert first is not None
    assert is_same_person(first, second)


@given(st.text(max_size=100))
def test_a_name_that_is_kept_stays_what_it_is(text: str) -> None:
    name = name_of(text)
    assert name is None or name_of(name) == name


@pytest.mark.parametrize(
    ("route", "posted"),
    [
        ("/api/schema/aliases", {"new": "x", "old": "V1"}),
        ("/api/schema/aliases/remove", {"new": "x"}),
        ("/api/schema/suggestions/refuse", {"new": "x", "old": "V1"}),
        ("/api/threshold", {"threshold": 0.4, "revision": 1, "why": "w"}),
        ("/api/replays", {"filter": "", "why": "w", "dry_run": True}),
        ("/api/work/claim", {"alert_ids": ["id-1"]}),
        ("/api/work/note", {"alert_ids": ["id-1"], "text": "t"}),
        ("/api/work/next", {}),
    ],
)
def test_no_body_names_another_person_than_the_request(client: FlaskClient, route: str, posted: dict[str, Any]) -> None:
    forged = client.post(route, json=posted | {"who": "Ben"}, headers=ANN)
    assert (forged.status_code, json_of(forged)["error"]) == (
        400, "who is Ben, but this request is made by Ann: leave who out"
    )  # fmt: skip
    assert client.post(route, json=posted | {"who": 7}, headers=ANN).status_code == 400
    assert json_of(client.get("/api/audit"))["changes"] == []
    same = client.post(route, json=posted | {"who": "ANN"}, headers=ANN)
    assert "who is" not in same.text


def test_a_body_that_names_its_person_alone_is_still_taken(client: FlaskClient) -> None:
    posted = {"new": "third", "old": "V3", "why": "renamed", "who": "ops"}
    assert client.post("/api/schema/suggestions/refuse", json=posted).status_code == 200
    assert [each["actor"] for each in json_of(client.get("/api/audit"))["changes"]] == ["ops"]


def test_an_alert_of_ann_is_hers_however_she_writes_her_name(client: FlaskClient) -> None:
    claimed = json_of(client.post("/api/work/claim", json={"alert_ids": ["id-1"]}, headers=ANN))
    again = {"X-Fraudstream-Actor": "ANN"}
    undone = client.post("/api/work/undo", json={"change_id": claimed["change_id"]}, headers=again)
    assert json_of(undone)["done"][0]["status"] == "new"
