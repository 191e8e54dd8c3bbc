"""What the tests of the pages in a browser share: waiting for the stream, and how well text stands out."""

from __future__ import annotations

from itertools import product
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

SCHEMES: Final = tuple(pytest.param(scheme, marks=pytest.mark.nightly) for scheme in ("light", "dark"))
SIZES_AND_SCHEMES: Final = tuple(
    pytest.param(*each, marks=pytest.mark.nightly) for each in product((360, 768, 1000, 1360), ("light", "dark"))
)
"""In every change test_accessibility.py looks at each page as it is opened, narrow and dark."""


LIVE: Final = "/?view=live"
"""The view of the review page in which new alerts are added at the top."""


def in_zurich(browser: Browser, **options: Any) -> BrowserContext:
    """A context in this zone that has been here before: the very first page of a browser is loaded twice."""
    context = browser.new_context(timezone_id="Europe/Zurich", locale="en-GB", **options)
    zone = {"name": "fraudstream_zone", "value": "browser%3AEurope%2FZurich", "domain": "127.0.0.1", "path": "/"}
    context.add_cookies([zone])  # type: ignore[list-item]
    return context


def live(page: Page) -> None:
    expect(page.locator("#connection")).to_have_attribute("data-state", "live", timeout=20_000)


# The least contrast (WCAG 2.2, 1.4.3) of any visible text against the first opaque ground behind it.
WORST_CONTRAST = """() => {
  const channel = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const colours = new Map();
  const rgb = (colour) => {
    if (!colours.has(colour)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      colours.set(colour, [...canvas.getImageData(0, 0, 1, 1).data]);
    }
    return colours.get(colour);
  };
  const luminance = ([red, green, blue]) =>
    0.2126 * channel(red / 255) + 0.7152 * channel(green / 255) + 0.0722 * channel(blue / 255);
  let worst = 21;
  for (const element of document.body.querySelectorAll('*')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.closest('.visually-hidden, .skip, svg')) continue;
    const style = getComputedStyle(element);
    let behind = element;
    while (behind && rgb(getComputedStyle(behind).backgroundColor)[3] < 255) behind = behind.parentElement;
    const [light, dark] = [rgb(style.color), rgb(getComputedStyle(behind ?? document.body).backgroundColor)]
      .map(luminance).sort((one, other) => other - one);
    worst = Math.min(worst, (light + 0.05) / (dark + 0.05));
  }
  return worst;
}"""
