"""A real Chromium, and a page in it that notes what goes wrong."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from pages import in_zurich

# Chromium without the windows, menus and services of a desktop: a third of the processor time.
BROWSER = shutil.which("chromium-headless-shell") or shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]


# A busy machine is slow and that is no defect.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page_errors() -> list[str]:
    """What the page wrote to the console as an error, and what it threw."""
    return []


@pytest.fixture
def page(browser: Browser, page_errors: list[str]) -> Iterator[Page]:
    context = in_zurich(browser)
    page = context.new_page()
    page.set_default_timeout(60_000)

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            page_errors.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: page_errors.append(str(error)))
    yield page
    context.close()
