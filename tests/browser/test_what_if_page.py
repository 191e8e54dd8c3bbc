"""The page What if in a real Chromium: the slider by keyboard, a threshold applied and undone, two people at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from columns import NOW
from dashboards import RunningDashboard, running_dashboard
from evaluated import THRESHOLD, deployed_evaluated_model, scored_samples
from fraudstream.model.deployment.current import deploy, read_current
from pages import SCHEMES, WORST_CONTRAST
from saved_models import LINEAR_ID

pytestmark = pytest.mark.browser

SCRIPT = "<img src=x onerror=\"document.title='pwned'\">"


@pytest.fixture
def dashboard(tmp_path: Path) -> Iterator[RunningDashboard]:
    with running_dashboard(tmp_path, deployed_evaluated_model(tmp_path / "models")) as running:
        running.post("/api/events", scored_samples(200))
        yield running


def alerts_of_test_period(page: Page) -> str:
    return page.locator("#live-sources .measured tbody tr").first.locator("td").nth(1).inner_text()


def test_the_slider_moves_by_keys_and_every_figure_follows(
    page: Page, dashboard: RunningDashboard, page_errors: list[str]
) -> None:
    page.goto(f"{dashboard.url}/what-if")
    page.evaluate("window.notReloaded = true")
    before = alerts_of_test_period(page)
    expect(page.get_by_role("button", name="This threshold is active")).to_be_disabled()
    slider = page.locator("#slider")
    slider.focus()
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#threshold")).to_have_value("0.0474")
    expect(slider).to_have_attribute("aria-valuetext", "0.0474")
    expect(page.locator("#live-sources .measured thead")).to_contain_text("0.0474")
    assert float(alerts_of_test_period(page).replace(",", "")) > float(before.replace(",", ""))
    expect(page.locator("#charts")).to_contain_text("threshold 0.0474")
    expect(page.locator("#summary")).to_contain_text("At 0.0474 instead of 0.5.")
    expect(slider).to_be_focused()
    assert "threshold=0.0474" in page.url
    page.locator("#threshold").fill("0.3")
    expect(page.locator("#live-sources .measured thead")).to_contain_text("0.3")
    page.locator("#review-cost").fill("100")
    page.wait_for_url("**review_cost=100")
    page.reload()
    expect(page.locator("#threshold")).to_have_value("0.3")
    expect(page.locator("#review-cost")).to_have_value("100.0")
    assert page_errors == []


def test_a_curve_is_read_by_keys_and_mouse_while_the_threshold_moves(page: Page, dashboard: RunningDashboard) -> None:
    page.goto(f"{dashboard.url}/what-if?threshold=0.35")
    curve = page.get_by_role("slider", name="Share of the frauds caught")
    readout = curve.locator(".readout")
    curve.press("Home")
    expect(readout).to_contain_text(
        re.compile(r"^threshold 0\.0000961: the model's test period \(measured\) 100\.0\s%")
    )
    expect(curve).to_have_attribute("aria-valuemax", "74")
    curve.press("PageUp")
    curve.press("ArrowRight")
    expect(curve).to_have_attribute("aria-valuenow", "11")
    text = readout.inner_text()
    expect(curve).to_have_attribute("aria-valuetext", text)
    page.locator("#charts summary").first.click()
    page.locator("#slider").evaluate("slider => { slider.value = 90; slider.dispatchEvent(new Event('input')); }")
    page.wait_for_url("**threshold=0.269*")
    expect(page.locator("#charts")).to_contain_text("threshold 0.269")
    expect(page.locator("#charts tbody").first.locator("tr")).to_have_count(75)
    expect(page.locator("#charts table").first).to_be_visible()
    box = curve.locator(".drawing > svg:visible").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 60)
    expect(readout).to_contain_text("threshold 0.999")
    page.mouse.move(1, 1)
    expect(readout).to_have_text("\u00a0")


def test_a_threshold_is_applied_with_a_reason_and_undone(
    page: Page, dashboard: RunningDashboard, page_errors: list[str]
) -> None:
    current = dashboard.directory / "models" / "current"
    page.goto(f"{dashboard.url}/what-if?threshold=0.25")
    page.get_by_label("Why").fill(SCRIPT)
    page.get_by_label("Why").press("Enter")
    page.get_by_label("Your name").fill("Ann Müller")
    page.get_by_label("Your name").press("Enter")
    answer = page.locator("#answer")
    expect(answer).to_contain_text("0.25 is active as revision 2")
    deployment = read_current(current)
    assert (deployment.threshold, deployment.who, deployment.why) == (0.25, "Ann Müller", SCRIPT)
    expect(page.locator("#live-active")).to_contain_text("0.25")
    expect(page.locator("#live-changes tbody tr").first).to_contain_text(SCRIPT)
    answer.get_by_role("button", name="Undo").press("Enter")
    expect(answer).to_contain_text("0.5 is active again, as revision 3")
    assert read_current(current).threshold == THRESHOLD
    assert read_current(current).why == f"undo of revision 2: {SCRIPT}"
    # The undo itself is a change, and can be taken back from the list.
    page.get_by_role("button", name="Undo revision 3").click()
    expect(answer).to_contain_text("0.25 is active again, as revision 4")
    changes = dashboard.get("/api/audit?action=threshold")["changes"]
    assert [each["after"]["threshold"] for each in changes] == [0.25, 0.5, 0.25]
    assert page.locator("main img").count() == 0
    assert "pwned" not in page.title()
    assert page_errors == []


def test_a_change_made_meanwhile_is_displayed_and_not_overwritten(page: Page, dashboard: RunningDashboard) -> None:
    models = dashboard.directory / "models"
    page.goto(f"{dashboard.url}/what-if?threshold=0.25")
    deploy(models, LINEAR_ID, 0.75, who="ben", why="a storm", now=NOW)
    page.get_by_label("Why").fill("fewer")
    page.get_by_role("button", name="Deploy 0.25").click()
    page.get_by_label("Your name").fill("Ann")
    page.get_by_label("Your name").press("Enter")
    answer = page.locator("#answer")
    expect(answer).to_contain_text("changed meanwhile")
    expect(answer).to_contain_text("by ben (a storm)")
    expect(page.locator("#live-active")).to_contain_text("0.75")
    assert read_current(models / "current").threshold == 0.75
    page.get_by_role("button", name="Deploy 0.25").click()
    expect(answer).to_contain_text("0.25 is active as revision 3")


@pytest.mark.nightly  # what the server renders: tests/integration/test_what_if.py
def test_a_threshold_is_looked_at_without_javascript(dashboard: RunningDashboard, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{dashboard.url}/what-if")
    page.locator("#threshold").fill("0.125")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#live-sources .measured thead")).to_contain_text("0.125")
    context.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_fits_any_width_and_its_text_stands_out(
    dashboard: RunningDashboard, browser: Browser, scheme: Any
) -> None:
    for width in (360, 900, 1360):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
        page = context.new_page()
        page.goto(f"{dashboard.url}/what-if?threshold=0.0001")
        page.locator("#charts summary").first.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(WORST_CONTRAST) >= 4.5
        context.close()
