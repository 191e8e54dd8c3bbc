"""A script in any text field or column name never runs, on any page."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

import pytest
from playwright.sync_api import Page

from dashboards import RunningDashboard, alert, running_dashboard
from dead_letters import dead_letter

pytestmark = pytest.mark.browser

PATHS = (
    "/",
    "/?view=live",
    "/what-if",
    "/alerts/id-2",
    "/charts",
    "/rejected",
    "/rejected?kind=refused",
    "/schema",
    "/ledger",
    "/activity",
    "/audit",
)
"""Whoever adds a page adds its path."""

SCRIPT = '"\'><img src=x onerror="window.pwned=1"><script>window.pwned=1</script>{{7*7}}'


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDashboard]:
    with running_dashboard(tmp_path_factory.mktemp("dashboard")) as running:
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


# A few at once, which wait together; a browser has six connections to a server, of which a page's stream takes one.
@pytest.mark.parametrize("paths", [PATHS[first::4] for first in range(4)], ids=" ".join)
def test_no_script_runs(dashboard: RunningDashboard, page: Page, page_errors: list[str], paths: Sequence[str]) -> None:
    pages = [page.context.new_page() for _ in paths]
    page.context.on("weberror", lambda error: page_errors.append(str(error.error)))
    page.context.on("console", lambda message: page_errors.append(message.text) if message.type == "error" else None)
    for each, path in zip(pages, paths, strict=True):
        each.goto(dashboard.url + path)
    page.wait_for_timeout(500)
    for each in pages:
        for button in each.locator("button.toggle:visible, summary:visible").all():
            button.click()
    dashboard.post("/api/alerts", [alert(9, transaction={SCRIPT: SCRIPT}, alert_id=f"9{paths[0][1:]}{SCRIPT}")])
    page.wait_for_timeout(800)
    for each in pages:
        assert each.evaluate("window.pwned") is None
        assert each.locator("img[src=x]").count() == 0
        assert "49" not in each.locator("main").inner_text().replace(SCRIPT, "").split()
    assert page_errors == []
