"""The queue in a real Chromium, each task as a person does it: find, claim, decide, undo, note, take the next."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from dashboards import RunningDashboard, alert
from pages import SIZES_AND_SCHEMES, WORST_CONTRAST, in_zurich, live

pytestmark = pytest.mark.browser

SCRIPT = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>"


@pytest.fixture
def another(browser: Browser) -> Iterator[Callable[[], Page]]:
    """Makes a page in a browser of its own, with no name yet."""
    contexts = []

    def open_page() -> Page:
        contexts.append(in_zurich(browser))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        return page

    yield open_page
    for context in contexts:
        context.close()


def post(dashboard: RunningDashboard, *numbers: int, **changes: Any) -> None:
    """Alerts whose amount, and so whose expected loss, is the larger the larger their number is."""
    dashboard.post("/api/alerts", [payment(number, **changes) for number in numbers])


def payment(number: int, shop: str = "Acme", **changes: Any) -> dict[str, Any]:
    return alert(number, transaction={"V1": -1.5, "Amount": 10.0 * number, "Shop": shop}) | changes


def row(page: Page, number: int) -> Locator:
    return page.locator(f"tbody[data-id='id-{number}']")


def listed(page: Page) -> list[str]:
    ids: list[str] = page.evaluate("[...document.querySelectorAll('#list tbody.alert')].map((row) => row.dataset.id)")
    return ids


def status(page: Page, number: int) -> Locator:
    return row(page, number).locator("[data-f=work]")


def work(dashboard: RunningDashboard, number: int) -> dict[str, Any]:
    state: dict[str, Any] = dashboard.get(f"/api/work/id-{number}")["work"]
    return state


def opened(page: Page, dashboard: RunningDashboard, query: str = "", name: str = "") -> None:
    """The queue, live; with a name that was given before, where one is passed."""
    if name:
        page.context.add_cookies([{"name": "fraudstream_actor", "value": name, "url": dashboard.url}])
    page.goto(f"{dashboard.url}/{query}")
    live(page)


def test_who_acts_is_asked_once_and_a_verdict_takes_one_key(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    post(dashboard, 1, 2, 3)
    opened(page, dashboard)
    assert listed(page) == ["id-3", "id-2", "id-1"]
    page.keyboard.press("j")
    page.keyboard.press("c")
    dialog = page.get_by_role("dialog", name="Who are you?")
    expect(dialog.get_by_label("Your name")).to_be_focused()
    page.keyboard.type("Mia Ömer")
    page.keyboard.press("Enter")
    expect(status(page, 3)).to_have_text("claimed by Mia Ömer")
    expect(page.locator("#who")).to_contain_text("Mia Ömer")
    page.keyboard.press("f")
    expect(status(page, 3)).to_have_text("confirmed fraud")
    expect(row(page, 2).locator(".toggle")).to_be_focused()
    page.keyboard.press("a")
    expect(status(page, 2)).to_have_text("false alarm")
    page.keyboard.press("u")
    expect(status(page, 1)).to_have_text("unsure")
    page.keyboard.press("z")
    expect(status(page, 1)).to_have_text("new")
    assert [work(dashboard, number)["status"] for number in (3, 2, 1)] == ["confirmed_fraud", "false_alarm", "new"]
    assert work(dashboard, 3)["assignee"] == "Mia Ömer"
    page.reload()
    live(page)
    expect(page.locator("#who")).to_contain_text("Mia Ömer")
    assert listed(page) == ["id-1"]
    page.get_by_role("button", name="Menu").click()
    page.locator("#who").get_by_role("button", name="Change").click()
    page.get_by_label("Your name").fill("Ben")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#who")).to_contain_text("Ben")
    assert page_errors == []


SLOW_ANSWERS = """
const fetched = window.fetch;
window.fetch = async (...asked) => {
  const reply = await fetched(...asked);
  if (String(asked[0]).startsWith("/api/work/")) await new Promise((resolve) => setTimeout(resolve, 700));
  return reply;
};
"""


def test_keys_that_are_quicker_than_the_answers_act_in_their_order(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    post(dashboard, 1, 2, 3)
    page.add_init_script(SLOW_ANSWERS)
    opened(page, dashboard, name="Mia")
    for key in "jfauz":
        page.keyboard.press(key)
    expect(page.get_by_role("group", name="Last action")).to_contain_text("Undone")
    assert [work(dashboard, number)["status"] for number in (3, 2, 1)] == ["confirmed_fraud", "false_alarm", "new"]
    assert page_errors == []


def test_an_opened_queue_searches_once_and_shows_earlier_changes(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    post(dashboard, 1, 2)
    requests: list[str] = []
    opened(page, dashboard)
    page.on("request", lambda request: requests.append(request.url))
    opened(page, dashboard)
    page.wait_for_timeout(1000)
    assert requests.count(f"{dashboard.url}/") == 1

    def claimed_meanwhile(route: Route) -> None:
        headers = {"X-Fraudstream-Actor": "Ben"}
        claim = {"alert_ids": ["id-2"], "take_over": True}
        dashboard.pool.request("POST", f"{dashboard.url}/api/work/claim", json=claim, headers=headers)
        route.continue_()

    page.route("**/api/stream*", claimed_meanwhile, times=1)
    opened(page, dashboard)
    expect(status(page, 2)).to_have_text("claimed by Ben")
    assert page_errors == []


def test_a_question_for_the_name_that_is_left_open_changes_nothing(dashboard: RunningDashboard, page: Page) -> None:
    post(dashboard, 1)
    opened(page, dashboard)
    row(page, 1).locator(".toggle").click()
    page.get_by_role("button", name="Confirmed fraud f").click()
    page.keyboard.press("Escape")
    expect(page.locator("#who-dialog")).to_be_hidden()
    expect(status(page, 1)).to_have_text("new")
    page.get_by_role("button", name="Confirmed fraud f").click()
    page.get_by_label("Your name").fill(" ")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("alert")).to_contain_text("printable characters")
    page.get_by_role("button", name="Cancel").click()
    assert work(dashboard, 1)["status"] == "new"


def test_several_are_decided_at_once_and_undone_even_after_another_search(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    post(dashboard, *range(1, 11))
    opened(page, dashboard, name="Mia")
    for key in "jxjjx":
        page.keyboard.press(key)
    row(page, 6).get_by_role("checkbox").check()
    bulk = page.get_by_role("toolbar", name="Selected alerts")
    expect(bulk).to_contain_text("3 selected")
    bulk.get_by_role("button", name="False alarm").click()
    toast = page.get_by_role("group", name="Last action")
    expect(toast).to_contain_text("3 alerts: false alarm")
    expect(bulk).to_be_hidden()
    for number in (10, 8, 6):
        expect(status(page, number)).to_have_text("false alarm")
    page.get_by_label("Search").fill("id-9")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=id-9**")
    live(page)
    expect(toast).to_contain_text("3 alerts: false alarm")
    toast.get_by_role("button", name="Undo").press("Enter")
    expect(toast).to_contain_text("Undone")
    page.go_back()
    live(page)
    assert len(listed(page)) == 10
    page.get_by_label("Select all").check()
    expect(bulk).to_contain_text("10 selected")
    page.keyboard.press("c")
    expect(toast).to_contain_text("Claimed 10 alerts")
    page.get_by_role("link", name="Mine").click()
    live(page)
    assert len(listed(page)) == 10
    assert page_errors == []


def test_a_note_is_written_by_key_and_stands_in_what_was_done(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    post(dashboard, 1)
    opened(page, dashboard, name="Mia")
    page.keyboard.press("j")
    page.keyboard.press("e")
    page.keyboard.type("called the holder: never in Oslo, jfaunx?")
    page.keyboard.press("Control+Enter")
    history = row(page, 1).locator(".history")
    expect(history).to_contain_text("Mia added a note called the holder: never in Oslo, jfaunx?")
    expect(row(page, 1).locator(".toggle")).to_be_focused()
    page.keyboard.press("f")
    expect(status(page, 1)).to_have_text("confirmed fraud")
    row(page, 1).locator(".toggle").click()
    expect(history.locator("li").first).to_contain_text("Mia decided: confirmed fraud")
    page.keyboard.press("z")
    expect(history.locator("li").first).to_contain_text("Mia undid a change")
    expect(history.locator("li.undone")).to_contain_text("decided: confirmed fraud")
    assert page_errors == []


def test_a_late_response_does_not_replace_a_newer_history(dashboard: RunningDashboard, page: Page) -> None:
    post(dashboard, 1)
    opened(page, dashboard, name="Mia")
    late: list[Route] = []
    page.route("**/alerts/id-1/history", lambda route: late.append(route), times=1)
    page.keyboard.press("j")
    page.keyboard.press("e")
    page.keyboard.type("called the holder")
    page.keyboard.press("Control+Enter")
    history = row(page, 1).locator(".history")
    expect(history).to_contain_text("Mia added a note")
    with page.expect_response("**/alerts/id-1/history"):
        late[0].fulfill(content_type="text/html", body="<li>No actions yet.</li>")
    page.evaluate("new Promise((resolve) => setTimeout(resolve, 100))")
    expect(history).to_contain_text("Mia added a note")


def test_a_decided_row_is_closed_once_it_says_so_however_slow_the_response(
    dashboard: RunningDashboard, page: Page
) -> None:
    def slow(route: Route) -> None:
        response = route.fetch()
        page.wait_for_timeout(1000)
        route.fulfill(response=response)

    post(dashboard, 1)
    opened(page, dashboard, name="Mia")
    page.route("**/api/work/verdict", slow)
    page.keyboard.press("j")
    page.keyboard.press("o")
    expect(row(page, 1).locator(".details")).to_be_visible()
    page.keyboard.press("f")
    expect(status(page, 1)).to_have_text("confirmed fraud")
    assert row(page, 1).locator(".details").is_hidden()


def test_the_next_is_the_largest_expected_loss_that_nobody_has(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    post(dashboard, *range(1, 6))
    opened(page, dashboard, name="Mia")
    page.keyboard.press("n")
    expect(status(page, 5)).to_have_text("claimed by Mia")
    expect(row(page, 5).locator(".origin")).to_be_visible()
    expect(row(page, 5).locator(".toggle")).to_be_focused()
    assert "alert=id-5" in page.url
    page.keyboard.press("f")
    expect(status(page, 5)).to_have_text("confirmed fraud")
    page.keyboard.press("n")
    expect(status(page, 4)).to_have_text("claimed by Mia")
    page.get_by_role("link", name="Decided").click()
    live(page)
    assert listed(page) == ["id-5"]
    page.get_by_role("button", name="Claim next").click()
    hand = page.get_by_role("region", name="Current alert")
    expect(hand.locator("tbody.alert")).to_have_attribute("data-id", "id-3")
    expect(hand).to_contain_text("claimed by Mia")
    page.keyboard.press("a")
    expect(hand).to_contain_text("false alarm")
    page.reload()
    live(page)
    assert "alert=id-3" in page.url
    expect(row(page, 3).locator(".origin")).to_be_visible()
    for _ in range(2):
        page.keyboard.press("n")
        expect(page.locator("#toast")).to_contain_text("Claimed the next")
        expect(hand).to_contain_text("claimed by Mia")
        page.keyboard.press("u")
        expect(page.locator("#toast")).to_contain_text("Unsure")
    page.keyboard.press("n")
    expect(page.locator("#toast")).to_contain_text("No new alert matches")
    assert page_errors == []


def test_the_next_keeps_to_what_was_searched_for(dashboard: RunningDashboard, page: Page) -> None:
    post(dashboard, 1, 2, shop="Zoë's")
    post(dashboard, 3, 4)
    opened(page, dashboard, "?q=zoe", name="Mia")
    assert listed(page) == ["id-2", "id-1"]
    page.keyboard.press("n")
    expect(status(page, 2)).to_have_text("claimed by Mia")
    assert work(dashboard, 4)["status"] == "new"


def test_two_who_want_one_alert_learn_of_each_other_and_one_may_take_over(
    dashboard: RunningDashboard, page: Page, another: Callable[[], Page], page_errors: list[str]
) -> None:
    post(dashboard, 1, 2)
    other = another()
    opened(page, dashboard, name="Mia")
    opened(other, dashboard, name="Ben")
    page.keyboard.press("j")
    page.keyboard.press("c")
    expect(status(page, 2)).to_have_text("claimed by Mia")
    expect(status(other, 2)).to_have_text("claimed by Mia")
    other.keyboard.press("n")
    expect(status(other, 1)).to_have_text("claimed by Ben")
    other.keyboard.press("k")
    other.keyboard.press("f")
    toast = other.get_by_role("group", name="Last action")
    expect(toast).to_contain_text(re.compile(r"Claimed by Mia since \d\d:\d\d:\d\d; take over\?"))
    expect(toast).to_be_focused()
    assert work(dashboard, 2)["assignee"] == "Mia"
    toast.get_by_role("button", name="Take over").click()
    expect(status(other, 2)).to_have_text("confirmed fraud")
    expect(status(page, 2)).to_have_text("confirmed fraud")
    assert work(dashboard, 2)["assignee"] == "Ben"
    page.keyboard.press("z")
    expect(page.locator("#toast")).to_contain_text("it has changed since")
    assert [text for text in page_errors if "409" not in text] == []


def test_a_page_that_has_not_heard_of_a_verdict_does_not_write_over_it(
    dashboard: RunningDashboard, page: Page, another: Callable[[], Page]
) -> None:
    post(dashboard, 1)
    deaf = another()
    deaf.route("**/api/stream*", lambda route: route.abort())
    deaf.context.add_cookies([{"name": "fraudstream_actor", "value": "Ben", "url": dashboard.url}])
    deaf.goto(f"{dashboard.url}/")
    opened(page, dashboard, name="Mia")
    page.keyboard.press("j")
    page.keyboard.press("f")
    expect(status(page, 1)).to_have_text("confirmed fraud")
    deaf.keyboard.press("j")
    deaf.keyboard.press("a")
    expect(deaf.locator("#toast")).to_contain_text("Confirmed fraud by Mia")
    assert work(dashboard, 1)["status"] == "confirmed_fraud"


def test_a_filter_stands_in_the_address_is_shared_and_is_left_by_back(
    dashboard: RunningDashboard, page: Page, another: Callable[[], Page], page_errors: list[str]
) -> None:
    post(dashboard, *range(1, 61))
    post(dashboard, 61, 62, shop="Ticket World", produced_at="2026-01-03T10:00:00+00:00")
    opened(page, dashboard)
    assert len(listed(page)) == 50
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("#list tbody.alert")).to_have_count(12)
    page.get_by_role("link", name="First page").click()
    live(page)
    page.get_by_label("Search", exact=True).fill("amount>=100 from:2026-01-03 shop~ticket")
    page.keyboard.press("Enter")
    page.wait_for_url("**where=Shop%3Ahas%3Aticket**")
    live(page)
    assert listed(page) == ["id-62", "id-61"]
    assert "since=2026-01-02T23%3A00%3A00Z" in page.url
    assert "model_id" not in page.url
    expect(page.get_by_role("columnheader", name="Expected loss").last).to_have_attribute("aria-sort", "descending")
    for order in ("newest", "oldest"):
        page.locator("#list").get_by_role("link", name="Age").click()
        page.wait_for_url(f"**sort={order}**")
    live(page)
    assert listed(page) == ["id-61", "id-62"]
    shared = another()
    shared.goto(page.url)
    assert listed(shared) == ["id-61", "id-62"]
    expect(shared.get_by_label("Active filters")).to_contain_text("from 3 Jan 00:00:00")
    expect(shared.get_by_label("Active filters")).to_contain_text("Shop contains ticket")
    page.get_by_role("link", name="Remove: Shop contains ticket").click()
    expect(page.get_by_label("Active filters")).not_to_contain_text("Shop")
    page.go_back()
    live(page)
    assert listed(page) == ["id-61", "id-62"]
    page.go_back()
    page.go_back()
    assert listed(page) == ["id-62", "id-61"]
    page.get_by_role("link", name="Clear all").click()
    expect(page.locator("#list tbody.alert")).to_have_count(50)
    assert page_errors == []


def test_what_is_filtered_is_downloaded(dashboard: RunningDashboard, page: Page, tmp_path: Path) -> None:
    post(dashboard, 1, 2)
    post(dashboard, 3, 4, shop="Ticket World")
    opened(page, dashboard, "?q=ticket")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download Fraudulent Transactions CSV").click()
    download.value.save_as(tmp_path / "saved.csv")
    with (tmp_path / "saved.csv").open(newline="") as file:
        assert {saved["alert_id"] for saved in csv.DictReader(file)} == {"id-3", "id-4"}
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON").click()
    assert download.value.suggested_filename.endswith(".json")


def test_new_alerts_that_match_wait_behind_a_button_and_nothing_moves(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    post(dashboard, *range(10, 20))
    opened(page, dashboard, "?min_amount=100", name="Mia")
    row(page, 15).locator(".toggle").click()
    expect(row(page, 15).locator(".origin")).to_be_visible()
    expect(row(page, 15).locator(".history")).to_contain_text("No actions yet")
    row(page, 14).get_by_role("checkbox").check()
    before = row(page, 15).bounding_box()
    post(dashboard, *range(30, 35))
    post(dashboard, 1)
    fresh = page.get_by_role("button", name="5 new match")
    expect(fresh).to_be_visible()
    assert row(page, 15).bounding_box() == before
    assert len(listed(page)) == 10
    fresh.click()
    expect(page.locator("#list tbody.alert")).to_have_count(15)
    assert listed(page)[:5] == ["id-34", "id-33", "id-32", "id-31", "id-30"]
    expect(row(page, 15).locator(".origin")).to_be_visible()
    expect(row(page, 14).get_by_role("checkbox")).to_be_checked()
    assert page_errors == []


def test_keys_are_listed_and_can_be_switched_off(dashboard: RunningDashboard, page: Page) -> None:
    post(dashboard, 1)
    opened(page, dashboard, name="Mia")
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(sheet).to_contain_text("confirmed fraud")
    sheet.get_by_label("Enable shortcuts").uncheck()
    page.keyboard.press("Escape")
    for _ in range(2):
        for key in "jf?":
            page.keyboard.press(key)
        expect(sheet).to_be_hidden()
        expect(status(page, 1)).to_have_text("new")
        page.reload()
        live(page)
    page.get_by_role("button", name="Keyboard shortcuts").click()
    sheet.get_by_label("Enable shortcuts").check()
    sheet.get_by_role("button", name="Close").click()
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.type("fja")
    expect(page.get_by_label("Search")).to_have_value("fja")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("f")
    expect(status(page, 1)).to_have_text("confirmed fraud")


def test_an_empty_list_tells_what_to_do_next(dashboard: RunningDashboard, page: Page) -> None:
    empty = page.locator("#empty")
    opened(page, dashboard)
    expect(empty).to_contain_text("fraudstream demo")
    post(dashboard, 1)
    opened(page, dashboard, "?assignee=me&status=claimed")
    expect(empty).to_contain_text("Set your name")
    empty.get_by_role("button", name="set your name").click()
    page.get_by_label("Your name").fill("Mia")
    page.get_by_role("button", name="Continue").click()
    expect(empty).to_contain_text("You have no claimed alerts")
    live(page)
    empty.get_by_role("button", name="Claim next").click()
    expect(status(page, 1)).to_have_text("claimed by Mia")
    expect(row(page, 1).locator(".origin")).to_be_visible()
    live(page)
    page.keyboard.press("j")
    page.keyboard.press("f")
    expect(status(page, 1)).to_have_text("confirmed fraud")
    opened(page, dashboard)
    expect(empty).to_contain_text("Every alert is decided")
    opened(page, dashboard, "?q=nothing-like-it")
    expect(empty).to_contain_text("Remove a filter")


def test_without_javascript_one_still_finds_and_reads(dashboard: RunningDashboard, browser: Browser) -> None:
    post(dashboard, *range(1, 61))
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{dashboard.url}/")
    page.get_by_label("Search", exact=True).fill("amount>=595")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?min_amount=595")
    expect(page.locator("#list tbody.alert")).to_have_count(1)
    expect(row(page, 60).locator(".when a")).to_have_attribute("href", "/alerts/id-60")
    page.get_by_role("link", name="Clear all").click()
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("#list tbody.alert")).to_have_count(10)
    context.close()


def test_a_script_in_any_name_value_note_or_filter_never_runs(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    hostile = {"alert_id": SCRIPT, "model_id": SCRIPT, "schema_id": SCRIPT[:32], "topic": SCRIPT}
    dashboard.post("/api/alerts", [alert(1, transaction={SCRIPT: SCRIPT, "Amount": 5}, **hostile)])
    page.goto(f"{dashboard.url}/")
    live(page)
    page.keyboard.press("j")
    page.keyboard.press("c")
    page.get_by_label("Your name").fill(SCRIPT[:80])
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#list [data-f=work]")).to_contain_text("claimed by <img")
    page.keyboard.press("e")
    page.keyboard.type(SCRIPT)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#list .history")).to_contain_text("onerror")
    page.goto(f"{dashboard.url}/?where={SCRIPT}:has:{SCRIPT}&q=img&assignee={SCRIPT[:80]}&alert={SCRIPT}")
    live(page)
    expect(page.get_by_label("Active filters")).to_contain_text("<script>")
    page.keyboard.press("n")
    expect(page.locator("#toast")).to_contain_text("No new alert")
    assert page.locator("main img").count() == 0
    assert "pwned" not in page.title()
    assert page_errors == []


@pytest.mark.parametrize(("width", "scheme"), SIZES_AND_SCHEMES)
def test_the_page_fits_any_width_and_its_text_stands_out(
    dashboard: RunningDashboard, browser: Browser, width: int, scheme: Any
) -> None:
    post(dashboard, *range(1, 7))
    dashboard.post("/api/alerts", [alert(9, transaction={"a_long_column_name_" * 5: 1.5, "V2": "x" * 300})])
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    page = context.new_page()
    opened(page, dashboard, "?min_score=0.1&where=" + "n" * 60 + ":ne:" + "v" * 200, name="M" * 80)
    expect(page.locator("#empty")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    opened(page, dashboard)
    for key in "fauc":
        page.keyboard.press("j")
        with page.expect_response("**/api/work/*"):
            page.keyboard.press(key)
    # Whichever it is: a verdict opens the next alert by itself, before or after the next key.
    expect(page.locator("[data-f=work]", has_text="claimed by MMM")).to_be_visible()
    page.get_by_text("Filter", exact=True).click()
    row(page, 9).locator(".toggle").click()
    row(page, 2).locator(".select").check()
    expect(page.locator("#bulk")).to_be_visible()
    expect(page.locator("#toast")).to_be_visible()
    expect(row(page, 9).locator(".origin")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(WORST_CONTRAST) >= 4.5
    page.keyboard.press("?")
    assert page.evaluate(WORST_CONTRAST) >= 4.5
    context.close()


SMALL = """() => [...document.querySelectorAll('button, select, input, textarea, summary, .chips a, .tabs a')]
  .filter((element) => element.checkVisibility({ visibilityProperty: true }))
  .filter((element) => {
    const { width, height } = element.getBoundingClientRect();
    const label = element.labels?.[0]?.getBoundingClientRect();
    return Math.max(width, label?.width ?? 0) < 24 || Math.max(height, label?.height ?? 0) < 24;
  })
  .map((element) => element.outerHTML.slice(0, 80))"""


def test_a_target_is_large_enough(dashboard: RunningDashboard, page: Page) -> None:
    post(dashboard, 1, 2)
    opened(page, dashboard, "?min_amount=1", name="Mia")
    page.get_by_text("Filter", exact=True).click()
    row(page, 2).locator(".toggle").click()
    row(page, 1).locator(".select").check()
    small: list[str] = page.evaluate(SMALL)
    assert small == []


def test_a_search_that_cannot_be_read_keeps_the_page_and_the_other_filters(
    dashboard: RunningDashboard, page: Page
) -> None:
    post(dashboard, 1, 2, 3)
    opened(page, dashboard, "?min_amount=20")
    search = page.get_by_label("Search", exact=True)
    search.fill("shpo:Acme")
    search.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="No column is called shpo")).to_contain_text(
        "character 1: shpo:Acme"
    )
    expect(search).to_have_value("shpo:Acme")
    expect(page.get_by_label("Active filters")).to_contain_text("amount ≥ 20")
    assert listed(page) == ["id-3", "id-2"]
    search.fill("shop:Acme amount<30")
    search.press("Enter")
    expect(page.get_by_label("Active filters")).to_contain_text("amount < 30")
    assert listed(page) == ["id-2"]
    page.get_by_role("link", name="Remove: amount < 30").click()
    expect(page.locator("#list tbody.alert")).to_have_count(2)


def test_the_search_suggests_columns_and_their_values(dashboard: RunningDashboard, page: Page) -> None:
    post(dashboard, 1, 2, shop="Kiosk am See")
    opened(page, dashboard)
    page.get_by_label("Search", exact=True).press_sequentially("amount>5 sho")
    expect(page.locator("#suggestions option")).to_have_count(1)
    expect(page.locator("#suggestions option")).to_have_attribute("value", "amount>5 Shop:")
    page.get_by_label("Search", exact=True).press_sequentially("p:kio")
    expect(page.locator("#suggestions option[value='amount>5 shop:\"Kiosk am See\"']")).to_have_count(1)


def test_a_saved_view_is_opened_by_the_team_and_deleted(
    dashboard: RunningDashboard, page: Page, another: Callable[[], Page], page_errors: list[str]
) -> None:
    post(dashboard, 1, 2, 3)
    opened(page, dashboard, "?min_amount=25&sort=newest", name="Mia")
    page.get_by_text("Save view").click()
    page.get_by_label("Name, for the whole team").fill("Large ones")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("link", name="Large ones")).to_have_attribute("aria-current", "true")
    other = another()
    opened(other, dashboard, name="Ben")
    other.get_by_role("link", name="Large ones").click()
    expect(other.locator("#list tbody.alert")).to_have_count(1)
    assert listed(other) == ["id-3"]
    live(other)
    other.get_by_text("Save view").click()
    other.get_by_role("button", name="Delete Large ones").click()
    expect(other.get_by_role("link", name="Large ones")).to_have_count(0)
    assert page_errors == []


def test_after_a_verdict_the_next_is_opened_and_decided_rows_can_be_hidden(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    post(dashboard, 1, 2, 3, 4)
    opened(page, dashboard, name="Mia")
    expect(page.locator("#totals")).to_contain_text("4 · 90 at risk")
    page.get_by_label("Open the next after a verdict").check()
    page.keyboard.press("j")
    page.keyboard.press("f")
    expect(row(page, 3).locator(".reasons-of")).to_be_visible()
    row(page, 3).get_by_role("button", name="False alarm").click()
    expect(row(page, 2).locator(".reasons-of")).to_be_visible()
    expect(row(page, 3).get_by_role("button", name="False alarm")).to_have_count(0)
    expect(page.locator("#totals")).to_contain_text("2 · 27 at risk")
    expect(status(page, 4)).to_be_visible()
    page.get_by_label("Hide decided").check()
    expect(row(page, 4)).to_be_hidden()
    page.keyboard.press("z")
    expect(row(page, 3)).to_be_visible()
    page.reload()
    live(page)
    expect(page.get_by_label("Hide decided")).to_be_checked()
    expect(page.get_by_label("Open the next after a verdict")).to_be_checked()
    assert page_errors == []


def test_alerts_are_grouped_by_an_entity(dashboard: RunningDashboard, page: Page, page_errors: list[str]) -> None:
    dashboard.post(
        "/api/alerts",
        [alert(n, transaction={"TERMINAL_ID": "T1" if n < 4 else "T2", "Amount": 10.0}) for n in range(1, 6)],
    )
    opened(page, dashboard)
    expect(row(page, 1)).to_contain_text("T1 · 3 alerts")
    page.get_by_text("Group", exact=True).click()
    page.get_by_role("link", name="TERMINAL_ID", exact=True).click()
    expect(page.get_by_role("link", name="3 alerts at T1")).to_be_visible()
    expect(page.get_by_role("link", name="Decide all at T1")).to_have_attribute("href", "/entities/TERMINAL_ID/T1")
    page.get_by_role("link", name="3 alerts at T1").click()
    live(page)
    assert sorted(listed(page)) == ["id-1", "id-2", "id-3"]
    expect(page.get_by_label("Active filters")).to_contain_text("TERMINAL_ID T1")
    assert page_errors == []


def test_eighteen_rows_fit_the_first_screen_below_sticky_heads(dashboard: RunningDashboard, page: Page) -> None:
    post(dashboard, *range(1, 41))
    page.set_viewport_size({"width": 1280, "height": 900})
    opened(page, dashboard)
    boxes = [row(page, number).locator(".summary").bounding_box() for number in range(40, 22, -1)]
    assert all(box and 32 <= box["height"] <= 36 and box["y"] + box["height"] <= 900 for box in boxes)
    page.mouse.wheel(0, 700)
    expect(page.locator("#list th.loss")).to_be_in_viewport()
