"""The page of one alert as first served, and the route that scores it again, on a real model and a real store."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from apps import create_app
from columns import NOW, row
from dashboards import Clock, alert, json_of
from fraudstream.config import Settings
from fraudstream.dashboard.services.reasons import ReasonStore, explain_alert
from fraudstream.dashboard.services.revisions import deployed_model
from fraudstream.model.artifact import load_artifact
from fraudstream.model.deployment.aliases import declare_alias
from fraudstream.model.deployment.current import deploy
from fraudstream.model.explanation.explainer import Explainer, ExplainerLibrary
from fraudstream.store.store import AlertStore
from saved_models import LINEAR_ID, deployed_linear_model, linear_model

SCRIPT = "<script>alert(1)</script>"
OTHER_ID = "logistic-regression-ba9876543210"


@pytest.fixture
def current(tmp_path: Path) -> Path:
    return deployed_linear_model(tmp_path / "models")


@pytest.fixture
def client(store: AlertStore, current: Path) -> FlaskClient:
    app = create_app(Settings(model=current), store, clock=Clock(), deployment=deployed_model(current))
    return app.test_client()


def scored_alert(current: Path, number: int, overrides: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """An alert with the score that the model gives it."""
    transaction = row(number, V1=4.0) | (overrides or {})
    score = Explainer(load_artifact(current.parent / LINEAR_ID)).explain(transaction, {}).score
    return alert(number, transaction=transaction, score=score, model_id=LINEAR_ID) | changes


def explained(store: AlertStore, current: Path) -> None:
    """Keep the reasons of every alert, as the dashboard's thread does."""
    library = ExplainerLibrary(current)
    explanations = {each.seq: explain_alert(library, each.document()) for each in store.alerts(limit=1000)}
    ReasonStore(store.database).add(explanations, NOW)


def test_the_page_has_reasons_as_bars_and_words_and_adds_up_to_the_score(
    client: FlaskClient, store: AlertStore, current: Path
) -> None:
    store.add_alerts([scored_alert(current, 1)])
    page = client.get("/alerts/id-1").text
    reasons = explain_alert(ExplainerLibrary(current), scored_alert(current, 1))["reasons"]
    for reason in reasons:
        assert reason["text"].replace("'", "&#39;") in page
    sides = [each["contribution"] > 0 for each in reasons]
    rows = re.findall('<tr(?: class="unusual")? title="(.*?)"', page)[: len(reasons)]
    expected = sorted(reasons, key=lambda each: each["contribution"] <= 0)
    assert rows == [each["text"].replace("'", "&#39;") for each in expected]
    assert True in sides
    assert "for fraud" in page
    assert 'class="diverging"' in page
    assert "a payment with every column at its typical value" in page


def test_all_but_the_largest_reasons_are_folded_on_page_and_panel(
    client: FlaskClient, store: AlertStore, current: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fraudstream.dashboard.views.alert_page.TOP_REASONS", 2)
    store.add_alerts([scored_alert(current, 1, {"card_id": "C1"}), scored_alert(current, 2, {"card_id": "C1"})])
    for address in ("/alerts/id-1", "/panels/id-1"):
        page = client.get(address).text
        assert "3 more columns" in page
        assert page.count('<table class="plain reasons-table">') == 2
        assert "2 alerts" in page


def test_values_lie_on_the_training_range_and_what_stands_in_says_so(
    client: FlaskClient, store: AlertStore, current: Path
) -> None:
    transaction = row(1, V1=999.0, V2=None)
    store.add_alerts([alert(1, transaction=transaction, model_id=LINEAR_ID, imputed=["V2"], score=0.5)])
    page = client.get("/alerts/id-1").text
    assert "unusual: above the normal range" in page
    assert "imputed: " in page
    assert "missing</span>" in page
    # Another score than the model gives: what scored it then is not known, so no reasons are shown.
    assert "the model that scored it cannot be reproduced" in page


def test_every_column_is_there_in_its_order_and_an_unknown_one_is_marked(
    client: FlaskClient, store: AlertStore, current: Path
) -> None:
    transaction = row(1) | {"brand_new": {"deep": [1, "two"]}, "Big": 12345678901234567890 % 2**53, "Text": " spaced "}
    store.add_alerts([scored_alert(current, 1, transaction)])
    page = client.get("/alerts/id-1").text
    table = page[page.index('class="plain raw-table"') :]
    places = [table.index(f"<code>{name}</code>") for name in ("Time", "V1", "Class", "brand_new", "Big", "Text")]
    assert places == sorted(places)
    assert "{&#34;deep&#34;:[1,&#34;two&#34;]}" in table
    assert "> spaced </code>" in table
    marked = table[table.index("<code>brand_new</code>") :].split("</tr>")[0]
    assert ">unknown</span>" in marked
    assert ">label</span>" in table[table.index("<code>Class</code>") :].split("</tr>")[0]


def test_the_page_tells_its_place_and_each_step_of_the_way(
    client: FlaskClient, store: AlertStore, current: Path
) -> None:
    store.add_alerts([scored_alert(current, 7, schema_id="s-1", revision=3)])
    explained(store, current)
    page = client.get("/alerts/id-7").text
    for text in ("credit_card_transactions[0] 7", LINEAR_ID, "/schema#set-s-1", "+2.0 ms", "Reasons computed"):
        assert text in page


def test_an_id_may_hold_slashes_and_end_as_a_route_does(client: FlaskClient, store: AlertStore, current: Path) -> None:
    ids = ["topic/0/17", "a//b", "x/rescore", "100% & more?#"]
    store.add_alerts([scored_alert(current, n, alert_id=each, offset=n) for n, each in enumerate(ids)])
    for each in ids:
        address = each.replace("%", "%25").replace("?", "%3F").replace("#", "%23")
        assert each.replace("&", "&amp;") in client.get(f"/alerts/{address}").text
    assert json_of(client.get("/api/alerts/x/rescore"))["alert_id"] == "x/rescore"
    assert json_of(client.get("/api/alerts/x/rescore/rescore"))["now"]["model_id"] == LINEAR_ID


def test_an_alert_that_is_not_there_leads_back_to_the_pages(client: FlaskClient) -> None:
    answer = client.get("/alerts/nowhere")
    assert answer.status_code == 404
    assert "there is no alert with this id" in answer.text
    assert client.get("/api/alerts/nowhere/rescore").status_code == 404


def test_a_script_in_any_field_is_text(client: FlaskClient, store: AlertStore, current: Path) -> None:
    transaction = row(1) | {SCRIPT: SCRIPT, "card_id": SCRIPT, "V2": SCRIPT}
    odd = scored_alert(
        current, 1, transaction, alert_id=SCRIPT, topic=SCRIPT, schema_id=SCRIPT, reason=SCRIPT, imputed=["V2", SCRIPT]
    )
    store.add_alerts([odd, scored_alert(current, 2, {"card_id": SCRIPT}, alert_id=f"{SCRIPT}2")])
    page = client.get(f"/alerts/{SCRIPT}").text
    assert SCRIPT not in page
    assert "&lt;script&gt;" in page


def test_an_unscorable_payment_has_its_page_too(client: FlaskClient, store: AlertStore) -> None:
    transaction = {"Time": 1, "V1": 2.0}
    store.add_alerts(
        [
            alert(
                1,
                outcome="unscorable",
                score=None,
                transaction=transaction,
                model_id=LINEAR_ID,
                reason="4 of 5 missing",
            )
        ]
    )
    page = client.get("/alerts/id-1").text
    assert "Unscorable payment" in page
    assert "4 of 5 missing" in page
    rescore = json_of(client.get("/api/alerts/id-1/rescore"))
    assert (rescore["stored"]["score"], rescore["now"]["outcome"]) == (None, "unscorable")


def test_scored_again_by_the_same_model_nothing_differs(client: FlaskClient, store: AlertStore, current: Path) -> None:
    store.add_alerts([scored_alert(current, 1)])
    rescore = json_of(client.get("/api/alerts/id-1/rescore"))
    assert abs(rescore["difference"]) < 1e-12
    assert rescore["same_model"]
    assert rescore["comparable"]
    assert all(abs(each["difference"]) < 1e-12 for each in rescore["features"])
    assert rescore["sentence"].startswith("The same score.")


def test_another_deployed_model_gives_its_score_and_the_difference_by_feature(
    client: FlaskClient, store: AlertStore, current: Path
) -> None:
    transaction = row(1, third=5.0, V3=None)
    store.add_alerts([scored_alert(current, 1, transaction)])
    linear_model(current.parent, OTHER_ID)
    deploy(current.parent, OTHER_ID, 0.3, who="ann", why="newer", now=NOW)
    declare_alias(current, "third", "V3", who="ann", why="renamed", now=NOW)
    rescore = json_of(client.get("/api/alerts/id-1/rescore"))
    expected = (
        Explainer(load_artifact(current.parent / OTHER_ID)).explain(stored_transaction(store), {"third": "V3"}).score
    )
    assert rescore["now"]["score"] == pytest.approx(expected, abs=1e-15)
    assert (rescore["now"]["model_id"], rescore["now"]["threshold"], rescore["now"]["revision"]) == (OTHER_ID, 0.3, 3)
    assert not rescore["same_model"]
    largest = rescore["features"][0]
    assert largest["feature"] == "V3"
    assert largest["difference"] == pytest.approx(largest["now"] - largest["then"])


def stored_transaction(store: AlertStore) -> dict[str, Any]:
    transaction: dict[str, Any] = store.alerts(limit=1)[0].document()["transaction"]
    return transaction


def test_without_the_model_of_the_stored_score_the_new_score_is_still_there(
    client: FlaskClient, store: AlertStore, current: Path
) -> None:
    store.add_alerts([scored_alert(current, 1, model_id="gbt-000000000000")])
    rescore = json_of(client.get("/api/alerts/id-1/rescore"))
    assert rescore["stored_cause"] == "there is no model artifact: gbt-000000000000"
    assert not rescore["comparable"]
    assert rescore["features"][0]["now"] is not None
    assert rescore["features"][0]["difference"] is None
    page = client.get("/alerts/id-1").text
    assert "No reasons: there is no model artifact" in page
    assert "Normal range" not in page


def test_without_a_deployed_model_the_remedy_is_shown(client: FlaskClient, store: AlertStore, current: Path) -> None:
    store.add_alerts([scored_alert(current, 1)])
    shutil.rmtree(current.parent)
    answer = client.get("/api/alerts/id-1/rescore")
    assert answer.status_code == 409
    assert "no model is active" in json_of(answer)["error"]
    assert "fraudstream train" in json_of(answer)["error"]
    assert client.get("/alerts/id-1").status_code == 200
