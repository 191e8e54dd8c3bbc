"""The page of one alert in a real Chromium: decided by keys and buttons, scored again, copied; nothing in it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from columns import NOW
from dashboards import RunningDashboard, running_dashboard
from evaluated import deployed_evaluated_model, scored_alert
from fraudstream.model.deployment.current import deploy
from pages import SCHEMES, WORST_CONTRAST, live
from saved_models import LINEAR_ID, linear_model

pytestmark = pytest.mark.browser

SCRIPT = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>"
OTHER_ID = "logistic-regression-ba9876543210"


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDashboard]:
    folder = tmp_path_factory.mktemp("dashboard")
    with running_dashboard(folder, deployed_evaluated_model(folder / "models")) as running:
        yield running


def post(dashboard: RunningDashboard, number: int, transaction: dict[str, Any] | None = None, **changes: Any) -> str:
    posted = scored_alert(dashboard.directory / "models", number, transaction, **changes)
    assert dashboard.post("/api/alerts", [posted])["accepted"] == 1
    return str(posted["alert_id"])


def opened(page: Page, dashboard: RunningDashboard, alert_id: str) -> None:
    page.goto(f"{dashboard.url}/alerts/{alert_id}")
    live(page)


def introduced(page: Page, name: str) -> None:
    """Answer the question who one is, which the first decision asks."""
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Your name").press("Enter")
    # What is typed beside an open dialog is lost.
    expect(page.locator("#who-dialog")).to_be_hidden()


def test_an_alert_is_claimed_decided_noted_on_and_undone_by_keys(
    page: Page, dashboard: RunningDashboard, page_errors: list[str]
) -> None:
    opened(page, dashboard, post(dashboard, 1))
    status = page.locator("#status")
    expect(status).to_have_text("new")
    page.keyboard.press("c")
    introduced(page, "Ann Müller")
    expect(status).to_have_text("claimed by Ann Müller")
    page.keyboard.press("f")
    expect(status).to_have_text("confirmed fraud")
    page.keyboard.press("z")
    expect(status).to_have_text("claimed by Ann Müller")
    page.keyboard.press("e")
    expect(page.get_by_label("Note").last).to_be_focused()
    page.keyboard.type("cafe: the keys mean letters here")
    page.keyboard.press("Control+Enter")
    history = page.locator("#history")
    expect(history).to_contain_text("cafe: the keys mean letters here")
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    expect(status).to_have_text("new")
    page.get_by_role("button", name="False alarm").click()
    expect(status).to_have_text("false alarm")
    expect(page.locator("#by")).to_have_text("by Ann Müller")
    expect(history.locator("li").first).to_contain_text("decided: false alarm")
    expect(history.locator("li.undone")).to_contain_text("undone")
    page.get_by_role("button", name="Undo").click()
    expect(status).to_have_text("new")
    page.reload()
    expect(status).to_have_text("new")
    assert page_errors == []


def test_what_another_does_is_seen_at_once_and_not_written_over(
    page: Page, browser: Browser, dashboard: RunningDashboard
) -> None:
    alert_id = post(dashboard, 2)
    opened(page, dashboard, alert_id)
    context = browser.new_context()
    other = context.new_page()
    other.goto(f"{dashboard.url}/alerts/{alert_id}")
    live(other)
    other.keyboard.press("c")
    introduced(other, "Ben")
    expect(page.locator("#status")).to_have_text("claimed by Ben")
    page.keyboard.press("f")
    introduced(page, "Ann")
    expect(page.locator("#toast")).to_contain_text("laimed by Ben")
    expect(page.locator("#status")).to_have_text("claimed by Ben")
    page.get_by_role("button", name="Take over").click()
    expect(page.locator("#status")).to_have_text("confirmed fraud")
    expect(other.locator("#status")).to_have_text("confirmed fraud")
    expect(other.locator("#by")).to_have_text("by Ann")
    context.close()


def test_the_next_alert_is_taken_and_its_page_opened(page: Page, dashboard: RunningDashboard) -> None:
    post(dashboard, 4, {"Amount": 9_999.0})
    opened(page, dashboard, post(dashboard, 3))
    page.keyboard.press("n")
    introduced(page, "Ann")
    page.wait_for_url("**/alerts/id-4")
    expect(page.locator("#status")).to_have_text("claimed by Ann")


def test_reasons_that_are_worked_out_later_enter_an_open_page(page: Page, dashboard: RunningDashboard) -> None:
    opened(page, dashboard, post(dashboard, 5))
    reasons = dashboard.get("/api/alerts/id-5")["reasons"]
    expect(page.locator("#origin")).to_contain_text("Reasons computed", timeout=10_000)
    expect(page.locator("#why tbody tr").first).to_be_visible()
    if reasons:
        expect(page.locator("#why tbody tr").first).to_have_attribute("title", reasons[0]["text"])


def test_it_is_scored_again_with_another_model_and_the_difference_shown(
    page: Page, dashboard: RunningDashboard, page_errors: list[str]
) -> None:
    models = dashboard.directory / "models"
    opened(page, dashboard, post(dashboard, 6, {"Amount": 1.0}))
    page.get_by_role("button", name="Rescore with the active model").press("Enter")
    expect(page.locator("#rescored")).to_contain_text("The same score.")
    linear_model(models, OTHER_ID)
    deploy(models, OTHER_ID, 0.999, who="ann", why="stricter", now=NOW)
    try:
        page.get_by_role("button", name="Rescore with the active model").press("Enter")
        rows = page.locator("#rescored table").first.locator("tbody tr")
        expect(rows.filter(has_text="Threshold")).to_contain_text("0.999")
        expect(rows.filter(has_text="Model")).to_contain_text("lr-ba987654")
    finally:
        deploy(models, LINEAR_ID, 0.5, who="ann", why="back", now=NOW)
    assert page_errors == []


def test_the_payment_is_copied_as_json(page: Page, dashboard: RunningDashboard) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened(page, dashboard, post(dashboard, 7, {"brand_new": {"deep": [1, "two"]}}))
    page.get_by_role("button", name="Copy as JSON").click()
    expect(page.locator("#copied")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText().then(JSON.parse)")
    assert copied == dashboard.get("/api/alerts/id-7")["transaction"]


@pytest.mark.nightly  # test_hostile_text.py looks at every page in every change
def test_a_script_in_any_field_column_note_or_name_never_runs(
    page: Page, dashboard: RunningDashboard, page_errors: list[str]
) -> None:
    transaction = {SCRIPT: SCRIPT, "card_id": SCRIPT, "merchant": SCRIPT, "V2": SCRIPT}
    fields = {"topic": SCRIPT, "schema_id": SCRIPT, "reason": SCRIPT, "imputed": ["V2", SCRIPT]}
    post(dashboard, 8, transaction, alert_id="odd/1", **fields)
    post(dashboard, 9, transaction, alert_id=f"odd {SCRIPT[:20]}", **fields)
    opened(page, dashboard, "odd/1")
    page.keyboard.press("c")
    introduced(page, SCRIPT[:80])
    page.get_by_label("Note").last.fill(SCRIPT)
    page.get_by_role("button", name="Save note").click()
    expect(page.locator("#history")).to_contain_text(SCRIPT)
    page.get_by_role("button", name="Rescore with the active model").click()
    expect(page.locator("#rescored table")).to_have_count(2)
    page.locator("#payment details").evaluate("each => { each.open = true }")
    assert page.locator("main img, main script").count() == 0
    assert "pwned" not in page.title()
    assert page_errors == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_fits_any_width_and_its_text_stands_out(
    dashboard: RunningDashboard, browser: Browser, scheme: Any
) -> None:
    number = 10 if scheme == "light" else 11
    transaction = {"a_very_long_column_name_" * 6: "x" * 300, "card_id": "C-1", "V3": 900.0, "V2": None}
    alert_id = post(dashboard, number, transaction, imputed=["V2"])
    for width in (360, 900, 1360):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
        page = context.new_page()
        opened(page, dashboard, alert_id)
        page.get_by_role("button", name="Rescore with the active model").click()
        expect(page.locator("#rescored table")).to_have_count(2)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(WORST_CONTRAST) >= 4.5
        context.close()


@pytest.mark.nightly  # what the server renders: tests/integration/test_alert_page.py
def test_everything_but_deciding_is_there_without_javascript(dashboard: RunningDashboard, browser: Browser) -> None:
    alert_id = post(dashboard, 12)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{dashboard.url}/alerts/{alert_id}")
    for section in ("#why", "#payment", "#origin", "#similar"):
        expect(page.locator(section)).to_be_visible()
    context.close()
