"""Every page, with and without data, light and dark, wide and on a phone, fits, and axe-core finds no violation."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from dashboards import RunningDashboard, alert, running_dashboard
from dead_letters import dead_letter

pytestmark = pytest.mark.browser

PATHS = (
    "/",
    "/queue",
    "/what-if",
    "/alerts/id-1",
    "/charts",
    "/unscorable",
    "/dead-letters",
    "/schema",
    "/ledger",
    "/activity",
    "/audit",
    "/reason-codes",
    "/login",
)
"""Whoever adds a page adds its path."""

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
TAGS = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]
RUN = """async (tags) => {
  const found = await window.axe.run(document, { runOnly: { type: 'tag', values: tags } });
  return found.violations.map(({ id, nodes }) => [id, nodes.map((node) => `${node.target}: ${node.failureSummary}`)]);
}"""
SETTLED = "() => (document.querySelector('#connection')?.dataset.state ?? 'live') === 'live'"
NAVIGATION = {
    "Triage": {"Queue": "/queue", "Alerts": "/"},
    "Model": {"What if": "/what-if", "Charts": "/charts"},
    "Stream": {
        "Unscorable": "/unscorable",
        "Dead letters": "/dead-letters",
        "Schema": "/schema",
        "Ledger": "/ledger",
        "Activity": "/activity",
    },
}
SCHEMES = ("light", "dark")
WIDTHS = (1280, 360)


@pytest.fixture(scope="module", params=[pytest.param("empty", marks=pytest.mark.nightly), "full"])
def dashboard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDashboard]:
    directory: Path = tmp_path_factory.mktemp("dashboard")
    with running_dashboard(directory) as running:
        if request.param == "full":
            running.post("/api/alerts", [alert(number) for number in range(5)])
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
    pages = {label: path for links in NAVIGATION.values() for label, path in links.items()} | {"Audit": "/audit"}
    for label, path in pages.items():
        page.goto(dashboard.url + path)
        navigation = page.get_by_role("navigation", name="Pages")
        assert navigation.get_by_role("link").all_inner_texts() == list(pages)
        assert navigation.locator("[aria-current=page]").all_inner_texts() == [label]
    for name, links in NAVIGATION.items():
        assert navigation.get_by_role("group", name=name).get_by_role("link").all_inner_texts() == list(links)


@pytest.mark.parametrize(("width", "tallest"), [(1366, 60), (360, 190)])
def test_the_navigation_takes_one_line_on_a_laptop_and_no_scrolling_on_a_phone(
    dashboard: RunningDashboard, page: Page, width: int, tallest: int
) -> None:
    page.set_viewport_size({"width": width, "height": 768})
    page.goto(dashboard.url)
    assert page.evaluate("document.querySelector('.top').offsetHeight") <= tallest
    assert page.evaluate("document.documentElement.scrollWidth") <= width
