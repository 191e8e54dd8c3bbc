"""Verdicts with reasons, escalation and due times in a real Chromium, by key and by mouse."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from dashboards import RunningDashboard, alert
from pages import live

pytestmark = pytest.mark.browser


@pytest.fixture
def mia(dashboard: RunningDashboard, page: Page) -> Page:
    """The queue of Mia, with three alerts: the first has the largest expected loss."""
    dashboard.post("/api/alerts", [alert(number, transaction={"Amount": 10.0 * number}) for number in (3, 2, 1)])
    page.context.add_cookies([{"name": "fraudstream_actor", "value": "Mia", "url": dashboard.url}])
    page.goto(dashboard.url)
    live(page)
    return page


def row(page: Page, number: int) -> Locator:
    return page.locator(f"tbody[data-id='id-{number}']")


def work(dashboard: RunningDashboard, number: int) -> dict[str, Any]:
    state: dict[str, Any] = dashboard.get(f"/api/work/id-{number}")["work"]
    return state


def test_a_reason_is_one_key_after_a_verdict_and_each_is_undone(
    dashboard: RunningDashboard, mia: Page, page_errors: list[str]
) -> None:
    mia.keyboard.press("j")
    mia.keyboard.press("f")
    toast = mia.get_by_role("group", name="Last action")
    expect(toast.get_by_role("button", name="Stolen card")).to_be_visible()
    expect(row(mia, 2).locator(".toggle")).to_be_focused()
    mia.keyboard.press("2")
    expect(toast).to_contain_text("Confirmed fraud: Account takeover.")
    expect(toast.get_by_role("button", name="Stolen card")).to_be_hidden()
    assert work(dashboard, 3)["reason_code"] == "account_takeover"
    mia.keyboard.press("1")
    mia.keyboard.press("z")
    expect(toast).to_contain_text("Undone.")
    assert "reason_code" not in work(dashboard, 3)
    mia.keyboard.press("z")
    expect(row(mia, 3).locator("[data-f=work]")).to_have_text("new")
    assert page_errors == []


def test_only_the_actions_that_apply_are_offered(dashboard: RunningDashboard, mia: Page) -> None:
    row(mia, 3).locator(".toggle").click()
    actions = row(mia, 3).get_by_role("toolbar", name="This alert")
    expect(actions.get_by_role("button")).to_have_text(["Claim c", "Confirmed fraud f", "False alarm a", "Unsure u"])
    actions.get_by_role("button", name="Claim").press("Enter")
    expect(actions.get_by_role("button")).to_have_text(["Confirmed fraud f", "False alarm a", "Unsure u", "Release r"])
    expect(actions.get_by_role("button", name="Confirmed fraud")).to_be_focused()
    actions.get_by_role("button", name="False alarm").click()
    expect(actions.get_by_role("button", pressed=True)).to_have_text("False alarm a")
    expect(actions.get_by_role("button")).to_have_count(3)
    expect(row(mia, 3).locator("details").first).to_be_hidden()
    row(mia, 3).get_by_role("combobox", name="Reason").select_option("Travel")
    expect(row(mia, 3).locator(".history")).to_contain_text("decided: false alarm (Travel)")
    mia.reload()
    mia.goto(f"{dashboard.url}/alerts/id-3")
    expect(mia.get_by_role("button", pressed=True)).to_have_text("False alarm a")
    expect(mia.get_by_role("combobox", name="Reason")).to_have_value("travel")
    expect(mia.get_by_role("button", name="Claim", exact=False)).to_have_text(["Claim next n"])


def test_an_alert_is_escalated_and_another_waits_for_information(
    dashboard: RunningDashboard, mia: Page, page_errors: list[str]
) -> None:
    mia.keyboard.press("j")
    mia.keyboard.press("s")
    expect(row(mia, 3).get_by_role("combobox", name="To")).to_be_focused()
    mia.keyboard.type("Ben")
    mia.keyboard.press("Enter")
    expect(row(mia, 3).locator("[data-f=work]")).to_have_text("escalated to Ben by Mia")
    row(mia, 2).locator(".toggle").click()
    row(mia, 2).get_by_text("Needs information").click()
    row(mia, 2).get_by_role("combobox", name="Due in").select_option("4 hours")
    row(mia, 2).get_by_label("What is missing").fill("the receipt")
    row(mia, 2).get_by_role("button", name="Wait for it").click()
    expect(row(mia, 2).locator(".due")).to_have_text("due in 3 h")
    expect(row(mia, 2).locator(".history")).to_contain_text("Mia needs information, due in 3 h the receipt")
    mia.get_by_role("link", name="Mine").click()
    live(mia)
    expect(mia.locator("#list tbody.alert")).to_have_count(1)
    mia.context.add_cookies([{"name": "fraudstream_actor", "value": "Ben", "url": dashboard.url}])
    mia.reload()
    expect(row(mia, 3).locator("[data-f=work]")).to_have_text("escalated to Ben by Mia")
    assert page_errors == []


def test_the_team_s_reasons_are_those_of_the_form(dashboard: RunningDashboard, mia: Page) -> None:
    mia.goto(f"{dashboard.url}/reason-codes")
    mia.get_by_label("Unsure").fill("Weekend")
    mia.get_by_role("button", name="Save").click()
    expect(mia.get_by_role("status").filter(has_text="Saved.")).to_be_visible()
    mia.goto(f"{dashboard.url}/alerts/id-1")
    mia.keyboard.press("u")
    mia.get_by_role("group", name="Reason").get_by_role("button", name="Weekend").click()
    expect(mia.get_by_role("combobox", name="Reason")).to_have_value("weekend")
    expect(mia.locator("#history")).to_contain_text("decided: unsure (Weekend)")
