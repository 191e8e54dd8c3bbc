"""The routes of replays: asked for by a person, claimed by a sender; the letters are `dead_letters_api.py`'s."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final
from urllib.parse import parse_qsl

from flask import Blueprint, Response, request

from fraudstream.alerts.letters import LetterFilter
from fraudstream.alerts.replay_log import ReplayLog, Request, Result
from fraudstream.dashboard.actor import actor
from fraudstream.dashboard.asked import posted_object, posted_text, whole
from fraudstream.dashboard.dead_letters_api import letter_filter
from fraudstream.dashboard.json_response import json_response
from fraudstream.dashboard.parts import parts
from fraudstream.errors import RequestError
from fraudstream.transactions.wire import RecordId, ReplayState

LONGEST_TEXT: Final = 1_000
LONGEST_ID: Final = 64
MOST_PLACES: Final = 10_000
LARGEST_CLAIM: Final = 1_000
PAGE: Final = 100
LARGEST_PAGE: Final = 1_000

blueprint = Blueprint("replays", __name__)


@blueprint.post("/api/replays")
def request_replays() -> Response:
    """Record what is to be sent again; a sender does it."""
    posted = posted_object()
    payload = posted_text(posted, "payload_base64", 16 * 1024 * 1024, needed=False, as_it_came=True)
    asked = Request(
        wanted=_wanted(posted),
        who=actor(posted).name,
        why=posted_text(posted, "why", LONGEST_TEXT) or "",
        again=posted.get("again") is True,
        payload=payload,
        dry_run=posted.get("dry_run") is True,
    )
    if payload is not None and len(asked.wanted.origins or ()) != 1:
        raise RequestError("a corrected payload takes the place of one record's: name one in places")
    _check_base64(payload)
    using = parts()
    told = ReplayLog(using.store).request(asked, using.clock())
    missing = max(0, len(asked.wanted.origins or ()) - told.letters)
    if missing and not asked.dry_run:
        raise RequestError(
            f"{missing:,} of the records named are no dead letter or unscorable row that is kept; none is sent",
            status=404,
        )
    body = {"batch": told.batch, "letters": told.letters, "replayed": told.replayed, "missing": missing}
    body |= {"without_place": told.without_place}
    if told.batch is None and told.replayed and not asked.dry_run:
        again = f"{told.replayed:,} of {told.letters:,} were replayed before; to send them again, say so (again)"
        return json_response(body | {"error": again, "status": 409}, 409)
    return json_response(body)


@blueprint.get("/api/replays")
def list_replays() -> Response:
    """The newest first, and how many there are in each state."""
    limit = whole("limit", str(PAGE), LARGEST_PAGE)
    given = request.args.get("state")
    if given is not None and given not in list(ReplayState):
        raise RequestError(f"state must be one of {', '.join(ReplayState)}")
    batch = request.args.get("batch")
    log = ReplayLog(parts().store)
    found = log.replays(
        state=None if given is None else ReplayState(given),
        batch=batch,
        origins=request.args.getlist("place") or None,
        before=whole("cursor", "", 10**18) if "cursor" in request.args else None,
        limit=limit,
    )
    cursor = str(found[-1]["seq"]) if len(found) == limit else None
    return json_response({"replays": found, "counts": log.counts(batch), "next_cursor": cursor})


@blueprint.post("/api/replays/claim")
def claim_replays() -> Response:
    """Give replays to a sender; with `limit` 0 only tell how many wait."""
    posted = posted_object()
    batch = posted_text(posted, "batch", LONGEST_ID, needed=False)
    limit = posted.get("limit")
    if not isinstance(limit, int) or not 0 <= limit <= LARGEST_CLAIM:
        raise RequestError(f"limit must be a whole number of 0 to {LARGEST_CLAIM}")
    using = parts()
    log = ReplayLog(using.store)
    if limit == 0:
        return json_response({"waiting": log.waiting(using.clock(), batch)})
    return json_response({"replays": log.claim(using.clock(), limit=limit, batch=batch)})


@blueprint.post("/api/replays/results")
def conclude_replays() -> Response:
    """Take down what became of replays: for each its `place`, or the `reason` why it cannot be sent."""
    results = posted_object().get("results")
    if not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
        raise RequestError("results must be a list of objects")
    checked = [_result(each) for each in results]
    using = parts()
    return json_response({"recorded": ReplayLog(using.store).conclude(checked, using.clock())})


def _result(told: dict[str, Any]) -> Result:
    place = posted_text(told, "place", LONGEST_TEXT, needed=False)
    reason = posted_text(told, "reason", LONGEST_TEXT, needed=place is None)
    return Result(posted_text(told, "replay_id", LONGEST_ID) or "", place, reason)


def _wanted(posted: dict[str, Any]) -> LetterFilter:
    """The letters named under `places`, or those that match the query string under `filter`."""
    places, query = posted.get("places"), posted.get("filter")
    if (places is None) == (query is None):
        raise RequestError("name places (a list of topic/partition/offset) or a filter (a query string as of the list)")
    if query is not None:
        if not isinstance(query, str):
            raise RequestError("filter must be text: a query string")
        return letter_filter(dict(parse_qsl(query.removeprefix("?"))))
    if not isinstance(places, list) or not 1 <= len(places) <= MOST_PLACES:
        raise RequestError(f"places must be a list of 1 to {MOST_PLACES:,} texts")
    try:
        origins = [str(RecordId.parse(place)) for place in places]
    except (TypeError, ValueError) as e:
        raise RequestError("each of places must be topic/partition/offset") from e
    return LetterFilter(origins=tuple(dict.fromkeys(origins)))


def _check_base64(payload: str | None) -> None:
    try:
        base64.b64decode(payload or "", validate=True)
    except (binascii.Error, ValueError) as e:
        raise RequestError("payload_base64 must be base64") from e
