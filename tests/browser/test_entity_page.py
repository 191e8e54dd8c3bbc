"""The page of an entity in a real Chromium: all of its alerts are decided at once, what others hold is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from columns import row
from dashboards import RunningDashboard, alert, running_dashboard

pytestmark = pytest.mark.browser


def introduced(page: Page, name: str) -> None:
    """Answer the question who one is, which the first decision asks."""
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Your name").press("Enter")
    expect(page.locator("#who-dialog")).to_be_hidden()


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDashboard]:
    with running_dashboard(tmp_path_factory.mktemp("dashboard")) as running:
        yield running


def test_all_alerts_of_a_terminal_are_decided_at_once_and_undone(
    page: Page, dashboard: RunningDashboard, page_errors: list[str]
) -> None:
    dashboard.post("/api/alerts", [alert(number, transaction=row(number, terminal_id="T1")) for number in range(12)])
    page.goto(f"{dashboard.url}/entities/terminal_id/T1")
    page.get_by_role("button", name="Confirmed fraud").click()
    introduced(page, "Ann")
    expect(page.locator("#entity")).to_contain_text("12 confirmed fraud")
    expect(page.locator(".decide-all")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Decide all 12")).to_be_visible()
    assert page_errors == []


def test_what_somebody_else_has_claimed_is_refused(page: Page, dashboard: RunningDashboard) -> None:
    dashboard.post(
        "/api/alerts", [alert(number, transaction=row(number, terminal_id="T2")) for number in range(20, 23)]
    )
    claim = {"alert_ids": ["id-21"], "who": "Ben"}
    page.goto(f"{dashboard.url}/entities/terminal_id/T2")
    page.get_by_role("button", name="False alarm").focus()
    dashboard.post("/api/work/claim", claim)
    page.keyboard.press("Enter")
    introduced(page, "Ann")
    expect(page.locator("#toast")).to_contain_text("1 not changed")
    expect(page.locator("#entity")).to_contain_text("2 false alarm")
    expect(page.get_by_text("Decide all 1")).to_be_visible()
