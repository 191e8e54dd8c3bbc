"""A search of the queue that takes longer than a page may, in a real Chromium: its progress, Cancel, and going on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from dashboards import RunningDashboard, alert, running_dashboard
from pages import live

pytestmark = [pytest.mark.browser, pytest.mark.nightly]

ALERTS = 110_000
AT_ONCE = 5_000
MARKED = {500: 10.0, 60_000: 900.0, 109_000: 300.0}
"""The alerts that match, with their amounts: one near each end, one between."""

# Of a number with sixteen digits the index does not tell them; what is looked for stands elsewhere in each alert, so
# that each has to be read.
CONDITIONS = [("where", f"V{column}:has:.") for column in range(2, 20)] + [("where", "Code:has:23454321")]


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDashboard]:
    with running_dashboard(tmp_path_factory.mktemp("search")) as running:
        for first in range(0, ALERTS, AT_ONCE):
            running.post("/api/alerts", [payment(number) for number in range(first, first + AT_ONCE)])
        yield running


def payment(number: int) -> dict[str, object]:
    columns = {f"V{column}": number + column / 7 for column in range(40)}
    code = 1_234_543_210_000_001 if number in MARKED else 5_000_000_000_000_000 + number
    other = {"Code": code, "Batch": "23454321", "Amount": MARKED.get(number, 1.0)}
    return alert(number, transaction=columns | other)


def listed(page: Page) -> list[str]:
    ids: list[str] = page.evaluate("[...document.querySelectorAll('#list tbody.alert')].map((row) => row.dataset.id)")
    return ids


def test_a_long_search_tells_how_far_it_is_can_be_cancelled_and_goes_on(
    dashboard: RunningDashboard, page: Page, said: list[str]
) -> None:
    page.goto(f"{dashboard.url}/queue?{urlencode(CONDITIONS)}")
    searching = page.locator("#searching")
    searching.get_by_role("button", name="Cancel").click()
    expect(searching).to_contain_text(re.compile(r"Cancelled\. (Looked through [\d,]+ of 110,000|Not looked through)"))
    searching.get_by_role("button", name="Go on").click()
    expect(searching.get_by_role("progressbar")).to_be_visible()
    expect(searching).to_contain_text("Looked through 110,000 of 110,000 alerts: 3 matches", timeout=60_000)
    assert listed(page) == ["id-60000", "id-109000", "id-500"]
    live(page)
    page.locator("tbody[data-id='id-500'] .toggle").click()
    expect(page.locator("tbody[data-id='id-500'] .origin")).to_be_visible()
    assert said == []


def test_a_long_search_in_the_order_of_time_goes_on_where_the_page_ended(
    dashboard: RunningDashboard, page: Page, said: list[str]
) -> None:
    page.goto(f"{dashboard.url}/queue?{urlencode([('sort', 'newest'), *CONDITIONS])}")
    expect(page.locator("#searching")).to_contain_text(re.compile("alerts: 3 matches"), timeout=60_000)
    assert listed(page) == ["id-109000", "id-60000", "id-500"]
    assert said == []
