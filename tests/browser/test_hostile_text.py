"""A script in any text field or column name never runs, on any page."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from dashboards import RunningDashboard, alert, running_dashboard
from dead_letters import dead_letter

pytestmark = pytest.mark.browser

PATHS = (
    "/",
    "/queue",
    "/what-if",
    "/alerts/id-2",
    "/charts",
    "/unscorable",
    "/dead-letters",
    "/schema",
    "/ledger",
    "/activity",
    "/audit",
)
"""Whoever adds a page adds its path."""

SCRIPT = '"\'><img src=x onerror="window.pwned=1"><script>window.pwned=1</script>{{7*7}}'


@pytest.fixture
def dashboard(tmp_path: Path) -> Iterator[RunningDashboard]:
    with running_dashboard(tmp_path) as running:
        hostile = {"alert_id": SCRIPT, "model_id": SCRIPT, "reason": SCRIPT, "imputed": [SCRIPT], "topic": SCRIPT}
        row = {SCRIPT: SCRIPT, "nested": {SCRIPT: [SCRIPT]}, "Amount": 1.5}
        running.post("/api/alerts", [alert(1, transaction=row, **hostile), alert(2, transaction={SCRIPT: 1})])
        unscorable = hostile | {"alert_id": f"u{SCRIPT}", "outcome": "unscorable", "score": None}
        running.post("/api/alerts", [alert(3, transaction=row, **unscorable), alert(2, transaction={"x": SCRIPT})])
        event = {"type": "query", "message": SCRIPT, "event_id": SCRIPT}
        schema = {"type": "schema", "message": SCRIPT, "event_id": f"s{SCRIPT}"}
        running.post("/api/events", [event, schema, {"message": SCRIPT}])
        posted = dead_letter(1, SCRIPT.encode(), reason=SCRIPT, key=SCRIPT, headers={SCRIPT: SCRIPT}, event_id=SCRIPT)
        running.post("/api/dead-letters", [posted, {"topic": SCRIPT}])
        replay = {"places": ["credit_card_transactions/0/1"], "who": SCRIPT, "why": SCRIPT}
        running.post("/api/replays", replay | {"payload_base64": base64.b64encode(SCRIPT.encode()).decode()})
        yield running


@pytest.mark.parametrize("path", PATHS)
def test_no_script_runs(dashboard: RunningDashboard, page: Page, page_errors: list[str], path: str) -> None:
    page.goto(dashboard.url + path)
    page.wait_for_timeout(500)
    for button in page.locator("button.toggle:visible, summary:visible").all():
        button.click()
    page.wait_for_timeout(300)
    dashboard.post("/api/alerts", [alert(9, transaction={SCRIPT: SCRIPT}, alert_id=f"9{SCRIPT}")])
    page.wait_for_timeout(500)
    assert page.evaluate("window.pwned") is None
    assert page.locator("img[src=x]").count() == 0
    assert "49" not in page.locator("main").inner_text().replace(SCRIPT, "").split()
    assert page_errors == []
