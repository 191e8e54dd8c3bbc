"""The route of the charts' series; what they are made of is `charts.py`'s, the page is `pages.py`'s."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response

from fraudstream.alerts.minutes import KEPT_MINUTES
from fraudstream.dashboard.asked import whole
from fraudstream.dashboard.json_response import json_response
from fraudstream.dashboard.parts import parts

SPANS: Final = ((60, "1 hour"), (360, "6 hours"), (KEPT_MINUTES, "24 hours"))

blueprint = Blueprint("charts", __name__)


@blueprint.get("/api/charts")
def charts() -> Response:
    """What each of the last minutes came to."""
    return json_response(parts().charts.report_json(minutes_asked()))


def minutes_asked() -> int:
    """How many minutes the query asks for: an hour unless it says otherwise."""
    return whole("minutes", str(SPANS[0][0]), KEPT_MINUTES)
