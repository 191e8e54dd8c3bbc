"""The banner of what is wrong with the system in a real Chromium, and acknowledging a loss."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dashboards import running_dashboard
from ledgers import batch, loss
from pages import live

pytestmark = pytest.mark.browser


def test_a_loss_is_shown_on_the_open_page_until_a_person_acknowledges_it(
    tmp_path: Path, page: Page, page_errors: list[str]
) -> None:
    with running_dashboard(tmp_path) as dashboard:
        page.goto(dashboard.url)
        live(page)
        banner = page.locator("#trouble")
        expect(banner).to_be_hidden()
        dashboard.post("/api/ledger", [batch(0, 0, 10), loss(10, 25)])
        expect(banner).to_contain_text("15 records are lost")
        page.get_by_role("link", name="Ledger").click()
        expect(banner).to_contain_text("15 records are lost")
        page.get_by_role("button", name="Acknowledge").click()
        page.get_by_label("Your name").fill("Mia")
        page.get_by_role("button", name="Continue").click()
        expect(banner).to_be_hidden()
        expect(page.locator("#losses")).to_contain_text("15")
        page.get_by_role("link", name="Audit").click()
        expect(page.locator("main")).to_contain_text("15 lost records")
        assert page_errors == []
