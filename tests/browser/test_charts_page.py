"""The page Charts in a real Chromium: read by mouse, keys and finger; its tables, spans, news and failures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from dashboards import RunningDashboard, alert, running_dashboard
from evaluated import deployed_evaluated_model, scored_samples
from fraudstream.dashboard.views.charts import FEWEST
from fraudstream.runtime.processes import wait_until
from pages import SCHEMES, WORST_CONTRAST, live

pytestmark = pytest.mark.browser

CHARTS = ("payments", "alerts", "scores", "amounts", "latency", "precision")
WHO = {"X-Fraudstream-Actor": "Mia"}
GONE = re.compile("ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED|ERR_CONNECTION_RESET")


@pytest.fixture
def dashboard(tmp_path: Path) -> Iterator[RunningDashboard]:
    with running_dashboard(tmp_path, deployed_evaluated_model(tmp_path / "models")) as running:
        yield running


def fill(running: RunningDashboard) -> None:
    """Some of everything that the page shows, in the running minute."""
    for end, seconds in ((1000, -2), (1400, -1)):
        position(running, end, datetime.now(UTC) + timedelta(seconds=seconds))
    running.post("/api/events", scored_samples(100))
    arrive(running, 1, 2, 3, 4)
    decide(running, "confirmed_fraud", 1)
    decide(running, "false_alarm", 2, 3)


def position(running: RunningDashboard, end: int, at: datetime) -> None:
    places = {"credit_card_transactions": {"0": {"begin": 0, "end": end}}}
    running.post("/api/events", [{"type": "position", "at": at.isoformat(), "positions": places}])


def arrive(running: RunningDashboard, *numbers: int) -> None:
    at = datetime.now(UTC).isoformat()
    running.post(
        "/api/alerts",
        [alert(number, produced_at=at, transaction={"Amount": 100.0, "Class": number % 2}) for number in numbers],
    )


def decide(running: RunningDashboard, status: str, *numbers: int) -> None:
    answer = running.pool.request(
        "POST",
        f"{running.url}/api/work/verdict",
        json={"alert_ids": [f"id-{number}" for number in numbers], "status": status},
        headers=WHO,
    )
    assert answer.status == 200, answer.data


def chart(page: Page, key: str) -> Locator:
    return page.locator(f"[data-chart={key}]")


def plot(page: Page, key: str) -> Locator:
    return chart(page, key).get_by_role("slider")


def figure(page: Page, key: str) -> Locator:
    return chart(page, key).locator(".now")


def test_every_chart_is_drawn_with_its_figure(page: Page, dashboard: RunningDashboard, page_errors: list[str]) -> None:
    fill(dashboard)
    page.goto(f"{dashboard.url}/charts")
    live(page)
    for key, text in (
        ("payments", "400 payments in this time"),
        ("alerts", "4 alerts in this time"),
        ("scores", "4 of ≈ 400 payments are alerts (counted)"),
        ("amounts", "400.00 at risk in this time, 100.00 of it caught"),
        ("latency", "the median to the store, by minute with alerts"),
        ("precision", "33.3 % confirmed (6.1 % to 79.2 %, 95 %): 1 of 3 decided; 1 undecided or unsure"),
    ):
        expect(figure(page, key)).to_contain_text(text)
        expect(chart(page, key).locator(".nothing")).to_be_hidden()
        drawn = chart(page, key).locator("svg.wide :is(.count-bar, .fraud-bar, polyline)")
        assert drawn.count() >= 1, key
    expect(plot(page, "scores")).to_contain_text("threshold 0.5")
    expect(chart(page, "amounts").locator(".keys")).to_have_text("At riskCaught")
    labels = page.locator("#labels")
    expect(labels).to_contain_text("from labels")
    expect(labels).to_contain_text(
        "By the column Class of the replayed file, 50.0 % of the 4 alerts in this period are"
    )
    expect(page.locator("#connection")).to_contain_text("As of")
    assert page_errors == []


def test_the_value_under_the_mouse_is_displayed_while_figures_come(page: Page, dashboard: RunningDashboard) -> None:
    fill(dashboard)
    page.goto(f"{dashboard.url}/charts")
    live(page)
    readout = chart(page, "alerts").locator(".readout")
    plot(page, "alerts").scroll_into_view_if_needed()
    box = plot(page, "alerts").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] - 12, box["y"] + 60)
    expect(readout).to_contain_text(re.compile(r"^\d\d:\d\d: alerts [04]$"))
    expect(chart(page, "alerts").locator(".pointer").first).to_have_css("visibility", "visible")
    before = page.locator("#connection").inner_text()
    expect(page.locator("#connection")).not_to_have_text(before, timeout=15_000)
    expect(readout).to_contain_text("alerts")
    expect(chart(page, "alerts").locator(".pointer").first).to_have_css("visibility", "visible")
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    expect(readout).to_contain_text("alerts 0")
    page.mouse.move(box["x"] + 60, box["y"] - 40)
    expect(readout).to_have_text("\u00a0")
    expect(chart(page, "alerts").locator(".pointer").first).to_have_css("visibility", "hidden")


def test_a_chart_is_read_by_keys_and_says_what_it_reads(page: Page, dashboard: RunningDashboard) -> None:
    fill(dashboard)
    page.goto(f"{dashboard.url}/charts")
    live(page)
    scores = plot(page, "scores")
    readout = chart(page, "scores").locator(".readout")
    page.keyboard.press("Tab")
    while not scores.evaluate("plot => plot === document.activeElement"):
        page.keyboard.press("Tab")
    expect(readout).to_contain_text("score 0.999925 to 1: alerts 0")
    page.keyboard.press("Home")
    expect(readout).to_contain_text("score 0 to 0.0000748: alerts 0")
    text = readout.inner_text()
    expect(scores).to_have_attribute("aria-valuetext", text)
    assert int(text.rpartition(" ")[2]) > 20
    page.keyboard.press("ArrowRight")
    expect(readout).to_contain_text("score 0.0000748 to 0.000123")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(readout).to_contain_text("score 0 to 0.0000748")
    page.keyboard.press("PageUp")
    expect(readout).to_contain_text("score 0.00669 to 0.011")
    page.keyboard.press("End")
    expect(scores).to_have_attribute("aria-valuenow", "39")
    page.keyboard.press("Escape")
    expect(readout).to_have_text("\u00a0")
    expect(scores).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Tab")
    expect(chart(page, "scores").get_by_role("link", name="Show the alerts")).to_be_focused()
    page.keyboard.press("Tab")
    expect(readout).to_have_text("\u00a0")


def test_a_bar_opens_its_alerts_and_a_range_zooms_in(page: Page, dashboard: RunningDashboard) -> None:
    fill(dashboard)
    page.goto(f"{dashboard.url}/charts")
    live(page)
    alerts = plot(page, "alerts")
    alerts.press("End")
    picked = chart(page, "alerts").locator(".picked")
    expect(picked.get_by_role("link", name="Zoom in")).to_be_hidden()
    alerts.press("Shift+ArrowLeft")
    expect(chart(page, "alerts").locator(".readout")).to_have_text(re.compile(r"^\d\d:\d\d to \d\d:\d\d$"))
    picked.get_by_role("link", name="Zoom in").click()
    expect(page.get_by_role("link", name="Selection")).to_have_attribute("aria-current", "true")
    assert "minutes=2&until=" in page.url
    box = plot(page, "alerts").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] - 40, box["y"] + 60)
    chart(page, "alerts").get_by_role("link", name="Show the alerts").click()
    page.wait_for_url(re.compile(r"/\?.*since=.*until="))
    expect(page.locator("#list tbody.alert")).to_have_count(4)


def test_what_a_finger_touches_stays_to_be_read(dashboard: RunningDashboard, browser: Browser) -> None:
    fill(dashboard)
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{dashboard.url}/charts")
    live(page)
    plot(page, "amounts").tap(position={"x": 120, "y": 60})
    expect(chart(page, "amounts").locator(".readout")).to_contain_text("at risk")
    expect(chart(page, "amounts").locator(".pointer").first).to_have_css("visibility", "visible")
    plot(page, "alerts").tap(position={"x": 120, "y": 60})
    expect(chart(page, "alerts").locator(".readout")).to_contain_text("alerts")
    expect(chart(page, "amounts").locator(".pointer").first).to_have_css("visibility", "hidden")
    context.close()


@pytest.mark.nightly  # the values: tests/integration/test_charts.py
def test_each_table_opens_by_key_with_every_value_and_does_not_move_under_the_reader(
    page: Page, dashboard: RunningDashboard, page_errors: list[str]
) -> None:
    fill(dashboard)
    page.goto(f"{dashboard.url}/charts")
    live(page)
    for key in CHARTS:
        chart(page, key).locator("summary").focus()
        page.keyboard.press("Enter")
        rows = chart(page, key).locator("tbody tr")
        expect(rows).to_have_count(40 if key == "scores" else FEWEST)
    table = chart(page, "alerts").locator("table")
    cells = table.locator("tbody tr td:nth-child(2)")
    assert sum(int(text) for text in cells.all_inner_texts()) == 4
    moment = table.locator("time").first
    assert datetime.fromisoformat(str(moment.get_attribute("datetime"))).utcoffset() == timedelta(0)
    expect(moment).to_have_attribute("title", str(moment.get_attribute("datetime")))
    expect(chart(page, "latency").locator("thead")).to_have_text("Minute99 % withinMedianTo")
    expect(chart(page, "alerts").locator("details")).to_contain_text("As of")
    was = cells.all_inner_texts()
    arrive(dashboard, 5)
    expect(figure(page, "alerts")).to_contain_text("5 alerts", timeout=15_000)
    assert cells.all_inner_texts() == was
    chart(page, "alerts").locator("summary").press("Enter")
    expect(table).to_be_hidden()
    chart(page, "alerts").locator("summary").press("Enter")
    expect(cells.filter(has_text=re.compile("^[1-5]$")).first).to_be_visible()
    assert wait_until(lambda: sum(int(text) for text in cells.all_inner_texts()) == 5, 60)
    assert page_errors == []


def test_the_span_is_a_link_and_back_leads_back(
    page: Page, dashboard: RunningDashboard, page_errors: list[str]
) -> None:
    fill(dashboard)
    page.goto(f"{dashboard.url}/charts")
    spans = page.get_by_role("navigation", name="Time range")
    expect(spans.get_by_role("link", name="1 hour", exact=True)).to_have_attribute("aria-current", "true")
    for name, minutes in (("6 hours", 360), ("24 hours", 1440)):
        spans.get_by_role("link", name=name).click()
        live(page)
        assert page.url.endswith(f"minutes={minutes}")
        expect(spans.get_by_role("link", name=name)).to_have_attribute("aria-current", "true")
        chart(page, "alerts").locator("summary").click()
        expect(chart(page, "alerts").locator("tbody tr")).to_have_count(FEWEST)
    expect(figure(page, "alerts")).to_contain_text("4 alerts")
    page.go_back()
    expect(spans.get_by_role("link", name="6 hours")).to_have_attribute("aria-current", "true")
    assert page_errors == []


@pytest.mark.nightly
def test_an_empty_page_says_what_to_do_and_fills_by_itself(
    page: Page, dashboard: RunningDashboard, page_errors: list[str]
) -> None:
    page.goto(f"{dashboard.url}/charts")
    live(page)
    for key, text in (
        ("payments", "fraudstream demo"),
        ("alerts", "No alerts in this period."),
        ("scores", "fraudstream detect"),
        ("amounts", "When you confirm an alert"),
        ("latency", "No measurements"),
        ("precision", "Decide alerts"),
    ):
        expect(chart(page, key).locator(".nothing")).to_contain_text(text)
        for part in (".plot", "details", ".keys"):
            expect(chart(page, key).locator(part).locator("visible=true")).to_have_count(0)
    page.evaluate("window.notReloaded = true")
    arrive(dashboard, 1, 2)
    expect(figure(page, "alerts")).to_contain_text("2 alerts", timeout=15_000)
    expect(figure(page, "amounts")).to_contain_text("200.00 at risk")
    expect(plot(page, "alerts")).to_be_visible()
    expect(chart(page, "precision").locator(".nothing")).to_be_visible()
    decide(dashboard, "confirmed_fraud", 1)
    expect(figure(page, "precision")).to_contain_text("100 % confirmed (20.7 % to 100 %, 95 %): 1 of 1", timeout=15_000)
    assert page.evaluate("window.notReloaded")
    assert page_errors == []


@pytest.mark.nightly  # the live page has it in every change: test_live_pause.py
def test_a_server_that_is_gone_is_reported_and_the_page_goes_on_by_itself(
    page: Page, dashboard: RunningDashboard, page_errors: list[str]
) -> None:
    fill(dashboard)
    page.goto(f"{dashboard.url}/charts")
    live(page)
    dashboard.end()
    expect(page.locator("#connection")).to_have_text("Retrying", timeout=15_000)
    expect(page.locator("#failed")).to_contain_text("The figures are out of date", timeout=15_000)
    expect(figure(page, "alerts")).to_contain_text("4 alerts")
    dashboard.restart()
    live(page)
    expect(page.locator("#failed")).to_be_hidden()
    expect(figure(page, "payments")).to_contain_text("400 payments")
    assert [text for text in page_errors if not GONE.search(text)] == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_fits_any_width_and_its_text_stands_out(
    dashboard: RunningDashboard, browser: Browser, scheme: Literal["light", "dark"]
) -> None:
    fill(dashboard)
    for width in (360, 900, 1360):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
        page = context.new_page()
        page.goto(f"{dashboard.url}/charts?minutes=1440")
        live(page)
        for key in CHARTS:
            chart(page, key).locator("summary").click()
        marks = plot(page, "scores").locator("svg:visible").locator(".tick").all_text_contents()
        assert {"0.1", "0.5", "0.9"} <= set(marks), marks
        plot(page, "latency").press("End")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(WORST_CONTRAST) >= 4.5
        context.close()
