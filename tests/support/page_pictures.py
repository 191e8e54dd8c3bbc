"""Takes the pictures of pages in docs/images: `python tests/support/page_pictures.py`; `--look FOLDER` takes all pages.

A real dashboard on made-up payments, a real Chromium. To look at: each page in light and dark, wide and on a phone.
docs/images/alerts.png and queue.png show the demo's stream and are taken by hand.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any, Final, NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

from dashboards import RunningDashboard, running_dashboard
from evaluated import deployed_evaluated_model, scored_alert, scored_samples

IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
MERCHANTS: Final = ("Kiosk am See", "Juwelier Roth", "Online-Reisen AG", "Tankstelle Nord", "Elektro Blum")
COEFFICIENTS: Final = (1.4, -0.35, 0.12, 0.05, 0.012)
"""No column alone decides."""

CLAIMED: Final = range(40, 44)
DECIDED: Final = {"confirmed_fraud": range(20, 28), "false_alarm": range(28, 34), "unsure": range(34, 36)}
ONE: Final = "/alerts/id-41"


class Picture(NamedTuple):
    """A page as the docs show it."""

    path: str
    width: int
    height: int
    dark: bool = False


PICTURES: Final[Mapping[str, Picture]] = {
    "alert.png": Picture(ONE, 1280, 900),
    "what-if.png": Picture("/what-if?threshold=0.35", 1280, 830),
    "charts.png": Picture("/charts", 1280, 900, dark=True),
    "phone.png": Picture("/queue", 390, 800),
}
LOOKED_AT: Final = ("/", "/queue", ONE, "/what-if", "/charts", "/audit")


def fill(running: RunningDashboard) -> None:
    """An hour's last minutes: payments, samples, alerts of which some are claimed and decided."""
    now = datetime.now(UTC)
    models = running.directory / "models"
    for step in range(5):
        at = (now - timedelta(seconds=50 - step * 10)).isoformat()
        places = {"credit_card_transactions": {"0": {"begin": 0, "end": 5_000 + step * step * 900}}}
        running.post("/api/events", [{"type": "position", "at": at, "positions": places}])
    running.post("/api/events", scored_samples(400))
    alerts: list[dict[str, Any]] = []
    for number in range(400):
        overrides = {"merchant": MERCHANTS[number % 5], "Amount": 17.0 + number % 37 * 3.45, "V1": 0.4 + number % 7 / 5}
        at = (now - timedelta(milliseconds=4 * (400 - number))).isoformat(timespec="milliseconds")
        document = scored_alert(models, number, overrides, produced_at=at, detected_at=at)
        if document["score"] >= 0.5:
            alerts.append(document | {"alert_id": f"id-{len(alerts)}"})
    running.post("/api/alerts", alerts)
    work(running, "Ben", "claim", {"alert_ids": [f"id-{number}" for number in CLAIMED]})
    for status, numbers in DECIDED.items():
        ids = [f"id-{number}" for number in numbers]
        work(running, "Ann", "verdict", {"alert_ids": ids, "status": status, "note": "called the holder"})


def work(running: RunningDashboard, who: str, what: str, body: Mapping[str, Any]) -> None:
    """What somebody does with alerts."""
    answer = running.pool.request(
        "POST", f"{running.url}/api/work/{what}", json=body, headers={"X-Fraudstream-Actor": who}
    )
    if answer.status != 200:
        raise AssertionError(answer.data)


def take(browser: Browser, url: str, picture: Picture, to: Path, *, whole: bool = False) -> None:
    """One page as a file."""
    context = browser.new_context(
        color_scheme="dark" if picture.dark else "light",
        viewport={"width": picture.width, "height": picture.height},
        timezone_id="Europe/Zurich",
        locale="en-GB",
    )
    page = context.new_page()
    page.goto(url + picture.path)
    settle(page)
    page.screenshot(path=str(to), full_page=whole)
    context.close()


def settle(page: Page) -> None:
    """Wait until the page has its figures and its connection."""
    page.wait_for_function(
        "() => (document.querySelector('#connection')?.dataset.state ?? 'live') === 'live' && document.fonts.ready"
    )
    page.wait_for_timeout(1_500)


def main() -> None:
    """Make the pictures, or those to look at."""
    look = Path(sys.argv[2]) if sys.argv[1:2] == ["--look"] else None
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        folder = Path(directory)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        with running_dashboard(folder, deployed_evaluated_model(folder / "models", COEFFICIENTS)) as running:
            fill(running)
            if look is None:
                for name, picture in PICTURES.items():
                    take(browser, running.url, picture, IMAGES / name)
            else:
                look.mkdir(parents=True, exist_ok=True)
                for path, dark, width in product(LOOKED_AT, (False, True), (1280, 360)):
                    name = f"{path.strip('/').replace('/', '-') or 'live'}-{'dark' if dark else 'light'}-{width}.png"
                    take(browser, running.url, Picture(path, width, 800, dark), look / name, whole=True)
        browser.close()


if __name__ == "__main__":
    main()
