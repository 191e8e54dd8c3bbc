"""The routes of labels, and the page of an alert for which a chargeback came."""

from __future__ import annotations

import csv
import re

import pytest
from flask.testing import FlaskClient

from dashboards import Clock, alert, json_of
from fraudstream.store.store import AlertStore


def post(client: FlaskClient, *labels: dict[str, object], who: str | None = None) -> dict[str, object]:
    answer = client.post("/api/labels", json={"labels": labels, "who": who})
    assert answer.status_code == 200, answer.text
    return json_of(answer)


def of(event_id: str, label: str = "fraud", **members: object) -> dict[str, object]:
    return {"event_id": event_id, "label": label, **members}


def test_posted_labels_are_chargebacks_known_now_and_listed_newest_first(client: FlaskClient, clock: Clock) -> None:
    clock.forward(86_400)
    answer = post(client, of("clear-1"), of("t/0/7", "legitimate", source="file", known_at="2026-01-01"), who="Bank")
    assert (answer["added"], answer["unchanged"]) == ({"fraud": 1, "legitimate": 1}, 0)
    listed = json_of(client.get("/api/labels"))["labels"]
    assert [(each["event_id"], each["source"], each["known_at"][:10], each["who"]) for each in listed] == [
        ("clear-1", "chargeback", "2026-01-03", "Bank"),
        ("t/0/7", "file", "2026-01-01", "Bank"),
    ]
    (change,) = json_of(client.get("/api/audit?action=labels"))["changes"]
    assert (change["change_id"], change["actor"]) == (answer["change_id"], "Bank")
    assert post(client, of("clear-1")) == {"added": {}, "unchanged": 1, "change_id": None}
    assert "1 legitimate, 1 fraud" in client.get("/audit").text


def test_labels_have_pages_and_filters(client: FlaskClient) -> None:
    post(client, *(of(f"e-{number}", source="file" if number % 2 else "chargeback") for number in range(5)))
    ids, cursor = list[str](), ""
    while cursor is not None:
        page = json_of(client.get(f"/api/labels?limit=2&source=chargeback&cursor={cursor}"))
        ids += [each["event_id"] for each in page["labels"]]
        cursor = page["next_cursor"]
    assert sorted(ids) == ["e-0", "e-2", "e-4"]
    assert [each["source"] for each in json_of(client.get("/api/labels?event_id=e-3"))["labels"]] == ["file"]


def test_labels_are_a_csv_file_whose_export_is_recorded(client: FlaskClient) -> None:
    post(client, of("e-1", known_at="2026-01-01"), of("=cmd()", known_at="2026-01-02"))
    answer = client.get("/api/labels.csv?source=chargeback")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="labels.csv"'
    rows = list(csv.reader(answer.text.splitlines()))
    assert rows[0] == ["event_id", "label", "source", "known_at", "event_at", "who"]
    assert [row[:3] for row in rows[1:]] == [["e-1", "fraud", "chargeback"], ["'=cmd()", "fraud", "chargeback"]]
    (change,) = json_of(client.get("/api/audit?action=export"))["changes"]
    assert change["after"] == {"filter": {"source": "chargeback"}, "rows": 2}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"labels": []}, "labels must have at least 1 item"),
        ({"labels": [of("a"), of("b", "perhaps")]}, "labels.1.label must be 'fraud', 'legitimate' or 'unknown'"),
        ({"labels": [of("a", source="verdict")]}, "labels.0.source must be 'chargeback' or 'file'"),
        ({"labels": [of("a", known_at="soon")]}, "labels.0.known_at must be a time in ISO 8601"),
        ({"labels": [of("4111111111111111")]}, "labels.0.event_id holds a card number, which may not be stored"),
        ({"labels": [of("")]}, "labels.0.event_id must have at least 1 character"),
    ],
)
def test_of_invalid_labels_none_is_stored(client: FlaskClient, body: dict[str, object], problem: str) -> None:
    answer = client.post("/api/labels", json=body)
    assert answer.status_code == 400
    assert json_of(answer)["error"].startswith(problem)
    assert json_of(client.get("/api/labels"))["labels"] == []


def notices(page: str) -> list[str]:
    """The notices about labels on the page of an alert, without the time."""
    lines = re.findall(r'<p class="state( bad| good|)">(.*?), known <time.*?</time>(.*?)</p>', page)
    return [f"{kind.strip()}: {text}{re.sub('<.*?>', '', who)}" for kind, text, who in lines]


def test_the_page_of_an_alert_says_that_a_chargeback_came(client: FlaskClient, store: AlertStore, clock: Clock) -> None:
    store.add_alerts([alert(1), alert(2)])
    decided = {"alert_ids": ["id-1"], "status": "false_alarm", "who": "Mia"}
    assert client.post("/api/work/verdict", json=decided).status_code == 200
    assert notices(client.get("/alerts/id-1").text) == []
    post(client, of("id-1"), who="Bank")
    clock.forward(60)
    post(client, of("id-1", "legitimate"), of("id-1", source="file"))
    expected = ["bad: Labelled as fraud", "good: Chargeback reversed", "bad: Chargeback (Bank)"]
    for page in ("/alerts/id-1", "/panels/id-1"):
        assert sorted(notices(client.get(page).text)) == sorted(expected)
    assert notices(client.get("/alerts/id-2").text) == []
