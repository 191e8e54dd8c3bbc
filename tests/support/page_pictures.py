"""Takes the pictures of pages in docs/images: `python tests/support/page_pictures.py`; `--look FOLDER` takes all pages.

A real dashboard on made-up payments, a real Chromium. To look at: each page in light and dark, wide and on a phone.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any, Final, NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

from dashboards import RunningDashboard, running_dashboard
from evaluated import deployed_evaluated_model, scored_alert, scored_samples
from pages import in_zurich
from saved_models import linear_manifest

IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
MERCHANTS: Final = ("Kiosk am See", "Juwelier Roth", "Online-Reisen AG", "Tankstelle Nord", "Elektro Blum")
COEFFICIENTS: Final = (1.4, -0.35, 0.12, 0.05, 0.004)
"""No column alone decides."""
AMOUNTS: Final = (0.5, 1.0, 5.5, 9.9, 22.9, 48.0, 89.0, 190.0, 480.0, 1_900.0)
"""What amounts are in training."""

CLAIMED: Final = range(40, 44)
DECIDED: Final = {"confirmed_fraud": range(20, 28), "false_alarm": range(28, 34), "unsure": range(34, 36)}
ONE: Final = "/alerts/id-41"
TOPIC: Final = "credit_card_transactions"
BROWSER: Final = shutil.which("chromium-headless-shell") or shutil.which("chromium")
STARTED: Final = datetime.now(UTC)


class Picture(NamedTuple):
    """A page as the docs show it."""

    path: str
    width: int
    height: int
    dark: bool = False
    click: str = ""


PICTURES: Final[Mapping[str, Picture]] = {
    "alerts.png": Picture("/", 1360, 940, click="#list tbody.alert >> nth=1 >> .toggle"),
    "alert.png": Picture(ONE, 1280, 900),
    "what-if.png": Picture("/what-if?threshold=0.35", 1280, 830),
    "charts.png": Picture("/charts", 1280, 900, dark=True),
    "phone.png": Picture("/", 390, 800),
}
LOOKED_AT: Final = (
    "/",
    "/?view=live",
    "/?group=merchant",
    ONE,
    "/entities/merchant/Juwelier%20Roth",
    "/what-if",
    "/charts",
    "/rejected",
    "/schema",
    "/ledger",
    "/activity",
    "/audit",
)


def fill(running: RunningDashboard) -> None:
    """An hour's last minutes: payments, samples, alerts of which some are claimed and decided."""
    models, rng = running.directory / "models", random.Random(3)
    running.post("/api/events", scored_samples(400))
    scored: list[dict[str, Any]] = []
    for number in range(600):
        is_burst = number % 48 == 5
        values = {
            "V1": rng.gauss(1.9, 0.2) if is_burst else rng.gauss(0, 0.7),
            "Amount": round(rng.lognormvariate(5.2 if is_burst else 3.3, 1.0), 2),
            "CARD_ID": f"C{rng.randrange(300):06}",
            "TERMINAL_ID": "T000512" if is_burst else f"T{rng.randrange(120):06}",
            "merchant": MERCHANTS[1 if is_burst else number % 5],
        }
        scored.append(scored_alert(models, number, values))
    alerts = [one | {"alert_id": f"id-{n}"} for n, one in enumerate(one for one in scored if one["score"] >= 0.5)]
    for number, one in enumerate(alerts):
        at = STARTED - timedelta(seconds=20 * (len(alerts) - number))
        times = (at.isoformat(timespec="microseconds"), (at + timedelta(milliseconds=8)).isoformat())
        running.post("/api/alerts", [one | dict(zip(("produced_at", "detected_at"), times, strict=True))])
    work(running, "Ben", "claim", {"alert_ids": [f"id-{number}" for number in CLAIMED]})
    for status, numbers in DECIDED.items():
        ids = [f"id-{number}" for number in numbers]
        work(running, "Ann", "verdict", {"alert_ids": ids, "status": status, "note": "called the holder"})


def model_of_amounts(models: Path) -> Path:
    """A model with amounts that are positive."""
    manifest = linear_manifest()
    features = [
        replace(each, median=AMOUNTS[4], minimum=AMOUNTS[0], maximum=AMOUNTS[-1], p01=AMOUNTS[1], p99=AMOUNTS[-2],
                quantiles=AMOUNTS) if each.name == "Amount" else each
        for each in manifest.features
    ]  # fmt: skip
    return deployed_evaluated_model(models, COEFFICIENTS, replace(manifest, features=tuple(features)))


def report(running: RunningDashboard) -> None:
    """Report as relay and detector do every two seconds, at a hundred payments a second."""
    now = datetime.now(UTC)
    for at in (now - timedelta(seconds=2), now):
        end = 4_000 + int((at - STARTED).total_seconds() * 100)
        ends = {TOPIC: {"0": {"begin": 0, "end": end}}}
        running.post("/api/events", [{"type": "position", "at": at.isoformat(), "positions": ends}])
    scored = {TOPIC: {"0": {"position": end}}}
    running.post("/api/events", [{"type": "progress", "positions": scored}, {"type": "status", "state": "running"}])


def work(running: RunningDashboard, who: str, what: str, body: Mapping[str, Any]) -> None:
    """What somebody does with alerts."""
    answer = running.pool.request(
        "POST", f"{running.url}/api/work/{what}", json=body, headers={"X-Fraudstream-Actor": who}
    )
    if answer.status != 200:
        raise AssertionError(answer.data)


def take(browser: Browser, running: RunningDashboard, picture: Picture, to: Path, *, whole: bool = False) -> None:
    """One page as a file."""
    context = in_zurich(
        browser,
        color_scheme="dark" if picture.dark else "light",
        viewport={"width": picture.width, "height": picture.height},
    )
    page = context.new_page()
    report(running)
    page.goto(running.url + picture.path)
    settle(page)
    if picture.click:
        page.click(picture.click)
    report(running)
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
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        with running_dashboard(folder, model_of_amounts(folder / "models")) as running:
            fill(running)
            if look is None:
                for name, picture in PICTURES.items():
                    take(browser, running, picture, IMAGES / name)
            else:
                look.mkdir(parents=True, exist_ok=True)
                for path, dark, width in product(LOOKED_AT, (False, True), (1280, 390)):
                    name = f"{path.strip('/?').replace('/', '-') or 'queue'}-{'dark' if dark else 'light'}-{width}.png"
                    take(browser, running, Picture(path, width, 800, dark), look / name, whole=True)
        browser.close()


if __name__ == "__main__":
    main()
