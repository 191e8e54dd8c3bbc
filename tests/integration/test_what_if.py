"""Another threshold: the figures of three sources, and its deployment; on a real store and a real `current`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from scipy.stats import binomtest
from sqlalchemy import update
from werkzeug.test import TestResponse

from apps import create_app
from columns import NOW, row, sample, weighed
from dashboards import Clock, alert, file_of, json_of, open_store
from evaluations import small_evaluation
from fraudstream.config import Settings
from fraudstream.dashboard.services import what_if_sources
from fraudstream.dashboard.services.live_scores import EDGES, LiveScores
from fraudstream.dashboard.services.revisions import deployed_model
from fraudstream.model.artifact import write_artifact
from fraudstream.model.deployment.current import deploy, read_current
from fraudstream.model.deployment.registry import history
from fraudstream.model.evaluation.record import Evaluation, evaluation_to_json
from fraudstream.model.evaluation.thresholds import row_at
from fraudstream.store import tables
from fraudstream.store.store import AlertStore

SCRIPT = "<script>alert(1)</script>"
ANN = {"X-Fraudstream-Actor": "Ann%20M%C3%BCller"}


@pytest.fixture
def evaluation() -> Evaluation:
    return small_evaluation()[0]


@pytest.fixture
def current(tmp_path: Path, evaluation: Evaluation) -> Path:
    models, evaluated_manifest = tmp_path / "models", small_evaluation()[1]
    beside = {"evaluation.json": evaluation_to_json(evaluation)}
    write_artifact(models, evaluated_manifest, lambda scaler, classifier: None, beside)
    deploy(models, evaluated_manifest.model_id, 0.5, who="test", why="first", now=NOW)
    return models / "current"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AlertStore]:
    with open_store(tmp_path, Clock(NOW)) as store:
        yield store


def asking(store: AlertStore, model: Path, **settings: Any) -> FlaskClient:
    app = create_app(Settings(model=model, **settings), store, clock=Clock(NOW), deployment=deployed_model(model))
    return app.test_client()


@pytest.fixture
def client(store: AlertStore, current: Path) -> FlaskClient:
    return asking(store, current)


def sources(answer: TestResponse) -> dict[str, dict[str, Any]]:
    return {each["key"]: each for each in json_of(answer)["sources"]}


def scored(offset: int, score: float, **changes: Any) -> Any:
    """The sample of a row with a score, ten rows after the one before it."""
    return sample(offset * 10, row(offset), second=offset, score=score, outcome="clear", **changes)


def put(client: FlaskClient, threshold: float, revision: int, why: str = "fewer", **headers: str) -> TestResponse:
    posted = {"threshold": threshold, "why": why, "revision": revision}
    return client.post("/api/threshold", json=posted, headers=ANN | headers)


def test_the_test_period_comes_from_the_model_s_own_table(client: FlaskClient, evaluation: Evaluation) -> None:
    estimate = sources(client.get("/api/what-if?threshold=0.2&review_cost=3"))["test"]
    expected = row_at(evaluation.thresholds, 0.2).test
    assert expected is not None
    assert estimate["kind"] == "measured"
    assert estimate["then"]["frauds_caught"] == expected.frauds_caught
    assert estimate["then"]["frauds_missed"] == expected.frauds - expected.frauds_caught
    assert estimate["then"]["alerts_per_day"] == pytest.approx(expected.alerts / 2.0)
    assert estimate["then"]["saved"] == pytest.approx(expected.amount_caught - 3 * expected.false_alarms)
    now = row_at(evaluation.thresholds, 0.5).test
    assert now is not None
    assert estimate["now"]["false_alarms"] == pytest.approx(now.false_alarms)


@pytest.mark.parametrize(("frauds", "has_cheapest"), [(19, False), (20, True)])
def test_the_cheapest_threshold_needs_twenty_frauds(
    client: FlaskClient, current: Path, evaluation: Evaluation, frauds: int, has_cheapest: bool
) -> None:
    rows = tuple(replace(each, expected=replace(each.expected, frauds=frauds)) for each in evaluation.thresholds)
    beside = {"evaluation.json": evaluation_to_json(replace(evaluation, thresholds=rows))}
    other = replace(small_evaluation()[1], model_id="gbt-ba9876543210")
    write_artifact(current.parent, other, lambda scaler, classifier: None, beside)
    deploy(current.parent, other.model_id, 0.5, who="test", why="", now=NOW)
    assert (json_of(client.get("/api/what-if"))["cheapest"] is not None) == has_cheapest
    assert ("Least cost at this review cost" in client.get("/what-if").text) == has_cheapest


def live(client: FlaskClient, query: str = "") -> dict[str, Any]:
    return sources(client.get(f"/api/what-if{query}"))["live"]


def stored(client: FlaskClient, *scores: float) -> None:
    at = (NOW + timedelta(minutes=2)).isoformat()
    model_id = json_of(client.get("/api/what-if"))["in_force"]["model_id"]
    client.post(
        "/api/alerts", json=[alert(n, score=s, model_id=model_id, produced_at=at) for n, s in enumerate(scores)]
    )


def test_alerts_from_the_active_threshold_on_are_counted_not_estimated(client: FlaskClient) -> None:
    assert "No sample" in live(client)["lacking"]
    client.post("/api/events", json=[scored(n, 0.01) for n in range(1, 721)])
    stored(client, *[0.6] * 60, *[0.95] * 43)
    now, then = live(client)["now"], live(client, "?threshold=0.9")["then"]
    assert (now["alerts"], now["low"], now["high"]) == (103, None, None)
    assert (then["alerts"], then["low"]) == (43, None)
    assert now["frauds_caught"] == pytest.approx(60 * 0.6 + 43 * 0.95)
    assert now["frauds_missed"] == pytest.approx(7191 * 0.01, rel=0.01)
    assert "720 samples), 103 alerts" in live(client)["period"]
    page = client.get("/what-if").text
    assert "<td>103</td>" in page
    assert "≈ 0</td>" not in page


def test_a_rate_per_day_needs_a_day_of_traffic(client: FlaskClient) -> None:
    client.post("/api/events", json=[scored(n, 0.01) for n in range(1, 721)])
    assert live(client)["now"]["alerts_per_day"] is None


def test_below_the_threshold_no_sample_bounds_the_alerts_by_three_in_n(client: FlaskClient) -> None:
    client.post("/api/events", json=[scored(n, 0.01) for n in range(1000)])
    stored(client, *[0.6] * 5)
    then = live(client, "?threshold=0.3")["then"]
    assert then["alerts"] == 5
    assert then["low"] == 5
    assert then["high"] == pytest.approx(5 + 3 / 1000 * 9_996, rel=0.01)
    assert (
        "5 to 36 alerts in this period at 0.3 (95 %, from 1,000 samples)" in client.get("/what-if?threshold=0.3").text
    )


def test_below_the_threshold_samples_have_wilson_s_interval(client: FlaskClient) -> None:
    client.post("/api/events", json=[scored(n, 0.01 if n % 10 else 0.4) for n in range(1, 1001)])
    then = live(client, "?threshold=0.3")["then"]
    assert then["alerts"] == pytest.approx(1000, rel=0.01)
    low, high = proportion_interval(100, 1000)
    assert (then["low"], then["high"]) == (pytest.approx(low * 9991, rel=0.01), pytest.approx(high * 9991, rel=0.01))


def proportion_interval(count: int, of: int) -> tuple[float, float]:
    interval = binomtest(count, of).proportion_ci(method="wilson")
    return interval.low, interval.high


def test_samples_of_another_model_or_read_again_or_unscored_count_nothing(client: FlaskClient) -> None:
    client.post("/api/events", json=[scored(n, 0.1) for n in range(100)])
    client.post("/api/events", json=[scored(n, 0.1) for n in range(100)])
    client.post("/api/events", json=[scored(100, 0.9) | {"outcome": "unscorable", "score": None}])
    assert "about 991 payments (100 samples)" in live(client)["period"]
    client.post("/api/events", json=[scored(200 + n, 0.9, model_id="m-2") for n in range(5)])
    assert sources(client.get("/api/what-if"))["live"]["lacking"]


def test_the_distribution_survives_a_restart_and_a_broken_file(tmp_path: Path) -> None:
    clock, file = Clock(NOW), tmp_path / "scores.json"
    scores = LiveScores(file, clock)
    weighted = weighed(scored(n, 0.7) for n in range(51))
    scores.observe(weighted[:50])
    clock.forward(31)
    scores.observe(weighted[50:])
    before, again = (each.traffic("gbt-0123456789ab") for each in (scores, LiveScores(file, clock)))
    assert before is not None
    assert again is not None
    assert again.between(0.5, 1.0) == before.between(0.5, 1.0)
    assert again.between(0.5, 1.0) == pytest.approx((501, 501 * 0.7))
    assert (again.since_us, again.threshold) == (before.since_us, before.threshold)
    clock.forward(25 * 3600)
    assert LiveScores(file, clock).traffic("gbt-0123456789ab") is None
    for odd in (b"{", b"[]", b'{"format": 1, "model_id": "m", "hours": {"9999999": {}}}'):
        file.write_bytes(odd)
        assert LiveScores(file, clock).traffic("m") is None


def test_an_estimate_is_right_to_a_bin_at_both_ends_of_the_scores() -> None:
    watch = LiveScores(None, Clock(NOW))
    scores = [0.0, 1e-9, 1e-5, 0.0005, 0.5, 0.9, 0.9995, 1.0]
    watch.observe(weighed(scored(n, score) for n, score in enumerate(scores)))
    traffic = watch.traffic("gbt-0123456789ab")
    assert traffic is not None
    numbers = [traffic.between(at, 1.0)[0] for at in (0.0, 5e-6, 0.001, 0.7, 0.999, 1.0)]
    assert [round(each) for each in numbers] == [71, 60, 40, 30, 20, 0]
    assert len(EDGES) == 321


def decide(store: AlertStore, decided: dict[str, str]) -> None:
    with store.database.write() as connection:
        for n, (alert_id, status) in enumerate(decided.items()):
            connection.execute(
                update(tables.alerts)
                .where(tables.alerts.c.alert_id == alert_id)
                .values(status=status, decided_us=1_767_323_045_000_000 + n)
            )


def test_verdicts_give_the_cost_of_a_higher_threshold_only(client: FlaskClient, store: AlertStore) -> None:
    assert "No alert of this model is decided" in sources(client.get("/api/what-if"))["verdicts"]["lacking"]
    scores = [0.55, 0.65, 0.75, 0.85, 0.95, 0.99]
    model_id = json_of(client.get("/api/what-if"))["in_force"]["model_id"]
    store.add_alerts([alert(n, score=score, model_id=model_id) for n, score in enumerate(scores)])
    store.add_alerts([alert(9, score=0.9, model_id="m-2")])
    decide(
        store,
        {"id-0": "false_alarm", "id-1": "confirmed_fraud", "id-2": "false_alarm", "id-3": "confirmed_fraud",
         "id-4": "unsure", "id-9": "confirmed_fraud"},
    )  # fmt: skip
    estimate = sources(client.get("/api/what-if?threshold=0.7&review_cost=2"))["verdicts"]
    now, then = estimate["now"], estimate["then"]
    assert (now["alerts"], now["frauds_caught"], now["frauds_missed"], now["false_alarms"]) == (5, 2, 0, 2)
    assert (then["alerts"], then["frauds_caught"], then["frauds_missed"], then["false_alarms"]) == (3, 1, 1, 1)
    assert (now["saved"], then["saved"]) == (25 - 4, 12.5 - 2)
    assert estimate["known_from"] == 0.5
    curve = json_of(client.get("/api/what-if?curve=1"))["curve"]
    assert all(("verdicts" in each) == (each["threshold"] >= 0.5) for each in curve)
    assert "Payments below 0.5 were no alerts" in client.get("/what-if?threshold=0.3").text


def test_of_many_verdicts_the_newest_count_in_their_own_shares(
    client: FlaskClient, store: AlertStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(what_if_sources, "MAX_VERDICTS", 4)
    model_id = json_of(client.get("/api/what-if"))["in_force"]["model_id"]
    store.add_alerts([alert(n, score=0.9, model_id=model_id) for n in range(7)])
    decide(store, {f"id-{n}": "confirmed_fraud" if n in (0, 1, 2, 6) else "false_alarm" for n in range(7)})
    now = sources(client.get("/api/what-if"))["verdicts"]["now"]
    assert (now["frauds_caught"], now["false_alarms"]) == (1, 3)


def test_a_threshold_is_deployed_with_a_reason_and_undone(client: FlaskClient, current: Path) -> None:
    answer = json_of(put(client, 0.7, 1, "  too many false alarms "))
    assert (answer["threshold"], answer["former_threshold"], answer["revision"]) == (0.7, 0.5, 2)
    deployment = read_current(current)
    assert (deployment.threshold, deployment.who, deployment.why) == (0.7, "Ann Müller", "too many false alarms")
    assert "data-undo=" in client.get("/what-if").text
    (recorded,) = json_of(client.get("/api/audit?action=threshold"))["changes"]
    assert (recorded["change_id"], recorded["actor"]) == (answer["change_id"], "Ann Müller")
    assert (recorded["before"]["threshold"], recorded["after"]["threshold"]) == (0.5, 0.7)
    undone = json_of(put(client, answer["former_threshold"], 2, "undo of revision 2"))
    assert (undone["threshold"], undone["revision"]) == (0.5, 3)
    assert [each.why for each in history(current.parent)] == ["first", "too many false alarms", "undo of revision 2"]


def test_a_change_after_another_change_is_refused_with_a_message(client: FlaskClient, current: Path) -> None:
    put(client, 0.7, 1, "by another")
    answer = put(client, 0.6, 1)
    assert answer.status_code == 409
    for text in ("changed meanwhile", "revision 2", "by Ann Müller (by another)", "review the active deployment"):
        assert text in json_of(answer)["error"]
    assert read_current(current).threshold == 0.7


@pytest.mark.parametrize(
    ("posted", "status"),
    [
        ({"threshold": 1.5, "why": "x", "revision": 1}, 422),
        ({"threshold": -0.1, "why": "x", "revision": 1}, 422),
        ({"threshold": "0.5", "why": "x", "revision": 1}, 400),
        ({"threshold": True, "why": "x", "revision": 1}, 400),
        ({"threshold": 0.4, "why": " ", "revision": 1}, 400),
        ({"threshold": 0.4, "revision": 1}, 400),
        ({"threshold": 0.4, "why": "x"}, 400),
        ({"threshold": 0.4, "why": "x", "revision": 1.5}, 400),
        ({"threshold": 0.4, "why": "x" * 1001, "revision": 1}, 400),
        ([], 400),
    ],
)
def test_what_makes_no_sense_changes_nothing(client: FlaskClient, current: Path, posted: Any, status: int) -> None:
    assert client.post("/api/threshold", json=posted, headers=ANN).status_code == status
    assert read_current(current).revision == 1


def test_nobody_changes_it_without_a_name(client: FlaskClient, current: Path) -> None:
    answer = client.post("/api/threshold", json={"threshold": 0.4, "why": "x", "revision": 1})
    assert answer.status_code == 400
    assert "give your name" in json_of(answer)["error"]
    assert read_current(current).revision == 1


def test_a_model_named_directly_is_shown_and_not_changed(store: AlertStore, current: Path) -> None:
    client = asking(store, current.parent / "gbt-0123456789ab")
    document = json_of(client.get("/api/what-if"))
    assert not document["changeable"]
    assert "named directly" in document["why_not"]
    assert "named directly" in client.get("/what-if").text
    assert "named directly" in json_of(put(client, 0.4, 0))["error"]


def test_where_current_cannot_be_written_it_says_so(client: FlaskClient, current: Path) -> None:
    (current.parent / ".current.lock").unlink()
    (current.parent / ".current.lock").mkdir()  # not even root writes there
    answer = put(client, 0.4, 1)
    assert answer.status_code == 409
    assert "cannot be written" in json_of(answer)["error"]
    assert read_current(current).threshold == 0.5


@pytest.mark.parametrize("query", ["threshold=x", "threshold=2", "threshold=-1", "threshold=nan", "review_cost=-1"])
def test_a_question_that_makes_no_sense_is_refused(client: FlaskClient, query: str) -> None:
    assert client.get(f"/api/what-if?{query}").status_code == 400
    assert client.get(f"/what-if?{query}").status_code == 400


def test_without_a_model_the_page_says_what_to_do(store: AlertStore, tmp_path: Path) -> None:
    client = asking(store, tmp_path / "nowhere" / "current")
    assert client.get("/api/what-if").status_code == 409
    page = client.get("/what-if")
    assert page.status_code == 200
    assert "fraudstream train" in page.text


def test_a_model_without_a_table_leaves_the_other_sources(
    store: AlertStore, current: Path, evaluation: Evaluation
) -> None:
    other = "gbt-ba9876543210"
    write_artifact(current.parent, replace(small_evaluation()[1], model_id=other), lambda scaler, classifier: None)
    deploy(current.parent, other, 0.5, who="test", why="", now=NOW)
    client = asking(store, current)
    document = json_of(client.get("/api/what-if"))
    assert "trained by an earlier version" in {each["key"]: each for each in document["sources"]}["test"]["lacking"]
    assert document["recommended"] is None
    assert client.get("/what-if").status_code == 200


def test_the_page_shows_each_source_for_what_it_is_with_charts_and_tables(client: FlaskClient) -> None:
    client.post("/api/events", json=[scored(n, 0.3) for n in range(700)])
    page = client.get("/what-if?threshold=0.25&review_cost=4").text
    for text in (">measured</span>", "≈ estimate</span>", "partial</span>", 'aria-valuetext="0.25"'):
        assert text in page
    assert page.count('data-points="0.0000|threshold 0.0000961: ') == 3
    assert page.count("As a table") == 3
    assert 'value="4.0"' in page
    assert "<script>" not in page


def test_a_script_in_a_reason_or_a_name_is_text(client: FlaskClient) -> None:
    put(client, 0.6, 1, SCRIPT, **{"X-Fraudstream-Actor": "%3Cscript%3Ealert(1)%3C/script%3E"})
    page = client.get("/what-if").text
    assert SCRIPT not in page
    assert "&lt;script&gt;" in page


def test_every_threshold_of_the_address_renders(client: FlaskClient) -> None:
    for threshold in ("0", "1", "1e-12", "0.99999999", "0.5"):
        assert client.get(f"/what-if?threshold={threshold}").status_code == 200


def test_the_file_of_the_distribution_is_where_the_store_is(client: FlaskClient, store: AlertStore) -> None:
    client.post("/api/events", json=[scored(1, 0.3)])
    assert file_of(store).with_name("alerts.db-scores.json").is_file()
