"""The CSV: every digit, every column, and nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from dashboards import alert

TRIAGE = "status,assignee,decided_at,reason_code,due_at,escalated_by"


def post(client: FlaskClient, *alerts: dict[str, Any]) -> None:
    # Not with json=, which would sort the columns.
    client.post("/api/alerts", data=orjson.dumps(alerts), content_type="application/json")


def exported(client: FlaskClient, query: str = "") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(client.get(f"/api/alerts.csv{query}").text, newline="")))


def test_the_file_has_its_name_and_its_columns_in_order(client: FlaskClient) -> None:
    post(client, alert(1))
    answer = client.get("/api/alerts.csv")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="fraudulent_transactions.csv"'
    assert answer.mimetype == "text/csv"
    header = answer.text.splitlines()[0]
    assert header == f"alert_id,outcome,score,threshold,produced_at,detected_at,Time,V1,V2,Amount,{TRIAGE}"


def test_an_empty_store_gives_the_header_alone(client: FlaskClient) -> None:
    columns = f"alert_id,outcome,score,threshold,produced_at,detected_at,{TRIAGE}\r\n"
    assert client.get("/api/alerts.csv").text == columns


@pytest.mark.parametrize(
    "value", [0.1 + 0.2, -1.3598071336738, 5e-324, -1.7976931348623157e308, 9007199254740993, -0.0]
)
def test_numbers_keep_every_digit(client: FlaskClient, value: float) -> None:
    post(client, alert(1, score=0.1234567890123456, transaction={"V1": value}))
    row = exported(client)[0]
    assert type(value)(row["V1"]) == value
    assert float(row["score"]) == 0.1234567890123456


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("\n=1+1", "'\n=1+1"),
        (" \u200b=1+1", "' \u200b=1+1"),
        ("＝1+1", "'＝1+1"),
        ("＋1+1", "'＋1+1"),
        ("－1+1", "'－1+1"),
        ("＠SUM(1)", "'＠SUM(1)"),
        ("a;=1+1;b", "a;'=1+1;b"),
        ("a; @SUM(1)", "a;' @SUM(1)"),
        ("1;-2;+3.5;x=1", "1;-2;+3.5;x=1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("-1.5e-3", "-1.5e-3"),
        ("-7", "-7"),
        ("+49", "+49"),
        ("-", "'-"),
        ("-٣", "'-٣"),
        ("a=1", "a=1"),
        ('say "hi", twice\nplease', 'say "hi", twice\nplease'),
        (-7, "-7"),
        (None, ""),
        (True, "true"),
        ({"lat": -1}, '{"lat":-1}'),
    ],
)
def test_text_that_a_spreadsheet_would_run_is_made_text_and_numbers_stay(
    client: FlaskClient, value: Any, cell: str
) -> None:
    post(client, alert(1, transaction={"note": value}))
    assert exported(client)[0]["note"] == cell


def test_a_column_name_is_made_safe_too(client: FlaskClient) -> None:
    post(client, alert(1, transaction={"=HYPERLINK(1)": 1}))
    assert "'=HYPERLINK(1)" in exported(client)[0]


def test_columns_are_the_union_and_colliding_names_are_prefixed(client: FlaskClient) -> None:
    post(client, alert(1, transaction={"score": 5, "b": 1}))
    post(client, alert(2, transaction={"transaction_score": 6, "a": 2}))
    first, second = exported(client)
    assert (first["transaction_transaction_score"], first["b"], first["a"]) == ("5", "1", "")
    assert (second["transaction_score"], second["a"], second["b"]) == ("6", "2", "")
    assert first["score"] == "0.9"


def test_the_same_filters_as_in_the_list_apply(client: FlaskClient) -> None:
    client.post(
        "/api/alerts",
        json=[alert(1), alert(2, outcome="unscorable", score=None, transaction={"odd": 1}), alert(3, score=0.6)],
    )
    assert [row["alert_id"] for row in exported(client)] == ["id-1", "id-3"]
    assert "odd" not in exported(client)[0]
    assert [row["alert_id"] for row in exported(client, "?min_score=0.8")] == ["id-1"]
    assert [(row["score"], row["odd"]) for row in exported(client, "?outcome=unscorable")] == [("", "1")]


def test_more_alerts_than_a_page_come_each_once(client: FlaskClient) -> None:
    post(client, *[alert(number) for number in range(1203)])
    assert [row["Time"] for row in exported(client)] == [str(number) for number in range(1203)]
