"""Every page, with and without data, light and dark, wide and on a phone, fits, and axe-core finds no violation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from dashboards import RunningDashboard, alert, running_dashboard
from dead_letters import dead_letter

pytestmark = pytest.mark.browser

PATHS = (
    "/",
    "/?view=live",
    "/what-if",
    "/alerts/id-1",
    "/entities/card_id/C1",
    "/charts",
    "/rejected",
    "/rejected?kind=refused",
    "/schema",
    "/ledger",
    "/activity",
    "/audit",
    "/reason-codes",
    "/login",
)
"""Whoever adds a page adds its path."""

OF_CARD = {"V1": 1.0, "Amount": 12.5, "card_id": "C1"}

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
TAGS = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]
RUN = """async (tags) => {
  const found = await window.axe.run(document, { runOnly: { type: 'tag', values: tags } });
  return found.violations.map(({ id, nodes }) => [id, nodes.map((node) => `${node.target}: ${node.failureSummary}`)]);
}"""
SETTLED = "() => (document.querySelector('#connection')?.dataset.state ?? 'live') === 'live'"
NAVIGATION = {
    "Review": {"Queue": "/"},
    "Model": {"What if": "/what-if", "Charts": "/charts"},
    "Stream": {
        "Rejected records": "/rejected",
        "Schema": "/schema",
        "Ledger": "/ledger",
        "Activity": "/activity",
    },
    "Audit": {"Audit log": "/audit"},
}
SCHEMES = ("light", "dark")
WIDTHS = (1280, 360)


@pytest.fixture(scope="module", params=[pytest.param("empty", marks=pytest.mark.nightly), "full"])
def dashboard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDashboard]:
    directory: Path = tmp_path_factory.mktemp("dashboard")
    with running_dashboard(directory) as running:
        if request.param == "full":
            running.post("/api/alerts", [alert(number) for number in range(4)])
            running.post("/api/alerts", [alert(number, transaction=OF_CARD) for number in (4, 5)])
            running.post("/api/alerts", [alert(9, outcome="unscorable", score=None, reason="too much is missing")])
            running.post("/api/dead-letters", [dead_letter(number, b"[1]") for number in range(3)])
            running.post(
                "/api/events", [{"type": "query", "message": "the query started", "event_id": "e-1"}, {"no": 1}]
            )
        yield running


LOOKS = list(product(SCHEMES, WIDTHS))


@pytest.mark.parametrize(
    "looks", [LOOKS[-1:], pytest.param(LOOKS[:-1], marks=pytest.mark.nightly)], ids=["narrow and dark", "rest"]
)
@pytest.mark.parametrize("path", PATHS)
def test_a_page_fits_and_axe_finds_no_violation(
    dashboard: RunningDashboard, browser: Browser, path: str, looks: list[tuple[str, int]]
) -> None:
    by_size: dict[str, Any] = {}
    for scheme, width in looks:
        context = browser.new_context(
            color_scheme="dark" if scheme == "dark" else "light",
            viewport={"width": width, "height": 800},
            bypass_csp=True,
        )
        page = context.new_page()
        page.goto(dashboard.url + path)
        page.wait_for_load_state("load")
        page.wait_for_function(SETTLED)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.evaluate(AXE)
        violations = page.evaluate(RUN, TAGS)
        if violations:
            by_size[f"{scheme} {width}"] = violations
        context.close()
    assert by_size == {}


def test_the_navigation_is_grouped_and_each_page_marks_itself_current(dashboard: RunningDashboard, page: Page) -> None:
    pages = {label: path for links in NAVIGATION.values() for label, path in links.items()}
    for label, path in pages.items():
        page.goto(dashboard.url + path)
        navigation = page.get_by_role("navigation", name="Pages")
        assert labels(navigation.get_by_role("link")) == list(pages)
        assert labels(navigation.locator("[aria-current=page]")) == [label]
    for name, links in NAVIGATION.items():
        assert labels(navigation.get_by_role("group", name=name).get_by_role("link")) == list(links)


def labels(links: Locator) -> list[str]:
    """The texts of links, without their badges."""
    return [re.sub(r"\s*\d+$", "", text) for text in links.all_inner_texts()]


def test_the_queue_s_badge_counts_what_is_to_do(dashboard: RunningDashboard, page: Page) -> None:
    page.goto(f"{dashboard.url}/activity")
    to_do = dashboard.get("/api/stats")["texts"]["badges"]["queue"]
    badge = page.get_by_role("navigation", name="Pages").locator("[data-badge=queue]")
    expect(badge).to_have_text(to_do)


def test_on_a_phone_the_pages_are_in_a_bar_at_the_bottom(dashboard: RunningDashboard, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(dashboard.url)
    assert page.evaluate("document.querySelector('.top').offsetHeight") <= 60
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    bar = page.get_by_role("navigation", name="Pages")
    box = bar.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] == 844
    bar.get_by_role("button", name="Stream").click()
    bar.get_by_role("link", name="Ledger").click()
    expect(page).to_have_url(f"{dashboard.url}/ledger")
    expect(bar.get_by_role("button", name="Stream")).to_have_attribute("aria-current", "true")


def test_the_navigation_takes_one_line_on_a_laptop(dashboard: RunningDashboard, page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 768})
    page.goto(dashboard.url)
    assert page.evaluate("document.querySelector('.top').offsetHeight") <= 60
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_theme_and_zone_of_the_menu_hold_for_every_page(dashboard: RunningDashboard, page: Page) -> None:
    page.goto(f"{dashboard.url}/activity")
    when = page.locator("td time").first if page.locator("td time").count() else None
    page.get_by_role("button", name="Menu").click()
    page.get_by_label("Dark").check()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator("html")).to_have_attribute("data-zone", "Europe/Zurich")
    page.get_by_role("button", name="Menu").click()
    page.get_by_label("Another time zone").fill("Asia/Tokyo")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("html")).to_have_attribute("data-zone", "Asia/Tokyo")
    if when is not None:
        expect(when).to_have_attribute("title", re.compile(r"\d{4}, \d\d:\d\d:\d\d JST$"))
        expect(when).to_have_text(re.compile("ago$|just now"))
    page.goto(f"{dashboard.url}/audit")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_without_javascript_times_are_dates_in_the_zone_that_was_saved(
    dashboard: RunningDashboard, browser: Browser
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{dashboard.url}/activity")
    page.get_by_role("button", name="Menu").click()
    page.get_by_label("Another time zone").fill("Asia/Tokyo")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("html")).to_have_attribute("data-zone", "Asia/Tokyo")
    for text in page.locator("td time").all_inner_texts():
        assert re.fullmatch(r"(\d+ \w{3} )?\d\d:\d\d", text)
    context.close()
