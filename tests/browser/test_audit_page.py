"""The page of changes in a real Chromium: found, filtered, read in any width, and nothing that people typed runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from playwright.sync_api import Browser, Page, expect

from dashboards import RunningDashboard, alert, running_dashboard
from pages import SCHEMES, WORST_CONTRAST

pytestmark = pytest.mark.browser

SCRIPT = "<img src=x onerror=\"document.title='ran'\">"


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDashboard]:
    with running_dashboard(tmp_path_factory.mktemp("audit")) as running:
        yield running


def as_(dashboard: RunningDashboard, name: str, route: str, posted: object) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "X-Fraudstream-Actor": quote(name)}
    answer = dashboard.pool.request("POST", dashboard.url + route, body=orjson.dumps(posted), headers=headers)
    document: dict[str, Any] = orjson.loads(answer.data)
    return document


def change_something(dashboard: RunningDashboard) -> None:
    dashboard.post("/api/alerts", [alert(n) for n in range(1, 9)] + [alert(9, alert_id="a/b?c#" + "long" * 30)])
    ids = [f"id-{n}" for n in range(1, 9)]
    result = as_(dashboard, SCRIPT, "/api/work/verdict", {"alert_ids": ids, "status": "false_alarm", "note": SCRIPT})
    as_(dashboard, SCRIPT, "/api/work/undo", {"change_id": result["change_id"]})
    as_(dashboard, "Zoë", "/api/work/claim", {"alert_ids": ["a/b?c#" + "long" * 30]})
    as_(dashboard, "Zoë", "/api/work/note", {"alert_ids": ["id-1"], "text": "the same merchant"})
    dashboard.pool.request("GET", dashboard.url + "/api/alerts.csv?min_score=0.5")


def test_a_person_finds_a_change_and_follows_it_to_its_alert_and_its_file(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    page.goto(dashboard.url + "/audit")
    expect(page.get_by_role("heading", name="No changes yet")).to_be_visible()
    change_something(dashboard)
    page.get_by_role("link", name="Audit log").click()
    expect(page.locator("tbody[data-change]")).to_have_count(5)
    expect(page.get_by_text("no name", exact=True)).to_be_visible()
    expect(page.get_by_text("and 3 more; the CSV lists all of them").first).to_be_visible()
    at = page.locator("time").first
    expect(at).to_have_attribute("title", re.compile(r"20\d\d, \d\d:\d\d:\d\d CES?T$"))
    expect(at).not_to_contain_text("UTC")
    page.get_by_label("Who", exact=True).fill("Zoë")
    page.get_by_label("What").select_option("note")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("tbody[data-change]")).to_have_count(1)
    expect(page).to_have_url(re.compile("action=note&actor=Zo%C3%AB"))
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    assert "the same merchant" in Path(download.value.path()).read_text()
    page.go_back()
    expect(page).to_have_url(dashboard.url + "/audit")
    expect(page.locator("tbody[data-change]")).to_have_count(6)  # the file that just left is one
    page.goto(dashboard.url + "/audit?action=claim")
    assert page.locator("td a").first.get_attribute("href") == "/alerts/" + quote("a/b?c#" + "long" * 30)
    page.goto(dashboard.url + "/audit?actor=nobody+of+this+name")
    expect(page.get_by_text("No matches")).to_be_visible()
    assert page.title() == "Audit · fraudstream"
    assert page_errors == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_fits_any_width_and_its_text_stands_out(
    dashboard: RunningDashboard, browser: Browser, scheme: Any
) -> None:
    change_something(dashboard)
    for width in (360, 900, 1360):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
        page = context.new_page()
        page.goto(dashboard.url + "/audit")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(WORST_CONTRAST) >= 4.5
        page.screenshot(path=str(dashboard.directory / f"{scheme}-{width}.png"))
        context.close()
