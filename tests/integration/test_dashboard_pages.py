"""The pages as first served, before any JavaScript."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from flask.testing import FlaskClient

from apps import create_app
from dashboards import alert, json_of
from fraudstream.config import Settings
from fraudstream.dashboard.services.statistics import DeployedModel
from fraudstream.dashboard.web.presentation import largest_values, short_id
from fraudstream.model.explanation.reasons import number_text
from fraudstream.store.store import AlertStore


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    store = AlertStore.open(f"sqlite:///{tmp_path / 'alerts.db'}")
    app = create_app(Settings(), store, deployment=lambda: DeployedModel("m-1", 0.5, 1000), notice="Simulated data")
    yield app.test_client()
    store.close()


def test_the_page_shows_the_newest_fifty_and_where_the_stream_goes_on(client: FlaskClient) -> None:
    client.post("/api/alerts", json=[alert(number) for number in range(150)])
    page = client.get("/?view=live").text
    assert page.count('data-id="id-') == 50
    assert 'data-id="id-149"' in page
    assert 'data-latest="150"' in page


def test_the_page_has_the_button_the_notice_and_the_line_of_the_training_data(client: FlaskClient) -> None:
    client.post("/api/alerts", json=[alert(999), alert(1000)])
    page = client.get("/?view=live").text
    assert "Download Fraudulent Transactions CSV</button>" in page
    assert "Simulated data" in page
    assert "From row <strong data-row>1,000</strong>" in page
    assert page.index("new to the model") < page.index("seen in training")


def test_an_alert_of_another_model_is_neither_seen_nor_new(client: FlaskClient) -> None:
    client.post("/api/alerts", json=[alert(1, model_id="m-0")])
    assert '<tbody class="alert" ' in client.get("/").text


def test_an_empty_page_says_what_to_do_next(client: FlaskClient) -> None:
    assert "fraudstream demo" in client.get("/").text


def test_the_stream_sends_at_most_fifty_rows_at_once_as_the_page_renders_them(client: FlaskClient) -> None:
    odd = {"V1": 1.0, "note": "two\nlines\r<b>"}
    client.post("/api/alerts", json=[alert(number, transaction=odd) for number in range(1, 61)])
    answer = client.get("/api/stream?rows=1&last_event_id=0")
    pieces = answer.iter_encoded()
    events = next(piece for piece in pieces if b"event: row" in piece).decode().split("\n\n")
    answer.close()
    assert events[0] == "event: skipped\ndata: 10"
    rows = ["\n".join(line[6:] for line in event.split("\n") if line.startswith("data: ")) for event in events[1:-1]]
    assert len(rows) == 50
    assert events[-2].startswith("id: 60\nevent: row\n")
    page = client.get("/?view=live").text
    assert all(row.replace("&#13;", "\r").strip() in page for row in rows)


def test_rows_come_by_number_or_after_an_event_with_the_sums_of_all_that_match(client: FlaskClient) -> None:
    client.post("/api/alerts", json=[alert(number) for number in range(1, 6)])
    some = client.get("/rows?seq=2&seq=4&status=new").text
    assert [f'data-seq="{number}"' in some for number in range(1, 6)] == [False, True, False, True, False]
    assert "<strong>5</strong>" in some
    later = client.get("/rows?since=3&status=new").text
    assert 'data-latest="5" data-count="2"' in later
    assert later.index('data-seq="5"') < later.index('data-seq="4"')
    assert client.get("/rows?since=3&status=claimed").text.count("<tbody") == 0


def test_a_saved_view_is_replaced_by_one_of_the_same_name(client: FlaskClient) -> None:
    headers = {"X-Fraudstream-Actor": "Mia"}
    for query in ("min_amount=500", "min_amount=900"):
        assert client.post("/api/views", json={"name": "Large", "query": query}, headers=headers).status_code == 200
    assert client.post("/api/views", json={"name": "Large", "query": ""}).status_code == 400
    assert json_of(client.get("/api/views")) == {"views": [{"name": "Large", "query": "min_amount=900", "who": "Mia"}]}
    assert '<a href="/?min_amount=900" title="Saved by Mia">Large</a>' in client.get("/").text
    assert json_of(client.delete("/api/views/Large")) == {"views": []}


def test_a_saved_view_has_no_card_number(client: FlaskClient) -> None:
    query = "where=card%3Aeq%3A4111111111111111&q=4111+1111+1111+1111&min_amount=5"
    client.post("/api/views", json={"name": "Card", "query": query}, headers={"X-Fraudstream-Actor": "Mia"})
    (view,) = json_of(client.get("/api/views"))["views"]
    assert parse_qs(view["query"]) == {
        "where": ["card:eq:411111******1111"],
        "q": ["4111 11** **** 1111"],
        "min_amount": ["5"],
    }


def test_a_resumed_stream_has_the_triage_state_of_its_rows(client: FlaskClient) -> None:
    client.post("/api/alerts", json=[alert(1)])
    client.post("/api/work/claim", json={"alert_ids": ["id-1"], "who": "Mia"})
    answer = client.get("/api/stream?rows=1&last_event_id=0")
    row = next(piece for piece in answer.iter_encoded() if b"event: row" in piece)
    answer.close()
    assert b'data-assignee="Mia"' in row


def test_the_menu_returns_to_the_page_with_its_address_quoted(client: FlaskClient) -> None:
    client.post("/api/alerts", json=[alert(1, transaction={"Amount": 1.0, "card_id": "a?b#c%"})])
    address = "/entities/card_id/a%3Fb%23c%25?x=1%26"
    page = client.get(address)
    assert page.status_code == 200
    assert f'name="next" value="{address}"' in page.text


@pytest.mark.parametrize(
    ("path", "status"), [("/rows?seq=99999999999999999999999", 400), ("/queue?q=\xff", 400), ("/what-if?\xff", 400)]
)
def test_an_odd_address_is_no_error_of_the_server(client: FlaskClient, path: str, status: int) -> None:
    base, _, query = path.partition("?")
    assert client.get(base, environ_overrides={"QUERY_STRING": query}).status_code == status


def test_a_bad_value_in_the_address_is_named_beside_the_alerts_of_the_other_filters(client: FlaskClient) -> None:
    client.post("/api/alerts", json=[alert(1), alert(2, transaction={"Amount": 500.0})])
    answer = client.get("/?min_amount=100&max_score=much&since=monday")
    assert answer.status_code == 400
    assert "Score must be a number" in answer.text
    assert "(much)" in answer.text
    assert "amount ≥" in answer.text
    assert 'data-id="id-2"' in answer.text
    assert 'data-id="id-1"' not in answer.text


def test_unscorable_payments_have_a_page_with_their_reason(client: FlaskClient) -> None:
    client.post("/api/alerts", json=[alert(1), alert(2, outcome="unscorable", score=None, reason="21 of 29 missing")])
    page = client.get("/unscorable", follow_redirects=True).text
    assert "21 of 29 missing" in page
    assert "[0] 1</code>" not in page


def test_rejected_records_are_on_one_page_with_the_counts_of_the_navigation(client: FlaskClient) -> None:
    payload = base64.b64encode(b'{"Time": 0, "V1"').decode()
    dead_letter = {"topic": "t", "partition": 1, "offset": 41, "reason": "not JSON", "payload_base64": payload}
    client.post("/api/dead-letters", json=[dead_letter])
    client.post("/api/alerts", json=[{"alert_id": "odd"}])
    client.post("/api/alerts", json=[alert(2, outcome="unscorable", score=None, reason="21 of 29 missing")])
    page, refused = client.get("/rejected").text, client.get("/rejected?kind=refused").text
    for text in ("t[1] 41", "not JSON", "{&#34;Time&#34;: 0", "21 of 29 missing"):
        assert text in page
    assert "transaction is missing" in refused
    for label, records in (("Replayable", 2), ("Dead letters", 1), ("Unscorable", 1), ("Refused by the API", 1)):
        assert f'{label} <span class="count">{records}</span>' in page
    assert json_of(client.get("/api/stats"))["texts"]["badges"]["rejected"] == "3"


def test_activity_lists_the_events(client: FlaskClient) -> None:
    client.post("/api/events", json=[{"type": "query", "message": "started from its checkpoint"}])
    assert "started from its checkpoint" in client.get("/activity").text


def test_markup_in_a_payment_is_shown_as_text(client: FlaskClient) -> None:
    script = "<script>alert(1)</script>"
    client.post("/api/alerts", json=[alert(1, alert_id=script, model_id=script, transaction={script: script})])
    client.post("/api/events", json=[{"type": script, "message": script}])
    for route in ("/", "/activity"):
        page = client.get(route).text
        assert script not in page
        assert "&lt;script&gt;" in page


def test_a_page_that_does_not_exist_leads_back(client: FlaskClient) -> None:
    answer = client.get("/nowhere", headers={"Accept": "text/html"})
    assert answer.status_code == 404


def test_the_values_shown_are_the_largest_and_neither_clock_nor_label_nor_amount() -> None:
    payment = {
        "Time": 9e9,
        "Amount": 5000,
        "Class": 1,
        "card_id": 4e15,
        "V1": -3.0,
        "V2": 2.5,
        "V3": 0.1,
        "V4": None,
        "V5": 9,
    }
    assert largest_values(payment) == [("V5", "9"), ("V1", "-3"), ("V2", "2.50")]
    assert largest_values({"city": "x" * 50, "ok": True}) == [("city", "x" * 39 + "…")]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234, "1,234"), (-6.774, "-6.77"), (0.0000123, "1.23e-5"), (2.0, "2"), (1.5e12, "1.50e+12"), (0, "0")],
)
def test_a_number_reads_short(value: float, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("identifier", "label"),
    [
        ("logistic-regression-8f41c2d09e7a", "lr-8f41c2d0"),
        ("gbt-8f41c2d09e7a", "gbt-8f41c2d0"),
        ("gbt-1", "gbt-1"),
        ("a model of somebody else", "a model of so…"),
    ],
)
def test_a_model_is_identified_by_its_digits(identifier: str, label: str) -> None:
    assert short_id(identifier) == label
