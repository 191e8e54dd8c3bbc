"""A dashboard under gunicorn, with viewers, analysts and commands at it at the same time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import psutil
import pytest
from click.testing import CliRunner

from columns import NOW, model_with_contract, row
from dashboards import EventReader, RunningDashboard, alert, running_dashboard
from fraudstream.cli.entry import cli
from fraudstream.model.evaluation.thresholds import set_threshold
from fraudstream.model.explanation.explainer import Explainer
from fraudstream.runtime.processes import wait_until
from saved_models import LINEAR_ID, deployed_linear_model, linear_model


def test_a_running_dashboard_sees_a_revision_by_itself(tmp_path: Path) -> None:
    current = model_with_contract(tmp_path / "models")
    with running_dashboard(tmp_path, current) as dashboard:
        assert wait_until(lambda: len(dashboard.get("/api/audit")["changes"]) == 1, 60)
        set_threshold(current, value=0.25, who="Ben", why="more alerts", now=NOW)
        assert wait_until(lambda: len(dashboard.get("/api/audit")["changes"]) == 2, 60)
        assert dashboard.get("/api/stats")["threshold"] == 0.25
        dashboard.restart()
        changes = dashboard.get("/api/audit")["changes"]
        assert [(each["action"], each["actor"]) for each in changes] == [("threshold", "Ben"), ("model", "test")]


def test_a_stored_alert_is_explained_through_the_dashboard(tmp_path: Path) -> None:
    current = deployed_linear_model(tmp_path / "models")
    with running_dashboard(tmp_path, current) as dashboard:
        dashboard.post("/api/alerts", [alert(1, alert_id="a/b c", transaction=row(1), model_id=LINEAR_ID, score=0.125)])
        answer = explain("--alert", "a/b c", "--api", dashboard.url, "--model", current)
        explanation = orjson.loads(
            explain("--alert", "a/b c", "--api", dashboard.url, "--model", current, "--json").stdout
        )
    assert "the alert was stored with the score 0.125" in answer.stderr
    assert (explanation["stored_score"], explanation["about"], explanation["model_id"]) == (
        0.125,
        "alert a/b c",
        LINEAR_ID,
    )


def test_reasons_follow_a_new_alert_and_the_stream_resumes(tmp_path: Path, explainer: Explainer) -> None:
    with running_dashboard(tmp_path, deployed_linear_model(tmp_path / "models")) as dashboard:
        reader = EventReader(f"{dashboard.url}/api/stream")
        unscorable = EventReader(f"{dashboard.url}/api/stream?outcome=unscorable")
        assert reader.wait_for("stats")
        assert unscorable.wait_for("stats")
        dashboard.post("/api/alerts", [scored_alert(explainer, 1), scored_alert(explainer, 2)])
        assert reader.wait_for("reasons")
        assert wait_until(lambda: sum(len(orjson.loads(e["data"])) for e in reader.of("reasons")) == 2, 60)
        reasons = [each for event in reader.of("reasons") for each in orjson.loads(event["data"])]
        assert {each["alert_id"] for each in reasons} == {"id-1", "id-2"}
        assert all("id" not in event for event in reader.of("reasons"))
        one = dashboard.get("/api/alerts/id-1")
        assert one["reasons"] == next(each["reasons"] for each in reasons if each["alert_id"] == "id-1")
        assert [each["reasons"] is not None for each in dashboard.get("/api/alerts")["alerts"]] == [True, True]
        assert unscorable.of("reasons") == []
        last = reader.of("alert")[-1]["id"]
        reader.close()
        unscorable.close()
        dashboard.post("/api/alerts", [scored_alert(explainer, 3)])
        again = EventReader(f"{dashboard.url}/api/stream", {"Last-Event-ID": last})
        assert again.wait_for("alert")
        assert again.alerts() == ["id-3"]
        again.close()


def explain(*arguments: object) -> Any:
    return CliRunner().invoke(cli, ["explain", *map(str, arguments)])


def shop(number: int) -> dict[str, Any]:
    return alert(number, transaction={"Time": number, "V1": number / 8, "Amount": number, "shop": f"Shop {number}"})


@pytest.fixture
def explainer(tmp_path: Path) -> Explainer:
    return Explainer(linear_model(tmp_path / "other"))


def scored_alert(explainer: Explainer, number: int) -> dict[str, Any]:
    """An alert with the score that the model gives it."""
    transaction = row(number)
    score = explainer.explain(transaction, {}).score
    return alert(number, transaction=transaction, score=score, model_id=LINEAR_ID)


def as_(dashboard: RunningDashboard, name: str, route: str, posted: object) -> tuple[int, dict[str, Any]]:
    headers = {"Content-Type": "application/json", "X-Fraudstream-Actor": quote(name)}
    answer = dashboard.pool.request("POST", dashboard.url + route, body=orjson.dumps(posted), headers=headers)
    return answer.status, orjson.loads(answer.data)


def test_every_viewer_is_notified_and_a_resumed_stream_has_the_current_alert(dashboard: RunningDashboard) -> None:
    readers = [EventReader(dashboard.url + "/api/stream") for _ in range(2)]
    assert all(reader.wait_for("stats") for reader in readers)
    dashboard.post("/api/alerts", [alert(50), alert(51)])
    assert all(reader.wait_for("alert", 2) for reader in readers)
    first = orjson.loads(readers[0].of("alert")[0]["data"])
    assert (first["work"]["status"], first["work"]["version"]) == ("new", 0)
    _, result = as_(dashboard, 'Zoë {"}', "/api/work/claim", {"alert_ids": ["id-50"]})
    _, result = as_(dashboard, 'Zoë {"}', "/api/work/verdict", {"alert_ids": ["id-50"], "status": "unsure"})
    for reader in readers:
        assert reader.wait_for("work", 2)
        news = orjson.loads(reader.of("work")[1]["data"])
        assert news == {"changes": result["done"], "actor": 'Zoë {"}'}
        reader.close()
    # From the ring first, and after a restart from the store.
    for _ in range(2):
        resumed = EventReader(dashboard.url + "/api/stream?last_event_id=" + str(first["seq"] - 1))
        assert resumed.wait_for("alert", 2)
        stands = [orjson.loads(each["data"])["work"] for each in resumed.of("alert")]
        assert [(work["status"], work["version"]) for work in stands] == [("unsure", 2), ("new", 0)]
        resumed.close()
        dashboard.restart()


def test_two_hundred_requests_at_once_for_twenty_alerts_give_each_to_one(dashboard: RunningDashboard) -> None:
    ids = [f"id-{n}" for n in range(100, 120)]
    dashboard.post("/api/alerts", [alert(n, model_id="m-race") for n in range(100, 120)])
    won: dict[str, list[str]] = {each: [] for each in ids}
    statuses: list[int] = []
    barrier = threading.Barrier(10)

    def work(name: str) -> None:
        barrier.wait()
        for each in ids:
            status, result = as_(dashboard, name, "/api/work/claim", {"alert_ids": [each]})
            statuses.append(status)
            for stands in result["done"]:
                won[stands["alert_id"]].append(name)

    threads = [threading.Thread(target=work, args=(f"analyst {n}",)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(names) for names in won.values()] == [1] * 20
    assert sorted(statuses) == [200] * 20 + [409] * 180
    for each, (name,) in won.items():
        assert dashboard.get(f"/api/alerts/{each}")["work"]["assignee"] == name


def test_next_never_gives_two_people_the_same_alert(dashboard: RunningDashboard) -> None:
    dashboard.post("/api/alerts", [alert(n, model_id="m-next") for n in range(200, 240)])
    claims: list[str] = []

    def work(name: str) -> None:
        while True:
            _, item = as_(dashboard, name, "/api/work/next", {"model_id": "m-next"})
            if item["alert"] is None:
                return
            claims.append(item["alert"]["alert_id"])

    threads = [threading.Thread(target=work, args=(f"analyst {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claims) == sorted(f"id-{n}" for n in range(200, 240))


def test_a_file_ends_with_its_reader(dashboard: RunningDashboard) -> None:
    for start in range(0, 10_000, 5_000):
        dashboard.post("/api/alerts", [shop(number) for number in range(start, start + 5_000)])
    answer = dashboard.pool.request("GET", f"{dashboard.url}/api/alerts.json?q=shop", preload_content=False)
    assert b"alert_id" in answer.read(4096)
    answer.close()
    # Some ten megabytes were to be written: a worker that went on would be busy for a second.
    assert wait_until(lambda: _is_idle(dashboard.worker), 60, every=0)


def _is_idle(pid: int) -> bool:
    return psutil.Process(pid).cpu_percent(0.2) <= 10
