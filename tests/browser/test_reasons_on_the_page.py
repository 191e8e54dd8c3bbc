"""Reasons on the live page: a new alert shows its raw values, and within a second what speaks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from columns import row
from dashboards import RunningDashboard, alert, running_dashboard
from fraudstream.model.artifact import load_artifact
from fraudstream.model.explanation.explainer import Explainer
from pages import LIVE, WORST_CONTRAST, live
from saved_models import LINEAR_ID, deployed_linear_model

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDashboard]:
    folder = tmp_path_factory.mktemp("dashboard")
    with running_dashboard(folder, deployed_linear_model(folder / "models")) as running:
        yield running


def scored_alert(dashboard: RunningDashboard, number: int, **changes: Any) -> dict[str, Any]:
    explainer = Explainer(load_artifact(dashboard.directory / "models" / LINEAR_ID))
    transaction = row(number, V1=4.0, **changes)
    score = explainer.explain(transaction, {}).score
    return alert(number, transaction=transaction, score=score, model_id=LINEAR_ID)


def test_a_live_row_gets_its_reasons_in_words_and_bars(
    page: Page, dashboard: RunningDashboard, page_errors: list[str]
) -> None:
    dashboard.post("/api/alerts", [scored_alert(dashboard, 1)])
    page.goto(dashboard.url + LIVE)
    live(page)
    dashboard.post("/api/alerts", [scored_alert(dashboard, 2)])
    new = page.locator('tbody[data-id="id-2"]')
    first = new.locator(".reason-chip").first
    expect(first).to_be_visible(timeout=5_000)
    reasons = dashboard.get("/api/alerts/id-2")["reasons"]
    expect(new.locator(".reason-chip")).to_have_count(3)
    expect(first.locator(".name")).to_have_text(reasons[0]["feature"])
    expect(first).to_have_attribute("title", reasons[0]["text"])
    expect(new.locator("[data-f=values]")).to_be_hidden()
    new.locator("tr.summary").click()
    expect(new.locator(".reasons-of tbody tr").first).to_have_attribute("title", reasons[0]["text"])
    expect(new.locator(".reasons-of")).to_contain_text("a payment with every column at its typical value")
    assert page.evaluate(WORST_CONTRAST) >= 4.5
    assert page_errors == []


def test_rows_of_the_server_have_their_reasons_and_read_as_those_that_came_live(
    page: Page, dashboard: RunningDashboard
) -> None:
    dashboard.post("/api/alerts", [scored_alert(dashboard, 11)])
    page.goto(dashboard.url + LIVE)
    live(page)
    row_of = page.locator('tbody[data-id="id-11"]')
    expect(row_of.locator(".reason-chip").first).to_be_visible(timeout=10_000)
    live_chips = row_of.locator(".reason-chip").evaluate_all(
        "all => all.map((one) => one.outerHTML.replace(/\\s+/g, ' '))"
    )
    page.reload()
    live(page)
    again = page.locator('tbody[data-id="id-11"] .reason-chip')
    served = again.evaluate_all("all => all.map((one) => one.outerHTML.replace(/\\s+/g, ' '))")
    assert served == live_chips


def test_a_row_whose_reasons_were_published_while_the_page_was_away_fetches_them(
    page: Page, dashboard: RunningDashboard
) -> None:
    page.goto(dashboard.url + LIVE)
    live(page)
    page.context.set_offline(True)
    dashboard.post("/api/alerts", [scored_alert(dashboard, 21)])
    page.wait_for_timeout(1_500)
    page.context.set_offline(False)
    expect(page.locator('tbody[data-id="id-21"] .reason-chip').first).to_be_visible(timeout=30_000)


def test_an_alert_that_cannot_be_explained_says_why_and_keeps_its_raw_values(
    page: Page, dashboard: RunningDashboard
) -> None:
    page.goto(dashboard.url + LIVE)
    live(page)
    dashboard.post("/api/alerts", [scored_alert(dashboard, 31) | {"model_id": "gbt-000000000000"}])
    unexplained = page.locator('tbody[data-id="id-31"]')
    expect(unexplained).to_have_attribute("data-reasons", "", timeout=10_000)
    expect(unexplained.locator("[data-f=values]")).to_be_visible()
    unexplained.locator("tr.summary").click()
    expect(unexplained.locator(".reasons-of")).to_contain_text("No reasons: there is no model artifact")
