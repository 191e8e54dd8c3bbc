"""Reading on the live page while alerts arrive, in a real Chromium: pause, what waits, a stream that cannot be had."""

from __future__ import annotations

import re

import orjson
import pytest
from playwright.sync_api import Browser, Page, expect

from dashboards import RunningDashboard, alert
from pages import LIVE, SCHEMES, WORST_CONTRAST, live

pytestmark = pytest.mark.browser

STREAM_GONE = re.compile(
    "ERR_FAILED|ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|"
    "ERR_SOCKET_NOT_CONNECTED|ERR_INTERNET_DISCONNECTED|ERR_INCOMPLETE_CHUNKED_ENCODING"
)


def post(dashboard: RunningDashboard, *numbers: int) -> None:
    dashboard.post("/api/alerts", [alert(number) for number in numbers])


def row_ids(page: Page) -> list[str]:
    ids: list[str] = page.evaluate("[...document.querySelectorAll('#list tbody.alert')].map((row) => row.dataset.id)")
    return ids


def test_a_paused_page_counts_what_arrives_and_shows_it_when_asked(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    post(dashboard, 1)
    page.goto(dashboard.url + LIVE)
    live(page)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#connection")).to_have_text("Paused")
    post(dashboard, *range(2, 14))
    fresh = page.get_by_role("button", name="12 new")
    expect(fresh).to_be_visible()
    assert row_ids(page) == ["id-1"]
    fresh.click()
    assert row_ids(page) == [f"id-{number}" for number in range(13, 0, -1)]
    expect(page.locator("#fresh")).to_be_hidden()
    post(dashboard, 14)
    expect(page.get_by_role("button", name="1 new")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("tbody[data-id='id-14']")).to_be_visible()
    expect(page.locator("#connection")).to_have_text("Live")
    assert page_errors == []


def test_rows_wait_while_one_is_open_and_come_by_themselves_once_it_is_closed(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    post(dashboard, *range(1, 6))
    page.goto(dashboard.url + LIVE)
    live(page)
    toggle = page.locator("tbody[data-id='id-3'] .toggle")
    toggle.click()
    expect(page.locator("tbody[data-id='id-3'] .origin")).to_be_visible()
    before = toggle.bounding_box()
    post(dashboard, *range(6, 16))
    expect(page.get_by_role("button", name="10 new")).to_be_visible()
    assert toggle.bounding_box() == before
    toggle.click()
    expect(page.locator("tbody[data-id='id-15']")).to_be_visible()
    assert row_ids(page)[0] == "id-15"
    assert page_errors == []


def test_new_rows_wait_behind_a_button_while_the_page_is_scrolled_down(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    post(dashboard, *range(100))
    page.goto(dashboard.url + LIVE)
    live(page)
    page.mouse.wheel(0, 2000)
    page.wait_for_function("window.scrollY > 1000")
    there = page.locator("tbody[data-id='id-60']")
    before = there.bounding_box()
    post(dashboard, 100, 101)
    fresh = page.get_by_role("button", name="2 new")
    expect(fresh).to_be_in_viewport()
    assert there.bounding_box() == before
    fresh.click()
    expect(page.locator("tbody[data-id='id-101']")).to_be_in_viewport()
    assert page_errors == []


def test_rows_wait_while_the_keyboard_is_in_the_table(dashboard: RunningDashboard, page: Page) -> None:
    post(dashboard, 1)
    page.goto(dashboard.url + LIVE)
    live(page)
    page.locator("tbody[data-id='id-1'] .when a").focus()
    page.keyboard.press("Tab")
    expect(page.locator("tbody[data-id='id-1'] .toggle")).to_be_focused()
    post(dashboard, 2)
    expect(page.get_by_role("button", name="1 new")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator("#fresh").press("Enter")
    assert row_ids(page) == ["id-2", "id-1"]
    expect(page.locator("tbody[data-id='id-2'] .toggle")).to_be_focused()


@pytest.mark.parametrize("how", ["no EventSource", pytest.param("the stream fails", marks=pytest.mark.nightly)])
def test_a_page_without_a_stream_asks_and_loses_and_repeats_nothing(
    dashboard: RunningDashboard, page: Page, page_errors: list[str], how: str
) -> None:
    if how == "no EventSource":
        page.add_init_script("delete window.EventSource")
    else:
        page.route("**/api/stream*", lambda route: route.abort())
    post(dashboard, 1)
    page.goto(dashboard.url + LIVE)
    expect(page.locator("#connection")).to_have_text("Polling", timeout=20_000)
    post(dashboard, *range(2, 150))
    expect(page.locator("tbody[data-id='id-149']")).to_be_visible()
    post(dashboard, 150)
    expect(page.locator("tbody[data-id='id-150']")).to_be_visible()
    assert row_ids(page) == [f"id-{number}" for number in range(150, 100, -1)]
    expect(page.locator("[data-tile=alerts] [data-figure]")).to_have_text("150")
    assert [text for text in page_errors if not STREAM_GONE.search(text)] == []


def test_a_page_goes_back_to_the_stream_and_says_since_when_it_was_away(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    page.goto(dashboard.url + LIVE)
    live(page)
    page.context.set_offline(True)
    dashboard.end()
    expect(page.locator("#connection")).to_have_text(re.compile(r"Offline since \d\d:\d\d:\d\d"))
    dashboard.restart()
    post(dashboard, 1)
    page.context.set_offline(False)
    live(page)
    expect(page.locator("tbody[data-id='id-1']")).to_be_visible()
    assert [text for text in page_errors if not STREAM_GONE.search(text)] == []


@pytest.mark.nightly
def test_a_dashboard_away_for_long_is_found_again(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    page.goto(dashboard.url + LIVE)
    live(page)
    dashboard.end()
    expect(page.locator("#connection")).to_have_text("Reconnecting")
    page.wait_for_timeout(6000)  # longer than the stream is tried alone
    dashboard.restart()
    post(dashboard, 1)
    live(page)
    expect(page.locator("tbody[data-id='id-1']")).to_be_visible()
    assert [text for text in page_errors if not STREAM_GONE.search(text)] == []


def act(dashboard: RunningDashboard, route: str, **body: object) -> None:
    """What Mia does in another place."""
    headers = {"Content-Type": "application/json", "X-Fraudstream-Actor": "Mia"}
    answer = dashboard.pool.request(
        "POST", f"{dashboard.url}/api/work/{route}", body=orjson.dumps(body), headers=headers
    )
    assert answer.status == 200, answer.data


def test_each_row_shows_the_triage_state_after_a_reconnect_too(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    post(dashboard, 1, 2)
    page.goto(dashboard.url + LIVE)
    live(page)
    status = {number: page.locator(f"tbody[data-id='id-{number}'] [data-f=work]") for number in (1, 2, 3)}
    expect(status[1]).to_have_text("new")
    act(dashboard, "claim", alert_ids=["id-1"])
    expect(status[1]).to_have_text("claimed by Mia")
    act(dashboard, "verdict", alert_ids=["id-1"], status="confirmed_fraud")
    expect(status[1]).to_have_text("confirmed fraud")
    page.get_by_role("button", name="Pause").click()
    post(dashboard, 3)
    expect(page.get_by_role("button", name="1 new")).to_be_visible()
    act(dashboard, "claim", alert_ids=["id-3"])
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Resume").click()
    expect(status[3]).to_have_text("claimed by Mia")
    page.context.set_offline(True)
    dashboard.restart()
    act(dashboard, "verdict", alert_ids=["id-2"], status="false_alarm")
    page.context.set_offline(False)
    expect(status[2]).to_have_text("false alarm")
    expect(page.locator("tbody[data-id='id-2'] .when a")).to_have_attribute("href", "/alerts/id-2")
    assert [text for text in page_errors if not STREAM_GONE.search(text)] == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_waits_fits_a_phone_and_stands_out(dashboard: RunningDashboard, browser: Browser, scheme: object) -> None:
    post(dashboard, *range(30))
    context = browser.new_context(color_scheme=scheme, viewport={"width": 360, "height": 700})  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(dashboard.url + LIVE)
    live(page)
    page.get_by_role("button", name="Pause").click()
    post(dashboard, 31)
    expect(page.get_by_role("button", name="1 new")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate(WORST_CONTRAST) >= 4.5
    context.close()
