"""Every page with and without data, light and dark, wide and on a phone, has no violation that axe-core finds."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

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
    "looks", [LOOKS[::3], pytest.param(LOOKS[1:3], marks=pytest.mark.nightly)], ids=["some", "rest"]
)
@pytest.mark.parametrize("path", PATHS)
def test_axe_finds_no_violation(
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
        page.evaluate(AXE)
        violations = page.evaluate(RUN, TAGS)
        if violations:
            by_size[f"{scheme} {width}"] = violations
        context.close()
    assert by_size == {}
