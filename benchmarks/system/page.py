"""Sees alerts on the live page in a real Chromium; what is seen without a browser is `watchers.py`'s.

Playwright is no dependency of the product: where it or a browser is missing, the stage is left out and that is said.
"""

from __future__ import annotations

import os
import shutil
from typing import Final

from benchmarks.system.watchers import Arrivals, Watcher

BROWSERS: Final = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS: Final = ("--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run")
TAKE_EVERY_MS: Final = 500

WATCH: Final = """() => {
  const seen = (window.fraudstreamBench = []);
  const note = (ids) => {
    const inserted = Date.now();
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      const drawn = Date.now();
      for (const id of ids) seen.push([id, inserted, drawn]);
    };
    channel.port2.postMessage(0);
  };
  new MutationObserver((changes) => {
    const ids = changes.flatMap((change) => [...change.addedNodes])
      .filter((node) => node.matches && node.matches("tbody.alert")).map((node) => node.dataset.id);
    if (ids.length) note(ids);
  }).observe(document.querySelector("#list"), { childList: true });
}"""
"""Notes when a row stands in the table, and when that frame is drawn, in milliseconds of the same clock.

The page inserts rows in an animation frame's callback (`live.js`): a message posted then is handled once the frame is
drawn. In a storm, or while the page is hidden, it inserts them from a timer, and is drawn at most 17 ms later.
"""

TAKE: Final = "() => window.fraudstreamBench.splice(0)"


def why_no_page() -> str | None:
    """What is missing for a page in a browser, in words; None where all is there."""
    try:
        import playwright.sync_api  # noqa: F401 - only whether it is there
    except ImportError:
        return "playwright is not installed (`make setup-dev` installs it)"
    if browser() is None:
        return f"no browser was found on PATH ({', '.join(BROWSERS)})"
    return None


def browser() -> str | None:
    """The browser's path."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


class PageWatcher(Watcher):
    """Sees alerts on the page.

    Attributes:
        inserted: Row to the time at which it stood in the table; `seen` has that at which it was drawn.
        version: The browser's.
    """

    def __init__(self, url: str) -> None:
        super().__init__("page")
        self._url = url
        self.inserted: Arrivals = {}
        self.version = ""

    def watch(self) -> None:
        """Keep the page open and take from it what it saw."""
        from playwright.sync_api import sync_playwright

        # Chromium has no sandbox for root.
        flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser(), args=flags)
            self.version = chromium.version
            try:
                page = chromium.new_page()
                page.goto(f"{self._url}/?view=live")
                page.wait_for_selector('#connection[data-state="live"]', timeout=30_000)
                page.evaluate(WATCH)
                self.watching.set()
                while True:
                    last = self.stopping.is_set()
                    for alert_id, inserted, drawn in page.evaluate(TAKE):
                        row = self.note(alert_id, drawn / 1000)
                        if row is not None:
                            self.inserted[row] = inserted / 1000
                    if last:
                        return
                    page.wait_for_timeout(TAKE_EVERY_MS)
            finally:
                chromium.close()
