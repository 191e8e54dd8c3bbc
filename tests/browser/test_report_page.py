"""The report of a model in a real Chromium, opened from disk: no request, no error, readable wide, narrow and dark."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from evaluations import HOSTILE, small_evaluation
from fraudstream.model.report.page import REPORT_FILE, report_html
from pages import SIZES_AND_SCHEMES, WORST_CONTRAST

pytestmark = pytest.mark.browser

# The least contrast of any text in a drawing that is shown, against the card, or the part of the split it stands on.
WORST_CONTRAST_OF_DRAWINGS = """() => {
  const channel = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const luminance = (colour) => {
    const [red, green, blue] = colour.match(/[0-9.]+/g).map(Number);
    return 0.2126 * channel(red / 255) + 0.7152 * channel(green / 255) + 0.0722 * channel(blue / 255);
  };
  let worst = 21;
  for (const text of document.querySelectorAll('figure > svg text')) {
    if (!text.checkVisibility()) continue;
    const ground = getComputedStyle(text.closest('.card')).backgroundColor;
    const [light, dark] = [getComputedStyle(text).fill, ground].map(luminance).sort((one, other) => other - one);
    worst = Math.min(worst, (light + 0.05) / (dark + 0.05));
  }
  return worst;
}"""
# Pairs of words of one drawing that lie on each other, and words that reach out of their card.
MISPLACED = """() => {
  const found = [];
  for (const drawing of document.querySelectorAll('figure > svg')) {
    if (!drawing.checkVisibility()) continue;
    const card = drawing.closest('.card').getBoundingClientRect();
    const texts = [...drawing.querySelectorAll('text')].map((text) => [text.textContent, text.getBoundingClientRect()]);
    texts.forEach(([words, box], place) => {
      if (box.left < card.left || box.right > card.right) found.push(words);
      for (const [others, other] of texts.slice(place + 1)) {
        const apart = box.right <= other.left || other.right <= box.left || box.bottom <= other.top + 2
          || other.bottom <= box.top + 2;
        if (!apart) found.push(`${words} / ${others}`);
      }
    });
  }
  return found;
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / REPORT_FILE
    path.write_bytes(report_html(*small_evaluation()))
    return path


def test_the_report_opens_from_disk_without_a_request_or_an_error(
    page: Page, report: Path, page_errors: list[str]
) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    expect(page.get_by_role("heading", level=1)).to_have_text("gbt-0123456789ab")
    expect(page.get_by_role("img", name="Precision by recall")).to_be_visible()
    page.locator("summary").first.click()
    expect(page.get_by_role("region", name="Best precision")).to_be_visible()
    assert requests == [report.as_uri()]
    assert page_errors == []


@pytest.mark.parametrize(("width", "scheme"), SIZES_AND_SCHEMES)
def test_the_report_is_readable(browser: Browser, report: Path, width: int, scheme: str) -> None:
    dark = scheme == "dark"
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light")
    try:
        page.goto(report.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        assert page.evaluate(MISPLACED) == []
        assert page.evaluate(WORST_CONTRAST) >= 4.5
        assert page.evaluate(WORST_CONTRAST_OF_DRAWINGS) >= 4.5
    finally:
        page.close()


def test_a_name_that_is_a_script_is_shown_and_does_not_run(page: Page, tmp_path: Path, page_errors: list[str]) -> None:
    path = tmp_path / REPORT_FILE
    path.write_bytes(report_html(*small_evaluation(HOSTILE)))
    page.on("dialog", lambda dialog: page_errors.append(dialog.message))
    page.goto(path.as_uri())
    expect(page.get_by_text(f"{HOSTILE} too", exact=True)).to_be_visible()
    assert page_errors == []
