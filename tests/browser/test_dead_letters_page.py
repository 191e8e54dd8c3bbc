"""The page of dead letters in a real Chromium: look, filter, download, select, replay."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from dashboards import RunningDashboard, alert
from dead_letters import INPUT, dead_letter
from pages import SCHEMES, WORST_CONTRAST

pytestmark = pytest.mark.browser

SCRIPT = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>"


def conclude(dashboard: RunningDashboard, place: str) -> None:
    """What a sender does: claim all that waits, and tell that it was sent."""
    claimed = dashboard.post("/api/replays/claim", {"limit": 100})["replays"]
    results = [{"replay_id": each["replay_id"], "place": place} for each in claimed]
    dashboard.post("/api/replays/results", {"results": results})


def test_a_record_is_looked_at_selected_and_replayed_and_again_only_when_confirmed(
    dashboard: RunningDashboard, page: Page, page_errors: list[str]
) -> None:
    dashboard.post("/api/dead-letters", [dead_letter(1, b"[1, 2]", key="a key"), dead_letter(2, b"\xff\x00\x01")])
    page.goto(f"{dashboard.url}/rejected")
    page.evaluate("window.notReloaded = true")
    page.locator("#letter-1 summary").press("Enter")
    for text in ("[1, 2]", "a key", "id-1"):
        expect(page.locator("#letter-1 .letter")).to_contain_text(text)
    page.locator("#letter-0 summary").click()
    expect(page.locator("#letter-0 pre")).to_have_text("ff 0001")
    expect(page.get_by_role("button", name="Replay selected")).to_be_disabled()
    page.get_by_role("checkbox", name=f"Select {INPUT}[0] 1").check()
    page.get_by_label("Why: what was fixed").fill("the feed")
    page.get_by_role("button", name="Replay 1 selected").press("Enter")
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#answer")).to_have_text("1 requested. The relay sends them.")
    replays = page.locator("#live-replays")
    expect(replays).to_contain_text("waiting")
    conclude(dashboard, f"{INPUT}/0/77")
    expect(replays).to_contain_text(f"sent as {INPUT}/0/77")
    expect(replays).to_contain_text("Ada: the feed")
    expect(page.locator("#letter-1 .letter")).to_contain_text(f"sent as {INPUT}/0/77")
    expect(page.locator("#letter-1 .badge.replayed")).to_be_visible()
    assert page.evaluate("window.notReloaded")

    page.get_by_role("button", name="Replay all 2 matches").click()
    expect(page.locator("#again")).to_contain_text("1 of 2 were replayed before.")
    assert dashboard.get("/api/replays")["counts"]["requested"] == 0
    expect(page.get_by_role("button", name="Replay them again")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_have_text("2 requested. The relay sends them.")
    assert dashboard.get("/api/replays")["counts"]["requested"] == 2
    assert [text for text in page_errors if "409" not in text] == []


def test_the_filter_is_in_the_url_and_applies_to_download_and_replay(
    dashboard: RunningDashboard, page: Page, tmp_path: Path
) -> None:
    dashboard.post("/api/dead-letters", [dead_letter(n, reason="empty" if n % 2 else "array") for n in range(130)])
    dashboard.post("/api/alerts", [alert(500, outcome="unscorable", score=None, reason="4 of 5 features missing")])
    page.goto(f"{dashboard.url}/rejected")
    expect(page.locator("#matching")).to_have_text("131")
    expect(page.locator(".letters > li")).to_have_count(50)
    page.get_by_label("Reason contains").fill("EMPTY")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**reason=EMPTY**")
    expect(page.locator("#matching")).to_have_text("65")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    download.value.save_as(tmp_path / "saved.csv")
    with (tmp_path / "saved.csv").open(newline="") as file:
        assert [int(row["offset"]) for row in csv.DictReader(file)] == list(range(129, 0, -2))
    page.get_by_role("link", name="Older").click()
    expect(page.locator(".letters > li")).to_have_count(15)
    page.get_by_label("Select all 15").check()
    expect(page.get_by_role("button", name="Replay 15 selected")).to_be_enabled()
    page.get_by_label("Why: what was fixed").fill("the feed")
    page.get_by_role("button", name="Replay all 65 matches").click()
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#answer")).to_contain_text("65 requested")
    assert dashboard.get("/api/replays")["counts"]["requested"] == 65
    page.goto(f"{dashboard.url}/rejected?kind=unscorable")
    expect(page.locator(".letters > li")).to_contain_text("4 of 5 features missing")


@pytest.mark.nightly  # test_hostile_text.py looks at every page in every change
def test_a_script_in_a_dead_letter_never_runs(dashboard: RunningDashboard, page: Page, page_errors: list[str]) -> None:
    hostile = {"reason": SCRIPT, "key": SCRIPT, "headers": {SCRIPT: SCRIPT}, "event_id": SCRIPT, "topic": SCRIPT}
    dashboard.post("/api/dead-letters", [dead_letter(1, SCRIPT.encode(), **hostile)])
    dashboard.post("/api/replays", {"places": [f"{SCRIPT}/0/1"], "who": SCRIPT[:80], "why": SCRIPT})
    page.goto(f"{dashboard.url}/rejected?reason={SCRIPT}")
    page.locator(".letters summary").click()
    expect(page.locator(".letters pre")).to_have_text(SCRIPT)
    conclude(dashboard, SCRIPT)
    expect(page.locator("#live-replays")).to_contain_text("sent")
    assert page.locator("main img").count() == 0
    assert "pwned" not in page.title()
    assert page_errors == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_fits_any_width_and_its_text_stands_out(
    dashboard: RunningDashboard, browser: Browser, scheme: Any
) -> None:
    for width in (360, 900, 1360):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
        page = context.new_page()
        page.goto(f"{dashboard.url}/rejected")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        dashboard.post(
            "/api/dead-letters",
            [dead_letter(1, b"x" * 9_000, headers={"h" * 90: "y" * 300}), dead_letter(2, b"\xff" * 99)],
        )
        dashboard.post("/api/replays", {"filter": "", "who": "Ada", "why": "w" * 300, "again": True})
        page.goto(f"{dashboard.url}/rejected")
        for summary in page.locator(".letters summary").all():
            summary.click()
        page.get_by_label("Why: what was fixed").fill("the feed")
        page.locator("#replay-all").click()
        page.get_by_label("Your name").fill("Ada")
        page.get_by_role("button", name="Continue").click()
        expect(page.locator("#again")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(WORST_CONTRAST) >= 4.5
        context.close()
