"""Signing in and out in a real Chromium: the form, the button on every page, and the session that is over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from dashboards import RunningDashboard, running_dashboard

pytestmark = pytest.mark.browser

READ = "read-token-of-tests"
TOKENS = f"""
import os
os.environ.update(FRAUDSTREAM_READ_TOKEN={READ!r}, FRAUDSTREAM_INGEST_TOKEN="ingest-token-of-tests")
"""


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDashboard]:
    with running_dashboard(tmp_path_factory.mktemp("sessions"), first=TOKENS) as running:
        yield running


def test_a_person_signs_in_reads_and_signs_out(dashboard: RunningDashboard, page: Page) -> None:
    page.goto(dashboard.url + "/")
    page.get_by_label("Read token").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("Wrong read token. Check for spaces at the start or end.")
    page.get_by_label("Read token").fill(READ)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(dashboard.url + "/")
    expect(page.locator("#connection")).to_contain_text("Live")
    page.get_by_role("link", name="Audit log", exact=True).click()
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(dashboard.url + "/login")
    page.goto(dashboard.url + "/audit")
    expect(page).to_have_url(dashboard.url + "/login")


def test_a_header_named_script_name_moves_no_link(dashboard: RunningDashboard) -> None:
    headers = {"SCRIPT_NAME": "/evil", "X-Forwarded-Prefix": "/evil", "X-Forwarded-Host": "evil.example"}
    answer = dashboard.pool.request("GET", dashboard.url + "/", headers=headers, redirect=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/login")
