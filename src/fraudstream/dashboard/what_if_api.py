"""The routes of another threshold: what it would do, and putting it in force."""

from __future__ import annotations

import math
from typing import Final

from flask import Blueprint, Response, request

from fraudstream.dashboard.actor import actor
from fraudstream.dashboard.asked import posted_object, posted_text
from fraudstream.dashboard.json_response import json_response
from fraudstream.dashboard.parts import parts
from fraudstream.dashboard.threshold_change import LONGEST_WHY, change
from fraudstream.dashboard.what_if import what_if
from fraudstream.errors import RequestError

MOST_REVIEW_COST: Final = 1e9

blueprint = Blueprint("what_if", __name__)


@blueprint.get("/api/what-if")
def show() -> Response:
    """What a threshold would do, held against the one in force."""
    found = what_if(parts(), share_asked("threshold"), number_asked("review_cost", MOST_REVIEW_COST))
    return json_response(found.document(with_curve=request.args.get("curve") == "1"))


@blueprint.post("/api/threshold")
def apply() -> Response:
    """Put a threshold in force, if what is in force is still what the person saw."""
    posted = posted_object()
    who = actor(posted)
    threshold, revision = posted.get("threshold"), posted.get("revision")
    if isinstance(threshold, bool) or not isinstance(threshold, int | float):
        raise RequestError("threshold must be a number from 0 to 1")
    if isinstance(revision, bool) or not isinstance(revision, int):
        raise RequestError("revision must be the whole number of what is in force, as GET /api/what-if tells it")
    why = (posted_text(posted, "why", LONGEST_WHY) or "").strip()
    return json_response(change(parts(), who, float(threshold), why, revision))


def share_asked(name: str) -> float | None:
    """The number from 0 to 1 under a name of the query; None where it is absent or empty."""
    return number_asked(name, 1.0)


def number_asked(name: str, largest: float) -> float | None:
    """The number from 0 on under a name of the query; None where it is absent or empty."""
    given = request.args.get(name, "").strip()
    if not given:
        return None
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= largest:  # NaN too
        raise RequestError(f"{name} must be a number from 0 to {largest:,.0f}")
    return value
