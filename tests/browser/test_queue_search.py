"""A search of the queue that takes longer than a page may, in a real Chromium: how far it came, and Continue."""

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

# Each alert meets all of them but the last, so that each takes long.
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


def continued(page: Page) -> int:
    """Press Continue until there is nothing left to search; how often that was."""
    link = page.locator("#continue")
    times = 0
    while link.count():
        href = link.get_attribute("href")
        link.click()
        page.wait_for_function("(href) => document.getElementById('continue')?.getAttribute('href') !== href", arg=href)
        times += 1
    return times


def test_a_long_search_says_how_far_it_came_and_goes_on_within_the_page(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    page.goto(f"{dashboard.url}/?{urlencode(CONDITIONS)}")
    address = page.url
    expect(page.locator("#searching")).to_contain_text(re.compile(r"Searched back to .*\d\d:\d\d"))
    expect(page.locator("#empty")).to_be_hidden()
    page.evaluate("window.stays = true")
    assert continued(page) > 0
    assert (page.url, page.evaluate("window.stays")) == (address, True)
    expect(page.locator("#searching")).to_be_hidden()
    assert sorted(listed(page)) == sorted(f"id-{number}" for number in MARKED)
    live(page)
    page.locator("tbody[data-id='id-500'] .toggle").click()
    expect(page.locator("tbody[data-id='id-500'] .origin")).to_be_visible()
    assert page_errors == []


def test_a_long_search_in_the_order_of_time_stays_in_it(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    page.goto(f"{dashboard.url}/?{urlencode([('sort', 'newest'), *CONDITIONS])}")
    assert continued(page) > 0
    assert listed(page) == ["id-109000", "id-60000", "id-500"]
    assert page_errors == []
