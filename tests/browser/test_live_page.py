"""The pages in a real Chromium, against the real server: what an analyst sees and does."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from dashboards import RunningDashboard, alert
from pages import LIVE, SIZES_AND_SCHEMES, WORST_CONTRAST, live

pytestmark = pytest.mark.browser

SCRIPT = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>"
RESTARTED = re.compile(
    "ERR_CONNECTION_REFUSED|ERR_SOCKET_NOT_CONNECTED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|"
    "ERR_EMPTY_RESPONSE"
)


def row_ids(page: Page) -> list[str]:
    ids: list[str] = page.evaluate("[...document.querySelectorAll('#list tbody.alert')].map((row) => row.dataset.id)")
    return ids


def row(page: Page, number: int) -> Any:
    return page.locator(f"tbody[data-id='id-{number}']")


def test_a_posted_alert_appears_without_a_reload_and_reads_as_after_one(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    page.goto(dashboard.url + LIVE)
    live(page)
    expect(page.get_by_text("No payments yet")).to_be_visible()
    expect(page.locator("[data-waiting]")).to_contain_text("Waiting for the relay")
    page.evaluate("window.notReloaded = true")
    dashboard.post(
        "/api/alerts",
        [alert(1200, score=0.98765, transaction={"V1": -3.14159, "V2": 1234567.5, "V3": 0.001, "Amount": 1234.5})],
    )
    arrived = row(page, 1200)
    expect(arrived).to_be_visible()
    for text in ("98.8 %", "1,234.50", "V1 -3.14", "V2 1.23e+6", "new to the model"):
        expect(arrived.locator("tr.summary")).to_contain_text(text)
    expect(page.locator("[data-tile=alerts] [data-figure]")).to_have_text("1")
    assert page.evaluate("window.notReloaded")
    before = arrived.locator("tr.summary").inner_text()
    page.reload()
    live(page)
    assert row(page, 1200).locator("tr.summary").inner_text() == before
    assert page_errors == []


def test_the_page_survives_a_restart_of_the_server_and_loses_and_repeats_no_row(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    dashboard.post("/api/alerts", [alert(1)])
    page.goto(dashboard.url + LIVE)
    live(page)
    page.evaluate("window.notReloaded = true")
    dashboard.post("/api/alerts", [alert(2)])
    expect(row(page, 2)).to_be_visible()
    dashboard.end()
    expect(page.locator("#connection")).to_have_text("Reconnecting")
    dashboard.restart()
    dashboard.post("/api/alerts", [alert(2), alert(3)])
    expect(row(page, 3)).to_be_visible()
    live(page)
    dashboard.post("/api/alerts", [alert(4)])
    expect(row(page, 4)).to_be_visible()
    assert row_ids(page) == ["id-4", "id-3", "id-2", "id-1"]
    assert page.evaluate("window.notReloaded")
    assert [text for text in page_errors if not RESTARTED.search(text)] == []


def test_the_button_downloads_the_csv_of_all_alerts(dashboard: RunningDashboard, page: Page, tmp_path: Path) -> None:
    dashboard.post("/api/alerts", [alert(number) for number in range(250)])
    page.goto(dashboard.url + LIVE)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download Fraudulent Transactions CSV", exact=True).click()
    assert download.value.suggested_filename == "fraudulent_transactions.csv"
    download.value.save_as(tmp_path / "saved.csv")
    with (tmp_path / "saved.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [saved["alert_id"] for saved in rows] == [f"id-{number}" for number in range(250)]
    assert rows[0]["V1"] == "-1.5"
    assert len(row_ids(page)) == 50


def test_details_show_the_whole_payment_and_where_it_came_from(dashboard: RunningDashboard, page: Page) -> None:
    dashboard.post(
        "/api/alerts", [alert(7, imputed=["V2"], transaction={"V1": -1.35980713, "V2": None, "place": {"lat": 1}})]
    )
    page.goto(dashboard.url + LIVE)
    row(page, 7).locator(".toggle").press("Enter")
    details = row(page, 7).locator(".details")
    details.locator("summary", has_text="Payment").click()
    details.get_by_text("Origin and timeline").click()
    for text in ("-1.35980713", '{"lat":1}', "credit_card_transactions[0] 7", "s-1", "imputed", "0.5"):
        expect(details).to_contain_text(text)
    expect(row(page, 7).locator(".toggle")).to_have_attribute("aria-expanded", "true")
    row(page, 7).locator(".toggle").press("Enter")
    expect(details).to_be_hidden()


@pytest.mark.nightly  # test_hostile_text.py looks at every page in every change
def test_a_script_in_any_name_or_value_never_runs(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    hostile = {"alert_id": SCRIPT, "model_id": SCRIPT, "schema_id": SCRIPT, "topic": SCRIPT, "imputed": [SCRIPT]}
    payment = {SCRIPT: SCRIPT, "V1": SCRIPT, "nested": {SCRIPT: [SCRIPT]}}
    page.goto(dashboard.url + LIVE)
    live(page)
    dashboard.post("/api/alerts", [alert(1, transaction=payment, **hostile)])
    dashboard.post("/api/alerts", [alert(2, outcome="unscorable", score=None, reason=SCRIPT, transaction=payment)])
    dashboard.post("/api/events", [{"type": SCRIPT[:60], "message": SCRIPT}])
    dashboard.post("/api/dead-letters", [{"topic": SCRIPT, "partition": 0, "offset": 1, "reason": SCRIPT}])
    expect(page.locator("tbody.alert")).to_have_count(1)
    for path in (None, LIVE, LIVE + "&outcome=unscorable"):
        if path is not None:
            page.goto(dashboard.url + path)
        page.locator("tbody.alert .toggle").click()
        expect(page.locator(".details .origin")).to_be_visible()
        assert (page.locator(".details").text_content() or "").count("<script>") >= 4
        assert page.locator("img").count() == 0
        assert "pwned" not in page.title()
    page.goto(f"{dashboard.url}/activity")
    expect(page.locator("main")).to_contain_text("<script>")
    assert "pwned" not in page.title()
    assert page_errors == []


def test_a_flood_keeps_fifty_rows_and_the_newest_on_top(dashboard: RunningDashboard, page: Page) -> None:
    page.goto(dashboard.url + LIVE)
    live(page)
    for first in range(0, 1000, 100):
        dashboard.post("/api/alerts", [alert(number) for number in range(first, first + 100)])
    expect(row(page, 999)).to_be_visible()
    assert row_ids(page) == [f"id-{number}" for number in range(999, 949, -1)]
    expect(page.locator("[data-tile=alerts] [data-figure]")).to_have_text("1,000")


@pytest.mark.nightly  # as after a restart of the server, above
def test_a_page_that_was_away_catches_up_with_the_newest(dashboard: RunningDashboard, page: Page) -> None:
    page.goto(dashboard.url + LIVE)
    live(page)
    page.context.set_offline(True)
    dashboard.end()
    dashboard.restart()
    dashboard.post("/api/alerts", [alert(number) for number in range(700)])
    page.context.set_offline(False)
    expect(row(page, 699)).to_be_visible()
    assert row_ids(page) == [f"id-{number}" for number in range(699, 649, -1)]


def test_rows_of_the_training_data_are_marked_from_those_new_to_the_model(
    dashboard: RunningDashboard, page: Page
) -> None:
    dashboard.post("/api/alerts", [alert(998), alert(999)])
    page.goto(dashboard.url + LIVE)
    live(page)
    dashboard.post("/api/alerts", [alert(1000)])
    expect(row(page, 1000)).to_contain_text("new to the model")
    expect(row(page, 999)).to_contain_text("seen in training")
    expect(page.locator("#unseen")).to_contain_text("From row 1,000 of the file on")


@pytest.mark.parametrize(("width", "scheme"), SIZES_AND_SCHEMES)
def test_the_page_fits_any_width_and_its_text_stands_out(
    dashboard: RunningDashboard, browser: Browser, width: int, scheme: Any
) -> None:
    dashboard.post(
        "/api/alerts", [alert(1), alert(1000, transaction={"a_very_long_column_name_" * 4: 1.5, "V2": "x" * 300})]
    )
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(dashboard.url + LIVE)
    live(page)
    page.locator("tbody.alert .toggle").first.click()
    expect(page.locator(".details .origin").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(WORST_CONTRAST) >= 4.5
    context.close()
