"""An alert storm in a real Chromium: the banner, and a table that stays a table."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from dashboards import RunningDashboard, alert
from pages import LIVE, live

pytestmark = pytest.mark.browser


def test_a_storm_of_alerts_shows_a_banner_and_a_short_table(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    page.goto(dashboard.url + LIVE)
    live(page)
    expect(page.locator("#storm")).to_be_hidden()
    for first in (0, 400, 800):
        dashboard.post("/api/alerts", [alert(number) for number in range(first, first + 400)])
    banner = page.locator("#storm")
    expect(banner).to_be_visible()
    expect(banner).to_contain_text("More alerts than analysts can review since")
    expect(banner).to_contain_text("in the last minute")
    expect(banner.get_by_role("link", name="Schema page")).to_have_attribute("href", "/schema")
    expect(page.locator("tbody[data-id='id-1199']")).to_be_visible()
    assert page.locator("#list tbody.alert").count() <= 100
    page.reload()
    live(page)
    expect(banner).to_be_visible()
    assert page_errors == []
