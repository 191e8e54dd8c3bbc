"""Formats money, scores and times for pages, and reads times from forms, in the time zone of the browser's cookie."""

import math
from datetime import UTC, datetime, tzinfo
from typing import Final, NamedTuple
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from flask import current_app, has_app_context, has_request_context, request
from werkzeug.datastructures import MultiDict

from fraudstream.errors import RequestError
from fraudstream.times import parse_time

NOTHING: Final = "–"

ZONE_COOKIE: Final = "fraudstream_zone"
THEME_COOKIE: Final = "fraudstream_theme"
BROWSER: Final = "browser:"
"""Before a zone in the cookie: that of the browser, which `zone.js` keeps up to date."""

THEMES: Final = ("light", "dark")
COOKIE_SECONDS: Final = 365 * 24 * 3600

HIGH_ODDS: Final = 3.0
VERY_HIGH_ODDS: Final = 30.0
"""The bands of a score: its odds as a multiple of the threshold's."""


class When(NamedTuple):
    """A time: to be read in a line of text, and in full with its zone."""

    text: str
    full: str


def money(value: float | None, currency: str | None = None) -> str:
    """Format an amount with a currency, by default that of the settings, if there is one: `1,234.50 EUR`."""
    if value is None:
        return NOTHING
    if currency is None and has_app_context():
        currency = current_app.config.get("CURRENCY")
    return f"{value:,.2f}" if currency is None else f"{value:,.2f}\u00a0{currency}"


def percent(share: float | None) -> str:
    """Format a share or a score: 12.3 %; with as many digits as distinguish it from 0 and 100 %."""
    if share is None:
        return NOTHING
    distance = min(abs(share), abs(1 - share)) * 100
    digits = 1 if distance >= 1 else 2 if distance >= 0.1 else 3
    if 0 < distance < 10**-digits / 2:
        return "< 0.001 %" if share < 0.5 else "> 99.999 %"
    return f"{share * 100:.{digits if distance else 0}f} %"


def band(score: float | None, threshold: float | None) -> str:
    """Return how far a score is above the threshold, by the ratio of their odds; empty if either is unknown."""
    if score is None or threshold is None:
        return ""
    if score < threshold:
        return "below threshold"
    ratio = _odds(score) / max(_odds(threshold), 1e-12)
    return "at threshold" if ratio < HIGH_ODDS else "high" if ratio < VERY_HIGH_ODDS else "very high"


def _odds(probability: float) -> float:
    return probability / (1 - probability) if probability < 1 else math.inf


def zone_setting() -> str:
    """Return the content of the zone's cookie; empty before the first page."""
    return unquote(request.cookies.get(ZONE_COOKIE, "")) if has_request_context() else ""


def zone() -> tzinfo:
    """Return the time zone of this request; UTC unless its cookie names another that this machine knows."""
    return zone_named(zone_setting().removeprefix(BROWSER)) or UTC


def zone_named(name: str) -> tzinfo | None:
    """Return a zone of the IANA database; None if there is none with this name."""
    if name in ("", "UTC"):  # known without a database of zones
        return UTC if name else None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; no name; a folder of the database
        return None


def when(at: str | datetime | None, *, exact: bool = False) -> When:
    """Format a time in ISO 8601 in the zone of this request: `30 Nov 11:07`, with seconds if `exact`; `11:07` today."""
    if not at:
        return When(NOTHING, "")
    try:
        local = (parse_time(at) if isinstance(at, str) else at).astimezone(zone())
    except (ValueError, OverflowError):
        return When(str(at), str(at))
    name = local.tzname() or ""
    full = f"{local:%a} {local.day} {local:%b %Y, %H:%M:%S} {name if name.isalpha() else f'UTC{name}'}"
    now = datetime.now(local.tzinfo)
    day = "" if local.date() == now.date() else f"{local.day} {local:%b} "
    year = "" if local.year == now.year else f"{local.year} "
    return When(f"{day}{year}{local:{'%H:%M:%S' if exact else '%H:%M'}}", full)


def duration(seconds: float) -> str:
    """Format a time span in its largest unit, small numbers with a decimal: 4.4 s, 45 s, 12 min or 1.5 h."""
    units = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    size, unit = next(((size, unit) for size, unit in units if seconds >= size), (0.001, "ms"))
    return f"{seconds / size:,.{1 if seconds < 10 * size else 0}f} {unit}"


def form_time(at: str | None) -> str:
    """Return the value of a `datetime-local` field for a time in ISO 8601; empty if it is none."""
    try:
        return f"{parse_time(at).astimezone(zone()):%Y-%m-%dT%H:%M:%S}" if at else ""
    except (ValueError, OverflowError):
        return ""


def zoned(args: MultiDict[str, str], *names: str) -> MultiDict[str, str]:
    """Return a query in which times without a zone, as forms send them, are in UTC; what is no time stays as it is."""
    result = args.copy()
    for name in names:
        try:
            local = datetime.fromisoformat(args.get(name, "").strip())
            at = (local.replace(tzinfo=zone()) if local.tzinfo is None else local).astimezone(UTC)
        except (ValueError, OverflowError):
            continue
        result[name] = at.isoformat()
    return result


def preferences(form: MultiDict[str, str]) -> tuple[dict[str, str], str]:
    """Return the cookies for the form of the menu, and the page to return to. Raises RequestError for no zone."""
    theme, name = form.get("theme", ""), form.get("other_zone", "").strip() or form.get("zone", "")
    if name and zone_named(name.removeprefix(BROWSER)) is None:
        raise RequestError(f"there is no time zone {name[:40]}: give one such as Europe/Zurich, or UTC")
    back = form.get("next", "")
    # Browsers drop a tab or a line break, and read a backslash as a slash.
    is_own = back.startswith("/") and not back.startswith("//") and back.isprintable() and "\\" not in back
    return {THEME_COOKIE: theme if theme in THEMES else "", ZONE_COOKIE: name}, back if is_own else "/"
