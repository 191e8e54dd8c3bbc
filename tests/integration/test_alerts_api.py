"""The routes that find alerts and hand them on, asked as a script and the page ask them."""

from __future__ import annotations

import csv
import html
import io
import itertools
import re
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from dashboards import alert, json_of
from fraudstream.dashboard.web.queries import AlertQuery
from fraudstream.store import search
from fraudstream.store.filters import AlertFilter, Op, Where
from fraudstream.store.search import AlertSearch
from fraudstream.store.store import AlertStore
from fraudstream.store.tables import alerts
from fraudstream.transactions.wire import Outcome


def row(number: int, **changes: Any) -> dict[str, Any]:
    transaction = {"Time": number, "V1": number / 8, "Amount": number, "shop": f"Shop {number}"}
    return alert(number, transaction=transaction | changes)


def listed(client: FlaskClient, query: str = "") -> list[str]:
    return [alert["alert_id"] for alert in json_of(client.get(f"/api/alerts{query}"))["alerts"]]


def decided(store: AlertStore, number: int, status: str, assignee: str) -> None:
    values = {"status": status, "assignee": assignee, "version": 1, "decided_us": 1_767_323_045_000_000}
    values |= {"reason_code": "too_little_information"} if status == "unsure" else {}
    with store.database.write() as connection:
        connection.execute(update(alerts).where(alerts.c.alert_id == f"id-{number}").values(values))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?max_score=0.5", [1]),
        ("?min_amount=3&max_amount=4", [4, 3]),
        ("?status=claimed", [3]),
        ("?status=claimed&status=false_alarm", [4, 3]),
        ("?assignee=Ana", [4]),
        ("?schema_id=s-2", [2]),
        ("?where=V1:ge:0.5", [4]),
        ("?where=V1:ge:0.25&where=shop:has:SHOP%203", [3]),
        ("?q=shop", [4, 3, 2, 1]),
        ("?q=%22shop+2%22", [2]),
        ("?sort=oldest", [1, 2, 3, 4]),
        ("?sort=amount&q=shop", [4, 3, 2, 1]),
        ("?sort=score&limit=2", [4, 3]),
        ("?sort=loss&min_amount=2", [4, 3, 2]),
        ("?min_amount=&status=&q=&where=&cursor=&sort=&assignee=", [4, 3, 2, 1]),
    ],
)
def test_a_query_narrows_and_orders_the_list(
    client: FlaskClient, store: AlertStore, query: str, expected: list[int]
) -> None:
    client.post("/api/alerts", json=[row(1) | {"score": 0.5}, row(2) | {"schema_id": "s-2"}, row(3), row(4)])
    decided(store, 3, "claimed", "Bo")
    decided(store, 4, "false_alarm", "Ana")
    assert listed(client, query) == [f"id-{number}" for number in expected]


SENSELESS = [
    *("max_score=x", "min_amount=inf", "status=done", "where=V1", "where=V1:is:3", "sort=best", "cursor=12"),
    "q=" + "x" * 1001,
]


@pytest.mark.parametrize("query", SENSELESS)
def test_a_query_that_means_nothing_is_refused_by_name(client: FlaskClient, query: str) -> None:
    answer = client.get(f"/api/alerts?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in json_of(answer)["error"]


@pytest.mark.parametrize("typed", ['"', "NEAR(a b)", "a AND", "* OR '1'='1", "words:x", "-", "^a", "(", "😀", "\x00"])
def test_nothing_that_is_typed_is_an_error(client: FlaskClient, typed: str) -> None:
    client.post("/api/alerts", json=[row(1)])
    assert client.get("/api/alerts", query_string={"q": typed}).status_code == 200


@pytest.mark.parametrize("sort", ["newest", "oldest", "score", "amount", "loss"])
def test_the_cursor_leads_through_every_order_whatever_arrives(client: FlaskClient, sort: str) -> None:
    client.post("/api/alerts", json=[row(number) | {"score": number % 5 / 5} for number in range(20)])
    whole = listed(client, f"?sort={sort}")
    ids, cursor = [], ""
    while cursor is not None:
        page = json_of(client.get(f"/api/alerts?sort={sort}&limit=3&cursor={cursor}"))
        ids += [each["alert_id"] for each in page["alerts"]]
        cursor = page["next_cursor"]
        if sort != "oldest":
            client.post("/api/alerts", json=[row(1000 + len(ids)) | {"score": 1.0}])
    assert ids == whole


def test_who_polls_gets_what_followed_an_event_and_what_to_ask_next(client: FlaskClient) -> None:
    client.post("/api/alerts", json=[row(1), row(2), row(3) | {"outcome": "unscorable", "score": None}, row(4)])
    first = json_of(client.get("/api/alerts?since=1&limit=1"))
    assert ([each["alert_id"] for each in first["alerts"]], first["latest"], first["more"]) == (["id-2"], 2, True)
    then = json_of(client.get(f"/api/alerts?since={first['latest']}"))
    assert ([each["alert_id"] for each in then["alerts"]], then["latest"], then["more"]) == (["id-4"], 4, False)
    last = json_of(client.get("/api/alerts?since=4"))
    assert (last["alerts"], last["latest"], last["reset"]) == ([], 4, False)
    assert json_of(client.get("/api/alerts?since=99"))["reset"] is True


def test_a_search_whose_time_is_over_says_how_far_it_came_and_goes_on(
    store: AlertStore, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "WINDOW", 20)
    store.search = AlertSearch(store, itertools.count(step=10).__next__)
    at = "2026-01-02T03:{:02d}:00+00:00".format
    client.post("/api/alerts", json=[row(number) | {"produced_at": at(number)} for number in range(50)])
    pages: list[dict[str, Any]] = []
    while not pages or pages[-1]["next_cursor"] is not None:
        cursor = pages[-1]["next_cursor"] if pages else ""
        pages.append(json_of(client.get(f"/api/alerts?where=V1:has:.125&sort=loss&cursor={cursor}")))
    times = [[each["transaction"]["Time"] for each in page["alerts"]] for page in pages]
    assert times == [[49, 41, 33], [25, 17], [9, 1]]
    assert [page["complete"] for page in pages] == [False, False, True]
    assert [page["back_to"] for page in pages] == [at(30), at(10), None]
    queue_page = client.get("/?where=V1:has:.125").text
    assert "Searched back to <time" in queue_page
    link = re.search('<a href="([^"]+)" id="continue">', queue_page)
    assert link is not None
    assert "Searched back to" in client.get(html.unescape(link[1])).text


def test_the_scan_gives_matches_line_by_line_and_how_far_it_is(client: FlaskClient) -> None:
    client.post("/api/alerts", json=[row(number) for number in range(50)])
    lines = [orjson.loads(line) for line in client.get("/api/alerts/scan?where=V1:has:.125").data.splitlines()]
    times = [line["transaction"]["Time"] for line in lines if "transaction" in line]
    assert times == [49, 41, 33, 25, 17, 9, 1]
    assert lines[-1] == {"scanned": 50, "of": 50, "matches": 7, "done": True}
    some = [orjson.loads(line) for line in client.get("/api/alerts/scan?sort=amount&limit=2").data.splitlines()]
    assert [line["alert_id"] for line in some if "alert_id" in line] == ["id-49", "id-48"]
    assert some[-1] == {"scanned": 50, "of": 50, "matches": 2, "done": True}


def test_the_files_hold_what_the_list_holds(client: FlaskClient) -> None:
    numbers = [0.1 + 0.2, -5e-324, 1.7976931348623157e308, 9007199254740993, -0.0]
    client.post("/api/alerts", json=[row(at, V1=numbers[at % len(numbers)]) for at in range(700)])
    query = "?min_amount=100&where=V1:ne:0.3"
    pages, cursor = [], ""
    while cursor is not None:
        page = json_of(client.get(f"/api/alerts{query}&sort=oldest&limit=250&cursor={cursor}"))
        pages += page["alerts"]
        cursor = page["next_cursor"]
    assert len(pages) == 600
    assert all(each.pop("entities") == [] for each in pages)  # their counts are those of the moment
    assert orjson.loads(client.get(f"/api/alerts.json{query}").data) == pages
    lines = list(csv.DictReader(io.StringIO(client.get(f"/api/alerts.csv{query}").text, newline="")))
    assert [line["alert_id"] for line in lines] == [each["alert_id"] for each in pages]
    assert [line["V1"] for line in lines] == [repr(each["transaction"]["V1"]) for each in pages]


def test_the_json_file_of_nothing_is_an_empty_list(client: FlaskClient) -> None:
    answer = client.get("/api/alerts.json")
    assert orjson.loads(answer.data) == []
    assert answer.headers["Content-Disposition"] == 'attachment; filename="fraudulent_transactions.json"'


def test_the_csv_has_the_verdict_with_its_reason_and_who_decided_when(client: FlaskClient, store: AlertStore) -> None:
    posted = orjson.dumps([row(1, status="paid"), row(2)])  # not with json=, which would sort the columns
    client.post("/api/alerts", data=posted, content_type="application/json")
    decided(store, 2, "unsure", "=Ana")
    lines = client.get("/api/alerts.csv").text.splitlines()
    assert lines[0] == (
        "alert_id,outcome,score,threshold,produced_at,detected_at,Time,V1,Amount,shop,transaction_status,"
        "status,assignee,decided_at,reason_code,due_at,escalated_by"
    )
    assert lines[1].endswith("Shop 1,paid,new,,,,,")
    assert lines[2].endswith("Shop 2,,unsure,'=Ana,2026-01-02T03:04:05+00:00,too_little_information,,")
    assert "assignee" not in client.get("/api/alerts.csv?work=0").text


def test_the_next_page_of_the_queue_goes_on_where_the_first_ended(client: FlaskClient) -> None:
    client.post("/api/alerts", json=[row(number) for number in range(60)])
    first = client.get("/").text
    link = re.search('href="([^"]*cursor=[^"]+)"', first)
    assert link is not None
    second = client.get(html.unescape(link[1])).text
    ids = [set(re.findall(r'data-id="(id-[0-9]+)"', page)) for page in (first, second)]
    assert (len(ids[0]), len(ids[1]), ids[0] & ids[1]) == (50, 10, set())
    assert client.get("/?cursor=12").status_code == 400


def test_a_filter_may_come_as_json() -> None:
    body = {"status": ["new", "claimed"], "min_amount": 12.5, "where": ["V1:gt:2"], "outcome": "all", "q": ""}
    assert AlertQuery.model_validate(body).filter() == AlertFilter(
        outcome=None, statuses=("new", "claimed"), min_amount=12.5, where=(Where("V1", Op.GT, "2"),)
    )
    assert AlertQuery.model_validate({}).filter().outcome is Outcome.ALERT


def test_the_page_of_another_site_neither_takes_a_file_nor_writes_the_record(client: FlaskClient) -> None:
    client.post("/api/alerts", json=[row(1)])
    for file in ("/api/alerts.csv", "/api/alerts.json", "/api/audit.csv"):
        assert client.get(file, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert json_of(client.get("/api/audit"))["changes"] == []
    assert client.get("/api/alerts.csv", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    assert [change["action"] for change in json_of(client.get("/api/audit"))["changes"]] == ["export"]
