"""What the benchmarks of the live page share: alerts as the relay posts them, a real dashboard, a browser, figures.

`alert_storm.py` and `page_storm.py` measure; `streams.py` takes its alerts from here too.
"""

from __future__ import annotations

import random
import shutil
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from playwright.sync_api import Browser, Page, Playwright

TOPIC: Final = "credit_card_transactions"
BODY_BYTES: Final = 1500
COUNT_FRAMES: Final = """
  let last = performance.now();
  const frame = (now) => {
    seen.gaps.push(now - last);
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
"""
"""Within a function of the page that has `seen.gaps`: the time from each frame to the next."""


def alert(number: int) -> dict[str, Any]:
    """An alert of about 1.5 KB, as the relay posts it."""
    now = datetime.now(UTC).isoformat()
    row = {"Time": number, **{f"V{column}": VALUES[(number + column) % len(VALUES)] for column in range(1, 29)}}
    return {
        "alert_id": f"storm-{number}",
        "topic": TOPIC,
        "partition": 0,
        "offset": number,
        "source_row": number,
        "produced_at": now,
        "detected_at": now,
        "outcome": "alert",
        "score": 0.9,
        "threshold": 0.0,
        "model_id": "logistic-regression-0123456789ab",
        "revision": 2,
        "schema_id": "0123456789abcdef",
        "imputed": [],
        "transaction": row | {"Amount": 12.5, "Merchant": "m" * FILL},
    }


def position(end: int) -> dict[str, Any]:
    """The relay's position, once a second."""
    partitions = {"0": {"begin": 0, "end": end, "position": end}}
    return {"type": "position", "at": datetime.now(UTC).isoformat(), "positions": {TOPIC: partitions}}


VALUES: Final = [round(random.Random(7).gauss(0, 3), 15) for _ in range(1009)]
FILL = 0
FILL = BODY_BYTES - len(orjson.dumps(alert(100_000)))


def click(page: Page, box: Any) -> None:
    """A click where something is, without waiting for it to stand still; none where it has just gone."""
    if box is None:
        return
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def open_browser(playwright: Playwright) -> Browser:
    """The system's Chromium, without a window."""
    return playwright.chromium.launch(
        executable_path=shutil.which("chromium-headless-shell") or shutil.which("chromium"),
        args=["--no-sandbox", "--disable-gpu", "--no-first-run"],
    )
