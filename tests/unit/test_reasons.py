"""Reasons of stored alerts: computed after the commit, stored, published, caught up on, and never waited for."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from columns import row
from dashboards import Clock, alert
from fraudstream.dashboard.services import reasons
from fraudstream.dashboard.services.live_stream import Hub
from fraudstream.dashboard.services.reasons import ReasonStore, ReasonWorker, explain_alert
from fraudstream.dashboard.services.rescoring import rescore_alert
from fraudstream.model.explanation.explainer import Explainer, ExplainerLibrary
from fraudstream.runtime.processes import wait_until
from fraudstream.store.reading import StoredAlert
from fraudstream.store.store import AlertStore
from saved_models import LINEAR_ID, deployed_linear_model, linear_model


@pytest.fixture
def explainer(tmp_path: Path) -> Explainer:
    return Explainer(linear_model(tmp_path / "other"))


def scored_alert(explainer: Explainer, number: int, **changes: Any) -> dict[str, Any]:
    """An alert with the score that the model gives it."""
    transaction = row(number)
    score = explainer.explain(transaction, {}).score
    return alert(number, transaction=transaction, score=score, model_id=LINEAR_ID) | changes


def work_of(store: AlertStore, model: Path, hub: Hub | None = None) -> ReasonWorker:
    return ReasonWorker(
        ReasonStore(store.database), hub or Hub(store.latest_seq()), ExplainerLibrary(model), clock=Clock()
    )


def documents(store: AlertStore) -> list[dict[str, Any]]:
    return [each.document() for each in ReasonStore(store.database).with_reasons(store.alerts(limit=10_000))]


def test_an_alert_has_no_reasons_until_they_are_kept_and_the_first_ones_stay(store: AlertStore) -> None:
    store.add_alerts([alert(1), alert(2, outcome="unscorable", score=None)])
    reasons = ReasonStore(store.database)
    assert [each.seq for each in reasons.unexplained(100, 10)] == [1]
    assert (documents(store)[0]["reasons"], documents(store)[0]["explanation"]) == (None, None)
    for cause in ("first", "second"):
        reasons.add({1: {"reasons": [], "explanation": {"cause": cause}}}, Clock()())
    assert documents(store)[0]["explanation"] == {"cause": "first"}
    assert reasons.unexplained(100, 10) == []
    unscorable = store.alert("id-2")
    assert unscorable is not None
    assert reasons.with_reasons([unscorable]) == [unscorable]


def test_what_an_earlier_process_left_is_caught_up_on(store: AlertStore, explainer: Explainer, tmp_path: Path) -> None:
    store.add_alerts([scored_alert(explainer, number) for number in range(60)])
    work = work_of(store, deployed_linear_model(tmp_path / "models"))
    work.start()
    assert wait_until(lambda: not ReasonStore(store.database).unexplained(1000, 1), 60)
    work.close()
    for document in documents(store):
        explanation = document["explanation"]
        assert explanation["score"] == pytest.approx(document["score"], abs=1e-12)
        together = (
            explanation["base"] + sum(reason["contribution"] for reason in document["reasons"]) + explanation["rest"]
        )
        assert together == pytest.approx(explanation["margin"], abs=1e-9)
        assert 1 <= len(document["reasons"]) <= 5


def test_a_storm_is_noted_in_bounded_memory_and_worked_off_from_the_store(
    store: AlertStore, explainer: Explainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reasons, "MAX_QUEUED", 100)
    hub = Hub()
    work = work_of(store, deployed_linear_model(tmp_path / "models"), hub)

    def publish(alerts: list[StoredAlert]) -> None:
        hub.publish(alerts)
        work.offer(alerts)

    work.start()
    count = 400
    store.add_alerts([scored_alert(explainer, number) for number in range(count)], on_commit=publish)
    assert wait_until(lambda: len(ReasonStore(store.database).unexplained(10**9, 5000)) == 0, 60)
    work.close()
    assert all(document["reasons"] for document in documents(store))


def test_alerts_are_stored_while_the_reasons_cannot_be_worked_out(store: AlertStore, tmp_path: Path) -> None:
    class Stuck(ExplainerLibrary):
        def of(self, model_id: str, revision: int | None) -> Any:
            entered.set()
            released.wait(30)
            raise RuntimeError("a defect")

    entered, released = threading.Event(), threading.Event()
    work = ReasonWorker(ReasonStore(store.database), Hub(), Stuck(tmp_path), clock=Clock())
    work.start()
    store.add_alerts([alert(1)], on_commit=work.offer)
    assert entered.wait(60)
    assert store.add_alerts([alert(2)], on_commit=work.offer).accepted == 1
    released.set()
    assert wait_until(lambda: not ReasonStore(store.database).unexplained(100, 10), 60)
    work.close()
    assert "could not be worked out (RuntimeError)" in documents(store)[0]["explanation"]["cause"]


def test_a_missing_model_or_another_score_gives_no_reasons_but_the_cause(explainer: Explainer, tmp_path: Path) -> None:
    library = ExplainerLibrary(deployed_linear_model(tmp_path / "models"))
    without_model = explain_alert(library, scored_alert(explainer, 1, model_id="gbt-000000000000"))
    assert (without_model["reasons"], without_model["explanation"]["cause"]) == (
        [],
        "there is no model artifact: gbt-000000000000",
    )
    other = explain_alert(library, scored_alert(explainer, 1, score=0.123))
    assert other["reasons"] == []
    assert "the alert has 0.123" in other["explanation"]["cause"]
    assert explain_alert(library, scored_alert(explainer, 1))["reasons"]


def test_reasons_use_the_history_that_the_alert_was_scored_with(explainer: Explainer, tmp_path: Path) -> None:
    transaction = row(1, V1=1.0, V2=0.5, V3=0.1, V4=0.1, Amount=0.1)
    scored = scored_alert(explainer, 1, transaction=transaction, score=explainer.explain(transaction, {}).score)
    history = {name: scored["transaction"].pop(name) for name in ("V1", "V2")}
    library = ExplainerLibrary(deployed_linear_model(tmp_path / "models"))
    assert "cannot be reproduced" in explain_alert(library, scored)["explanation"]["cause"]
    explained = explain_alert(library, scored | {"history": history})
    assert explained["explanation"]["score"] == pytest.approx(scored["score"])
    assert {each["feature"]: each["value"] for each in explained["reasons"]}.items() >= history.items()
    compared = rescore_alert(library, tmp_path / "models" / "current", scored | {"history": history})
    assert compared["now"]["missing"] == 0
    assert compared["difference"] == pytest.approx(0.0)
