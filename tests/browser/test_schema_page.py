"""The page of the columns and the banner in a real Chromium, while the stream changes under them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from columns import model_with_contract, row, samples
from dashboards import RunningDashboard, running_dashboard
from fraudstream.model.deployment.current import read_current
from pages import SCHEMES, WORST_CONTRAST, live

pytestmark = pytest.mark.browser

SCRIPT = "<img src=x onerror=\"document.title='pwned'\">"


@pytest.fixture
def dashboard(tmp_path: Path) -> Iterator[RunningDashboard]:
    with running_dashboard(tmp_path, model_with_contract(tmp_path / "models")) as running:
        yield running


def renamed(number: int) -> dict[str, Any]:
    return row(number, V3=None, third=row(number)["V3"])


def test_the_banner_follows_the_stream_and_a_rename_is_accepted_on_the_page(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    dashboard.post("/api/events", samples(row(n) for n in range(10)))
    page.goto(dashboard.url)
    live(page)
    banner = page.locator("#drift")
    expect(banner).to_be_hidden()
    dashboard.post("/api/events", samples((renamed(n) | {SCRIPT: SCRIPT} for n in range(10, 100)), start=10))
    expect(banner).to_contain_text("Column V3 is missing since about 2 Jan 04:04:15: the training median is used")
    expect(banner).to_contain_text("100 % of recent transactions")
    expect(page.locator("#announce-drift")).to_contain_text("Column V3 is missing")

    banner.get_by_role("link", name="See the schema").press("Enter")
    live(page)
    page.evaluate("window.notReloaded = true")
    suggestions = page.locator("#live-suggestions")
    expect(suggestions).to_contain_text("third looks like the missing V3")
    expect(page.locator("#live-columns tr.differs").first).to_contain_text("V3")
    expect(page.locator("#live-timeline li").first).to_contain_text("column V3 missing: the training median is used")
    assert page.locator("main img").count() == 0
    suggestions.get_by_role("button", name="Accept third as V3").press("Enter")
    expect(page.locator("#answer")).to_have_text("third is read as V3 within 15 seconds.")
    expect(page.locator("#live-aliases")).to_contain_text("third")
    expect(suggestions).to_be_hidden()
    assert dict(read_current(dashboard.directory / "models" / "current").aliases) == {"third": "V3"}

    dashboard.post("/api/events", samples((renamed(n) for n in range(100, 110)), start=100, revision=2, imputed=[]))
    expect(page.locator("#live-state")).to_contain_text("Scoring matches training")
    expect(page.locator("#live-columns")).to_contain_text("read from third")
    page.get_by_role("button", name="Remove the alias third").click()
    expect(page.locator("#live-aliases")).to_contain_text("None. To declare one")
    assert page.evaluate("window.notReloaded")
    assert "pwned" not in page.title()
    assert page_errors == []


def test_a_refused_suggestion_leaves_the_page_for_good(dashboard: RunningDashboard, page: Page) -> None:
    dashboard.post("/api/events", samples(renamed(n) for n in range(60)))
    page.goto(f"{dashboard.url}/schema")
    page.get_by_role("button", name="Refuse third as V3").click()
    expect(page.locator("#answer")).to_have_text("third will not be suggested for V3 again.")
    expect(page.locator("#live-suggestions")).to_be_hidden()
    page.reload()
    expect(page.locator("#live-suggestions")).to_be_hidden()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_fits_any_width_and_its_text_stands_out(
    dashboard: RunningDashboard, browser: Browser, scheme: Any
) -> None:
    rows = (renamed(n) | {"a_very_long_column_name_" * 6: "x", "Amount": None} for n in range(60))
    dashboard.post("/api/events", samples(rows))
    for width in (360, 900, 1360):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
        page = context.new_page()
        for path in ("/schema", "/"):
            page.goto(dashboard.url + path)
            live(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(WORST_CONTRAST) >= 4.5
        context.close()
