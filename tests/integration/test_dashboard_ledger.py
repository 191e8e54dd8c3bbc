"""The ledger over HTTP and on its page, on a real SQLite file."""

from __future__ import annotations

from flask.testing import FlaskClient

from dashboards import alert, json_of
from ledgers import TOPIC, batch, ends, loss


def test_posted_entries_are_listed_by_totals_partition_and_entry(client: FlaskClient) -> None:
    client.post("/api/events", json=[ends(120), ends(50, partition=1, at="2026-01-02T03:04:06+00:00")])
    answer = client.post("/api/ledger", json=[batch(0, 0, 60), batch(0, 0, 60), {"entry_id": 1}, batch(1, 60, 100)])
    assert json_of(answer) == {
        "accepted": 2,
        "duplicates": 1,
        "conflicts": 0,
        "rejected": [{"index": 2, "reason": "entry_id must be text"}],
    }
    report = json_of(client.get("/api/ledger?limit=1"))
    assert report["totals"] == {
        "records": 100,
        "clear": 98,
        "alert": 2,
        "unscorable": 0,
        "dead_letter": 0,
        "without_transaction": 0,
        "additional": 0,
        "lost": 0,
    }
    assert (report["open"], report["complete"], report["losses"], report["gaps"]) == (70, True, [], [])
    partitions = [
        (line["partition"], line["covered_until"], line["end"], line["open"]) for line in report["partitions"]
    ]
    assert partitions == [(0, 100, 120, 20), (1, 0, 50, 50)]
    assert [entry["batch_id"] for entry in report["entries"]] == [1]
    older = json_of(client.get(f"/api/ledger?limit=1&cursor={report['next_cursor']}"))
    assert [entry["batch_id"] for entry in older["entries"]] == [0]


def test_an_empty_ledger_is_complete_and_its_page_says_what_will_be_there(client: FlaskClient) -> None:
    report = json_of(client.get("/api/ledger"))
    assert (report["complete"], report["partitions"], report["next_cursor"]) == (True, [], None)
    page = client.get("/ledger").text
    assert "No batch is finished yet." in page
    assert "the detector writes them when it has finished its first batch" in page


def test_the_counters_carry_the_ledger_and_the_duplicates(client: FlaskClient) -> None:
    client.post("/api/events", json=[ends(210)])
    client.post("/api/ledger", json=[batch(0, 0, 100), loss(100, 140), batch(0, 150, 200, checkpoint="c-2")])
    for _ in range(3):
        client.post("/api/alerts", json=[alert(1)])
    stats = json_of(client.get("/api/stats"))
    assert stats["ledger"] == {"records": 150, "open": 10, "lost": 40, "complete": False}
    assert stats["duplicates"] == 2
    assert "fraudstream_duplicates 2.0" in client.get("/metrics").text


def test_the_page_tells_losses_gaps_duplicates_and_conflicts(client: FlaskClient) -> None:
    client.post("/api/ledger", json=[batch(0, 0, 1000), loss(1000, 1040), batch(0, 1050, 1200, checkpoint="c-2")])
    client.post("/api/ledger", json=[batch(1, 0, 500, checkpoint="c-3"), "nonsense"])
    client.post("/api/alerts", json=[alert(1), alert(1), alert(1, transaction={"<b>": 1})])
    page = client.get("/ledger").text
    assert "40 records are lost: Kafka had deleted them before they were scored." in page
    assert "1 range of offsets has no recorded outcome." in page
    assert f"40 records are lost from {TOPIC}[0], offsets 1,000 to 1,039: Kafka&#39;s retention deleted them" in page
    assert f"<code>{TOPIC}[0]</code> 1,040 to 1,049: no entry accounts for these offsets." in page
    assert [each["gaps"] for each in json_of(client.get("/api/ledger"))["partitions"]] == [1]
    assert "counted before" in page
    assert "Duplicates suppressed</dt>" in page
    assert 'href="/api/alerts/id-1~' in page
    assert 'href="/api/alerts/id-1"' in page


def test_the_page_counts_records_without_a_transaction_and_lists_where_there_are_any(client: FlaskClient) -> None:
    client.post("/api/ledger", json=[batch(0, 0, 100)])
    assert "Without a transaction" not in client.get("/ledger").text
    client.post("/api/ledger", json=[batch(1, 100, 200, clear=1_301, without_transaction=1_234, additional=2_436)])
    page = client.get("/ledger").text
    for label, number in (("Without a transaction", "1,234"), ("Further transactions", "2,436")):
        assert f'{label}</dt><dd class="figure">{number}</dd>' in page


def test_a_page_where_all_is_well_says_so(client: FlaskClient) -> None:
    client.post("/api/events", json=[ends(130)])
    client.post("/api/ledger", json=[batch(0, 0, 100)])
    page = client.get("/ledger").text
    good = "Each record up to the last finished batch has its outcome; none is lost."
    assert f"{good} 30 wait for the detector, which is not running." in page
    client.post("/api/events", json=[{"type": "status", "state": "running"}])
    assert f"{good} 30 in the running batch." in client.get("/ledger").text
    assert "Lost or unaccounted for" not in page


def test_a_conflict_whose_id_holds_a_slash_leads_to_its_alert(client: FlaskClient) -> None:
    client.post("/api/alerts", json=[alert(1, alert_id="a/0/1"), alert(1, alert_id="a/0/1", transaction={})])
    page = client.get("/ledger").text
    links = [part.split('"')[0] for part in page.split('href="')[1:] if part.startswith("/api/alerts/")]
    assert [client.get(link).status_code for link in links] == [200, 200]
