"""Works a shift of 40 alerts in a real Chromium, and counts what an analyst presses and how many rows a screen has.

    python -m benchmarks.shift --before FOLDER

An alert counts as read once its reasons are within the screen, and as done once its verdict is recorded. An interaction
is a key, a click or a turn of the wheel. FOLDER is a checkout of a former release, in which the same shift is worked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
ALERTS: Final = 40
SCREEN: Final = {"width": 1280, "height": 900}
VERDICTS: Final = (("f", "Confirmed fraud"), ("a", "False alarm"))
VISIBLE_ROWS: Final = """() => [...document.querySelectorAll('#list tr.summary')].filter((row) => {
  const { top, bottom, height } = row.getBoundingClientRect();
  return height > 0 && top >= 0 && bottom <= window.innerHeight;
}).length"""
OPEN: Final = "#list tbody:has(.toggle[aria-expanded=true]), #in-hand tbody:has(.toggle[aria-expanded=true])"


class Analyst:
    """Presses keys and buttons on a page, and counts."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.interactions = 0

    def key(self, key: str) -> None:
        """Press a key."""
        self.interactions += 1
        self.page.keyboard.press(key)

    def click(self, target: Any) -> None:
        """Click on something, after turning the wheel where it is not within the screen."""
        self.see(target)
        self.interactions += 1
        target.click()

    def see(self, target: Any) -> None:
        """Turn the wheel until the whole of something is within the screen."""
        target.wait_for()
        for _ in range(20):
            box = target.bounding_box()
            if box is None or (box["y"] >= 0 and box["y"] + box["height"] <= SCREEN["height"]):
                return
            self.interactions += 1
            self.page.mouse.move(640, 450)
            self.page.mouse.wheel(0, 300 if box["y"] > 0 else -300)
            self.page.wait_for_timeout(100)

    def read(self) -> Any:
        """Read the reasons of the open alert."""
        opened = self.page.locator(OPEN).first
        reasons = opened.locator(".reasons-of")
        reasons.locator("tr, li").nth(4).wait_for()
        self.see(reasons)
        return opened


def by_keys(analyst: Analyst, number: int, *, opens_next: bool) -> None:
    """Take the next alert, read it and decide it."""
    if not opens_next:
        analyst.key("n")
    elif number == 0:
        analyst.key("j")
        analyst.key("o")
    opened = analyst.read()
    alert_id = opened.get_attribute("data-id")
    analyst.key(VERDICTS[number % 2][0])
    await_verdict(analyst, alert_id)


def by_mouse(analyst: Analyst, number: int, *, opens_next: bool) -> None:
    """Open an alert, read it and decide it."""
    page = analyst.page
    if not opens_next or number == 0:
        undecided = "#list tbody[data-status=new]"
        analyst.click(page.locator(undecided).first.locator(".toggle"))
    opened = analyst.read()
    alert_id = opened.get_attribute("data-id")
    analyst.click(opened.get_by_role("button", name=VERDICTS[number % 2][1]))
    await_verdict(analyst, alert_id)
    if not opens_next:
        analyst.click(page.locator(f"tbody[data-id='{alert_id}'] .toggle"))


def await_verdict(analyst: Analyst, alert_id: str) -> None:
    """Wait until the verdict is recorded."""
    decided = f"tbody[data-id='{alert_id}']:is([data-status=confirmed_fraud], [data-status=false_alarm])"
    analyst.page.locator(decided).first.wait_for(state="attached")


def work(browser: Any, url: str) -> dict[str, Any]:
    """Decide 40 alerts by key and 40 by mouse."""
    result: dict[str, Any] = {}
    for name, way in (("by_key", by_keys), ("by_mouse", by_mouse)):
        context = browser.new_context(viewport=SCREEN, timezone_id="Europe/Zurich", locale="en-GB")
        context.add_cookies([{"name": "fraudstream_actor", "value": "Mia", "url": url}])
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.goto(f"{url}/queue")
        page.wait_for_selector("#connection[data-state=live]")
        result.setdefault("rows_on_the_first_screen", page.evaluate(VISIBLE_ROWS))
        analyst = Analyst(page)
        switch = page.locator("#open-next")
        opens_next = switch.count() > 0
        if opens_next:
            analyst.click(switch)
        began = time.perf_counter()
        for number in range(ALERTS):
            way(analyst, number, opens_next=opens_next)
        result[name] = {
            "interactions": analyst.interactions,
            "interactions_per_alert": round(analyst.interactions / ALERTS, 2),
            "seconds": round(time.perf_counter() - began, 1),
        }
        context.close()
    return result


def shift() -> dict[str, Any]:
    """Work the shift on the seeded dashboard of the tests."""
    import shutil

    from playwright.sync_api import sync_playwright

    from dashboards import running_dashboard
    from evaluated import deployed_evaluated_model
    from page_pictures import COEFFICIENTS, fill

    chromium = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        with running_dashboard(folder, deployed_evaluated_model(folder / "models", COEFFICIENTS)) as running:
            fill(running)
            result = work(browser, running.url)
        browser.close()
    return result


def in_checkout(root: Path) -> dict[str, Any]:
    """Work the shift with the code and the seed of a checkout."""
    path = os.pathsep.join(str(root / folder) for folder in ("src", "tests/support"))
    command = [sys.executable, str(Path(__file__)), "--here"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, cwd=root, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    """Work the shift, before and now, and write the JSON."""
    if sys.argv[1:] == ["--here"]:
        print(json.dumps(shift()))
        return
    from benchmarks import study
    from benchmarks.system.machine import circumstances, write_result

    parser = study.parser(__doc__, "shift")
    parser.add_argument("--before", type=Path, help="A checkout of a former release.")
    arguments = parser.parse_args()
    result = {**circumstances(), "alerts": ALERTS, "screen": SCREEN, "now": in_checkout(ROOT)}
    if arguments.before is not None:
        result["before"] = in_checkout(arguments.before)
    write_result(arguments.output, result)


if __name__ == "__main__":
    main()
