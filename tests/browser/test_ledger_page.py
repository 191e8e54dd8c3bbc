"""The page of the ledger in a real Chromium."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from dashboards import RunningDashboard, alert
from ledgers import batch, ends, loss
from pages import SCHEMES, WORST_CONTRAST

pytestmark = pytest.mark.browser


def post_all_kinds(dashboard: RunningDashboard) -> None:
    dashboard.post("/api/events", [ends(1_300_000)])
    entries = [batch(0, 0, 1_000_000), loss(1_000_000, 1_000_040), batch(1, 1_000_050, 1_200_000), batch(2, 0, 10)]
    dashboard.post("/api/ledger", [*entries, "x" * 400])
    dashboard.post("/api/alerts", [alert(1), alert(1), alert(1, transaction={"Amount": 9})])


def test_a_conflict_leads_to_its_alert_and_the_page_makes_no_error(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    post_all_kinds(dashboard)
    page.goto(dashboard.url)
    page.get_by_role("link", name="Ledger").click()
    expect(page.locator("#verdict")).to_contain_text("40 records are lost")
    assert page_errors == []
    page.get_by_role("link", name="id-1", exact=True).click()
    expect(page.locator("body")).to_contain_text('"alert_id":"id-1"')


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_fits_any_width_and_its_text_stands_out(
    dashboard: RunningDashboard, browser: Browser, scheme: Any
) -> None:
    post_all_kinds(dashboard)
    for width in (360, 900, 1360):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
        page = context.new_page()
        page.goto(dashboard.url + "/ledger")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(WORST_CONTRAST) >= 4.5
        context.close()
