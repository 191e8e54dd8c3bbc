"""Money, scores and times as pages show them, in the time zone of the browser's cookie."""

import pytest
from flask import Flask
from flask.ctx import RequestContext
from werkzeug.datastructures import MultiDict

from fraudstream.dashboard.web import formats
from fraudstream.errors import RequestError

WINTER = "2026-01-31T12:00:05.250+00:00"


def in_zone(cookie: str) -> RequestContext:
    return Flask(__name__).test_request_context(headers={"Cookie": f"{formats.ZONE_COOKIE}={cookie}"})


@pytest.mark.parametrize(
    ("share", "text"),
    [
        *[(0.0, "0 %"), (1.0, "100 %"), (0.5, "50.0 %"), (0.1234, "12.3 %"), (0.0042, "0.42 %"), (0.00021, "0.021 %")],
        *[(0.999, "99.90 %"), (0.9999999, "> 99.999 %"), (0.0000001, "< 0.001 %"), (None, "–")],
    ],
)
def test_a_score_in_percent_is_never_rounded_to_0_or_100(share: float | None, text: str) -> None:
    assert formats.percent(share) == text


@pytest.mark.parametrize(
    ("score", "threshold", "name"),
    [
        *[(0.50, 0.5, "at threshold"), (0.70, 0.5, "at threshold"), (0.80, 0.5, "high"), (0.98, 0.5, "very high")],
        *[(0.02, 0.01, "at threshold"), (0.05, 0.01, "high"), (0.90, 0.01, "very high"), (1.0, 0.99, "very high")],
        *[(0.3, 0.5, "below threshold"), (0.3, 0.0, "very high"), (None, 0.5, ""), (0.3, None, "")],
    ],
)
def test_band_of_a_score_depends_on_its_odds_over_the_threshold(
    score: float | None, threshold: float | None, name: str
) -> None:
    assert formats.band(score, threshold) == name


def test_money_has_the_currency_of_the_settings_if_there_is_one() -> None:
    assert formats.money(1234.5) == "1,234.50"
    assert formats.money(1234.5, "EUR") == "1,234.50\u00a0EUR"
    assert formats.money(None, "EUR") == "–"


@pytest.mark.parametrize(
    ("cookie", "text", "full"),
    [
        ("", "31 Jan 12:00:05", "Sat 31 Jan 2026, 12:00:05 UTC"),
        ("Europe%2FZurich", "31 Jan 13:00:05", "Sat 31 Jan 2026, 13:00:05 CET"),
        ("browser%3AAsia%2FKathmandu", "31 Jan 17:45:05", "Sat 31 Jan 2026, 17:45:05 UTC+0545"),
        ("..%2F..%2Fetc", "31 Jan 12:00:05", "Sat 31 Jan 2026, 12:00:05 UTC"),
    ],
)
def test_a_time_is_in_the_zone_of_the_cookie_with_the_zone_in_full(cookie: str, text: str, full: str) -> None:
    with in_zone(cookie):
        assert formats.when(WINTER, exact=True) == (text.replace("Jan", "Jan 2026") if _is_past() else text, full)


def _is_past() -> bool:
    return " 2026 " in formats.when(WINTER).text


def test_a_time_of_a_form_is_in_the_zone_of_the_rows() -> None:
    with in_zone("Europe%2FZurich"):
        query = formats.zoned(
            MultiDict({"since": "2026-07-31T12:00", "until": WINTER, "other": "x"}), "since", "until", "missing"
        )
        assert query["since"] == "2026-07-31T10:00:00+00:00"
        assert formats.form_time(query["since"]) == "2026-07-31T12:00:00"
        assert query["until"] == "2026-01-31T12:00:05.250000+00:00"
        assert formats.zoned(MultiDict({"since": "7"}), "since")["since"] == "7"


@pytest.mark.parametrize(
    ("back", "to"),
    [
        ("/queue?q=a", "/queue?q=a"),
        ("//evil", "/"),
        ("https://evil", "/"),
        ("", "/"),
        ("/\t/evil", "/"),
        ("/a\r\nX: y", "/"),
        ("/.\\/evil", "/"),
    ],
)
def test_preferences_return_to_a_page_of_the_dashboard_only(back: str, to: str) -> None:
    cookies, target = formats.preferences(MultiDict({"theme": "dark", "zone": "UTC", "next": back}))
    assert (cookies, target) == ({formats.THEME_COOKIE: "dark", formats.ZONE_COOKIE: "UTC"}, to)


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(RequestError, match="there is no time zone Europe/Nowhere"):
        formats.preferences(MultiDict({"zone": "UTC", "other_zone": "Europe/Nowhere"}))
