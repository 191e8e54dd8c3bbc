"""The routes of records that are sent again: asked for, claimed by a sender, told of; the others are beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fraudstream.dashboard.openapi import parameters as p
from fraudstream.dashboard.openapi.route import Route
from fraudstream.dashboard.openapi.schemas import (
    FLAG,
    INSTANT,
    TEXT,
    WHOLE,
    listed,
    maybe,
    members,
    one_of,
    paged,
)
from fraudstream.transactions.wire import ReplayState

REPLAY: Final = members(
    {
        "seq": WHOLE,
        "replay_id": TEXT,
        "batch": TEXT,
        "kind": one_of("dead_letter", "unscorable"),
        "origin": TEXT,
        "state": one_of(*(state.value for state in ReplayState)),
        "place": maybe(TEXT),
        "reason": maybe(TEXT),
        "who": TEXT,
        "why": TEXT,
        "requested_at": INSTANT,
        "changed_at": INSTANT,
        "corrected": FLAG,
    }
)
COUNTS: Final = members({state.value: WHOLE for state in ReplayState})
ASKED: Final = members(
    {"batch": maybe(TEXT), "letters": WHOLE, "replayed": WHOLE, "missing": WHOLE, "without_place": WHOLE},
    {"error": TEXT, "status": WHOLE},
)
CLAIMED: Final = members(
    {
        "replay_id": TEXT,
        "origin": TEXT,
        "letter": members({"event_id": maybe(TEXT)}),
        "payload_base64": maybe(TEXT),
    }
)


def replays() -> Iterator[Route]:
    """What is sent again."""
    yield Route(
        "get",
        "/api/replays",
        "Records that were asked to be sent again, and how many are in each state.",
        paged("replays", REPLAY, {"counts": COUNTS}),
        takes=(*p.REPLAYS, p.LIMIT, p.CURSOR),
        errors=(400,),
    )
    asked = members(
        {"why": TEXT},
        {
            "who": TEXT,
            "places": {"type": "array", "items": TEXT, "minItems": 1, "maxItems": 10_000},
            "filter": TEXT,
            "again": FLAG,
            "dry_run": FLAG,
            "payload_base64": TEXT,
        },
    )
    yield Route(
        "post",
        "/api/replays",
        "Ask for records to be sent again, those at `places` or those that a `filter` matches.",
        ASKED,
        body=asked,
        errors=(400, 404, 415, 422),
        same_body=(409,),
    )
    yield Route(
        "post",
        "/api/replays/claim",
        "Give replays to a sender, again after 30 seconds without a result; with `limit` 0 tell how many wait.",
        {"anyOf": [members({"replays": listed(CLAIMED)}), members({"waiting": WHOLE})]},
        body=members({"limit": WHOLE}, {"batch": maybe(TEXT)}),
        errors=(400, 415),
    )
    yield Route(
        "post",
        "/api/replays/results",
        "Take down what became of replays.",
        members({"recorded": WHOLE}),
        body=members({"results": listed(members({"replay_id": TEXT}, {"place": TEXT, "reason": TEXT}))}),
        errors=(400, 415),
    )
